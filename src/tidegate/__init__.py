"""Tidegate serves MLflow models as REST endpoints on your own machine.

Control decides, engines run, the gateway answers, the worker predicts; `core` is what they all agree on.
The floors (who may import whom) are in docs/code-map.md and checked by `make check`.
"""

__version__ = "0.1.0"
