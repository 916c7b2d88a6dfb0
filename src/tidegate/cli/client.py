"""A thin client of a server's REST API: Databricks' shape, so every answer is JSON as that API documents it."""

from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

import httpx

from tidegate.cli.endpoint_view import EndpointView, Json
from tidegate.cli.failure import Failure, Refused, Unreachable
from tidegate.cli.find_server import Server
from tidegate.core.endpoint.legacy_face import Product
from tidegate.core.endpoint.validation import check_name

_ENDPOINTS = "/api/2.0/serving-endpoints"
_PRODUCTS = {
    Product.SERVERLESS: "/api/2.0/mlflow/endpoints-v2",
    Product.CLASSIC: "/api/2.0/mlflow/endpoints",
}
_TIMEOUT_SECONDS = 65.0  # the server answers a scoring request within 59 s


class Client:
    """Calls one server. A context manager: it owns connections.

    Its methods raise Unreachable when nobody answers, Refused with the server's own sentence for an error, and Failure
    for an answer that cannot be Tidegate's.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        if not (server.token.isascii() and server.token.isprintable()):
            raise Failure(
                "The token has characters that a token cannot have. Check --token or the variable that holds it."
            )
        headers = {"Authorization": f"Bearer {server.token}"} if server.token else {}
        self._http = httpx.Client(
            base_url=server.url, headers=headers, timeout=_TIMEOUT_SECONDS, trust_env=not server.local
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # --- endpoints

    def endpoints(self) -> list[EndpointView]:
        """All endpoints, in short."""
        return [EndpointView(json) for json in self.call("GET", _ENDPOINTS).get("endpoints", [])]

    def activity(self) -> list[Json]:
        """What each endpoint did in the last minute."""
        return list(self.call("GET", "/api/tidegate/v1/activity").get("endpoints", []))

    def series(self, name: str, minutes: float) -> list[Json]:
        """The points of an endpoint's last minutes."""
        check_name(name)
        found = self.call("GET", f"/api/tidegate/v1/endpoints/{name}/series?minutes={minutes:g}")
        return list(found.get("points", []))

    def endpoint(self, name: str) -> EndpointView:
        """An endpoint in full."""
        return EndpointView(self.call("GET", _path(name)))

    def create(self, name: str, entity: Json) -> EndpointView:
        """A new endpoint that serves one entity."""
        body = {"name": name, "config": {"name": name, "served_entities": [entity]}}
        return EndpointView(self.call("POST", _ENDPOINTS, body))

    def update(self, name: str, entity: Json, *, force: bool = False) -> EndpointView:
        """The endpoint. It serves this one entity when that is ready and has passed the gate, or is forced."""
        forced = {"force": True} if force else {}
        return EndpointView(self.call("PUT", f"{_path(name)}/config", {"served_entities": [entity], **forced}))

    def force(self, name: str) -> EndpointView:
        """The endpoint; it serves what the gate held back as soon as that is ready."""
        check_name(name)
        return EndpointView(self.call("POST", f"/api/tidegate/v1/endpoints/{name}/force"))

    def gate(self, name: str, change: Json | None = None) -> Json:
        """An endpoint's gate, and what it found last; with a change of its policy."""
        check_name(name)
        path = f"/api/tidegate/v1/endpoints/{name}/gate"
        return self.call("PATCH", path, change) if change else self.call("GET", path)

    def rollback(self, name: str) -> EndpointView:
        """The endpoint; it goes back to what it served before."""
        check_name(name)
        return EndpointView(self.call("POST", f"/api/tidegate/v1/endpoints/{name}/rollback"))

    def parked(self, name: str) -> Json | None:
        """What a rollback would bring back, or None."""
        check_name(name)
        parked: Json | None = self.call("GET", f"/api/tidegate/v1/endpoints/{name}/switches").get("parked")
        return parked

    def delete(self, name: str) -> None:
        """Delete an endpoint."""
        self.call("DELETE", _path(name))

    def log(self, name: str, served: str, kind: str = "logs") -> str:
        """A served entity's log: `logs` are what its replicas print, `build-logs` how its environment was made."""
        return str(self.call("GET", f"{_path(name)}/served-models/{quote(served, safe='')}/{kind}").get("logs", ""))

    def events(self, name: str) -> list[Json]:
        """What happened to an endpoint, oldest first."""
        check_name(name)
        listed: list[Json] = self.call("GET", f"/api/tidegate/v1/endpoints/{name}/events").get("events", [])
        return listed

    def replicas(self, name: str) -> list[Json]:
        """The processes that run for an endpoint, oldest first."""
        check_name(name)
        listed: list[Json] = self.call("GET", f"/api/tidegate/v1/endpoints/{name}/replicas").get("replicas", [])
        return listed

    def example(self, name: str) -> object:
        """A request that the endpoint's OpenAPI document shows as its example, or None."""
        document = self.call("GET", f"{_path(name)}/openapi")
        for item in document.get("paths", {}).values():
            content = item.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
            if example := _example(content) or _example(content.get("schema", {})):
                return example
        return None

    # --- enabled models

    def enable(self, product: Product, model: str) -> None:
        """Switch the serving of a registered model on."""
        self.call("POST", f"{_PRODUCTS[product]}/enable", {"registered_model_name": model})

    def disable(self, product: Product, model: str) -> None:
        """Switch it off."""
        self.call("POST", f"{_PRODUCTS[product]}/disable", {"registered_model_name": model})

    def enabled(self, product: Product) -> list[Json]:
        """The models whose serving is on under a product, by name, as its API shows them."""
        answer = self.call("GET", f"{_PRODUCTS[product]}/list")
        return list(answer["endpoint_statuses" if product is Product.SERVERLESS else "endpoints"])

    # --- scoring

    def score(self, name: str, body: bytes, content_type: str = "application/json") -> bytes:
        """The endpoint's answer to a request, as it came."""
        headers = {"Content-Type": content_type}
        return self._send("POST", scoring_path(name), content=body, headers=headers).content

    # --- registry

    def registered_models(self) -> list[str]:
        """The names of the first models of the server's own MLflow registry."""
        path = "/mlflow/api/2.0/mlflow/registered-models/search"
        answer = self.call("GET", f"{path}?max_results=10")
        return [model["name"] for model in answer.get("registered_models", [])]

    # --- the wire

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """The JSON object that a call answers."""
        response = self._send(method, path, json=body)
        answer = _json(response)
        if answer is None:
            raise Failure(f"What answers at {self.server.url} is not Tidegate. Name the server with --url.")
        return answer

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        url = self.server.url
        try:
            response = self._http.request(method, path, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            sentence = f"No Tidegate answers at {url}. Start it with `tidegate up`, or name it with --url."
            raise Unreachable(sentence) from None
        except httpx.TimeoutException:
            raise Unreachable(f"{url} did not answer within {_TIMEOUT_SECONDS:.0f} seconds.") from None
        except httpx.HTTPError as error:
            raise Unreachable(f"The connection to {url} broke: {error}.") from None
        if not response.is_success:
            raise self._refusal(response)
        return response

    def _refusal(self, response: httpx.Response) -> Failure:
        status, answer, url = response.status_code, _json(response) or {}, self.server.url
        code, message = str(answer.get("error_code", "")), str(answer.get("message", ""))
        if status == httpx.codes.UNAUTHORIZED and not self.server.token:
            message = (
                f"There is no token for {url}. Give one with --token or TIDEGATE_TOKEN, or name the server's data "
                "directory with --data-dir: its file admin.token has the administrator's."
            )
        if not message:
            return Failure(f"What answers at {url} is not Tidegate (HTTP {status}). Name the server with --url.")
        return Refused(message, status, code)


def scoring_path(name: str) -> str:
    """Where an endpoint is scored. Raises InvalidParameter for what cannot name one."""
    check_name(name)
    return f"/serving-endpoints/{name}/invocations"


def _path(name: str) -> str:
    check_name(name)
    return f"{_ENDPOINTS}/{name}"


def _json(response: httpx.Response) -> Json | None:
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _example(holder: Mapping[str, Any]) -> object:
    """OpenAPI's `example`, or the first of its `examples`: named objects on a media type, a list in a schema."""
    if "example" in holder:
        return holder["example"]
    match holder.get("examples"):
        case {**named} if named:
            first = next(iter(named.values()))
            return first.get("value") if isinstance(first, Mapping) else None
        case [first, *_]:
            return first
    return None
