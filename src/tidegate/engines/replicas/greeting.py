"""The greeting by which an agent asks an adopted replica whether it is ready: HELLO and WELCOME, as with a gateway."""

import asyncio
import contextlib

import msgspec

from tidegate.core.endpoint.revision import Proof
from tidegate.engines.replicas.replica_record import ReplicaRecord
from tidegate_worker.ipc import wire


class NotListening(Exception):
    """Nobody listens: the replica is not ready yet, or its socket is gone."""


class Foreign(Exception):
    """The replica speaks another protocol, or refuses the revision or the secret."""


class Welcome(msgspec.Struct, frozen=True):
    """The part of a replica's WELCOME that an agent needs."""

    protocol: int
    proof: Proof | None = None


async def greet(record: ReplicaRecord) -> Welcome:
    """The replica's WELCOME, once it is not busy with a prediction. Raises NotListening or Foreign."""
    hello = {"protocol": wire.PROTOCOL, "revision": record.revision, "secret": record.address.secret}
    try:
        reader, writer = await asyncio.open_unix_connection(record.address.path)
    except OSError:
        raise NotListening from None
    try:
        writer.write(wire.frame(wire.HELLO, msgspec.json.encode(hello)))
        welcome = await _welcome(reader)
    except OSError:
        raise NotListening from None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if welcome.protocol != wire.PROTOCOL:
        raise Foreign
    return welcome


async def _welcome(reader: asyncio.StreamReader) -> Welcome:
    frames = wire.Frames()
    try:
        while data := await reader.read(65536):
            for kind, payload in frames.feed(data):
                if kind == wire.WELCOME:
                    return msgspec.json.decode(payload, type=Welcome)
    except (wire.WireError, msgspec.DecodeError):
        raise Foreign from None
    raise Foreign
