"""What no server can exceed: HTTP without a model, and the model without HTTP."""

from collections.abc import Callable

from bench.peers.peer import Kind, Peer, Start

SECONDS = 2.0


def _in_process(form: str, rows: int) -> Callable[[Start], list[str]]:
    def command(start: Start) -> list[str]:
        arguments = (start.workload.model_dir, start.workload.case_path, str(SECONDS), form, str(rows))
        return start.program("in_process.py", *arguments)

    return command


def _model(name: str, title: str, settings: str, form: str, rows: int) -> Peer:
    command = _in_process(form, rows)
    return Peer(name, title, settings, "", "model", command, path="", kind=Kind.LIMIT)


PEERS = (
    Peer(
        "echo",
        "bare uvicorn, echo",
        "an ASGI function that answers with the request's body; uvloop, httptools, no access log, one process",
        "https://www.uvicorn.org/settings/",
        "echo",
        lambda start: start.uvicorn("echo_app:app"),
        read=lambda answer: answer,
        kind=Kind.LIMIT,
    ),
    _model("inprocess-pyfunc", "in process: pyfunc.predict", "one row a call, a DataFrame", "pyfunc", 1),
    _model("inprocess-bare", "in process: scikit-learn", "one row a call, an ndarray", "bare", 1),
    _model("inprocess-bare-64", "in process: scikit-learn, 64 rows", "64 rows a call, an ndarray", "bare", 64),
)
