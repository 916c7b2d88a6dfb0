"""The proof that a model predicts each row by itself, and for which rows it holds: only these may share a batch.

Read `verdict` (what a proof says) and `row_wise` (how it is made, with the predictions of `batch_trial`), then `kinds`,
`coverage` and `batch_admission` (which rows it holds for). `text_digests` is how texts stand on record. `estimators`
says which models made-up rows can prove; for all others `real_rows` are gathered. `refutations` tell the revision's
other replicas.

Nothing here answers a request: `batching` does, and asks this room who may share a batch.
"""
