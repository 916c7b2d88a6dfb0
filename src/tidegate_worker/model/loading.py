"""Loads an MLflow model without what MLflow does at each load and serving does not need.

Measured for a scikit-learn model after a fork: half of the load was the MLmodel file, read three times by PyYAML's
parser in Python; a fifth was the input example, which predictions ask for in one case only. Where MLflow is built
otherwise, it loads as it always does.
"""

from contextlib import contextmanager, suppress
from typing import Any, Iterator


def load(model_dir: str) -> Any:
    """The pyfunc model. Raises whatever the model's own code raises."""
    import mlflow.pyfunc

    with _quick_yaml(), _no_example():
        pyfunc = mlflow.pyfunc.load_model(model_dir, suppress_warnings=True)
    from_example = getattr(pyfunc.metadata, "_is_type_hint_from_example", None)
    if from_example is not None and from_example():  # the one case in which a prediction asks for it
        with suppress(Exception):  # as MLflow does
            pyfunc.input_example = pyfunc.metadata.load_input_example(model_dir)
    return pyfunc


class _QuickYaml:
    """The module `yaml`, but for `safe_load`: by libyaml's parser, which builds the same values."""

    def __init__(self, yaml: Any) -> None:
        self._yaml = yaml

    def __getattr__(self, name: str) -> Any:
        return getattr(self._yaml, name)

    def safe_load(self, stream: Any) -> Any:
        text = stream if isinstance(stream, (str, bytes)) else stream.read()
        try:
            return self._yaml.load(text, Loader=self._yaml.CSafeLoader)
        except self._yaml.YAMLError:
            return self._yaml.safe_load(text)


@contextmanager
def _quick_yaml() -> Iterator[None]:
    """MLflow's reader of MLmodel files takes libyaml's parser, where there is one; nobody else does."""
    from mlflow.models import model as reader

    yaml = getattr(reader, "yaml", None)
    if not hasattr(yaml, "CSafeLoader"):
        yield
        return
    reader.yaml = _QuickYaml(yaml)
    try:
        yield
    finally:
        reader.yaml = yaml


@contextmanager
def _no_example() -> Iterator[None]:
    """MLflow finds no input example while it loads; it may be asked for afterwards."""
    from mlflow.models import Model

    read = getattr(Model, "load_input_example", None)
    if read is None:
        yield
        return
    Model.load_input_example = lambda *_args, **_options: None
    try:
        yield
    finally:
        Model.load_input_example = read
