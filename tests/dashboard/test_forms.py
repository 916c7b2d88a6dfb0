"""Forms: how they are read, and how an action ends."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tidegate.core.errors import BadRequest, InvalidParameter, TidegateError
from tidegate.dashboard.forms import MAX_FORM_BYTES, Form, read_form

FORM = Form({"name": [" wine "], "share": ["12"], "bad": ["1e400"], "empty": [""]})


def test_a_form_has_texts_numbers_and_boxes() -> None:
    assert (FORM.text("name"), FORM.text("none", "usual"), FORM.ticked("empty"), FORM.ticked("none")) == (
        "wine",
        "usual",
        True,
        False,
    )
    assert (FORM.whole("share", "Share"), FORM.whole("empty", "Share", 3), FORM.number("share", "Share", 0.0)) == (
        12,
        3,
        12.0,
    )


@pytest.mark.parametrize("text", ["1.5", "x", "²", "9" * 400, "--1", "١"])
def test_what_is_no_whole_number_is_named_with_its_label(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^Share: '.{1,40}' is no whole number\.$"):
        Form({"a": [text]}).whole("a", "Share")


@pytest.mark.parametrize("text", ["inf", "nan", "x", "1e400", "1_000x"])
def test_what_is_no_number_is_named_with_its_label(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^Seconds: "):
        Form({"a": [text]}).number("a", "Seconds", 1.0)


async def _echo(request: Request) -> Response:
    try:
        return JSONResponse(dict((await read_form(request)).values))
    except TidegateError as error:
        return JSONResponse(error.message, 400)


async def test_a_form_is_read_within_bounds() -> None:
    app = httpx.ASGITransport(Starlette(routes=[Route("/", _echo, methods=["POST"])]))
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}

    async with httpx.AsyncClient(transport=app, base_url="http://a", headers=headers) as client:

        async def sent(body: str) -> object:
            return (await client.post("/", content=body.encode())).json()

        assert await sent("a=1&a=%3Cb%3E%C3%A9&b=") == {"a": ["1", "<b>é"], "b": [""]}
        assert await sent("a=%ff%00&&=") == {"a": ["\ufffd\0"], "": [""]}
        assert "longer than" in str(await sent("a=" + "x" * MAX_FORM_BYTES))
        assert await sent("a=é") == "The form could not be read."
        assert await sent("&".join(["a=1"] * 1001)) == "The form could not be read."
        refused = await client.post("/", content=b"{}", headers={"content-type": "application/json"})
        assert "is sent as" in refused.json()


async def test_a_form_whose_sender_leaves_is_no_defect() -> None:
    messages: list[dict[str, object]] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b"a=1", "more_body": True},
    ]

    async def receive() -> dict[str, object]:
        return messages.pop()

    with pytest.raises(BadRequest, match="broke off"):
        await read_form(Request({"type": "http", "method": "POST", "headers": []}, receive))
