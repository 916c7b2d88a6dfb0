"""A loaded model and the stock path: each request through MLflow, as MLflow's own scoring server does.

Read `loading` (from the directory), `loaded_model` (one request in, one answer out), `readiness` (the first prediction,
which makes a replica ready), then `sample_requests` (made-up requests to try the model with) and `accelerators`
(packages that only make the worker faster).

The compiled path is `fast`, and batches are formed in `batching`.
"""
