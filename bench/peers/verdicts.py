"""What is claimed of Tidegate beside its peers, checked on the figures of one run."""

import math
from dataclasses import dataclass

from bench.peers.peer import Kind
from bench.peers.results import Subject, find, measured
from bench.wrk import Figures


@dataclass(frozen=True)
class Verdict:
    """One claim: what was measured beside what is wanted."""

    claim: str
    measured: str
    met: bool

    def __str__(self) -> str:
        return f"FIGURE {self.claim}: {self.measured}: {'met' if self.met else 'MISSED'}"


def verdicts(subjects: list[Subject]) -> list[Verdict]:
    """The claims that this run has figures for."""
    ours = find(subjects, "tidegate")
    found = [] if ours is None else [*_throughput(ours, subjects), *_latency(ours, subjects)]
    return [*found, *_wide(subjects), *_failures(subjects)]


def _throughput(ours: Subject, subjects: list[Subject]) -> list[Verdict]:
    own = ours.median(64)
    if own is None:
        return []
    found = []
    for subject in measured(subjects, Kind.PEER):
        least = 6 if subject.peer.name == "pytriton" else 12
        if theirs := subject.median(64):
            ratio = _ratio(own, theirs)
            claim = f"requests/s at 64 connections, over {subject.peer.title}, at least {least}×"
            found.append(Verdict(claim, f"{ratio:.1f}×", ratio >= least))
    if (echo := find(subjects, "echo")) and (limit := echo.median(64)):
        part = _ratio(own, limit)
        found.append(Verdict("part of the bare echo at 64 connections, at least 40 %", f"{part:.0%}", part >= 0.4))
    return found


def _latency(ours: Subject, subjects: list[Subject]) -> list[Verdict]:
    found = []
    if (own := ours.median(1)) and (fastest := _fastest(subjects, 1)):
        ratio = own.p50 / fastest.p50
        claim = f"p50 at 1 connection, of the fastest peer's {fastest.p50:.2f} ms, at most 0.6×"
        found.append(Verdict(claim, f"{ratio:.2f}× ({own.p50:.2f} ms)", ratio <= 0.6))
    if (own := ours.median(64)) and (fastest := _fastest(subjects, 64)):
        claim = f"p99 at 64 connections below every peer's p50, of which the least is {fastest.p50:.1f} ms"
        found.append(Verdict(claim, f"{own.p99:.1f} ms", own.p99 < fastest.p50))
    return found


def _fastest(subjects: list[Subject], connections: int) -> Figures | None:
    figures = [found for s in measured(subjects, Kind.PEER) if (found := s.median(connections))]
    return min(figures, key=lambda each: each.p50, default=None)


def _wide(subjects: list[Subject]) -> list[Verdict]:
    found = []
    ours, theirs = find(subjects, "tidegate", "wide"), find(subjects, "mlflow", "wide")
    if ours and theirs and (own := ours.median(1)) and (other := theirs.median(1)):
        ratio = _ratio(own, other)
        found.append(Verdict("600 columns, 1 connection, over MLflow, at least 40×", f"{ratio:.1f}×", ratio >= 40))
    if ours and (own := ours.median(1)) and (loaded := ours.median(64)):
        ratio = _ratio(loaded, own)
        stands = ratio >= 1 and not loaded.failed
        found.append(Verdict("600 columns, 64 connections over 1, no collapse", f"{ratio:.1f}×", stands))
    ours, theirs = find(subjects, "tidegate", "bulk"), find(subjects, "mlflow", "bulk")
    if ours and theirs and (own := ours.median(1)) and (other := theirs.median(1)):
        ratio = _ratio(own, other)
        found.append(Verdict("1,000 rows × 600 columns, over MLflow, at least 2×", f"{ratio:.1f}×", ratio >= 2))
    return found


def _failures(subjects: list[Subject]) -> list[Verdict]:
    ours = measured(subjects, Kind.OURS, "iris") + measured(subjects, Kind.OURS, "wide")
    failed = sum(run.failed for subject in ours for runs in subject.runs.values() for run in runs)
    return [Verdict("requests that Tidegate failed, none", str(failed), failed == 0)] if ours else []


def _ratio(one: Figures, other: Figures) -> float:
    return one.requests_per_second / other.requests_per_second if other.requests_per_second else math.inf
