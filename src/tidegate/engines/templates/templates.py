"""The warm templates of this machine: made in the background, one at a time; ended when memory is short.

A start waits for one that is being made, or can be at once, and for no other: it would be spawned sooner.
"""

import asyncio
import logging
import math
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping

from tidegate.core.endpoint.revision import RevisionTarget
from tidegate.core.errors import Unavailable
from tidegate.data_directory import DataDirectory
from tidegate.engines.linux import replica_logs, spawning
from tidegate.engines.linux.scratch import Scratch, new_name
from tidegate.engines.templates.template_imports import Imports, imports_of, recorded_at
from tidegate.engines.templates.template_process import NoFork, Template
from tidegate.telemetry import fields

_log = logging.getLogger(__name__)

_MB = 1024 * 1024
_MOST_MB = 4096  # of a quarter of the machine's memory, when no budget is set
_IMPORT_SECONDS = 120.0
_WAIT_SECONDS = 10.0  # that a start waits for one
_TRIAL_SECONDS = 5.0  # and then for a trial of its revision, if there was none
_MOST_LEFT_OUT = 3  # modules that start threads or keep files open; an environment with more of them has no template
# One that could not be made is not tried again for so long, twice as long each time, up to a minute.
_AGAIN_SECONDS, _LONGEST_AGAIN_SECONDS = 1.0, 60.0
# One that is warm is not made anew for so long for imports that it lacks.
_RENEW_SECONDS = 20.0


