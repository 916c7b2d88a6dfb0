"""The results as a picture."""

from pathlib import Path

from bench.peers.peer import Kind
from bench.peers.results import Subject
from bench.peers.table import in_order

_COLOURS = {Kind.OURS: "#0b6e99", Kind.PEER: "#9aa5b1", Kind.LIMIT: "#d9dee4"}
_TEXT, _FAINT = "#1f2933", "#616e7c"


def draw(path: Path, subjects: list[Subject], connections: int, note: str) -> bool:
    """Requests/s of every server, as bars from zero; a limit that is far beyond is cut, and says so.

    False when there is nothing to draw.
    """
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    rows = [s for s in in_order(subjects, "iris") if s.peer.serves and s.median(connections)]
    if not rows:
        return False
    rates = [_rate(subject, connections) for subject in rows]
    edge = 1.25 * max((rate for s, rate in zip(rows, rates, strict=True) if s.peer.kind is not Kind.LIMIT), default=1)
    figure, axes = plt.subplots(figsize=(9, 0.9 + 0.33 * len(rows)), dpi=150, layout="constrained")
    for place, (subject, rate) in enumerate(zip(rows, rates, strict=True)):
        axes.barh(place, min(rate, edge), height=0.68, color=_COLOURS[subject.peer.kind])
        weight = "bold" if subject.peer.kind is Kind.OURS else "normal"
        axes.text(
            min(rate, edge) + edge * 0.008,
            place,
            f"{rate:,.0f}{_times(rows[0], rates[0], subject, rate)}",
            va="center",
            color=_TEXT,
            weight=weight,
            fontsize=9,
        )
        if rate > edge:  # the cut
            axes.text(edge * 0.94, place, "//", va="center", ha="center", color="white", weight="bold", fontsize=13)
    axes.set_yticks(range(len(rows)), [subject.peer.title for subject in rows], fontsize=9, color=_TEXT)
    axes.invert_yaxis()
    axes.set_xlim(0, edge * 1.13)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(
        f"Requests per second at {connections} connections, one row a request",
        loc="left",
        fontsize=11,
        weight="bold",
        color=_TEXT,
    )
    axes.set_xlabel(note, loc="left", fontsize=8, color=_FAINT)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
    plt.close(figure)
    return True


def _rate(subject: Subject, connections: int) -> float:
    figures = subject.median(connections)
    assert figures is not None
    return figures.requests_per_second


def _times(first: Subject, first_rate: float, subject: Subject, rate: float) -> str:
    """How many times as many Tidegate answers."""
    if first.peer.kind is not Kind.OURS or subject.peer.kind is not Kind.PEER or not rate:
        return ""
    return f"  ·  Tidegate {first_rate / rate:,.{0 if first_rate >= 10 * rate else 1}f}×"
