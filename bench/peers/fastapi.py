"""A service written by hand with FastAPI, the way many users do it themselves."""

from collections.abc import Callable, Mapping

from bench.peers.peer import Peer, Start

_SOURCE = "https://fastapi.tiangolo.com/deployment/server-workers/"
_SERVER = "uvicorn with uvloop and httptools, no access log, `async def` with the prediction in it"


def _environment(predict: str) -> Callable[[Start], Mapping[str, str]]:
    return lambda start: {"PREDICT": predict, "MODEL": start.workload.model_dir}


def _peer(name: str, title: str, settings: str, predict: str, *arguments: str) -> Peer:
    return Peer(
        name,
        title,
        f"{settings}; {_SERVER}",
        _SOURCE,
        "fastapi",
        lambda start: start.uvicorn("fastapi_app:app", *arguments),
        environment=_environment(predict),
    )


PEERS = (
    _peer("fastapi-pyfunc", "FastAPI, pyfunc", "MLflow's pyfunc with its checks, one process", "pyfunc"),
    _peer("fastapi-bare", "FastAPI, bare model", "the scikit-learn model alone, one process", "bare"),
    _peer(
        "fastapi-bare-2-workers",
        "FastAPI, bare model, 2 workers",
        "the scikit-learn model alone, two processes",
        "bare",
        *("--workers", "2"),
    ),
)
