"""A Ray Serve application: `ray_app.py MODEL PORT MAX_BATCH_SIZE BATCH_WAIT_SECONDS`."""

import os
import shutil
import signal
import sys
import tempfile

FOLDER = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # short, for the sockets in it; Ray's settings are read on import
os.environ |= {
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{FOLDER}/haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{FOLDER}/haproxy.sock",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{FOLDER}/metrics.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": FOLDER,
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{FOLDER}/haproxy.state",
}

import numpy as np  # noqa: E402
import ray  # noqa: E402
from ray import serve  # noqa: E402

MODEL, PORT, MAX_BATCH_SIZE, WAIT = sys.argv[1], *map(float, sys.argv[2:])
PROGRAMS = sys.path[0]


class Plain:
    """Scores rows."""

    def __init__(self, model_dir, programs):
        sys.path.insert(0, programs)
        from saved_model import load

        self.model = load(model_dir)

    async def __call__(self, request):
        body = await request.json()
        return {"predictions": self.model.predict(np.array(body["dataframe_split"]["data"])).tolist()}


class Batched(Plain):
    """Scores the rows of many requests at once."""

    async def __call__(self, request):
        body = await request.json()
        return {"predictions": (await self.predict(np.array(body["dataframe_split"]["data"]))).tolist()}

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=WAIT)
    async def predict(self, requests):
        lengths = [len(rows) for rows in requests]
        return np.split(self.model.predict(np.concatenate(requests)), np.cumsum(lengths)[:-1])


def main() -> None:
    try:
        ray.init(include_dashboard=False, log_to_driver=False, _temp_dir=FOLDER, _node_ip_address="127.0.0.1")
        serve.start(http_options={"host": "127.0.0.1", "port": int(PORT)})
        deployment = serve.deployment(
            Batched if MAX_BATCH_SIZE > 1 else Plain,
            name="model",
            max_ongoing_requests=512,
            logging_config={"enable_access_log": False, "log_level": "WARNING"},
        )
        serve.run(deployment.bind(MODEL, PROGRAMS), route_prefix="/invocations")
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
        ray.shutdown()
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
main()
