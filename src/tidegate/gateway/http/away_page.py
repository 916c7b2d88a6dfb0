"""What a browser shows while control is away: a page that comes back by itself, instead of an error in JSON."""

from collections.abc import Mapping

from tidegate import http
from tidegate.event_streams import Scope
from tidegate.gateway.http import callers
from tidegate.public_url import PublicUrl
from tidegate.web_assets import WebAssets

_HEADERS: http.Headers = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"retry-after", b"1"),
    (b"refresh", b"2"),  # seconds
]
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Restarting · Tidegate</title>
{links}
</head>
<body>
<main class="door stack">
<p class="brand">Tidegate</p>
<h1>One moment</h1>
<p>Tidegate's control plane is restarting. Models go on serving; this page comes back by itself.</p>
</main>
</body>
</html>
"""
_LINKS = {
    "favicon.svg": '<link rel="icon" href="{}" type="image/svg+xml">',
    "app.css": '<link rel="stylesheet" href="{}">',
}


def answer(
    scope: Scope, headers: Mapping[bytes, bytes], assets: WebAssets, public: PublicUrl
) -> tuple[http.Headers, bytes] | None:
    """Headers and body of the page for a browser that reads one of Tidegate's pages. None for other requests."""
    if scope["method"] != "GET" or not callers.asks_for_page(scope, headers):
        return None
    links = [link.format(public.path(assets.url(name))) for name, link in _LINKS.items() if assets.has(name)]
    return list(_HEADERS), _PAGE.format(links="\n".join(links)).encode()
