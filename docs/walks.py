#!/usr/bin/env python3
"""Draws the figures of the three walks: a request's, an update's, and that of gate, switch and rollback.

`.venv/bin/python docs/walks.py` writes them to `docs/images`. A test fails while a figure is not what this draws.
The colours follow the reader's light or dark theme.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
WIDTH, MARGIN = 980, 20
LABELS = 'aria-labelledby="title desc"'
FONT = 'font-family="system-ui, -apple-system, \'Segoe UI\', Helvetica, Arial, sans-serif" font-size="14"'
STYLE = """
    .page { fill: #ffffff; }
    .box { fill: #eef3fa; stroke: #4a6a94; }
    .hot { fill: #fdf0dc; stroke: #b06f10; }
    .still { fill: #f1f1ee; stroke: #77776f; }
    text { fill: #1d2430; }
    .small { font-size: 12px; fill: #4b5563; }
    .name { font-weight: 600; }
    .number { font-size: 12px; font-weight: 600; fill: #ffffff; }
    .lane { stroke: #c5ccd6; stroke-dasharray: 4 4; }
    .line { stroke: #4a6a94; stroke-width: 1.5; fill: none; }
    .way { stroke: #b06f10; stroke-width: 2.5; fill: none; }
    .tip { fill: #4a6a94; }
    .hottip { fill: #b06f10; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #12161d; }
      .box { fill: #1b2636; stroke: #7fa3d1; }
      .hot { fill: #33260f; stroke: #e3a549; }
      .still { fill: #23242a; stroke: #9b9b93; }
      text { fill: #e8ecf2; }
      .small { fill: #aab4c2; }
      .number { fill: #12161d; }
      .lane { stroke: #3b4452; }
      .line { stroke: #7fa3d1; }
      .way { stroke: #e3a549; }
      .tip { fill: #7fa3d1; }
      .hottip { fill: #e3a549; }
    }
"""
MARKERS = """  <defs>
    <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path class="tip" d="M0 0 10 5 0 10z"/></marker>
    <marker id="hottip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="12" markerHeight="12" markerUnits="userSpaceOnUse" orient="auto"><path class="hottip" d="M0 0 10 5 0 10z"/></marker>
  </defs>
"""  # noqa: E501


@dataclass(frozen=True)
class Lane:
    """One party of a walk, drawn as a column. `x` is its middle, pixels."""

    name: str
    x: int
    note: str = ""


@dataclass(frozen=True)
class Step:
    """One row of a walk: work in a lane, or a message to another one. `number` refers to the page's list, 0 to none.

    `hot` marks what a request waits for.
    """

    lane: int
    lines: tuple[str, ...]
    to: int | None = None
    number: int = 0
    hot: bool = False


def svg(title: str, description: str, height: int, parts: Sequence[str]) -> str:
    """A whole picture. `parts` are its elements, `height` is in pixels."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" {LABELS} {FONT}>',
            f'  <title id="title">{escape(title)}</title>',
            f'  <desc id="desc">{escape(description)}</desc>',
            f"  <style>{STYLE}  </style>",
            f'{MARKERS}  <rect class="page" width="{WIDTH}" height="{height}" rx="10"/>',
            *(f"  {part}" for part in parts),
            "</svg>",
            "",
        ]
    )


def text(x: float, y: float, words: str, kind: str = "small", anchor: str = "middle") -> str:
    """One line of text; `x` is where it is anchored, `y` its base line."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'


def badge(x: float, y: float, number: int, hot: bool) -> Iterator[str]:
    """The number of a step, in a disc."""
    yield f'<circle cx="{x:g}" cy="{y:g}" r="10" class="{"hottip" if hot else "tip"}"/>'
    yield text(x, y + 4, str(number), "number")


def arrow(path: str, hot: bool) -> str:
    """A line with a tip at its end."""
    return f'<path class="{"way" if hot else "line"}" d="{path}" marker-end="url(#{"hottip" if hot else "tip"})"/>'


def walk(title: str, description: str, lanes: Sequence[Lane], steps: Sequence[Step], box: int = 190) -> str:
    """A walk through lanes, from top to bottom. `box` is the width of a lane's work, pixels."""
    parts, y = list[str](), 92
    for step in steps:
        x, high = lanes[step.lane].x, 16 * len(step.lines) + 16
        if step.to is None:
            kind = "hot" if step.hot else "box"
            parts.append(f'<rect class="{kind}" x="{x - box / 2:g}" y="{y}" width="{box}" height="{high}" rx="8"/>')
            parts += [text(x, y + 20 + 16 * row, line) for row, line in enumerate(step.lines)]
            if step.number:
                parts += badge(x - box / 2, y, step.number, step.hot)
            y += high + 14
        else:
            end, middle = lanes[step.to].x, (x + lanes[step.to].x) / 2
            parts += [text(middle, y + 8 + 16 * row, line) for row, line in enumerate(step.lines)]
            y += 16 * len(step.lines)
            parts.append(arrow(f"M{x} {y}H{end}", step.hot))
            if step.number:
                parts += badge(x, y, step.number, step.hot)
            y += 22
    heads = list[str]()
    for lane in lanes:
        heads.append(f'<path class="lane" d="M{lane.x} 76V{y}"/>')
        heads.append(f'<rect class="still" x="{lane.x - 76}" y="{MARGIN}" width="152" height="54" rx="8"/>')
        heads.append(text(lane.x, MARGIN + (23 if lane.note else 32), lane.name, "name"))
        heads += [text(lane.x, MARGIN + 42, lane.note)] if lane.note else []
    return svg(title, description, y + MARGIN, heads + parts)


def request() -> str:
    """A scoring request, from its caller to a replica and back."""
    lanes = [
        Lane("caller", 110),
        Lane("gateway", 350, "http, scoring"),
        Lane("gateway", 610, "queue"),
        Lane("replica", 860, "worker"),
    ]
    steps = [
        Step(0, ("POST …/invocations",), 1, 1, hot=True),
        Step(1, ("connection: HTTP/1.1,", "limits on headers, body, time"), None, 1, hot=True),
        Step(1, ("token, endpoint, size;", "the route picks a revision"), None, 2, hot=True),
        Step(1, ("body, deadline",), 2, 3, hot=True),
        Step(
            2,
            ("queue of the revision: waits for", "a free replica, or wakes one;", "too late or too full: 503, 429"),
            None,
            3,
            hot=True,
        ),
        Step(2, ("frame, Unix socket",), 3, 4, hot=True),
        Step(3, ("decode by the signature,", "predict, alone or in a batch,", "encode"), None, 5, hot=True),
        Step(3, ("answer",), 2, 6, hot=True),
        Step(2, ("the replica died or is far too", "slow: another one is asked"), None),
        Step(2, ("answer, times",), 1, 6, hot=True),
        Step(1, ("200, served-model-name,", "x-request-id, server-timing"), 0, 6, hot=True),
    ]
    return walk(
        "A request's walk",
        "A scoring request goes from its caller through the gateway's connection and scoring to the queue of its "
        "revision, from there to a replica, and the same way back.",
        lanes,
        steps,
    )


def update() -> str:
    """An update, from the verb to the retirement of what it replaced."""
    lanes = [
        Lane("user or registry", 100),
        Lane("control", 330),
        Lane("agent", 590, "and replicas"),
        Lane("gateways", 860),
    ]
    steps = [
        Step(0, ("update wine to version 2",), 1, 1),
        Step(1, ("verb: checks, resolves versions,", "stores the pending configuration"), None, 1),
        Step(1, ("IN_PROGRESS",), 0),
        Step(1, ("reconciler: compares wanted", "and real, plans the next step"), None, 2),
        Step(1, ("download the model,", "build its environment"), None, 3),
        Step(1, ("target: version 2",), 2, 4),
        Step(2, ("replica loads the model and", "answers the input example"), None, 4),
        Step(2, ("observed: ready",), 1),
        Step(1, ("route table: replay version 2",), 3, 5),
        Step(3, ("recorded requests go", "to version 2 too"), None, 5),
        Step(3, ("load report: what the replay found",), 1),
        Step(1, ("gate: passed or held back",), None, 5),
        Step(1, ("switch on record; route table: version 2 serves",), 3, 6, hot=True),
        Step(3, ("every gateway follows",), 1),
        Step(1, ("version 2 is active,", "version 1 is parked"), None, 7),
        Step(1, ("after the next switch: end version 1",), 2, 8),
    ]
    return walk(
        "An update's walk",
        "A user or the registry asks for version 2. Control stores, prepares and starts it, has the gateways replay "
        "recorded requests on it, judges, switches all gateways, and parks version 1.",
        lanes,
        steps,
        210,
    )


def switch() -> str:
    """Two versions over time: what serves when, and where a gate or a rollback turns the way."""
    parts = [
        text(MARGIN, 66, "version 1", "name", "start"),
        '<rect class="hot" x="110" y="44" width="420" height="36" rx="8"/>',
        text(320, 67, "serves"),
        '<rect class="still" x="530" y="44" width="200" height="36" rx="8"/>',
        text(630, 67, "parked, with its replicas"),
        '<rect class="still" x="730" y="44" width="220" height="36" rx="8" stroke-dasharray="5 4"/>',
        text(840, 67, "parked, without replicas"),
        text(MARGIN, 182, "version 2", "name", "start"),
        '<rect class="box" x="170" y="160" width="90" height="36" rx="8"/>',
        text(215, 183, "prepare"),
        '<rect class="box" x="260" y="160" width="90" height="36" rx="8"/>',
        text(305, 183, "start"),
        '<rect class="box" x="350" y="160" width="180" height="36" rx="8"/>',
        text(440, 183, "replayed requests, gate"),
        '<rect class="hot" x="530" y="160" width="420" height="36" rx="8"/>',
        text(740, 183, "serves"),
        *badge(170, 160, 1, False),
        *badge(260, 160, 2, False),
        *badge(350, 160, 3, False),
        # the switch
        arrow("M530 84V156", True),
        *badge(530, 120, 4, True),
        text(546, 116, "switch: all gateways,", "small", "start"),
        text(546, 132, "no request lost", "small", "start"),
        *badge(530, 44, 5, False),
        # the replay of what version 1 answered
        arrow("M440 84V156", False),
        text(430, 116, "requests that", "small", "end"),
        text(430, 132, "version 1 answered", "small", "end"),
        # the rollback
        arrow("M800 156V84", True),
        text(812, 116, "tidegate rollback:", "small", "start"),
        text(812, 132, "version 1 serves again", "small", "start"),
        # held back
        arrow("M440 200V246", False),
        '<rect class="still" x="300" y="248" width="280" height="52" rx="8"/>',
        text(440, 270, "held back: version 1 goes on serving,"),
        text(440, 288, "version 2 ends, the report says why"),
        arrow("M580 274H738V200", False),
        text(594, 264, "tidegate force", "small", "start"),
        # the axis
        '<path class="line" d="M110 336H950" marker-end="url(#tip)"/>',
        '<path class="line" d="M170 330V342M350 330V342M530 330V342M730 330V342"/>',
        text(170, 360, "update or promotion"),
        text(350, 360, "ready"),
        text(530, 360, "switch"),
        text(730, 360, "10 minutes later"),
        text(950, 360, "time", "small", "end"),
    ]
    return svg(
        "Gate, switch and rollback",
        "Version 1 serves until the switch. Version 2 is prepared, started and asked recorded requests; the gate lets "
        "it through or holds it back. After the switch version 1 is parked, and a rollback brings it back.",
        380,
        parts,
    )


FIGURES = {"walk-request.svg": request, "walk-update.svg": update, "walk-switch.svg": switch}

if __name__ == "__main__":
    for file, draw in FIGURES.items():
        (IMAGES / file).write_text(draw())
