"""MLflow's own scoring server."""

from bench.peers.peer import Peer, Start

_SOURCE = "https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/"


def _peer(name: str, title: str, workers: int, workloads: tuple[str, ...]) -> Peer:
    def command(start: Start) -> list[str]:
        serve = [str(start.python), "-m", "mlflow", "models", "serve", "-m", start.workload.model_dir]
        return [*serve, "-h", "127.0.0.1", "-p", str(start.port), "-w", str(workers), "--env-manager", "local"]

    return Peer(
        name,
        title,
        f"`mlflow models serve --workers {workers}`: its FastAPI server under uvicorn; uvloop and httptools installed, "
        "access log off",
        _SOURCE,
        "mlflow",
        command,
        # uvicorn reads its options from the environment too; MLflow passes on none of its own for these
        environment=lambda _: {"UVICORN_ACCESS_LOG": "false", "UVICORN_LOG_LEVEL": "warning"},
        workloads=workloads,
    )


PEERS = (
    _peer("mlflow", "MLflow", 1, ("iris", "wide", "bulk")),
    _peer("mlflow-2-workers", "MLflow, 2 workers", 2, ("iris",)),
)
