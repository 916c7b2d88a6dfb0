"""A LitServe service: `litserve_app.py MODEL PORT FAST_QUEUE MAX_BATCH_SIZE BATCH_TIMEOUT_SECONDS`."""

import sys

import litserve
import numpy as np
from saved_model import load


class Api(litserve.LitAPI):
    """Scores rows."""

    def setup(self, _device):
        self.model = load(MODEL)

    def decode_request(self, request):
        return np.array(request["dataframe_split"]["data"])

    def predict(self, rows):
        return self.model.predict(rows)

    def encode_response(self, output):
        return {"predictions": output.tolist()}


class BatchedApi(Api):
    """Scores the rows of many requests at once."""

    def batch(self, inputs):
        self.lengths = [len(rows) for rows in inputs]
        return np.concatenate(inputs)

    def unbatch(self, output):
        return np.split(output, np.cumsum(self.lengths)[:-1])


MODEL, PORT, FAST_QUEUE, MAX_BATCH_SIZE = sys.argv[1], *map(int, sys.argv[2:5])
BATCH_TIMEOUT = float(sys.argv[5])

if __name__ == "__main__":
    api = BatchedApi(max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT) if MAX_BATCH_SIZE > 1 else Api()
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=bool(FAST_QUEUE))
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning", access_log=False)
