"""An nginx server."""

import contextlib
import os
from collections.abc import Iterator

from tests.services.process import Program, folder, free_port, listens, running
from tests.services.programs import NGINX

_CONFIGURATION = """
{user}
daemon off;
pid {home}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {server}
    }}
}}
"""


@contextlib.contextmanager
def nginx_server(server: str) -> Iterator[str]:
    """An nginx with these directives in its one `server` block; its URL."""
    with folder() as home:
        port, user = free_port(), "user root;" if os.geteuid() == 0 else ""
        file = home / "nginx.conf"
        file.write_text(_CONFIGURATION.format(home=home, port=port, user=user, server=server))
        words = [NGINX.program("nginx"), "-e", "stderr", "-p", home, "-c", file]
        with running(Program(words), home / "log", lambda: listens(port)):
            yield f"http://127.0.0.1:{port}"
