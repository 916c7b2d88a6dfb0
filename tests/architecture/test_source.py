"""Rules that every source file keeps. Who has a reason to break one is listed here, with the reason."""

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PACKAGES = sorted({file.parent for folder in ("src", "tests") for file in (ROOT / folder).rglob("*.py")})

MOST_LINES = 400
# A file of more lines says in its docstring why it is one.
USUAL_LINES = 300
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "tools"}

WALL_CLOCK = {
    "tidegate/adapters/clock.py": "it is the Clock",
    "tidegate/engines/agent/agent.py": "when it did something to a revision, for its owner",
    "tidegate/engines/replicas/launcher.py": "when a replica was started, as people read it; no duration is made of it",
    "tidegate/engines/replicas/replica_process.py": "when a replica had loaded, and was ready, for people",
    "tidegate/engines/replicas/replicas.py": "when a replica found something out, for its owner",
    "tidegate/gateway/metering/slowest.py": "when a request was slow or failed, as people read it",
    "tidegate/gateway/scoring/token_check.py": "when a session ends, which control says in unix time",
    "tidegate_worker/process/log.py": "the time of a log line",
}
ENVIRONMENT = {
    "tidegate/app.py": "the composition root hands it on as an argument",
    "tidegate/supervisor.py": "what its children inherit",
    "tidegate/data_directory.py": "XDG_RUNTIME_DIR, where the data directory is too deep for sockets",
    "tidegate/adapters/environments/uv_environments.py": "what uv inherits, when nothing else is given",
    "tidegate/adapters/mlflow/client_pool.py": "what the MLflow client's process inherits",
    "tidegate/adapters/mlflow/client_process.py": "a process of its own: MLflow is configured by variables only",
    "tidegate/adapters/mlflow/downloads.py": "the same process: MLflow's time limits for a download",
    "tidegate_worker/__main__.py": "a process of its own: MLflow is configured by variables only",
    "tidegate_worker/process/scratch_directory.py": "TMPDIR, which each replica has of its own",
    "tidegate/dashboard/vendor_files.py": "a command of the set-up: which npm registry this machine uses",
    "tidegate/cli/": "the edge: it is where a person's shell comes in",
}
# Databricks' SDK sends a request again when its error contains one of these, even after a 400.
RETRIED_PHRASES = (
    "Unexpected error",
    "Please try again later or try a faster operation.",
    "ClusterNotReadyException",
    "RPC token bucket limit has been exceeded",
)


def name_of(file: Path) -> str:
    return file.relative_to(ROOT / "src").as_posix()


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def lines_of(file: Path) -> int:
    return len(file.read_text().splitlines())


def calls(file: Path) -> Iterator[str]:
    """The dotted names of what a file calls."""
    return (ast.unparse(node.func) for node in ast.walk(tree(file)) if isinstance(node, ast.Call))


def reads_environment(file: Path) -> bool:
    reads = {ast.unparse(node) for node in ast.walk(tree(file)) if isinstance(node, ast.Attribute)}
    return bool(reads & {"os.environ", "os.getenv", "os.environb"})


def reads_wall_clock(file: Path) -> bool:
    names = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.datetime.now"}
    return bool(names & set(calls(file)))


def breakers(breaks: Callable[[Path], bool]) -> set[str]:
    return {name_of(file) for file in SOURCES if breaks(file)}


def test_there_are_sources() -> None:
    assert len(SOURCES) > 40


def test_no_file_is_too_long_to_read_in_one_sitting() -> None:
    assert {name_of(file) for file in SOURCES if lines_of(file) > MOST_LINES} == set()


def test_a_long_file_says_why() -> None:
    long = {file: ast.get_docstring(tree(file)) or "" for file in SOURCES if lines_of(file) > USUAL_LINES}
    assert {name_of(file) for file, text in long.items() if "300 lines" not in text} == set()


def test_no_drawers() -> None:
    assert {name_of(file) for file in SOURCES if DRAWERS & {file.stem, file.parent.name}} == set()


def test_every_file_says_what_it_is() -> None:
    assert {name_of(file) for file in SOURCES if not ast.get_docstring(tree(file))} == set()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_every_package_has_a_docstring(package: Path) -> None:
    assert ast.get_docstring(tree(package / "__init__.py"))


def test_only_the_listed_read_the_wall_clock() -> None:
    assert breakers(reads_wall_clock) == set(WALL_CLOCK)


def test_only_the_listed_read_the_environment() -> None:
    found = {"tidegate/cli/" if name.startswith("tidegate/cli/") else name for name in breakers(reads_environment)}
    assert found == set(ENVIRONMENT)


def test_no_module_reads_the_environment_when_it_is_imported() -> None:
    assert {name_of(file) for file in SOURCES if "environ" in set(at_import(tree(file)))} == set()


def at_import(module: ast.Module) -> Iterator[str]:
    """The attributes that are read outside every function."""
    pending: list[ast.AST] = list(module.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Attribute):
            yield node.attr
        pending += ast.iter_child_nodes(node)


def test_no_task_is_let_go() -> None:
    """The event loop holds tasks weakly: one that nobody keeps may vanish, and its error is never seen."""
    loose = {
        f"{name_of(file)}:{node.lineno}"
        for file in SOURCES
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).endswith(("asyncio.create_task", "loop.create_task", "ensure_future"))
    }
    assert loose == set()


def test_every_loop_of_a_gateway_is_supervised() -> None:
    """A task that is not by `supervised` ends at its first unexpected exception, and nobody hears of it."""
    others = {"self._open(lane, pause)", "self._run(ordered[identity])"}  # they supervise and report themselves
    tasks = {
        ast.unparse(node.args[0])
        for file in SOURCES
        if name_of(file).startswith("tidegate/gateway/")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".create_task", "ensure_future"))
    }
    assert {task for task in tasks if not task.startswith("supervised(")} == others


def test_nothing_is_pickled() -> None:
    modules = {"pickle", "cloudpickle", "marshal", "shelve", "dill"}
    found = {
        name_of(file)
        for file in SOURCES
        for node in ast.walk(tree(file))
        if (isinstance(node, ast.Import) and modules & {alias.name for alias in node.names})
        or (isinstance(node, ast.ImportFrom) and node.module in modules)
    }
    assert found == set()


def test_no_sentence_makes_a_client_retry_by_its_words() -> None:
    found = {
        name_of(file)
        for file in SOURCES
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if any(phrase.lower() in node.value.lower() for phrase in RETRIED_PHRASES)
    }
    assert found == set()
