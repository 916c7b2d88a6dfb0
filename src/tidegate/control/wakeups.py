"""What ends the pauses of control's loops."""

import asyncio


class Wakeups:
    """One event for each loop that waits. Every part of control can set them; only the loop clears its own."""

    def __init__(self) -> None:
        self.reconciler = asyncio.Event()
        self.follower = asyncio.Event()
        self.store_changed = True  # whether the reconciler must read the store in its next pass

    def changed(self) -> None:
        """Something was written, prepared or followed: the next pass is due now, and reads the store."""
        self.store_changed = True
        self.reconciler.set()

    def hurry(self) -> None:
        """A request waits: the next pass is due now. Nothing was written, so the store is not read."""
        self.reconciler.set()

    def ask_registry(self) -> None:
        """An alias or a stage may have moved, or an endpoint may follow another one: ask the registry now."""
        self.follower.set()
