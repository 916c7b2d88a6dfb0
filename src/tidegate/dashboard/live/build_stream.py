"""The stream of the build page: the steps, what is added to the logs, and the end of the attempt."""

from starlette.datastructures import QueryParams

from tidegate.control.endpoints.log_follower import LogFollower
from tidegate.control.endpoints.preparation_view import PreparationView
from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.rollout.preparation_steps import Outcome
from tidegate.dashboard.live.endpoint_state import StateNews, lines_of
from tidegate.dashboard.live.event_stream import changed, event
from tidegate.dashboard.pages.endpoint_changes.build_page import build_page, build_values
from tidegate.dashboard.site import Site


class BuildStream:
    """What one reader is sent. The query string says which parts of the logs the page has; see `BuildPage.marks`."""

    def __init__(self, site: Site, name: str, query: QueryParams) -> None:
        self._endpoints, self._clock, self._name = site.sources.endpoints, site.sources.clock, name
        self._state = StateNews(site, name, query.get("seen", ""))
        self._sent: dict[str, str] = {}
        self._begins = dict(map(_mark, query.getlist("log")))
        self._logs: dict[RevisionId, tuple[LogFollower, LogFollower]] = {}
        self._outcome = ""

    async def compose(self, _: int) -> bytes:
        """The messages of a tick."""
        messages = self._state.news()
        endpoint = self._endpoints.known(self._name)
        if endpoint is None:
            return messages + self._ended("deleted")
        view = self._endpoints.preparation_seen(endpoint)
        page = build_page(view, {}, self._clock.now())
        if view.attempt.outcome is Outcome.RUNNING:  # else the page has more than the snapshot: when it switched
            messages += changed(build_values(page), self._sent)
        messages += await self._lines(view)
        return messages + self._ended(f"{page.version} {page.outcome}")

    async def _lines(self, view: PreparationView) -> bytes:
        messages = b""
        for one in view.entities:
            if one.revision not in self._begins:  # of another attempt, which the page is about to show
                continue
            if one.revision not in self._logs:
                self._logs[one.revision] = self._endpoints.follow_preparation(one.revision, *self._begins[one.revision])
            for kind, log in zip(("build", "replica"), self._logs[one.revision], strict=True):
                news = lines_of(await log.news())
                messages += event("lines", {"log": f"{kind}/{one.entity.name}", **news}) if news else b""
        return messages

    def _ended(self, outcome: str) -> bytes:
        """The outcome, once. Where it is not that of the page, the page is shown anew."""
        if outcome == self._outcome:
            return b""
        self._outcome = outcome
        return event("step", {"outcome": outcome})


def _mark(mark: str) -> tuple[RevisionId, tuple[int, int]]:
    revision, build, replica = (*mark.split("."), "", "")[:3]
    return RevisionId(revision), (_offset(build), _offset(replica))


def _offset(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
