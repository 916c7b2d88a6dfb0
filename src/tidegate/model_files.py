"""YAML whose numbers are read as texts. YAML itself reads the version 3.10 as the number 3.1."""

from typing import Any

import yaml

NotYaml = yaml.YAMLError
_KEPT = {"tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"}


class _Texts(yaml.SafeLoader):
    """A loader that reads plain scalars, except null, as texts."""


_Texts.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_texts(text: str) -> Any:
    """Mappings and lists of texts and None. Raises NotYaml."""
    return yaml.load(text, _Texts)  # noqa: S506  a SafeLoader
