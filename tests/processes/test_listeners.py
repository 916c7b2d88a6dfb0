"""Listening sockets on loopback."""

import contextlib
import selectors
import socket
from collections.abc import Iterator

import pytest

from tidegate.core.errors import ConfigurationError
from tidegate.processes import listeners


@contextlib.contextmanager
def listening(host: str = "127.0.0.1", port: int = 0, count: int = 1) -> Iterator[list[socket.socket]]:
    sockets = listeners.listen(host, port, count)
    with contextlib.ExitStack() as stack:
        for listener in sockets:
            stack.enter_context(listener)
        yield sockets


def test_every_socket_listens_on_the_one_port_and_gets_connections() -> None:
    with listening(count=3) as sockets, contextlib.ExitStack() as stack:
        assert len({listener.getsockname() for listener in sockets}) == 1
        assert {listener.proto for listener in sockets} == {socket.IPPROTO_TCP}
        for _ in range(100):  # the kernel spreads by hash: one of three stays empty once in 10^17
            stack.enter_context(socket.create_connection(listeners.reachable(sockets[0]), timeout=5))
        with selectors.DefaultSelector() as selector:
            for listener in sockets:
                selector.register(listener, selectors.EVENT_READ)
            assert len(selector.select(timeout=5)) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_a_taken_port_is_noticed_although_it_is_shared_among_gateways(count: int) -> None:
    with listening(count=count) as sockets:
        port = sockets[0].getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"Port {port} on 127\.0\.0\.1 is taken.*--port"):
            listeners.listen("127.0.0.1", port, count)


def test_a_port_is_free_again_at_once_after_a_connection() -> None:
    with listening() as sockets:
        address = listeners.reachable(sockets[0])
        with socket.create_connection(address, timeout=5):
            sockets[0].accept()[0].close()  # the server closes first: its side stays in TIME_WAIT
    with listening(*address):
        pass


@pytest.mark.parametrize(
    ("host", "sentence"),
    [("192.0.2.1", "not an address of this machine"), ("no-such-host.invalid", "not known here")],
)
def test_a_host_that_is_not_ours_is_refused(host: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        listeners.listen(host, 0, 1)


@pytest.mark.parametrize(("host", "loopback"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("::1", "::1")])
def test_all_addresses_are_reached_over_loopback(host: str, loopback: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        if ":" in host:
            pytest.skip("this machine has no IPv6")
    with listening(host) as sockets:
        address, port = listeners.reachable(sockets[0])
        assert address == loopback
        socket.create_connection((address, port), timeout=5).close()


@pytest.mark.parametrize(("host", "url"), [("localhost", "http://localhost:80"), ("::1", "http://[::1]:80")])
def test_url(host: str, url: str) -> None:
    assert listeners.url(host, 80) == url
