"""A trace as a picture: demand against replicas."""

from pathlib import Path

from bench.simulator.model import Outcome

_DEMAND, _HELD, _WAITING = "#9aa5b1", "#0b6e99", "#d64545"
_TEXT, _FAINT = "#1f2933", "#616e7c"


def draw(path: Path, outcome: Outcome) -> None:
    """Replicas as steps over the demand as an area; below, what waits, where anything does."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    times, demand, held, _, waiting = zip(*outcome.rows, strict=True)
    figure, axes = plt.subplots(figsize=(9, 2.8), dpi=150, layout="constrained")
    axes.fill_between(times, demand, step="post", color=_DEMAND, alpha=0.45, linewidth=0, label="demand, in replicas")
    axes.step(times, held, where="post", color=_HELD, linewidth=1.8, label="replicas")
    if max(waiting) > 1:
        other = axes.twinx()
        other.plot(times, waiting, color=_WAITING, linewidth=0.9, label="requests waiting (right)")
        other.set_ylim(0, 1.6 * max(waiting))
        other.tick_params(labelsize=8, colors=_FAINT, length=0)
        other.spines[:].set_visible(False)
        other.legend(loc="upper right", fontsize=8, frameon=False, labelcolor=_TEXT)
    axes.set_xlim(0, outcome.trace.seconds)
    axes.set_ylim(0, 1.3 * max(1, *demand, *held))
    axes.tick_params(labelsize=8, colors=_FAINT, length=0)
    axes.spines[:].set_visible(False)
    axes.grid(axis="y", color="#e4e7eb", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(outcome.trace.title, loc="left", fontsize=11, weight="bold", color=_TEXT)
    axes.set_xlabel(_note(outcome), loc="left", fontsize=8, color=_FAINT)
    axes.legend(loc="upper left", fontsize=8, frameon=False, labelcolor=_TEXT, ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
    plt.close(figure)


def _note(outcome: Outcome) -> str:
    trace = outcome.trace
    return (
        f"seconds; {len(outcome.changes)} scale events; a request takes {trace.service_seconds:g} s, "
        f"a start {trace.start_seconds:g} s; 99 of 100 requests waited less than {outcome.p99_wait:.2f} s"
    )
