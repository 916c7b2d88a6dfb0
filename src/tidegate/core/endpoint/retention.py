"""Which revisions go from the record: each new version leaves one behind, and what is over is kept for a while."""

from collections.abc import Iterable

from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Revision, revision_id

# Of each endpoint, so many stay of those that are over and that no configuration has: the newest.
KEPT = 20

_OVER = frozenset({RevisionState.FAILED, RevisionState.RETIRED})


def outdated(endpoint: Endpoint, revisions: Iterable[Revision]) -> list[Revision]:
    """Those of the endpoint's revisions that nobody comes back to, all but the newest."""
    over = [revision for revision in revisions if revision.state in _OVER]
    if len(over) <= KEPT:
        return []
    failed = (endpoint.failed.config,) if endpoint.failed else ()
    named = {
        revision_id(endpoint.id, entity) for config in (*endpoint.configs, *failed) for entity in config.served_entities
    }
    free = [revision for revision in over if revision.id not in named]
    return sorted(free, key=lambda one: (one.generation, one.state_since, one.id))[: max(0, len(free) - KEPT)]
