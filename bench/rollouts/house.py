"""A platform, MLflow's client for its registry, and endpoints that follow it."""

import contextlib
import itertools
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.conftest import register
from tests.e2e.running_platform import Platform, until

from bench.outcome import percentile
from bench.senders import Target

MODEL = "stamped"


@dataclass(frozen=True)
class House:
    """A running platform, and its registry as a person's script has it. `uri` is the registry's own."""

    platform: Platform
    registry: Any
    uri: str

    def register(self, kind: str, name: str = MODEL) -> dict[str, Any]:
        """Log and register a model of the tests' zoo; returns a request that fits it."""
        return register(self.platform, kind, name, uri=self.uri)

    def alias(self, alias: str, model: str = MODEL) -> Callable[[str], object]:
        """Promotes a version by this alias."""
        return lambda version: self.registry.set_registered_model_alias(model, alias, version)

    def stage(self, stage: str, model: str = MODEL) -> Callable[[str], object]:
        """Promotes a version to this stage and archives what is in it: in one call, and every other time in a call
        before it, as notebooks did.
        """
        calls = itertools.count()

        def promote(version: str) -> None:
            before = next(calls) % 2 == 1
            if before:
                for old in self.registry.get_latest_versions(model, [stage]):
                    self.registry.transition_model_version_stage(model, old.version, "Archived")
            self.registry.transition_model_version_stage(model, version, stage, archive_existing_versions=not before)

        return promote

    def target(self, path: str, request: Any) -> Target:
        """Where this request goes; a path without a slash is an endpoint's name."""
        path = path if path.startswith("/") else f"/serving-endpoints/{path}/invocations"
        return Target(self.platform.url + path, (json.dumps(request).encode(),), self.platform.token)

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One call of the API. Raises httpx.HTTPStatusError."""
        with self.platform.client() as client:
            answer = client.request(method, path, json=body)
            if answer.is_error:
                raise httpx.HTTPStatusError(answer.text, request=answer.request, response=answer)
            return dict(answer.json())

    def events(self, name: str) -> list[dict[str, Any]]:
        """What happened to an endpoint, oldest first."""
        return list(self.call("GET", f"/api/tidegate/v1/endpoints/{name}/events")["events"])

    def explain(self) -> None:
        """Print what is known of all endpoints, when what was waited for did not happen."""
        for endpoint in self.call("GET", "/api/2.0/serving-endpoints")["endpoints"]:
            print(endpoint["name"], endpoint["state"], file=sys.stderr)
            for event in self.events(endpoint["name"])[-12:]:
                print(f"  {event['timestamp']} {event['type']}: {event['message']}", file=sys.stderr)

    def serving(self, name: str) -> str | None:
        """The version that it says it serves once no update is on its way; None before, and while control is away."""
        with contextlib.suppress(httpx.HTTPError):
            shown = self.call("GET", f"/api/2.0/serving-endpoints/{name}")
            if shown["state"]["config_update"] == "NOT_UPDATING":
                return str(shown["config"]["served_entities"][0]["resolved_version"])
        return None

    def settles(self, name: str, version: str, seconds: float = 120) -> float:
        """Wait until it says that this version serves and that nothing is on its way; returns how long that took."""
        began = time.monotonic()
        until(lambda: self.serving(name) == version, seconds)
        return time.monotonic() - began


@contextlib.contextmanager
def rollout_house(*arguments: str, registry: str = "", environment: dict[str, str] | None = None) -> Iterator[House]:
    """A platform in a temporary data directory, ended after the `with`; with the embedded registry, or that one.

    `registry` is how a person's script reaches it; the platform may be told of another way, in `arguments`.
    """
    with tempfile.TemporaryDirectory() as folder:
        running = Platform(Path(folder) / "data", *arguments, environment=environment).start()
        house = house_of(running, registry)
        try:
            yield house
        except (TimeoutError, AssertionError):
            house.explain()
            raise
        finally:
            running.stop()


def house_of(running: Platform, registry: str = "") -> House:
    """The house around a platform."""
    os.environ["MLFLOW_TRACKING_TOKEN"] = running.token
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient
    warnings.filterwarnings("ignore", message=".*(transition_model_version_stage|get_latest_versions).*")
    uri = registry or f"{running.url}/mlflow"
    return House(running, MlflowClient(tracking_uri=uri), uri)


def told(seconds: list[float], *, unit: str = "s") -> str:
    """The median and the longest."""
    by, digits = (1, 2) if unit == "s" else (1000, 0)
    p50, longest = (f"{percentile(seconds, percent) * by:.{digits}f} {unit}" for percent in (50, 100))
    return f"p50 {p50}, longest {longest}"
