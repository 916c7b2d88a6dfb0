"""Which ended revisions are dropped from the store. Every new model version leaves one behind."""

from collections.abc import Iterable

from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Revision, revision_id

# So many of the newest ended revisions of an endpoint stay in the store, besides those that a configuration has.
KEPT = 20

_OVER = frozenset({RevisionState.FAILED, RevisionState.RETIRED})


def outdated(endpoint: Endpoint, revisions: Iterable[Revision]) -> list[Revision]:
    """The ended revisions of the endpoint to drop: no configuration has them, and they are not among the newest."""
    over = [revision for revision in revisions if revision.state in _OVER]
    if len(over) <= KEPT:
        return []
    failed = (endpoint.failed.config,) if endpoint.failed else ()
    named = {
        revision_id(endpoint.id, entity) for config in (*endpoint.configs, *failed) for entity in config.served_entities
    }
    free = [revision for revision in over if revision.id not in named]
    return sorted(free, key=lambda revision: (revision.generation, revision.state_since, revision.id))[
        : max(0, len(free) - KEPT)
    ]
