"""The forms of pages: their values, and the one way in which an action ends."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tidegate.control.access.principal_middleware import principal_of
from tidegate.core.errors import BadRequest, InvalidParameter, PayloadTooLarge, TidegateError, UnsupportedMediaType
from tidegate.dashboard.site import Flash, Site

# The longest body of a form, bytes, and the most values in it. A request for the query tester is sent by no form.
MAX_FORM_BYTES, MAX_FORM_VALUES = 1024 * 1024, 1000
_URLENCODED = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """The values of a form that was sent."""

    values: Mapping[str, list[str]] = field(default_factory=dict)

    def text(self, name: str, usual: str = "") -> str:
        """A field's text without white space around it; `usual` where the form has no such field."""
        given = self.values.get(name)
        return given[0].strip() if given else usual

    def ticked(self, name: str) -> bool:
        """Whether a box is ticked."""
        return name in self.values

    def whole(self, name: str, label: str, usual: int | None = None) -> int | None:
        """A field's whole number; `usual` where it is empty. Raises InvalidParameter, with the field's label."""
        text = self.text(name)
        if not text:
            return usual
        if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 16):
            raise InvalidParameter(f"{label}: '{text[:40]}' is no whole number.")
        return int(text)

    def number(self, name: str, label: str, usual: float) -> float:
        """A field's number; `usual` where it is empty. Raises InvalidParameter, with the field's label."""
        text = self.text(name)
        try:
            number = float(text) if text else usual
        except ValueError:
            number = float("nan")
        if not abs(number) < 1e15:  # not a number is not less, either
            raise InvalidParameter(f"{label}: '{text[:40]}' is no number.")
        return number


async def read_form(request: Request) -> Form:
    """The form of a request. Raises PayloadTooLarge, UnsupportedMediaType and BadRequest."""
    kind = request.headers.get("content-type", _URLENCODED).partition(";")[0].strip().lower()
    if kind != _URLENCODED:
        raise UnsupportedMediaType(f"A form is sent as {_URLENCODED}.")
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_FORM_BYTES:
                raise PayloadTooLarge(f"The form is longer than {MAX_FORM_BYTES} bytes. Send less.")
    except ClientDisconnect:  # no defect; nobody reads the answer
        raise BadRequest("The form broke off.") from None
    try:
        return Form(
            parse_qs(body.decode("ascii"), keep_blank_values=True, errors="replace", max_num_fields=MAX_FORM_VALUES)
        )
    except ValueError:
        raise BadRequest("The form could not be read.") from None


def caller(request: Request) -> str:
    """Who acts: the name of the principal. Raises Unauthenticated where nobody is known."""
    return principal_of(request).name


async def act(site: Site, doing: Awaitable[str], back: str, then: str | None = None) -> Response:
    """Carry an action out, and go on to a page that says how it ended.

    `doing` returns what has been done, as a sentence. After it, the page `then` is shown, or `back`; after an error
    with a known cause it is `back`, with the sentence that says what to do.
    """
    try:
        done = await doing
    except TidegateError as error:
        return site.go(back, Flash("bad", error.message))
    return site.go(then or back, Flash("good", done))
