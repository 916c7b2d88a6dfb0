"""The compiled path: a parser and a layout made from the signature, in place of what MLflow does for each request.

Read `parser` (JSON into rows or columns), `layouts` (these into arrays or DataFrames), `scorer` (one request or batch
from its body to its answers), then `choose_path`, which takes this path only where its answers are those of the stock
path.

The stock path is `model.loaded_model`. Nothing here answers a request of which it is not certain: it returns None or
raises, and the stock path answers.
"""
