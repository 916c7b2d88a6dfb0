"""A small HTTP server in a thread: answers as the body says, after as long as it says."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

ANSWER = b"HTTP/1.1 %s\r\ncontent-length: 2\r\n\r\nok"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bodies: `fine`, `slow SECONDS`, `refuse`, `hang up`."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            word, _, argument = (await reader.readexactly(int(length[15:]))).partition(b" ")
            if word == b"slow":
                await asyncio.sleep(float(argument))
            if word == b"hang":
                break
            writer.write(ANSWER % (b"503 Service Unavailable" if word == b"refuse" else b"200 OK"))
    writer.close()


@contextlib.contextmanager
def echo_server() -> Iterator[str]:
    """Its URL, for the length of a `with`."""
    ready, address, loop = threading.Event(), [0], asyncio.new_event_loop()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address[0] = server.sockets[0].getsockname()[1]
        ready.set()
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve_forever()

    def main() -> None:
        asyncio.set_event_loop(loop)
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        others = asyncio.all_tasks(loop)
        for other in others:
            other.cancel()
        loop.run_until_complete(asyncio.gather(*others, return_exceptions=True))
        loop.close()

    task = loop.create_task(run())
    thread = threading.Thread(target=main)
    thread.start()
    ready.wait(10)
    try:
        yield f"http://127.0.0.1:{address[0]}/invocations"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
