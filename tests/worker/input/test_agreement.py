"""How far the worker reads as MLflow's own scoring server does: payloads by hand, made to fit, and made not to.

Where they differ on purpose is in docs/api.md; nothing else may differ.
"""

import json
import math
import random
import re
from collections import Counter
from typing import Any, NamedTuple

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from mlflow.models import ModelSignature

from tests.worker import signatures
from tests.worker.echo import echo_model
from tests.worker.fast.test_compiled import COMPILABLE, payloads
from tests.worker.input.test_differential import (
    CASES,
    DATED,
    RAW,
    SIGNATURES,
    STATUS,
    ask_mlflow_with,
    described,
    split,
)
from tests.worker.mutations import mutated
from tidegate_worker.ipc import wire

COMPOUND = {"id": 1, "tags": ["a"], "item": {"name": "x"}}
ALL: dict[str, ModelSignature | None] = {**SIGNATURES, **COMPILABLE}
# What the worker says where MLflow changes a value, or fills up a table.
STRICTER = re.compile(
    r"expected .+, found |: has \d+ values?, but |must have the same keys|must be a list |a number that is too large"
    r"|same name twice"
)
# Written otherwise than MLflow reads it: by hand, since what is generated must not differ in a way that is not known.
OTHERWISE: list[tuple[str, Any]] = [
    ("optional", split(["x", "y", "z"], [1.5, None, True], [2.5, 1, None])),
    ("optional", {"dataframe_records": [{"x": 1.5, "z": True}, {"x": 2.5}]}),
    ("optional", {"inputs": {"x": [1, 2], "z": [None, False]}}),
    ("optional", {"instances": [{"x": 1, "z": None}]}),
    ("answered", split(["yes", "blob"], [None, "aGk="], [True, None])),
    ("answered", {"dataframe_records": [{"yes": True, "blob": "aGk="}, {"yes": False}]}),
    ("answered", split(["blob"], ["-_8="], ["+/8="])),
    ("answered", split(["blob"], ["aG*k="])),
    ("optional", {"inputs": [{"x": 1.5, "z": True}, {"x": 2.5}]}),
    ("numbered", {"inputs": [[1, 2, "x"]]}),
    ("numbered", {"instances": [[1, 2, {}]]}),
    ("dates", {"inputs": {"when": [2.0, math.nan], "blob": ["r", "s"], "flag": [True, False]}}),
    ("answered", split(["blob"], ["aG k="])),
    ("dates", split(DATED, ["2024-01-01", "aGk=", True], ["2024-01-01T12:00:00", "aGk=", True])),
    ("dates", split(DATED, ["2024-01-01 12:00", "aGk=", True], ["2024-01-01T12:00:00.5Z", "aGk=", True])),
    ("dates", split(DATED, ["2024-01-01T12:00:00+02:00", "aGk=", True])),
    ("dates", {"inputs": {"when": ["9999-12-31"], "blob": ["r"], "flag": [True]}}),
    ("dates", {"inputs": {"when": ["0001-01-01"], "blob": ["r"], "flag": [True]}}),
    ("dates", {"inputs": {"when": ["01/02/2024"], "blob": ["r"], "flag": [True]}}),
    ("compound", {"dataframe_records": [COMPOUND, {**COMPOUND, "counts": {"k": 1}}]}),
    ("compound", {"dataframe_records": [{**COMPOUND, "tags": ["a", None]}]}),
]
OTHERWISE_RAW = [
    ("mixed", "text/csv", b"a,b,n\n1.5,NA,1\n2.5,null,2\n3.5,None,3\n4.5,nan,4\n"),
    ("mixed", "text/csv", b"a,b,b,n\n1.5,x,y,1\n"),
    ("optional", "text/csv", b"x,z\n1.5,\n2.5,true\n"),
    ("dates", "text/csv", b"when,blob,flag\n2024-01-01,aGk=,true\n"),
    ("dates", "text/csv", b"when,blob,flag\n9999-12-31,aGk=,true\n"),
    ("mixed", "application/json", b'{"inputs": {"a": [1e999], "n": [1]}}'),
]


class Payload(NamedTuple):
    """A body for a model of that signature."""

    signature: str
    content_type: str
    body: bytes


class Reading(NamedTuple):
    """The status, what the model was given, and what was said where it was given nothing."""

    status: int
    data: Any = None
    params: Any = None
    sentence: str = ""


def worker(payload: Payload) -> Reading:
    meta = wire.pack_meta([("content-type", payload.content_type), ("request-id", "r1")])
    answer = echo_model(ALL[payload.signature]).answer(wire.Request(1, 1000, 0, meta, payload.body))
    if answer.outcome != wire.OK:
        return Reading(STATUS[answer.outcome], sentence=answer.body.decode())
    return Reading(200, **described(answer.body))


async def mlflow(payload: Payload) -> Reading:
    try:
        status, said = await ask_mlflow_with(ALL[payload.signature], payload.content_type, payload.body)
    except Exception:  # in its server, a 500
        return Reading(500)
    return Reading(status, **said) if said is not None else Reading(status)


def on_purpose(payload: Payload, own: Reading, other: Reading) -> str:
    """Which of the differences in docs/api.md it is; empty if none."""
    if own.status == 400:
        stricter = other.status == 500 or (other.status == 200 and STRICTER.search(own.sentence))
        return "stricter" if stricter else ""
    if own.status == 200 and other.status == 400:
        return more_is_taken(payload, own)
    both = own.status == other.status == 200 and own.params == other.params
    return cells_on_purpose(payload, own, other) if both else ""


