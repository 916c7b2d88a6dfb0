"""The platform: whose the machine's memory is, what runs, what is being built, and what is not as it should be."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.control.reporting.platform_view import BuildView, EnvironmentView, PlatformView, ProcessView, ReplicaRow
from tidegate.core.endpoint.machine_report import MachineReport, MemoryHolder
from tidegate.dashboard import formats
from tidegate.dashboard.pages.endpoint_changes.build_page import TITLES
from tidegate.dashboard.site import Site
from tidegate.dashboard.stacked_bar import Part, stacked
from tidegate.processes.process_table import ProcessSample

_NAMED = 4  # endpoints with a part of their own in the bar
_MOST_HOLDERS = 50
# A process of these that is this many seconds younger than the supervisor was started again.
_LASTING, _STARTED_WITHIN = ("agent", "control", "gateway", "registry"), 60.0
_LITTLE_DISK = 2e9  # bytes; a build needs about as much


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was looked at. `advice` says what to do; empty where all is well."""

    subject: str
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class HolderRow:
    """A revision that has memory. `goes` says when it would make room."""

    holder: MemoryHolder
    goes: str


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """A warm template. `used_by` are the endpoints whose replicas it can fork."""

    environment: str
    pids: Sequence[int]
    memory_bytes: int
    age_seconds: float
    forks: int
    used_by: Sequence[str]


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """A gateway, and how it stands to the newest route table."""

    number: int
    pid: int
    standing: str


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process of the platform. `again`: it was started again since the platform's start."""

    sample: ProcessSample
    cpu: float | None
    again: bool


@dataclass(frozen=True, slots=True)
class BuildRow:
    """A preparation under way."""

    build: BuildView
    step: str

    @property
    def key(self) -> str:
        """The beginning of its live values' names."""
        return f"build/{self.build.endpoint}/{self.build.served_entity}"


@dataclass(frozen=True, slots=True)
class PlatformPage:
    """The view model of the page."""

    cores: int | None
    gpus: int
    memory: int
    free: int
    cpu: float | None
    account: Sequence[Part]
    holders: Sequence[HolderRow]
    more_holders: int
    first: str  # which endpoint would make room first; empty where none would
    templates: Sequence[TemplateRow]
    environments: Sequence[EnvironmentView]
    processes: Sequence[ProcessRow]
    replicas: Sequence[ReplicaRow]
    more_replicas: int
    gateways: Sequence[GatewayRow]
    builds: Sequence[BuildRow]
    models_size: int | None
    versions: Mapping[str, str]
    checks: Sequence[Check]
    trouble: str


def platform_page(view: PlatformView, missing_files: Sequence[str] = ()) -> PlatformPage:
    """The page's view model."""
    machine = view.machine or MachineReport(0, 0)
    names = {rid: revision.endpoint_name for rid, revision in view.revisions.items()}
    users = {environment.digest: environment.used_by for environment in view.environments}
    holders = sorted(machine.holders, key=lambda one: -one.memory_bytes)
    first = [names.get(rid, rid) for rid in machine.first_to_go]
    return PlatformPage(
        machine.cores if view.machine else None,
        machine.gpus,
        machine.memory_bytes,
        machine.free_bytes,
        view.cpu,
        _account(machine),
        [HolderRow(one, _goes(one, machine)) for one in holders[:_MOST_HOLDERS]],
        max(0, len(holders) - _MOST_HOLDERS),
        first[0] if first else "",
        [
            TemplateRow(
                one.environment, one.pids, one.memory_bytes, one.age_seconds, one.forks, users.get(one.environment, ())
            )
            for one in machine.templates
        ],
        view.environments,
        _processes(view.processes),
        view.replicas,
        view.more_replicas,
        [GatewayRow(one.gateway, one.pid, _standing(one.behind)) for one in view.gateways],
        [BuildRow(one, TITLES[one.step][0]) for one in view.builds],
        view.models_size,
        view.versions,
        tuple(_checks(view, missing_files)),
        view.trouble,
    )


def _account(machine: MachineReport) -> tuple[Part, ...]:
    """The bar of the memory account: the largest endpoints, all others, templates, and what is free."""
    sums: dict[str, int] = {}
    for holder in machine.holders:
        sums[holder.endpoint] = sums.get(holder.endpoint, 0) + holder.memory_bytes
    largest = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    values: list[tuple[str, float]] = [(name, size) for name, size in largest[:_NAMED]]
    fills = [f"f{number + 1}" for number in range(len(values))]
    others = largest[_NAMED:]
    if others:
        values.append((f"{len(others)} other endpoints", sum(size for _, size in others)))
        fills.append("f5")
    if machine.templates:
        values.append(("Templates", machine.templates_bytes))
        fills.append("f6")
    if machine.memory_bytes:
        values.append(("Free", machine.free_bytes))
        fills.append("f0")
    return stacked(values, fills)


