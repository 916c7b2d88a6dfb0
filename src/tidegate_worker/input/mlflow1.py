"""Requests by an older product's URL: forms that only MLflow 1.x reads are put into forms that MLflow 2 reads.

These forms are a bare list of rows, a bare split object, and content types with `format=`. They are changed before any
other step, so that the requests are parsed, batched and refused like all others. A client of classic serving that sends
such a form expects MLflow 1.x's answer: the bare predictions.
"""

import json
from typing import Any, NamedTuple, Optional, Tuple

from tidegate_worker.input import decoder
from tidegate_worker.input.decoder import Decoder
from tidegate_worker.ipc import wire
from tidegate_worker.ipc.refusal import Refusal

# The metadata of such a request begins with this, followed by the product.
MARK = b"surface="
_CLASSIC = b"classic"
_CONTENT_TYPE = b"\ncontent-type="
_FORMATS = ("pandas-records", "pandas-split")
_HEAD, _TAIL = b'{"predictions":', b"}"


class Modern(NamedTuple):
    """A request in a form of MLflow 2.

    `bare`: its client expects the predictions alone, without an object around them.
    """

    request: wire.Request
    bare: bool


def modernised(request: wire.Request, loads: Decoder = json.loads) -> Modern:
    """The request in a form that MLflow 2 reads. A body that no version reads is left as it is, and refused later."""
    product, _, meta = request.meta[len(MARK) :].partition(b"\n")
    meta, had_format = _without_format(b"\n" + meta)
    body = _wrapped(request.body, meta, loads)
    bare = product == _CLASSIC and (had_format or body is not None)
    return Modern(request._replace(meta=meta[1:], body=request.body if body is None else body), bare)


def unwrapped(answer: wire.Answer) -> wire.Answer:
    """The answer as MLflow 1.x gives it."""
    body = answer.body
    whole = answer.outcome == wire.OK and body.startswith(_HEAD) and body.endswith(_TAIL)
    return answer._replace(body=body[len(_HEAD) : -len(_TAIL)]) if whole else answer


def _without_format(meta: bytes) -> Tuple[bytes, bool]:
    """The metadata without a format of MLflow 1.x in its content type, and whether it had one."""
    head, found, rest = meta.partition(_CONTENT_TYPE)
    content_type, newline, tail = rest.partition(b"\n")
    parts = content_type.decode("latin-1").split(";")
    kept = [part for part in parts if not _is_format(part)]
    if not found or len(kept) == len(parts):
        return meta, False
    return head + found + ";".join(kept).encode("latin-1") + newline + tail, True


def _is_format(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip().lower() == "format" and value.strip(' "').lower() in _FORMATS


def _wrapped(body: bytes, meta: bytes, loads: Decoder) -> Optional[bytes]:
    """The body in a form of MLflow 2; None if it is not bare."""
    content_type = meta.partition(_CONTENT_TYPE)[2].partition(b"\n")[0]
    try:
        if decoder.media_type(content_type.decode("latin-1")) != decoder.JSON:
            return None
        document: Any = decoder.parse_json(body, loads)
    except Refusal:
        return None
    form = _form_of_bare(document)
    if form is not None and json.detect_encoding(body) != "utf-8":
        body = json.dumps(document).encode()
    return None if form is None else b'{"%b":%b}' % (form, body)


def _form_of_bare(document: Any) -> Optional[bytes]:
    if isinstance(document, list):
        return b"dataframe_records"
    bare = isinstance(document, dict) and "data" in document and not any(form in document for form in decoder.FORMS)
    return b"dataframe_split" if bare else None
