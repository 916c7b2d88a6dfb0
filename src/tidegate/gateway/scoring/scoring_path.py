"""What all scoring requests of a gateway share: where their paths lead, who may score, and what they may take."""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from tidegate.core import errors
from tidegate.core.endpoint.legacy_face import Face
from tidegate.core.planes.route_table import EndpointRoute, RouteTable
from tidegate.gateway.metering.meter import EndpointMeter, Meter
from tidegate.gateway.queue import legacy_urls
from tidegate.gateway.queue.revision_queue import RevisionQueue
from tidegate.gateway.queue.router import Router
from tidegate.gateway.replay.recordings import Recorder, Recordings
from tidegate.gateway.scoring.cors import Cors
from tidegate.gateway.scoring.switch_hold import SwitchHold
from tidegate.gateway.scoring.token_check import TokenCheck
from tidegate.public_url import PublicUrl
from tidegate.settings import GatewaySettings

PREFIXES, SUFFIX = (b"/serving-endpoints/", *legacy_urls.PREFIXES), b"/invocations"
# Paths of which a gateway remembers where they lead.
MAX_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Target:
    """What a path leads to: an endpoint, or one served entity of it; of a `face`, a stage or version.

    `recorder` is None where requests are not kept.
    """

    endpoint: str
    served: str | None
    account: EndpointMeter
    recorder: Recorder | None = None
    face: tuple[Face, str] | None = None
    mark: bytes = b""  # what a replica is told of the face, before the rest of the metadata


class Scoring:
    """What all scoring requests of a gateway share."""

    def __init__(
        self,
        router: Router,
        meter: Meter,
        settings: GatewaySettings,
        recordings: Recordings,
        tokens: TokenCheck,
        public: PublicUrl = PublicUrl(),  # noqa: B008 - a frozen value
    ) -> None:
        self.router, self.meter, self.settings, self.recordings = router, meter, settings, recordings
        self.tokens, self.public = tokens, public
        self.held, self.cors = SwitchHold(), Cors(settings.cors_origins, public.origin)
        self.bytes_coming_in = 0  # of bodies that are not whole yet
        self._table: RouteTable | None = None
        self._targets: dict[bytes, Target] = {}

    def target(self, path: bytes) -> Target:
        """Where a scoring path leads now. Raises NotFound, and Unavailable before there is a route table."""
        if self._table is not self.router.table:
            self._table = self.router.table
            self._targets.clear()
        target = self._targets.get(path)
        if target is None:
            target = self._find(path)
            if len(self._targets) < MAX_REMEMBERED:
                self._targets[path] = target
        return target

    def _find(self, path: bytes) -> Target:
        face = legacy_urls.parse(path)
        if face is not None:
            route = self.router.face(*face)
            return Target(route.name, None, *self._kept(route), face, legacy_urls.mark(face[0]))
        name, served = _parse(path)
        route = self.router.endpoint(name)
        return Target(route.name, served, *self._kept(route))

    def _kept(self, route: EndpointRoute) -> tuple[EndpointMeter, Recorder | None]:
        """Where an endpoint's requests are counted, and where they are recorded."""
        return self.meter.endpoint(route.name), self.recordings.of(route.name, route.record)

    def queue(self, target: Target) -> RevisionQueue:
        """The queue for a request to this target now. Raises when nothing serves."""
        router, face = self.router, target.face
        route = router.endpoint(target.endpoint) if face is None else router.face(*face)
        return router.queue(route, target.served)


def _parse(path: bytes) -> tuple[str, str | None]:
    """Endpoint and served entity of a scoring path. Raises NotFound."""
    parts = unquote_to_bytes(path).decode("latin-1").split("/")
    if len(parts) == 4:
        return parts[2], None
    if len(parts) == 6 and parts[3] == "served-models":
        return parts[2], parts[4]
    raise errors.NotFound("There is nothing at this path. Score at /serving-endpoints/<name>/invocations.")
