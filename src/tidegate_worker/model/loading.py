"""Loads an MLflow model, without two steps of MLflow's that serving does not need.

For a scikit-learn model after a fork, half of the load was the MLmodel file, which PyYAML's parser in Python read three
times. A fifth was the input example, which a prediction needs in one case only. Where MLflow is built otherwise, the
load is MLflow's own.
"""

from contextlib import contextmanager, suppress
from typing import Any, Iterator


def load(model_dir: str) -> Any:
    """Load the pyfunc model. Raises whatever the model's own code raises."""
    import mlflow.pyfunc

    with _with_libyaml(), _without_example():
        pyfunc = mlflow.pyfunc.load_model(model_dir, suppress_warnings=True)
    from_example = getattr(pyfunc.metadata, "_is_type_hint_from_example", None)
    if from_example is not None and from_example():  # the one case in which a prediction needs the example
        with suppress(Exception):  # MLflow ignores errors here too
            pyfunc.input_example = pyfunc.metadata.load_input_example(model_dir)
    return pyfunc


class _LibYaml:
    """The module `yaml` with a `safe_load` by libyaml's parser, which builds the same values."""

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
def _with_libyaml() -> Iterator[None]:
    """Let MLflow's reader of MLmodel files, and no other code, use libyaml's parser if there is one."""
    from mlflow.models import model as reader

    yaml = getattr(reader, "yaml", None)
    if not hasattr(yaml, "CSafeLoader"):
        yield
        return
    reader.yaml = _LibYaml(yaml)
    try:
        yield
    finally:
        reader.yaml = yaml


@contextmanager
def _without_example() -> Iterator[None]:
    """Let MLflow find no input example while it loads the model."""
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
