"""The plan by which a loaded model serves: its path and its batching. Trials find it before the first request.

Read `serving` (the plan, and the batcher made from it), then `trials` (loads the model, and tries it in a child
process).

Nothing here serves a request: `__main__` hands the batcher to `replica_server`.
"""
