"""What may come between a promotion and its version's first answer; each ends when the last asked version serves."""

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.e2e.running_platform import until

from bench.rollouts.house import House
from bench.rollouts.proxy import Proxy
from bench.rollouts.turns import Turns

NEVER_SEEN = "no answer of this version is known"


@dataclass
class Trouble:
    """An endpoint whose versions take turns under requests. `patience` is how long a version may take to serve."""

    house: House
    name: str
    turns: Turns
    patience: float = 120.0
    seconds: dict[str, list[float]] = field(default_factory=dict)  # what happened → from the promotion to the answer

    def learn(self, versions: Sequence[str]) -> None:
        """Find out what each of them answers; the first one serves already."""
        self.turns.learn(versions, self.patience)
        self.house.settles(self.name, versions[-1], self.patience)

    def others(self) -> Iterator[str]:
        """The versions that do not serve now, in turn, for ever; the serving one only after all others."""
        known = [version for version, text in self.turns.texts.items() if text != NEVER_SEEN]
        at = next(i for i, version in enumerate(known) if self.turns.texts[version] == self.turns.chapters[-1].text)
        return itertools.cycle([*known[at + 1 :], *known[: at + 1]])

    # --- the registry

    def away(self, door: Proxy, seconds: float, *, before: str = "", during: str = "", after: str = "") -> None:
        """The registry is away for so long; promotions just before, in the middle, and just after."""
        asked = self.turns.ask(before) if before else 0.0
        door.shut()
        time.sleep(seconds / 2)
        if during:
            self.turns.ask(during)
        time.sleep(seconds / 2)
        door.open()
        opened = time.monotonic()
        if after:
            self.turns.ask(after)
        self._ends_in(after or during or before, "away", max(asked, opened), answered_since=asked or opened)

    def slow(self, door: Proxy, delay: float, version: str) -> None:
        """Each answer of the registry takes so much longer."""
        door.delay = delay
        try:
            self._promoted(version, "slow")
        finally:
            door.delay = 0.0

    # --- promotions

    def two_in_a_row(self, gap: float) -> None:
        """Two promotions, the second so many seconds after the first."""
        others = self.others()
        self.turns.ask(next(others))
        time.sleep(gap)
        self._promoted(next(others), "two in a row")

    def during_a_build(self, building: str) -> None:
        """A promotion to another version while the environment of this one is being made."""
        others, began = self.others(), self.told()
        self.turns.texts.setdefault(building, NEVER_SEEN)
        self.turns.ask(building)
        until(lambda: "preparing" in self.told()[len(began) :], 30)
        self._promoted(next(others), "during a build")

    # --- control

    def kill_control_after(self, seconds: float) -> None:
        """kill -9, so long after a promotion."""
        self._kill_control(lambda: time.sleep(seconds))

    def kill_control_at(self, kind: str) -> None:
        """kill -9 at the first event of this kind after a promotion."""
        began = len(self.told())
        self._kill_control(lambda: until(lambda: kind in self.told()[began:], self.patience))

    def steps(self) -> list[str]:
        """The events of one promotion without trouble."""
        began = len(self.told())
        self._promoted(next(self.others()), "no trouble")
        return list(dict.fromkeys(self.told()[began:]))

    def told(self) -> list[str]:
        """The kinds of all events of the endpoint so far."""
        return [event["type"] for event in self.house.events(self.name)]

    def _kill_control(self, wait: Callable[[], object]) -> None:
        version = next(self.others())
        asked = self.turns.ask(version)
        wait()
        with contextlib.suppress(StopIteration, ProcessLookupError):
            os.kill(self.house.platform.pid_of("tidegate: control"), signal.SIGKILL)
        self._ends_in(version, "control killed", asked, answered_since=asked)

    # ---

    def _promoted(self, version: str, what: str) -> None:
        asked = self.turns.ask(version)
        self._ends_in(version, what, asked, answered_since=asked)

    def _ends_in(self, version: str, what: str, since: float, *, answered_since: float) -> None:
        answered = self.turns.answered(version, answered_since, self.patience)
        self.seconds.setdefault(what, []).append(max(0.0, answered - since))
        self.house.settles(self.name, version, self.patience)
        assert self.turns.stream.latest().text == self.turns.texts[version], "another version answers now"
