"""Adapters of what is outside (database, MLflow, uv, clock) to the protocols of `tidegate.ports`.

No exception of a library leaves an adapter: its callers get a `TidegateError` with a sentence.
"""
