"""Checks of the worker that need the standard library only; `test_interpreters` runs them under each Python.

`python -I plain_checks.py DIRECTORY_OF_THE_PACKAGE`
"""

import importlib
import os
import pkgutil
import signal
import sys
import sysconfig
import time
from typing import Any

sys.path.append(sys.argv[1])


def check_imports() -> None:
    """Importing every module loads nothing outside the standard library."""
    before = set(sys.modules)
    package = importlib.import_module("tidegate_worker")
    names = [module.name for module in pkgutil.walk_packages(package.__path__, "tidegate_worker.")]
    expected = {"tidegate_worker." + name for name in ("__main__", "replica_server", "ipc.wire", "input.decoder")}
    assert expected <= set(names), names
    for name in names:
        importlib.import_module(name)
    library = tuple(os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "tidegate_worker":
            continue
        path = getattr(sys.modules[name], "__file__", None)
        at_home = path is None or os.path.realpath(path).startswith(library)
        assert at_home and "site-packages" not in str(path), (name, path)


def check_wire() -> None:
    """Frames, requests and answers come back as they went."""
    from tidegate_worker.ipc import wire

    requests = [wire.Request(7, 1000, wire.ALONE, b"a=b", b"{}"), wire.Request(2**63, 0, 0, b"", b"")]
    answers = [wire.Answer(7, wire.OK, 0, b"", b"[1]")]
    stream = wire.pack_requests(requests) + wire.pack_answers(answers) + wire.pack_ids(wire.CANCEL, [1, 2])
    frames = wire.Frames()
    got = [frame for at in range(len(stream)) for frame in frames.feed(stream[at : at + 1])]
    assert [kind for kind, _ in got] == [wire.REQUESTS, wire.ANSWERS, wire.CANCEL]
    assert wire.unpack_requests(got[0][1]) == requests
    assert wire.unpack_answers(got[1][1]) == answers
    assert wire.unpack_ids(got[2][1]) == [1, 2]
    assert wire.unpack_meta(wire.pack_meta([("k", "v")])) == {"k": "v"}


def refused(call: Any, *arguments: Any) -> str:
    """The sentence with which the call refuses."""
    from tidegate_worker.ipc.refusal import Refusal

    try:
        call(*arguments)
    except Refusal as refusal:
        return refusal.sentence
    raise AssertionError(arguments)


def check_codec() -> None:
    """Content types, forms, tables and columns."""
    from tidegate_worker.input import column_fit, decoder, table
    from tidegate_worker.input.signature import Column

    assert decoder.media_type("application/json; charset=UTF-8") == decoder.JSON
    assert "content type" in refused(decoder.media_type, "text/xml")
    assert decoder.read_form(decoder.parse_json(b'{"inputs": [NaN], "x": 1}'))[0] == "inputs"
    assert "line 1, column 2" in refused(decoder.parse_json, b"{nope")
    assert "none of them" in refused(decoder.read_form, {})
    split = table.from_split({"columns": ["a", "n"], "data": [[1.5, 2], [2.5, 3]]})
    assert split.columns == {"a": [1.5, 2.5], "n": [2, 3]}
    assert refused(table.from_rows, [[1, 2], [3]]) == "row 2: has 1 value, but row 1 has 2."
    long = Column("n", "long", True, None)
    assert column_fit.first_misfit(long, [1, 2.0, 2**53 + 1]) is None
    assert column_fit.first_misfit(long, [1, 2.5]) == 1
    assert column_fit.first_misfit(long, [2**63]) in (None, 0)
    assert column_fit.first_misfit(Column("b", "boolean", True, None), [True, "false"]) == 1


def check_predictions() -> None:
    """Plain values, and the fallback without msgspec."""
    from tidegate_worker.model import accelerators
    from tidegate_worker.output import encoder

    fast = accelerators.fast_json()
    assert fast.note == "off: msgspec is not installed", fast.note
    assert encoder.encode([1.5, float("nan"), b"hi"], fast.encode) == b'{"predictions":[1.5,null,"aGk="]}'


def check_alarm() -> None:
    """The alarm ends a process that holds the interpreter lock, by SIGALRM."""
    from tidegate_worker.process import time_limit

    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        time_limit.prepare()
        with time_limit.alarm(0.05):
            deadline = time.time() + 30
            while time.time() < deadline:
                pass
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM, status


for check in (check_imports, check_wire, check_codec, check_predictions, check_alarm):
    check()
print("all checks passed")
