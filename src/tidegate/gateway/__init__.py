"""The data plane: the public port and the scoring path.

Nothing here waits for control, the store, the registry, a log or a metric. Never an import of `tidegate.control`.
"""
