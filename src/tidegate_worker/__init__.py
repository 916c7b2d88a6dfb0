"""The worker: it runs inside a model's own environment, and predicts.

Read `__main__` (the start of a replica), `replica_server` (its loop), then the rooms from the highest floor down:

- `startup`: the plan by which a model serves; trials in a child process
- `batching`: requests that share a batch
- `proof`: whether the model predicts each row by itself
- `fast`: the compiled path, made from the signature
- `model`: the loaded model, and the stock path through MLflow
- `input`, `output`: request bodies into the model's input; its output into JSON
- `fork`: what makes a forked replica equal to a spawned one
- `process`, `ipc`: the replica as a process; the frames between gateways and replicas

`template` is a warm process from which replicas are forked.

The worker never imports `tidegate`. It runs on Python 3.8 to 3.13, and imports the standard library only: mlflow,
numpy, pandas and msgspec are imported inside functions. Of the worker, `tidegate` imports `ipc` and
`process.time_limit`.
"""