def _goes(holder: MemoryHolder, machine: MachineReport) -> str:
    """When a revision would make room for another one, in words."""
    if holder.revision in machine.first_to_go:
        place = machine.first_to_go.index(holder.revision) + 1
        why = "held for a rollback" if holder.parked else f"idle for {formats.duration(holder.idle_seconds)}"
        return f"{'first' if place == 1 else f'as number {place}'}, {why}"
    return "never: it does not scale to zero" if holder.stays else "not now: it is in use"


def _processes(processes: Sequence[ProcessView]) -> list[ProcessRow]:
    begin = min((one.sample.started_at for one in processes), default=0.0)
    late = {one.sample.pid for one in processes if one.sample.started_at - begin > _STARTED_WITHIN}
    return [ProcessRow(one.sample, one.cpu, one.sample.pid in late and _lasts(one.sample.title)) for one in processes]


def _lasts(title: str) -> bool:
    """Whether a process with this title runs as long as the platform."""
    kind, _, number = title.partition(" ")
    return kind in _LASTING and (not number or number.isdigit())


def _standing(behind: float) -> str:
    return f"behind for {formats.duration(behind)}" if behind else "follows the newest table"


def _checks(view: PlatformView, missing_files: Sequence[str]) -> Iterator[Check]:
    agent = "It is being started again; replicas go on serving. Read logs/agent.log if that lasts."
    yield Check("Agent", "answers") if view.machine else Check("Agent", view.trouble, agent)
    there, expected = len(view.gateways), view.expected_gateways
    late = [one for one in view.gateways if one.behind > 5]
    gateways = f"{there} of {expected} connected"
    if there < expected:
        yield Check("Gateways", gateways, "A missing one is started again; read logs/gateway-0.log if that lasts.")
    elif late:
        yield Check("Gateways", f"{len(late)} behind the newest route table", "Read the log of that gateway.")
    else:
        yield Check("Gateways", f"{gateways}, all follow the newest route table")
    disk = f"{formats.memory(view.disk_free)} of {formats.memory(view.disk_total)} free"
    yield Check("Disk", disk, "" if view.disk_free >= _LITTLE_DISK else "Free some space: a build may need 2 GB.")
    files = "Run make setup again, where the npm registry can be reached. Charts do not zoom until then."
    yield (
        Check("Page libraries", f"{len(missing_files)} files are missing", files)
        if missing_files
        else Check("Page libraries", "installed")
    )


def platform_values(page: PlatformPage) -> dict[str, str]:
    """The values that the page's stream sends."""
    found = {
        "cpu": formats.percent(page.cpu),
        "free": formats.memory(page.free),
    }
    for process in page.processes:
        found[f"process/{process.sample.pid}/memory"] = formats.memory(process.sample.memory_bytes)
        found[f"process/{process.sample.pid}/cpu"] = formats.percent(process.cpu)
    for row in page.holders:
        found[f"holder/{row.holder.revision}/memory"] = formats.memory(row.holder.memory_bytes)
        found[f"holder/{row.holder.revision}/goes"] = row.goes
    for build in page.builds:
        found[f"{build.key}/step"] = build.step
        found[f"{build.key}/seconds"] = formats.duration(build.build.seconds)
    for gateway in page.gateways:
        found[f"gateway/{gateway.number}"] = gateway.standing
    return found


def print_of(page: PlatformPage) -> str:
    """A digest of what there is on the page, without its values: where it differs, the page is to be read anew."""
    there = (
        sorted(row.holder.revision for row in page.holders),
        [row.pids for row in page.templates],
        [(one.digest, one.size is None, one.used_by) for one in page.environments],
        [one.sample.pid for one in page.processes],
        [(one.number, one.pid) for one in page.gateways],
        [one.key for one in page.builds],
        [(one.subject, one.advice) for one in page.checks],
        page.trouble,
    )
    return hashlib.sha256(repr(there).encode()).hexdigest()[:16]


def missing_files(site: Site) -> list[str]:
    """The libraries of the pages that are not there."""
    return [name for name in ("vendor/htmx.min.js", "vendor/uplot.min.js") if not site.assets.has(name)]


def routes(site: Site) -> list[Route]:
    """The routes of the page."""

    async def show(request: Request) -> Response:
        page = platform_page(await site.sources.platform.view(), missing_files(site))
        values: dict[str, Any] = {"view": page, "stream": f"/live/platform?seen={print_of(page)}"}
        if request.headers.get("hx-request"):
            return site.fragment("platform_parts.html", values)
        return site.page(request, "platform_page.html", values, section="Platform")

    return [Route("/platform", show)]