def more_is_taken(payload: Payload, own: Reading) -> str:
    """Whether it has keys that are not named, or leaves some out, or has what the worker alone reads."""
    kinds = kinds_of(payload)
    if payload.content_type == "text/csv":
        return "CSV of more types" if {"datetime", "binary", "boolean"} & set(kinds.values()) else ""
    document = json.loads(payload.body)
    if payload.signature in ("PAIR", "pair") or "instances" in document:
        return "instances"
    inputs = document.get("inputs")
    if isinstance(inputs, dict) and not inputs.keys() <= set(kinds):
        return "keys that are not named"
    missing = {name for name, cells in own.data.get("cells", {}).items() if "None" in cells}
    if any(kinds[name] in ("boolean", "binary", "") for name in missing):
        return "what is missing"
    if ALL[payload.signature] in (signatures.NUMBERED, signatures.NUMBERED_BACKWARDS) and "inputs" in document:
        return "surplus values"
    if "datetime" in kinds.values() and (mixed_dates(payload) or floats_as_dates(inputs, kinds)):
        return "dates"
    if "binary" in kinds.values() and re.search(rb"[-_][^\"]*=", payload.body):
        return "base64 for URLs"
    return ""


def floats_as_dates(inputs: Any, kinds: dict[str, str]) -> bool:
    """Whether dates are given as floats, or NaN, in a form of which MLflow makes arrays."""
    rows = inputs if isinstance(inputs, list) else [inputs]
    given = [row.get(name) for row in rows if isinstance(row, dict) for name in kinds if kinds[name] == "datetime"]
    return any(
        isinstance(one, float) or one == "NaN" for each in given for one in (each if isinstance(each, list) else [each])
    )


def mixed_dates(payload: Payload) -> bool:
    """Whether there are texts of dates that pandas has no one format for, or with a zone, or such as numpy has not."""
    texts = re.findall(rb'"([0-9]{4}-[0-9]{2}-[0-9]{2}[^"]*|[0-9]{2}/[0-9]{2}/[0-9]{4})"', payload.body)
    forms = {re.sub(rb"[0-9]", b"0", text) for text in texts}
    return len(forms) > 1 or any(len(form) > 10 or b"/" in form for form in forms)


def cells_on_purpose(payload: Payload, own: Reading, other: Reading) -> str:
    """Whether only such cells differ as MLflow makes text, a boolean or other bytes of."""
    kinds = kinds_of(payload)
    if payload.signature == "none" and b"null" in payload.body and b"instances" in payload.body:
        return "null without a signature"
    if not kinds or "cells" not in own.data or own.data["frame"] != other.data["frame"]:
        return ""
    reasons = set()
    for name, cells in own.data["cells"].items():
        for cell, changed in zip(cells, other.data["cells"][name], strict=True):
            if cell != changed:
                text, blob = kinds[name] == "string", kinds[name] == "binary"
                missing = kinds[name] == "boolean" and "None" in cells
                decoded = blob and (re.search(rb"[-_]", payload.body) or payload.content_type == "text/csv")
                absent = kinds[name] == "" and (cell, changed) == ("None", "nan")
                reasons.add("cells" if text or missing or decoded or absent or (blob and cell == "None") else "")
    return "" if "" in reasons or not reasons else "cells"


def kinds_of(payload: Payload) -> dict[str, str]:
    """The types of a signature's columns, by name; none for tensors."""
    signature = ALL[payload.signature]
    if signature is None or signature.inputs.is_tensor_spec():
        return {}
    kinds = zip(signature.inputs.input_names(), signature.inputs.input_types(), strict=True)
    return {str(name): getattr(kind, "name", "") for name, kind in kinds}


def by_hand() -> list[Payload]:
    json_ones = [
        Payload(name, "application/json", json.dumps(document).encode()) for name, document in CASES + OTHERWISE
    ]
    return json_ones + [Payload(*each) for each in RAW + OTHERWISE_RAW]


def generated(count: int, wild: bool) -> list[Payload]:
    """Bodies by hypothesis, the same at every start: such as fit, or, when `wild`, such as may not."""
    found: set[tuple[str, bytes]] = set()

    @settings(max_examples=count, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(payloads(wild=wild))
    def collect(each: tuple[str, bytes]) -> None:
        found.add(each)

    collect()
    return [Payload(name, "application/json", body) for name, body in sorted(found)]


def changed(count: int) -> list[Payload]:
    """Those by hand with one change each."""
    source, found = random.Random(3), []
    for _ in range(count):
        name, document = source.choice(CASES + OTHERWISE)
        found.append(Payload(name, "application/json", json.dumps(mutated(document, source)).encode()))
    return found


@pytest.mark.filterwarnings("ignore")  # pandas warns of what is no date, and production does not make errors of that
@pytest.mark.parametrize(
    "count", [60, pytest.param(600, marks=[pytest.mark.acceptance, pytest.mark.timeout(600)], id="full size")]
)
async def test_it_reads_as_mlflow_does(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    kinds = [by_hand(), generated(count, wild=False), generated(count, wild=True), changed(count)]
    everything = list(dict.fromkeys(payload for kind in kinds for payload in kind))
    same, listed, others = 0, Counter[str](), []
    for payload in everything:
        own, other = worker(payload), await mlflow(payload)
        if own._replace(sentence="") == other:
            same += 1
        elif reason := on_purpose(payload, own, other):
            listed[reason] += 1
        else:
            others.append((payload, own, other))
    names = {payload.signature for payload in everything}
    print(
        f"FIGURE {len(everything):,} payloads over {len(names)} signatures, read by the worker and by "
        f"MLflow's own scoring server with pandas {pd.__version__}: {same:,} alike, {listed.total()} otherwise on "
        f"purpose ({', '.join(f'{count} {reason}' for reason, count in listed.most_common())}), {len(others)} otherwise"
    )
    assert others[:5] == []
    assert len(names) >= 12
    assert len(everything) >= 1500 or count < 400
