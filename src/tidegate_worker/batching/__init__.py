"""Requests that are predicted together: who shares a batch, what it costs, and the checks after its answers went out.

Read `arrivals` (a request that waits), `batcher` (forms batches and answers them), `batch_cost` (how many rows a batch
may have), then `reviewer` and `batched_kinds` (checks and proofs between two batches).

Nothing here reads a socket: `replica_server` does. Whether rows may share a batch is decided in `proof`.
"""
