"""How a new agent learns that a replica which it did not start is ready: it says HELLO, as a gateway does."""

import asyncio
import contextlib

import msgspec

from tidegate.core.endpoint.revision import Proof
from tidegate.engines.replicas.replica_record import ReplicaRecord
from tidegate_worker.ipc import wire


class NotListening(Exception):
    """The replica does not listen: it is not ready yet, or its socket is gone."""


class Foreign(Exception):
    """The replica speaks another protocol, or does not agree to the revision or the secret."""


class Welcome(msgspec.Struct, frozen=True):
    """What a replica answers to HELLO, as far as an agent cares."""

    protocol: int
    proof: Proof | None = None


async def greet(record: ReplicaRecord) -> Welcome:
    """The replica's WELCOME. Waits as long as it is busy predicting. Raises NotListening or Foreign."""
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
