"""Requests that came by an older product's URL: what only MLflow 1.x reads becomes what MLflow 2 reads.

A bare list of rows, an unwrapped split object and the content types with `format=` are put into the newer forms before
anything else sees them, so that they are parsed, batched and refused like all others. In such a form the client of
classic serving expects MLflow 1.x's answer: the bare predictions.
"""

import json
from typing import Any, NamedTuple, Optional, Tuple

from tidegate_worker.input import decoder
from tidegate_worker.input.decoder import Decoder
from tidegate_worker.ipc import wire
from tidegate_worker.ipc.refusal import Refusal

# How the metadata of such a request begins; the product follows.
MARK = b"surface="
_CLASSIC = b"classic"
_CONTENT_TYPE = b"\ncontent-type="
_FORMATS = ("pandas-records", "pandas-split")
_HEAD, _TAIL = b'{"predictions":', b"}"


class Modern(NamedTuple):
    """A request in the newer forms. `bare`: its client expects the predictions and nothing around them."""

    request: wire.Request
    bare: bool


def modernised(request: wire.Request, loads: Decoder = json.loads) -> Modern:
    """The same request in a form that MLflow 2 reads. What neither reads stays, to be refused as ever."""
    product, _, meta = request.meta[len(MARK) :].partition(b"\n")
    meta, had_format = _without_format(b"\n" + meta)
    body = _wrapped(request.body, meta, loads)
    bare = product == _CLASSIC and (had_format or body is not None)
    return Modern(request._replace(meta=meta[1:], body=request.body if body is None else body), bare)


def unwrapped(answer: wire.Answer) -> wire.Answer:
    """The answer as MLflow 1.x gave it."""
    body = answer.body
    whole = answer.outcome == wire.OK and body.startswith(_HEAD) and body.endswith(_TAIL)
    return answer._replace(body=body[len(_HEAD) : -len(_TAIL)]) if whole else answer


def _without_format(meta: bytes) -> Tuple[bytes, bool]:
    """The metadata, whether its content type named one of MLflow 1.x's formats, and without that."""
    head, found, rest = meta.partition(_CONTENT_TYPE)
    given, newline, tail = rest.partition(b"\n")
    parts = given.decode("latin-1").split(";")
    kept = [part for part in parts if not _is_format(part)]
    if not found or len(kept) == len(parts):
        return meta, False
    return head + found + ";".join(kept).encode("latin-1") + newline + tail, True


def _is_format(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip().lower() == "format" and value.strip(' "').lower() in _FORMATS


def _wrapped(body: bytes, meta: bytes, loads: Decoder) -> Optional[bytes]:
    """The body in the newer form of what stands bare in it; None where nothing does."""
    given = meta.partition(_CONTENT_TYPE)[2].partition(b"\n")[0]
    try:
        if decoder.media_type(given.decode("latin-1")) != decoder.JSON:
            return None
        document: Any = decoder.parse_json(body, loads)
    except Refusal:
        return None
    form = _form(document)
    if form is not None and json.detect_encoding(body) != "utf-8":
        body = json.dumps(document).encode()
    return None if form is None else b'{"%b":%b}' % (form, body)


def _form(document: Any) -> Optional[bytes]:
    if isinstance(document, list):
        return b"dataframe_records"
    bare = isinstance(document, dict) and "data" in document and not any(form in document for form in decoder.FORMS)
    return b"dataframe_split" if bare else None
