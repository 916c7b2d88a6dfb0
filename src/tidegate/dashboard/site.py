"""What every page shares: the sources that it reads, the templates, its addresses, and one-time messages."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

import tidegate
from tidegate.control.access.sessions import Sessions
from tidegate.control.endpoints.endpoint_verbs import Endpoints
from tidegate.control.publish.slow_requests import SlowRequests
from tidegate.control.registry.enabled_models import EnabledModels
from tidegate.control.registry.model_catalog import ModelCatalog
from tidegate.control.reporting.platform_view import Platform
from tidegate.control.reporting.prometheus_metrics import Metrics
from tidegate.control.series.series import Series
from tidegate.core.errors import TidegateError
from tidegate.core.series.latency_histogram import quantile
from tidegate.dashboard.formats import FILTERS, ago
from tidegate.http import status_of
from tidegate.ports import Clock
from tidegate.public_url import PublicUrl
from tidegate.settings import DashboardSettings
from tidegate.web_assets import WebAssets

_HERE = Path(__file__).parent

# No script, style or picture but our own; no exception for any page.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


# Characters that turn the direction of what follows them. In a name or a log they would garble the sentence around it.
_TURNS = {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def harmless(value: object) -> object:
    """A value as a template writes it: without characters that turn the direction of the text around it."""
    if isinstance(value, str) and not value.isascii() and not hasattr(value, "__html__"):
        return value.translate(_TURNS)
    return value


def _bytes(text: str) -> bytes:
    """A page as it is sent. Half of a surrogate pair is no text: it is shown as it stands in JSON, `\\ud800`."""
    return text.encode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Sources:
    """All that pages read and call: control's verbs, the series, and the time."""

    endpoints: Endpoints
    models: EnabledModels
    sessions: Sessions
    series: Series
    metrics: Metrics
    clock: Clock
    catalog: ModelCatalog
    slow_requests: SlowRequests
    platform: Platform


@dataclass(frozen=True, slots=True)
class Flash:
    """A message that is shown once, on the page after an action. `kind` is `good`, `busy` or `bad`."""

    kind: str
    text: str


@dataclass(slots=True)
class Flashes:
    """The messages that wait for their page: at most `most`, each for at most `seconds`."""

    most: int = 1000
    seconds: float = 60.0
    _waiting: dict[str, tuple[float, Flash]] = field(default_factory=dict)

    def put(self, flash: Flash, now: float) -> str:
        """Keep a message; returns its key, which cannot be guessed."""
        for key in [key for key, (at, _) in self._waiting.items() if now - at > self.seconds]:
            del self._waiting[key]
        while len(self._waiting) >= self.most:
            del self._waiting[next(iter(self._waiting))]
        key = secrets.token_urlsafe(9)
        self._waiting[key] = now, flash
        return key

    def take(self, key: str) -> Flash | None:
        """The message of this key, once."""
        found = self._waiting.pop(key, None)
        return found[1] if found else None


class Site:
    """The pages' common ground."""

    def __init__(
        self,
        sources: Sources,
        assets: WebAssets,
        public_url: PublicUrl,
        chosen: DashboardSettings | None = None,
        tick_seconds: float = 1.0,
    ) -> None:
        self.sources, self.assets, self.public_url = sources, assets, public_url
        self.chosen = chosen or DashboardSettings()
        self.tick_seconds = tick_seconds  # between two messages of an event stream
        self.flashes = Flashes()
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            finalize=harmless,
        )
        self._templates.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
        self._templates.filters |= FILTERS
        self._templates.globals["p99"] = lambda point: quantile(point.latency, 0.99)
        self._templates.filters["ago"] = lambda moment: ago(moment, sources.clock.now())
        self._templates.globals |= {
            "asset": lambda name: public_url.path(assets.url(name)),
            "has_asset": assets.has,
            "url": public_url.path,
            "version": tidegate.__version__,
        }

    def page(
        self, request: Request, template: str, view: Mapping[str, Any], *, section: str = "", status: int = 200
    ) -> Response:
        """A page: the template with the view model's values. `section` is the part of the navigation it belongs to."""
        flash = self.flashes.take(request.query_params.get("flash", ""))
        flashes = [flash] if flash else []
        text = self._templates.get_template(template).render(view, section=section, flashes=flashes, request=request)
        return HTMLResponse(_bytes(text), status)

    def base_url(self, request: Request) -> str:
        """The platform's URL for who has sent a request, without a slash at its end."""
        host = request.headers.get("x-forwarded-host") or request.headers.get("host", "localhost")
        return self.public_url.for_host(host).absolute()

    def fragment(self, template: str, view: Mapping[str, Any]) -> Response:
        """A part of a page, which htmx puts in its place."""
        return HTMLResponse(_bytes(self._templates.get_template(template).render(view)))

    def error(self, request: Request, error: TidegateError) -> Response:
        """The page of an error, with the sentence that says what to do."""
        status = status_of(error)[0]
        heading = "Not found" if status == 404 else "That did not work"
        return self.page(request, "error.html", {"heading": heading, "sentence": error.message}, status=status)

    def go(self, path: str, flash: Flash | None = None) -> Response:
        """Go on to a page after an action (303), with a message."""
        address = self.public_url.path(path)
        if flash is not None:
            join = "&" if "?" in address else "?"
            address += f"{join}flash={self.flashes.put(flash, time.monotonic())}"
        return RedirectResponse(address, 303)
