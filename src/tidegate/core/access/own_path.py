"""Where a log-in leads to: a page of Tidegate's own, whatever a link said."""

import re

_LONGEST = 2000
# A browser takes `//host` and `/\host` for another host, and removes control characters before it reads a URL.
_OWN = re.compile(r"/(?![/\\])[!-\[\]-~]*")


def own_path(wanted: str) -> str:
    """A path of Tidegate's own with its query, percent-encoded; `/` for all that could lead elsewhere."""
    return wanted if len(wanted) <= _LONGEST and _OWN.fullmatch(wanted) else "/"
