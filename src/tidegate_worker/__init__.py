"""The worker: it runs inside a model's own environment and predicts.

Standard library only at import, Python 3.8 to 3.13; mlflow, numpy, pandas and msgspec are imported inside functions. It
never imports `tidegate`. Of `tidegate`, only `gateway.transport` and the engines import from here, and only `wire`.
"""
