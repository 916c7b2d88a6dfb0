"""Where downloaded models are kept."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tidegate.core.endpoint.served_entity import ModelVersion
from tidegate.data_directory import DataDirectory


@dataclass(frozen=True, slots=True)
class ModelCache:
    """One directory for each version of each registry."""

    data: DataDirectory
    registry: str  # its URI; two registries may have different models of one name

    def directory(self, model: ModelVersion) -> Path:
        """The version's directory, which exists once it has been downloaded. Its mtime is the time of its last use."""
        known = (str(model.registered_at),) if model.registered_at else ()
        key = "\n".join((self.registry, model.name, model.version, *known))
        return self.data.models / hashlib.sha256(key.encode()).hexdigest()[:16]
