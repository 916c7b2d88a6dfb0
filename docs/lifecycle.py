#!/usr/bin/env python3
"""Draws the state diagram of `docs/lifecycle.md` from the table in `tidegate.core.endpoint.lifecycle`.

`.venv/bin/python docs/lifecycle.py` writes it; a test fails while the page is not what the table says.
"""

import re
from pathlib import Path

from tidegate.core.endpoint.lifecycle import REVISION_TRANSITIONS, RevisionState

PAGE = Path(__file__).with_suffix(".md")
FENCE = re.compile(r"```mermaid\n.*?```\n", re.DOTALL)

# Why each transition happens. A transition without words fails, and so do words without their transition.
WORDS = {
    ("pending", "preparing"): "asked for",
    ("pending", "retired"): "no longer asked for",
    ("preparing", "pending"): "control restarted",
    ("preparing", "starting"): "downloaded and built",
    ("preparing", "failed"): "cannot be built",
    ("preparing", "retired"): "no longer asked for",
    ("starting", "ready"): "a replica is ready",
    ("starting", "failed"): "starts keep failing",
    ("starting", "retiring"): "no longer asked for",
    ("ready", "retiring"): "no longer asked for",
    ("failed", "pending"): "asked for again",
    ("retiring", "starting"): "asked for again",
    ("retiring", "retired"): "nothing of it runs",
    ("retired", "pending"): "asked for again",
}


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    listed = [
        (current.value, new.value)
        for current in RevisionState
        for new in RevisionState
        if new in REVISION_TRANSITIONS[current]
    ]
    if set(listed) != set(WORDS):
        raise SystemExit(f"WORDS and the table differ: {sorted(set(listed) ^ set(WORDS))}")
    lines = [f"    {current} --> {new}: {WORDS[current, new]}" for current, new in listed]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> pending", *lines, "```", ""])


def page(text: str) -> str:
    """The page with the newest diagram in it."""
    if len(FENCE.findall(text)) != 1:
        raise SystemExit(f"{PAGE.name} must have exactly one mermaid block")
    return FENCE.sub(lambda _: diagram(), text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
