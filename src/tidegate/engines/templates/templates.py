"""The warm templates of this machine. They are made in the background, one at a time, and ended when memory is short.

The start of a replica waits for its template only where that is being made, or can be made at once. In all other cases
a spawned replica is ready sooner.
"""

import asyncio
import logging
import math
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping

from tidegate.core.endpoint.machine_report import TemplateReport
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
_MOST_MB = 4096  # the default budget at most; it is a quarter of the machine's memory
_IMPORT_SECONDS = 120.0  # the time limit for a template's imports
_WAIT_SECONDS = 10.0  # a start waits for its template at most this many seconds
_TRIAL_SECONDS = 5.0  # and then at most this many for its revision's fork trial
_MOST_LEFT_OUT = 3  # modules that start threads or keep files open; an environment with more of them has no template
# The pause after a failure to make a template; it doubles with each further one, up to the longest.
_AGAIN_SECONDS, _LONGEST_AGAIN_SECONDS = 1.0, 60.0
# A new template is not replaced for this many seconds, even if it lacks imports that are on record by now.
_RENEW_SECONDS = 20.0


def budget_bytes(setting_mb: int) -> int:
    """The memory that all templates may use: the setting in MB. 0 means a quarter of the machine's, negative none."""
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MB
    return (setting_mb or min(memory_mb // 4, _MOST_MB)) * _MB


class Templates:
    """The templates by key (see `spawning.template_key`). All methods belong to the running event loop.

    `changed` is called when a template is warm, has ended or could not be made. No start waits for a template before
    `wait_from`, monotonic seconds. `budget` is the memory of all templates in bytes.
    """

    def __init__(
        self, data: DataDirectory, environ: Mapping[str, str], budget: int, wait_from: float = -math.inf
    ) -> None:
        self._data, self._environ, self._budget, self._wait_from = data, environ, budget, wait_from
        self._scratch = Scratch(data.scratch)
        self._warm: OrderedDict[str, Template] = OrderedDict()  # the least recently used first
        self._wanted: OrderedDict[str, RevisionTarget] = OrderedDict()  # the newest request last
        self._expected: OrderedDict[str, RevisionTarget] = OrderedDict()  # made once no template is wanted
        self._not_before: dict[str, float] = {}  # monotonic seconds, before which it is not made
        self._failures: Counter[str] = Counter()  # in a row
        self._threaded: dict[str, tuple[str, ...]] = {}  # key → modules that start threads or keep files open
        self.hopeless: dict[str, str] = {}  # key → why no template can be made
        self._making: Template | None = None
        self._begun: tuple[str, float] | None = None  # the key of the template that is being made, and since when
        self._requested = asyncio.Event()
        self.changed: Callable[[], None] = lambda: None

    @property
    def warm(self) -> Collection[str]:
        """The keys of the templates that can fork now."""
        return self._warm.keys()

    @property
    def memory_bytes(self) -> int:
        """The PSS of all warm templates, as last measured."""
        return sum(template.memory_bytes for template in self._warm.values())

    def reports(self, now: float) -> Iterator[TemplateReport]:
        """The warm templates, the least recently used first. `now` is monotonic seconds."""
        for template in self._warm.values():
            digest, age = template.target.environment.digest, now - template.warm_at
            yield TemplateReport(digest, template.pids, template.memory_bytes, age, template.forks)

    def key_of(self, target: RevisionTarget) -> str:
        """The key of the template for the replicas of a target."""
        return spawning.template_key(self._environ, target)

    def may_begin(self, key: str, now: float) -> bool:
        """Whether a template could be made at once and is worth waiting for."""
        blocked = self._budget <= 0 or key in self._warm or key in self.hopeless or self._may_never_come(key, now)
        return not (blocked or self._begun or self._wanted) and now >= self._not_before.get(key, now)

    def _may_never_come(self, key: str, now: float) -> bool:
        """Whether it may never be warm: the last attempt failed, or this agent has just been started, perhaps again."""
        return self._failures[key] > 0 or now < self._wait_from

    def awaited_until(self, key: str, now: float) -> float:
        """Until when a start should wait for the template that is being made; in the past where none is."""
        if self._may_never_come(key, now):
            return -math.inf
        if self._begun is not None:
            return self._begun[1] + _WAIT_SECONDS if self._begun[0] == key else -math.inf
        return now + _WAIT_SECONDS if next(reversed(self._wanted), None) == key else -math.inf

    def tried_until(self, key: str) -> float:
        """Until when a start should wait for its revision's fork trial; in the past where the template is not warm."""
        warm = self._warm.get(key)
        return -math.inf if warm is None else warm.warm_at + _TRIAL_SECONDS

    def use(self, key: str) -> Template | None:
        """The warm template of a key, which counts as just used; None where there is none."""
        template = self._warm.get(key)
        if template is not None:
            self._warm.move_to_end(key)
        return template

    def want(self, key: str, target: RevisionTarget, now: float) -> None:
        """Have a template made, unless a warm one has imported all that is on record."""
        if self._budget <= 0 or key in self.hopeless or now < self._not_before.get(key, now):
            return
        if self._begun is not None and self._begun[0] == key:
            return
        warm = self._warm.get(key)
        if warm is None or warm.recorded_at != recorded_at(self._data.import_record(target.environment.digest)):
            self._wanted[key] = target
            self._wanted.move_to_end(key)
            self._requested.set()

    def expect(self, key: str, target: RevisionTarget) -> None:
        """Have a template made once no other is wanted and half of the budget is free."""
        if self._budget > 0:
            self._expected[key] = target
            self._requested.set()

    def recorded(self, target: RevisionTarget) -> bool:
        """Whether the imports of that environment's models are on record."""
        return recorded_at(self._data.import_record(target.environment.digest)) > 0

    def retain(self, keys: Collection[str]) -> None:
        """End all templates but those with these keys."""
        for key in [key for key in self._warm if key not in keys]:
            self._end(key, "no revision needs it")
        for requests in (self._wanted, self._expected):
            for key in [key for key in requests if key not in keys]:
                del requests[key]

    async def make(self) -> None:
        """Make the wanted templates one after another, the newest request first; without end."""
        while True:
            while self._wanted or self._expected:
                expected = not self._wanted
                key, target = (self._expected if expected else self._wanted).popitem()
                if not expected or (key not in self._warm and 2 * self.memory_bytes < self._budget):
                    self._begun = key, time.monotonic()
                    await self._make(key, target)
            self._requested.clear()
            await self._requested.wait()

    def evict(self, size: int) -> int:
        """End the least recently used templates until `size` bytes are free. Returns the bytes that were freed."""
        freed = 0
        for template in [template for template in self._warm.values() if not template.forking]:
            if freed >= size:
                break
            freed += template.memory_bytes
            _log.info("template is evicted", extra=fields(template=template.key, bytes=template.memory_bytes))
            self._end(template.key, "it was evicted")
        return freed

    def close(self) -> None:
        """End all templates."""
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
            defect = not isinstance(error, NoFork | Unavailable | OSError)  # TimeoutError is an OSError
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
        """Make a template and put it in its place. Raises NoFork, Unavailable or OSError.

        A module that starts a thread or keeps a file open ends the attempt; the next one leaves the module out.
        """
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
        """Measure all templates, and end the least recently used where they exceed the budget. The newest stays."""
        for template in list(self._warm.values()):
            template.memory_bytes = await asyncio.to_thread(template.measure)
        if newest.key in self._warm:
            self._warm.move_to_end(newest.key)
        others = self.memory_bytes - newest.memory_bytes
        if (excess := self.memory_bytes - self._budget) > 0 and others > 0:
            self.evict(min(excess, others))

    def _end(self, key: str, reason: str) -> None:
        """End a template on purpose. It may be made again at once."""
        self._not_before.pop(key, None)
        self._warm.pop(key).end(reason)
        self.changed()

    def _ended(self, template: Template) -> None:
        self._scratch.remove(template.scratch.name)  # imports may have written there
        if self._warm.get(template.key) is template:  # it has ended by itself
            del self._warm[template.key]
            if time.monotonic() >= self._not_before.pop(template.key, 0.0):
                self.expect(
                    template.key, template.target
                )  # a template that ends soon after its start is not, as it might go on so
            self.changed()
