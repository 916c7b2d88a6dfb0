"""Settings: frozen dataclasses, one for each group. A component receives only its group.

`settings_loading` reads them. docs/settings.md documents each field, as a test checks.
"""

from dataclasses import dataclass, field
from pathlib import Path

from tidegate import public_url
from tidegate.public_url import PublicUrl

USUAL_STORES = ("s3:", "gs:", "wasbs:", "abfss:", "dbfs:")
"""Schemes of stores whose host is not the location's to choose, or is checked, as credentials are sent there."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the platform listens and keeps its data."""

    host: str = "127.0.0.1"
    port: int = 8080
    data_dir: Path = Path(".tidegate")
    gateways: int = 1
    max_streams: int = 2000  # event streams that one gateway has open for web pages
    public_url: str = ""  # for callers, where a proxy stands before the platform

    @property
    def public(self) -> PublicUrl:
        """`public_url`, checked. Raises ConfigurationError."""
        return public_url.parse(self.public_url)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Limits of the scoring path."""

    max_body_bytes: int = 16 * 1024 * 1024
    answer_within_seconds: float = 59.0  # Databricks' SDK gives up reading at 60 s and sends the request again
    max_queued_requests: int = 10_000  # per revision
    max_queued_bytes: int = 512 * 1024 * 1024  # per revision
    max_header_bytes: int = 64 * 1024
    header_timeout_seconds: float = 10.0  # from a request's first byte to the end of its headers
    body_timeout_seconds: float = 10.0  # longest pause within a body
    keep_alive_seconds: float = 75.0  # longest pause between two requests of a connection
    cors_origins: str = ""  # of pages whose scripts may score, separated by spaces; "*" for any


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """The MLflow registry. An empty `uri` means the embedded one."""

    uri: str = ""
    poll_seconds: float = 0.0  # between two looks at aliases and stages; 0: 30 for the embedded registry, 2 for another
    artifact_roots: str = ""  # where files of models may lie besides the registry's own store, separated by spaces

    @property
    def look_every(self) -> float:
        """Seconds between two looks. Control also looks after each write to the embedded registry."""
        return self.poll_seconds or (2.0 if self.uri else 30.0)

    @property
    def roots(self) -> tuple[str, ...]:
        """The artifact roots; by default the clouds' stores of objects for a registry of one's own."""
        return tuple(self.artifact_roots.split()) or (USUAL_STORES if self.uri else ())


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """The database. An empty `uri` means SQLite in the data directory."""

    uri: str = ""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How replicas are run."""

    kind: str = "local"
    start_timeout_seconds: float = 300.0  # from a replica's start to ready; then it is ended
    drain_timeout_seconds: float = 60.0  # for the request under way, of a replica that is told to end
    concurrent_starts: int = 0  # replicas that start at once; 0 means one per core
    max_backoff_seconds: float = 60.0  # longest wait before a crashing replica is started again
    template_memory_mb: int = 0  # of all warm templates; 0: a quarter of the machine's, at most 4096; negative: none
    memory_gb: float = 4.0  # memory of one replica, 10^9 bytes; 0 means no limit
    memory_gb_medium: float = 8.0  # the same for workload_type CPU_MEDIUM
    memory_gb_large: float = 16.0  # the same for workload_type CPU_LARGE
    memory_gb_total: float = 0.0  # memory of all replicas of this machine; 0 means all but a reserve

    @property
    def memory_limits(self) -> dict[str, int]:
        """The memory limit of one replica, bytes, by workload_type."""
        sizes = {"CPU": self.memory_gb, "CPU_MEDIUM": self.memory_gb_medium, "CPU_LARGE": self.memory_gb_large}
        return {workload: int(size * 1e9) for workload, size in sizes.items()}


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """How one configuration replaces another."""

    park_seconds: float = 600.0  # how long a parked configuration keeps its replicas


@dataclass(frozen=True, slots=True)
class GateSettings:
    """How the gate tests a new configuration, unless the endpoint has its own policy."""

    mode: str = "safe"  # "off", "safe" or "strict"
    max_changed_share: float = 0.05  # of the compared answers, under "strict"
    record: bool = True  # whether gateways record requests, in memory
    requests: int = 500  # recorded by one gateway for one endpoint
    max_request_kb: int = 64  # the largest request, with its answer, that is recorded
    max_memory_mb: int = 64  # of all recordings of one gateway
    replay_ms: int = 500  # time of a replay, if predictions are quick and nothing hangs


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """How models' environments are built."""

    concurrent_builds: int = 2
    build_timeout_seconds: float = 3600.0  # of one environment, without the wait for a slot
    index_url: str = ""  # instead of the package index of uv's own configuration
    cache_dir: str = ""  # uv's cache; empty: the user's own if it shares the data's file system, else one of our own
    python_search: tuple[str, ...] = ()  # further directories with Python interpreters
    allow_python_downloads: bool = True


@dataclass(frozen=True, slots=True)
class HousekeepingSettings:
    """What is kept, and how long."""

    unused_days: float = 7.0  # environments, overlays and models that are unused for longer are removed
    disk_budget_gb: float = 50.0  # above it, the longest unused are removed first
    log_file_mb: float = 10.0  # a log is rotated at this size
    log_files: int = 3  # rotated files of each log


@dataclass(frozen=True, slots=True)
class SeriesSettings:
    """What is kept of the time series."""

    max_mb: int = 1024  # above it, the oldest minutes are given up; quarters of an hour stay for 14 days


@dataclass(frozen=True, slots=True)
class DashboardSettings:
    """What the web pages show."""

    gb_hour_price: float = 0.0  # of 10^9 bytes of memory for an hour; 0: no money is shown
    currency: str = "USD"  # of that price


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The platform's own logs."""

    level: str = "INFO"
    format: str = "text"  # "text" or "json"


@dataclass(frozen=True, slots=True)
class Settings:
    """All groups."""

    server: ServerSettings = field(default_factory=ServerSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    rollouts: RolloutSettings = field(default_factory=RolloutSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    environments: EnvironmentSettings = field(default_factory=EnvironmentSettings)
    housekeeping: HousekeepingSettings = field(default_factory=HousekeepingSettings)
    series: SeriesSettings = field(default_factory=SeriesSettings)
    dashboard: DashboardSettings = field(default_factory=DashboardSettings)
    log: LogSettings = field(default_factory=LogSettings)
