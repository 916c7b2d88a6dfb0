"""What the stream of the platform's page sends."""

from tidegate.dashboard.live.event_stream import changed, event
from tidegate.dashboard.pages.platform_page import missing_files, platform_page, platform_values, print_of
from tidegate.dashboard.site import Site


class PlatformNews:
    """What one reader is sent. `seen` is the print of what the page shows."""

    def __init__(self, site: Site, seen: str) -> None:
        self._platform, self._seen = site.sources.platform, seen
        self._missing = missing_files(site)
        self._sent: dict[str, str] = {}

    async def compose(self, _: int) -> bytes:
        """The messages of a tick."""
        page = platform_page(await self._platform.view(), self._missing)
        messages, now = changed(platform_values(page), self._sent), print_of(page)
        if self._seen not in ("", now):
            messages += event("refresh", ["platform"])
        self._seen = now
        return messages
