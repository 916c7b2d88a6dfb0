"""A Ray Serve application: `ray_app.py MODEL PORT plain|batched`."""

import signal
import sys
import tempfile

import numpy as np
import ray
from ray import serve

MODEL, PORT, FORM = sys.argv[1], int(sys.argv[2]), sys.argv[3]
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

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.001)
    async def predict(self, requests):
        lengths = [len(rows) for rows in requests]
        return np.split(self.model.predict(np.concatenate(requests)), np.cumsum(lengths)[:-1])


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        ray.init(include_dashboard=False, log_to_driver=False, _temp_dir=folder, _node_ip_address="127.0.0.1")
        serve.start(http_options={"host": "127.0.0.1", "port": PORT})
        deployment = serve.deployment(
            Batched if FORM == "batched" else Plain,
            name="model",
            max_ongoing_requests=512,
            logging_config={"enable_access_log": False, "log_level": "WARNING"},
        )
        serve.run(deployment.bind(MODEL, PROGRAMS), route_prefix="/invocations")
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
        serve.shutdown()
        ray.shutdown()


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
main()
