"""The dashboard over fakes, to look at while one works on it: `python -m tests.dashboard.preview --port 8090`.

Nothing behind it is real: no registry, no replica, no request.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.dashboard import stories
from tests.dashboard.busy_endpoints import add_busy_endpoints
from tests.dashboard.model_scene import register
from tests.dashboard.platform_scene import furnish
from tests.dashboard.web_house import a_web_house

KINDS = ("fraud", "wine", "credit", "demand", "iris", "spam", "eta", "price", "churn", "rank")


async def preview(port: int, endpoints: int, seconds: float) -> None:
    """Serve until the time is over."""
    names = [f"{KINDS[number % len(KINDS)]}-{number:04d}" for number in range(endpoints)]
    rates = {name: 4200.0 / (1 + number) if number % 7 else 0.0 for number, name in enumerate(names)}
    with tempfile.TemporaryDirectory(prefix="tidegate-preview-") as folder:
        async with a_web_house(Path(folder) / "data", rates, port, tick_seconds=1.0) as web:
            register(web)
            await web.ready(*names)
            await add_busy_endpoints(web)
            for story in (stories.held_back, stories.split, stories.failed, stories.with_example, stories.updating):
                await story(web.house)  # the last one keeps all builds waiting
            stories.slow(web.noted, "example", web.house.clock.now())
            furnish(web)
            print(f"The dashboard is at {web.url} for {seconds:.0f} s.")
            for _ in range(int(seconds)):
                await asyncio.sleep(1.0)
                web.house.clock.advance(1.0)


def main() -> None:
    """Read the command line, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--endpoints", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=3600.0)
    chosen = parser.parse_args()
    asyncio.run(preview(chosen.port, chosen.endpoints, chosen.seconds))


if __name__ == "__main__":
    main()
