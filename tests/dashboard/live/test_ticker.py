"""The ticks of event streams."""

import asyncio

from tidegate.dashboard.live.ticker import Ticker


async def test_all_who_wait_are_woken_by_the_same_tick() -> None:
    ticker = Ticker(0.01)
    first = await asyncio.gather(*(ticker.wait() for _ in range(100)))
    assert set(first) == {1}
    assert await ticker.wait() == 2


async def test_no_task_runs_while_nobody_waits() -> None:
    ticker = Ticker(0.01)
    before = len(asyncio.all_tasks())
    await ticker.wait()
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await ticker.wait() > 1


async def test_one_who_leaves_takes_no_tick_from_the_others() -> None:
    ticker = Ticker(0.01)
    leaves, stays = asyncio.create_task(ticker.wait()), asyncio.create_task(ticker.wait())
    await asyncio.sleep(0)
    leaves.cancel()
    assert await stays == 1
    assert ticker.waiting == 0
