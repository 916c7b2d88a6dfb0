"""Listening sockets. The supervisor makes them for the gateways, so that waiting connections survive a gateway."""

import errno
import ipaddress
import socket
from typing import Any

from tidegate.core.errors import ConfigurationError

_BACKLOG = 2048


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """Make `count` sockets that listen on the same address. The kernel spreads connections over them.

    Port 0 picks a free port. Raises ConfigurationError when the address is in use, is not one of this machine, or is
    not allowed.
    """
    family, address = _resolve(host, port)
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sockets.append(_listening(family, address, alone=not sockets))
            address = sockets[0].getsockname()
    except OSError as error:
        for made in sockets:
            made.close()
        raise ConfigurationError(_sentence(host, port, error)) from None
    return sockets


def reachable(listener: socket.socket) -> tuple[str, int]:
    """The numeric host and the port at which a client on this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = "::1" if listener.family == socket.AF_INET6 else "127.0.0.1"
    return host, port


def url(host: str, port: int) -> str:
    """The address as a URL."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _resolve(host: str, port: int) -> tuple[int, tuple[Any, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigurationError(
            f"The host '{host}' is not known here ({error.strerror}). Set --host to an address of this machine."
        ) from None
    return found[0][0], found[0][4]


def _listening(family: int, address: tuple[Any, ...], alone: bool) -> socket.socket:
    # asyncio sets no TCP_NODELAY on a socket whose proto is 0, and every answer would take 40 ms longer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # With SO_REUSEPORT from the start, two platforms could share a port unnoticed. So the first socket binds
        # without it, and sets it afterwards for the others.
        if not alone:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        listener.close()
        raise
    return listener


def _sentence(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken by another program. End that one, or choose another port with --port or "
            "TIDEGATE_SERVER__PORT."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine. Set --host to one that is, or to 0.0.0.0 for all."
    if error.errno == errno.EACCES:
        return f"Port {port} may not be opened by this user. Choose one from 1024 on with --port."
    return f"Listening on {host}, port {port} failed: {error.strerror}. Choose others with --host and --port."
