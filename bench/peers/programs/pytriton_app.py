"""A model under PyTriton: `pytriton_app.py MODEL HTTP_PORT GRPC_PORT METRICS_PORT`."""

import sys

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from saved_model import load

MODEL = load(sys.argv[1])
HTTP, GRPC, METRICS = map(int, sys.argv[2:])


@batch
def infer(rows):
    """Score the rows of a batch."""
    return {"predictions": MODEL.predict(rows).reshape(-1, 1)}


def main() -> None:
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=HTTP,
        grpc_address="127.0.0.1",
        grpc_port=GRPC,
        metrics_port=METRICS,
        metrics_address="127.0.0.1",
        log_verbose=0,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="model",
            infer_func=infer,
            inputs=[Tensor(name="rows", dtype=np.float64, shape=(MODEL.n_features_in_,))],
            outputs=[Tensor(name="predictions", dtype=np.int64, shape=(1,))],
            config=ModelConfig(max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
            strict=False,
        )
        triton.serve()


main()
