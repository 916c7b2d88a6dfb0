"""How far the worker reads as MLflow's own scoring server does: payloads by hand, made to fit, and made not to.

Where they differ on purpose is in docs/api.md; nothing else may differ.
"""

import json
import random
import re
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from mlflow.models import ModelSignature

from tests.worker.echo import echo_model
from tests.worker.mutations import mutated
from tests.worker.test_compiled import COMPILABLE, payloads
from tests.worker.test_differential import CASES, RAW, SIGNATURES, STATUS, ask_mlflow_with, described
from tidegate_worker import wire

ALL: dict[str, ModelSignature | None] = {**SIGNATURES, **COMPILABLE}
# What the worker says where MLflow changes a value, or fills up a table.
STRICTER = re.compile(r"expected .+, found |: has \d+ values?, but |must have the same keys|must be a list ")


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


def on_purpose(payload: Payload, own: Reading, other: Reading) -> bool:
    """Whether a difference is one of those in docs/api.md."""
    if own.status == 400:
        return other.status == 500 or (other.status == 200 and bool(STRICTER.search(own.sentence)))
    if own.status == 200 and other.status == 400:
        return more_is_taken(payload)
    return own.status == other.status == 200 and only_text_differs(payload, own, other)


def more_is_taken(payload: Payload) -> bool:
    """Whether it has keys that are not named, or leaves some out, or has rows without names of several types."""
    document = json.loads(payload.body)
    if payload.signature == "PAIR" or "instances" in document:
        return True
    signature = ALL[payload.signature]
    names = signature.inputs.input_names() if signature is not None else []
    inputs = document.get("inputs")
    return isinstance(inputs, dict) and not inputs.keys() <= set(names)


def only_text_differs(payload: Payload, own: Reading, other: Reading) -> bool:
    """Whether they differ in text columns only, of which MLflow writes null and numbers as text."""
    signature = ALL[payload.signature]
    if signature is None or signature.inputs.is_tensor_spec() or own.params != other.params:
        return False
    kinds = zip(signature.inputs.input_names(), signature.inputs.input_types(), strict=True)
    texts = {str(name) for name, kind in kinds if getattr(kind, "name", "") == "string"}
    one, two = ({k: v for k, v in each.data["cells"].items() if k not in texts} for each in (own, other))
    return one == two


def by_hand() -> list[Payload]:
    json_ones = [Payload(name, "application/json", json.dumps(document).encode()) for name, document in CASES]
    return json_ones + [Payload(*each) for each in RAW]


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
        name, document = source.choice(CASES)
        found.append(Payload(name, "application/json", json.dumps(mutated(document, source)).encode()))
    return found


@pytest.mark.filterwarnings("ignore")  # pandas warns of what is no date, and production does not make errors of that
@pytest.mark.parametrize(
    "count", [60, pytest.param(500, marks=[pytest.mark.acceptance, pytest.mark.timeout(600)], id="full size")]
)
async def test_it_reads_as_mlflow_does(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    kinds = [by_hand(), generated(count, wild=False), generated(count, wild=True), changed(count)]
    everything = list(dict.fromkeys(payload for kind in kinds for payload in kind))
    same, listed, others = 0, 0, []
    for payload in everything:
        own, other = worker(payload), await mlflow(payload)
        if own._replace(sentence="") == other:
            same += 1
        elif on_purpose(payload, own, other):
            listed += 1
        else:
            others.append((payload, own, other))
    signatures = {payload.signature for payload in everything}
    print(
        f"FIGURE {len(everything):,} payloads over {len(signatures)} signatures, read by the worker and by "
        f"MLflow's own scoring server: {same:,} alike, {listed} otherwise on purpose, {len(others)} otherwise"
    )
    assert others[:5] == []
    assert len(signatures) >= 12
    assert len(everything) >= 400 or count < 400
