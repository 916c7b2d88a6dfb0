"""The preparation of revisions: a model's download and its environment's build, beside the reconciler's loop.

The store has nothing of a preparation. After a restart of control it is started again, and finds what is on disk
already. Its log is a file from the first second on, and stays when the preparation fails.
"""

import asyncio
import errno
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tidegate.control.reconcile.build_log import BuildLog
from tidegate.control.reconcile.build_slots import BuildSlots
from tidegate.control.reconcile.model_cache import ModelCache
from tidegate.control.reconcile.preparation_times import PreparationTimes
from tidegate.core.endpoint.revision import Revision, RevisionId
from tidegate.core.endpoint.served_entity import ModelVersion
from tidegate.core.errors import TidegateError
from tidegate.core.rollout.preparation_steps import Step
from tidegate.core.rollout.snapshot import Preparation, PreparationState
from tidegate.ports import Clock, EnvironmentBuilder, Log, ModelRegistry
from tidegate.supervised import cancelled_from_outside
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# How long a preparation that was cancelled is waited for, seconds. After that it is left to itself.
_CANCEL_SECONDS = 10.0
# How many downloads run at once. They mostly wait for the network: two that stall must not hold up all others.
_DOWNLOADS = 8


class Builds:
    """Prepares revisions. At most `concurrent` environments are resolved or built at once.

    An environment that is on disk already waits for none of them. A build ends after `seconds`. `on_end` is called when
    a preparation has ended, whether it has succeeded or failed.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        builder: EnvironmentBuilder,
        cache: ModelCache,
        clock: Clock,
        concurrent: int,
        seconds: float,
        on_end: Callable[[], None],
    ) -> None:
        self._on_end = on_end
        self.results: Counter[str] = Counter({"done": 0, "failed": 0})
        self._registry, self._builder, self._cache, self._clock = registry, builder, cache, clock
        self._downloads, self._slots = BuildSlots("download", _DOWNLOADS), BuildSlots("build", concurrent, seconds)
        self._models: defaultdict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="build-logs")
        self._tasks: dict[RevisionId, asyncio.Task[None]] = {}
        self._preparations: dict[RevisionId, Preparation] = {}
        self.times = PreparationTimes(clock)

    @property
    def preparations(self) -> Mapping[RevisionId, Preparation]:
        """Every preparation that was started and not abandoned."""
        return dict(self._preparations)

    def start(self, revision: Revision) -> None:
        """Begin to prepare the revision, unless that has begun before."""
        if revision.id not in self._preparations:
            self._preparations[revision.id] = Preparation(PreparationState.RUNNING)
            self._tasks[revision.id] = asyncio.create_task(self._run(revision), name=f"prepare {revision.id}")

    async def abandon(self, revision: RevisionId) -> None:
        """Stop preparing the revision, if that is under way, and forget its state."""
        self._preparations.pop(revision, None)
        task = self._tasks.pop(revision, None)
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_SECONDS)

    async def stop(self) -> None:
        """Stop all preparations, at the same time."""
        await asyncio.gather(*map(self.abandon, tuple(self._tasks)))

    async def _run(self, revision: Revision) -> None:
        log = BuildLog(self._cache.data.build_log(revision.id), self._clock, self._writer)
        preparation: Preparation | None = None
        try:
            preparation = await self._prepare(revision, log)
            log("Prepared.")
        except (Exception, asyncio.CancelledError) as error:
            if cancelled_from_outside():
                log("Stopped.")
                raise
            preparation = Preparation(PreparationState.FAILED, _sentence(error, revision))
            log(preparation.message)
        finally:
            self.times.end(revision.id, failed=preparation is None or preparation.state is PreparationState.FAILED)
            await log.written()
        if self._tasks.get(revision.id) is asyncio.current_task():  # else it was abandoned in its last moment
            self.results[preparation.state.value] += 1
            self._preparations[revision.id] = preparation
            self._on_end()

    async def _prepare(self, revision: Revision, log: Log) -> Preparation:
        model = revision.entity.resolved
        log(f"Preparing served entity '{revision.entity.name}': model {model.name}, version {model.version}.")
        self.times.begin(revision.id, Step.DOWNLOAD)
        directory = await self._download(model, log)
        self.times.begin(revision.id, Step.ENVIRONMENT)
        owner = revision.entity.name
        environment = await self._builder.build(directory, log, lambda: self._slots.turn(owner, log))
        return Preparation(PreparationState.DONE, environment=environment, model_dir=str(directory.absolute()))

    async def _download(self, model: ModelVersion, log: Log) -> Path:
        directory = self._cache.directory(model)
        async with self._models[directory]:
            if not await asyncio.to_thread(directory.exists):
                async with self._downloads.turn(f"{model.name}/{model.version}", log):
                    log("Downloading the model.")
                    await self._registry.download(model, directory, log)
            await asyncio.to_thread(os.utime, directory, (self._clock.now(), self._clock.now()))
        return directory


def _sentence(error: BaseException, revision: Revision) -> str:
    if isinstance(error, TidegateError):
        return error.message
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full. Free some space below the data directory, then update the endpoint again."
    logger.error("a preparation failed", exc_info=error, extra=fields(revision=revision.id))
    if isinstance(error, OSError):
        return f"The model could not be prepared: {error.strerror or type(error).__name__}. The server's log has more."
    return "The model could not be prepared because of a defect of Tidegate; the server's log has its traceback."
