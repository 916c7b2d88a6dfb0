"""All servers that are measured, in the order of their first round."""

from collections.abc import Iterable

from bench.peers import bentoml, fastapi, limits, litserve, mlflow, mlserver, pytriton, ray, tidegate
from bench.peers.peer import Peer

PEERS: tuple[Peer, ...] = (
    *tidegate.PEERS,
    *mlflow.PEERS,
    *mlserver.PEERS,
    *litserve.PEERS,
    *bentoml.PEERS,
    *ray.PEERS,
    *pytriton.PEERS,
    *fastapi.PEERS,
    *limits.PEERS,
)


def chosen(only: Iterable[str]) -> list[Peer]:
    """The peers of these names or families (`mlflow` is also `mlflow-2-workers`); all when none is named.

    Raises ValueError naming what there is.
    """
    wanted = list(only)
    known = {name for peer in PEERS for name in (peer.name, peer.family)}
    if unknown := sorted(set(wanted) - known):
        raise ValueError(f"There is no peer {', '.join(unknown)}; there are {', '.join(peer.name for peer in PEERS)}.")
    return [peer for peer in PEERS if not wanted or {peer.name, peer.family} & set(wanted)]