def budget_bytes(setting_mb: int) -> int:
    """What templates may use together: the setting; 0 stands for a quarter of the memory, negative for nothing."""
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MB
    return (setting_mb or min(memory_mb // 4, _MOST_MB)) * _MB


class Templates:
    """One per environment, thread counts and variables (see `spawning.template_key`). `changed` is called when one is
    warm or ends; all is of the running loop. No start waits for one before `wait_from`, monotonic seconds.
    """

    def __init__(
        self, data: DataDirectory, environ: Mapping[str, str], budget: int, wait_from: float = -math.inf
    ) -> None:
        self._data, self._environ, self._budget, self._wait_from = data, environ, budget, wait_from
        self._scratch = Scratch(data.scratch)
        self._warm: OrderedDict[str, Template] = OrderedDict()  # the longest unused first
        self._wanted: OrderedDict[str, RevisionTarget] = OrderedDict()  # the newest wish last
        self._expected: OrderedDict[str, RevisionTarget] = OrderedDict()  # wanted once there is nothing else to do
        self._not_before: dict[str, float] = {}  # monotonic: neither made nor renewed before
        self._failures: Counter[str] = Counter()  # in a row
        self._threaded: dict[str, tuple[str, ...]] = {}  # modules that start threads or keep files open, by key
        self.hopeless: dict[str, str] = {}  # key → why there never will be one
        self._making: Template | None = None
        self._begun: tuple[str, float] | None = None  # the key of the one that is being made, and since when
        self._wishes = asyncio.Event()
        self.changed: Callable[[], None] = lambda: None

    @property
    def warm(self) -> Collection[str]:
        """The keys of those that can fork now."""
        return self._warm.keys()

    @property
    def memory_bytes(self) -> int:
        """What they use together, PSS as last measured."""
        return sum(template.memory_bytes for template in self._warm.values())

    def key_of(self, target: RevisionTarget) -> str:
        """The key of the template that its replicas are forked from."""
        return spawning.template_key(self._environ, target)

    def may_begin(self, key: str, now: float) -> bool:
        """Whether one can be made at once and is worth waiting for, if it is wanted."""
        blocked = self._budget <= 0 or key in self._warm or key in self.hopeless or self._doubted(key, now)
        return not (blocked or self._begun or self._wanted) and now >= self._not_before.get(key, now)

    def _doubted(self, key: str, now: float) -> bool:
        """Whether it may not come: the last one was ended on its way; or an agent before this one, perhaps."""
        return self._failures[key] > 0 or now < self._wait_from

    def awaited_until(self, key: str, now: float) -> float:
        """Until when a start should wait for the one that is being made; before `now` where none is."""
        if self._doubted(key, now):
            return -math.inf
        if self._begun is not None:
            return self._begun[1] + _WAIT_SECONDS if self._begun[0] == key else -math.inf
        return now + _WAIT_SECONDS if next(reversed(self._wanted), None) == key else -math.inf

    def tried_until(self, key: str) -> float:
        """Until when a start should wait for its revision's first trial on the warm one; the past if none is warm."""
        warm = self._warm.get(key)
        return -math.inf if warm is None else warm.warm_at + _TRIAL_SECONDS

    def use(self, key: str) -> Template | None:
        """The warm template of that key, from now on the last to be ended."""
        template = self._warm.get(key)
        if template is not None:
            self._warm.move_to_end(key)
        return template

    def want(self, key: str, target: RevisionTarget, now: float) -> None:
        """Have one made, unless it is warm and has imported all that is on record."""
        if self._budget <= 0 or key in self.hopeless or now < self._not_before.get(key, now):
            return
        if self._begun is not None and self._begun[0] == key:
            return
        warm = self._warm.get(key)
        if warm is None or warm.recorded_at != recorded_at(self._data.import_record(target.environment.digest)):
            self._wanted[key] = target
            self._wanted.move_to_end(key)
            self._wishes.set()

    def expect(self, key: str, target: RevisionTarget) -> None:
        """Have one made when no other is wanted, and half of the budget is free."""
        if self._budget > 0:
            self._expected[key] = target
            self._wishes.set()

    def recorded(self, target: RevisionTarget) -> bool:
        """Whether it is known what models of that environment import."""
        return recorded_at(self._data.import_record(target.environment.digest)) > 0

    def retain(self, keys: Collection[str]) -> None:
        """End those that no revision needs any more."""
        for key in [key for key in self._warm if key not in keys]:
            self._end(key, "no revision needs it")
        for wishes in (self._wanted, self._expected):
            for key in [key for key in wishes if key not in keys]:
                del wishes[key]

    async def make(self) -> None:
        """Make what is wanted, one after another, the newest wish first; without end."""
        while True:
            while self._wanted or self._expected:
                expected = not self._wanted
                key, target = (self._expected if expected else self._wanted).popitem()
                if not expected or (key not in self._warm and 2 * self.memory_bytes < self._budget):
                    self._begun = key, time.monotonic()
                    await self._make(key, target)
            self._wishes.clear()
            await self._wishes.wait()

    def evict(self, size: int) -> int:
        """End the longest unused until so many bytes are free; returns how many are."""
        freed = 0
        for template in [one for one in self._warm.values() if not one.forking]:
            if freed >= size:
                break
            freed += template.memory_bytes
            _log.info("template is evicted", extra=fields(template=template.key, bytes=template.memory_bytes))
            self._end(template.key, "it was evicted")
        return freed

    def close(self) -> None:
        """End them all."""
        for template in [*self._warm.values(), *([self._making] if self._making else [])]:
            template.end()

    async def _make(self, key: str, target: RevisionTarget) -> None:
        digest, began = target.environment.digest, time.monotonic()
        try:
            imports = await asyncio.to_thread(imports_of, self._data.import_record(digest), target.model_dir)
            async with asyncio.timeout(_IMPORT_SECONDS):
                template = await self._warmed(key, target, imports)
        except Exception as error:
            reason = f"its imports took longer than {_IMPORT_SECONDS:g} s" if isinstance(error, TimeoutError) else error
            defect = not isinstance(error, NoFork | Unavailable | OSError)  # which TimeoutError is one of
            _log.warning("no template can be made", extra=fields(environment=digest, error=reason), exc_info=defect)
            pause = min(_LONGEST_AGAIN_SECONDS, _AGAIN_SECONDS * 2 ** min(self._failures[key], 10))
            self._failures[key] += 1
            self._not_before[key] = time.monotonic() + pause
            self.changed()
            return
        finally:
            self._begun, making, self._making = None, self._making, None
            if making is not None and key not in self._warm:
                making.end()
        del self._failures[key]
        self._not_before[key] = time.monotonic() + _RENEW_SECONDS
        seconds = round(time.monotonic() - began, 2)
        _log.info("template is warm", extra=fields(environment=digest, pid=template.pid, seconds=seconds))
        self.changed()
        await self._keep_to_budget(template)

    async def _warmed(self, key: str, target: RevisionTarget, imports: Imports) -> Template:
        """A warm template in its place. Begins anew without a module that starts a thread or keeps a file open.

        Raises NoFork, Unavailable or OSError."""
        for module in self._threaded.get(key, ()):
            imports = imports.without(module)
        while len(imports.left_out) <= _MOST_LEFT_OUT:
            template = self._making = self._start(key, target)
            message = await template.warm(target.environment.digest, imports)
            if message.state == "ready":
                before = self._warm.pop(key, None)
                template.warm_at = time.monotonic()
                self._warm[key] = template
                if before is not None:
                    before.retire()
                return template
            template.end()
            imports = imports.without(message.module)
            self._threaded[key] = imports.left_out
            sentence = "a module is left out of a template: it starts a thread or keeps a file open"
            _log.warning(sentence, extra=fields(module=message.module))
        left_out = ", ".join(imports.left_out)
        self.hopeless[key] = f"Its imports start threads or keep files open ({left_out}): a fork has none of its own."
        raise NoFork(self.hopeless[key])

    def _start(self, key: str, target: RevisionTarget) -> Template:
        log = replica_logs.open_log(self._data.template_log(target.environment.digest))
        try:
            environment = spawning.replica_environment(self._environ, target)
            with self._scratch.made(new_name()) as scratch:
                return Template.start(key, target, environment, log, scratch, self._ended)
        finally:
            os.close(log)

    async def _keep_to_budget(self, newest: Template) -> None:
        """Measure them all, and end the longest unused that are too much; the newest stays."""
        for template in list(self._warm.values()):
            template.memory_bytes = await asyncio.to_thread(template.measure)
        if newest.key in self._warm:
            self._warm.move_to_end(newest.key)
        others = self.memory_bytes - newest.memory_bytes
        if (excess := self.memory_bytes - self._budget) > 0 and others > 0:
            self.evict(min(excess, others))

    def _end(self, key: str, reason: str) -> None:
        """End one on purpose: it may be made again on demand, at once."""
        self._not_before.pop(key, None)
        self._warm.pop(key).end(reason)
        self.changed()

    def _ended(self, template: Template) -> None:
        self._scratch.remove(template.scratch.name)  # of what imports have written there
        if self._warm.get(template.key) is template:  # it was not ended on purpose
            del self._warm[template.key]
            if time.monotonic() >= self._not_before.pop(template.key, 0.0):
                self.expect(template.key, template.target)  # not where it has just been made: it might go on so
            self.changed()
