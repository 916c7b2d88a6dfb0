"""Heads that a proxy before the gateway, or a model behind it, could read otherwise than the gateway does."""

import json
from pathlib import Path

from tests.gateway.house import TOKEN, V1, house
from tests.gateway.http.test_client_connection import talk

PATHS = (b"/serving-endpoints/wine/invocations", b"/api/2.0/x")
_TOKEN = f"authorization: Bearer {TOKEN}\r\n".encode()
CASES: list[tuple[bytes, bytes, str]] = [
    (b"", b"", "HTTP/1.1"),
    (b" HTTP/0.9", b"host: x\r\n" + _TOKEN, "HTTP/1.1"),
    (b" HTTP/2.0", b"host: x\r\n" + _TOKEN, "HTTP/1.1"),
    (b" HTTP/1.1", _TOKEN, "Host"),
    (b" HTTP/1.1", b"host: x\r\nHost: y\r\n" + _TOKEN, "Host"),
    (b" HTTP/1.0", b"host: x\r\nhost: x\r\n" + _TOKEN, "Host"),
    (b" HTTP/1.1", b"host: x\r\nauthorization: Bearer wrong\r\n" + _TOKEN, "Authorization"),
    (b" HTTP/1.1", b"host: x\r\n" + _TOKEN + _TOKEN, "Authorization"),
    (b" HTTP/1.1", b"host: x\r\ncontent-type: text/csv\r\ncontent-type: a/b\r\n" + _TOKEN, "Content-Type"),
    (b" HTTP/1.1", b"host: x\r\ncontent-encoding: gzip\r\ncontent-encoding: gzip\r\n" + _TOKEN, "Content-Enc"),
    (b" HTTP/1.1", b"host: x\r\nx-request-id: a\r\nx-request-id: b\r\n" + _TOKEN, "X-Request-Id"),
    (b" HTTP/1.1", b"host: x\r\norigin: http://x\r\norigin: http://y\r\n" + _TOKEN, "Origin"),
    (b" HTTP/1.1", b"host: x\r\ncontent-length: 0\r\ncontent-length: 0\r\n" + _TOKEN, "HTTP/1.1"),
    (
        *(b" HTTP/1.1", b"host: x\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n" + _TOKEN),
        "Transfer-Encoding",
    ),
    (b" HTTP/1.1", b"host: x\r\ntransfer-encoding: gzip, chunked\r\n" + _TOKEN, "Transfer-Encoding"),
    (b" HTTP/1.0", b"host: x\r\ntransfer-encoding: chunked\r\n" + _TOKEN, "Transfer-Encoding"),
]


async def test_a_head_that_others_may_read_otherwise_gets_400(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        replica = await h.replica("aaaa0001")
        h.agent.place(V1, replica)
        for version, headers, words in CASES:
            for path in PATHS:
                client = await talk(h, b"POST " + path + version + b"\r\n" + headers + b"\r\n")
                status, answered, body = await client.answer()
                assert (status, answered["connection"]) == (400, "close"), headers
                assert words in json.loads(body)["message"]
                assert await client.end() == b""
                client.writer.close()
        assert not replica.seen
        for plain in (
            b"GET /healthz HTTP/1.0\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nhost: x\r\naccept: a\r\naccept: b\r\n\r\n",
        ):
            client = await talk(h, plain)
            assert (await client.answer())[0] == 200
            client.writer.close()
