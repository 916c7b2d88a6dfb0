"""The side-by-side benchmark: its catalogue, its processes, its figures and what it writes."""

import inspect
import json
import re
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from bench.peers import publish, results, table
from bench.peers.__main__ import main
from bench.peers.catalogue import PEERS, chosen
from bench.peers.environments import REQUIREMENTS, requirements
from bench.peers.peer import Kind, Peer, Start
from bench.peers.results import Subject
from bench.peers.server import NotStarted, Server, free_ports
from bench.peers.verdicts import verdicts
from bench.peers.workload import Workload
from bench.wrk import Figures

# Answers every POST with 1; its child ignores what ends a process kindly, in a session of its own.
STUBBORN = """
import http.server, subprocess, sys
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
started = subprocess.Popen([sys.executable, "-c", child], start_new_session=True, stdout=subprocess.PIPE)
started.stdout.readline()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"predictions": [%d], "child": %d}' % (int(sys.argv[2]), started.pid))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    (tmp_path / "row.json").write_text(json.dumps({"columns": ["a"], "data": [[1.5]], "answers": [1]}))
    return Workload("iris", "iris", tmp_path, "row.json", (1, 64))


def peer(name: str = "stub", kind: Kind = Kind.PEER, program: str = STUBBORN, answer: str = "1") -> Peer:
    return Peer(
        name, name, "", "", "", lambda start: [sys.executable, "-c", program, str(start.port), answer], kind=kind
    )


def start(workload: Workload, folder: Path) -> Start:
    return Start(Path(sys.executable), workload, free_ports(1), folder)


def subject(name: str, workload: Workload, kind: Kind, rates: dict[int, list[float]], p50: float = 1) -> Subject:
    runs = {n: [Figures(rate, p50, 2 * p50, 0) for rate in each] for n, each in rates.items()}
    return Subject(peer(name, kind), workload, runs)


# --- the catalogue


def test_names_are_unique_and_families_name_all_their_variants() -> None:
    names = [each.name for each in PEERS]
    assert len(set(names)) == len(names)
    assert [each.name for each in chosen(["mlflow"])] == ["mlflow", "mlflow-2-workers"]
    assert [each.name for each in chosen(["mlflow-2-workers", "tidegate"])] == ["tidegate", "mlflow-2-workers"]
    assert chosen([]) == list(PEERS)
    with pytest.raises(ValueError, match="no peer seldon"):
        chosen(["seldon"])


@pytest.mark.parametrize("name", sorted({each.requirements for each in PEERS} - {""}))
def test_every_requirement_is_pinned(name: str) -> None:
    lines = [line.partition("#")[0].strip() for line in requirements(name).splitlines()]
    assert [line for line in lines if line and not re.fullmatch(r"[\w\[\]-]+==[\w.]+", line)] == []


def test_no_requirements_file_is_idle() -> None:
    assert {path.stem for path in REQUIREMENTS.glob("*.txt")} == {each.requirements for each in PEERS} - {""}


# --- servers


def test_a_server_is_ended_with_all_that_it_started(workload: Workload, tmp_path: Path) -> None:
    with Server(peer(), start(workload, tmp_path)) as server:
        child = httpx.post(server.url, content=server.body).json()["child"]
        assert psutil.pid_exists(child)
    assert server.started_after > 0
    assert not psutil.pid_exists(child)


def test_a_wrong_answer_is_not_measured(workload: Workload, tmp_path: Path) -> None:
    with pytest.raises(NotStarted, match="wrong answer"), Server(peer(answer="2"), start(workload, tmp_path)):
        pass


def test_a_server_that_ends_is_reported_at_once_with_its_last_words(workload: Workload, tmp_path: Path) -> None:
    begin = time.monotonic()
    program = "raise SystemExit('no such model')"
    with pytest.raises(NotStarted, match="no such model"), Server(peer(program=program), start(workload, tmp_path)):
        pass
    assert time.monotonic() - begin < 30


# --- figures


def test_median_spread_and_order(workload: Workload) -> None:
    ours = subject("tidegate", workload, Kind.OURS, {64: [90, 100, 130]})
    slow, fast = (subject(name, workload, Kind.PEER, {64: [rate]}) for name, rate in (("slow", 5), ("fast", 50)))
    limit = subject("echo", workload, Kind.LIMIT, {64: [900]})
    assert ours.median(64) == Figures(100, 1, 2, 0)
    assert ours.spread(64) == pytest.approx(0.4)
    assert table.cell(ours, 64) == "100 ±20 % (1.00, 2.00)"
    assert table.in_order([slow, limit, fast, ours], "iris") == [ours, fast, slow, limit]


def test_verdicts_hold_the_figures_against_the_claims(workload: Workload) -> None:
    ours = subject("tidegate", workload, Kind.OURS, {1: [100], 64: [1300]}, p50=0.5)
    near, far = (subject(name, workload, Kind.PEER, {1: [9], 64: [rate]}) for name, rate in (("a", 110), ("b", 100)))
    found = {verdict.claim.split(",")[1].strip(): verdict.met for verdict in verdicts([ours, near, far])[:2]}
    assert found == {"over a": False, "over b": True}
    assert verdicts([near, far]) == []


# --- what is written


def test_results_replace_what_stood_between_the_marks(workload: Workload, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{publish.BEGIN}\nold\n{publish.END}\nafter\n")
    ours, failed = subject("tidegate", workload, Kind.OURS, {64: [100]}), Subject(peer("other"), workload)
    failed.failure = "no environment"
    publish.replace(page, publish.page_block([ours, failed], [workload], results.machine(), Path("images/x.png")))
    text = page.read_text()
    assert text.startswith(f"before\n{publish.BEGIN}\nMeasured on ")
    assert text.endswith(f"{publish.END}\nafter\n")
    assert "| **tidegate** | 100 (1.00, 2.00) |" in text
    assert "- other, iris: no environment" in text
    assert "old" not in text
    page.write_text("no marks")
    with pytest.raises(ValueError, match="no place for the results"):
        publish.replace(page, "")


def test_the_json_file_has_every_round(workload: Workload, tmp_path: Path) -> None:
    results.write(tmp_path / "run.json", [subject("a", workload, Kind.PEER, {1: [9, 10]})], {"rounds": 2})
    written = json.loads((tmp_path / "run.json").read_text())
    assert [run["requests_per_second"] for run in written["subjects"][0]["runs"]["1"]] == [9, 10]
    assert written["machine"]["cores"]


def test_the_pages_have_a_place_for_the_results() -> None:
    root = Path(__file__).parents[2]
    for page in (root / "README.md", root / "docs" / "benchmarks.md"):
        text = page.read_text()
        assert text.index(publish.BEGIN) < text.index(publish.END)


def test_the_page_names_every_family_and_option() -> None:
    text = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    options = {f"--{name.rstrip('_')}" for name in inspect.signature(main).parameters}
    assert {name for name in {each.family for each in PEERS} | options if f"`{name}`" not in text} == {"--publish"}
    assert "--publish" in text
