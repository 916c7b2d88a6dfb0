"""Who is calling, and the house error shape that Databricks' clients understand."""

import base64
import hashlib
import inspect
import json

import pytest
import requests
from databricks.sdk.errors.parser import _Parser
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS

from tidegate import http
from tidegate.core import errors

KINDS = sorted(http.STATUS, key=lambda kind: kind.__name__)
RETRIED = {429, 503}  # the statuses that both clients send again by themselves


def basic(credentials: str) -> bytes:
    return b"Basic " + base64.b64encode(credentials.encode())


# --- errors


def test_every_error_that_can_be_raised_has_a_status() -> None:
    classes = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}
    assert {kind for kind in classes if "code" in vars(kind)} == set(http.STATUS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_body_has_a_code_and_a_sentence_and_nothing_else(kind: type[errors.TidegateError]) -> None:
    body = json.loads(http.error_body(kind('It says "no": ünïcode\n.')))
    assert body == {"error_code": http.STATUS[kind][1], "message": 'It says "no": ünïcode\n.'}


@pytest.mark.parametrize("kind", KINDS)
def test_mlflow_shows_every_code_with_its_class_of_status(kind: type[errors.TidegateError]) -> None:
    status, code = http.STATUS[kind]
    shown = ERROR_CODE_TO_HTTP_STATUS[code]
    assert shown // 100 == status // 100
    assert (shown in RETRIED) == (status in RETRIED)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sdk_reads_code_and_sentence_of_every_error(kind: type[errors.TidegateError]) -> None:
    response = requests.Response()
    response.request = requests.Request("GET", "http://localhost/").prepare()
    response.status_code, code = http.STATUS[kind]
    response._content = http.error_body(kind("It says no."))
    read = _Parser().get_api_error(response)
    assert (read.error_code, str(read)) == (code, "It says no.")


def test_whose_fault_it_is_agrees_with_the_status() -> None:
    for kind, (status, _) in http.STATUS.items():
        if kind.fault is errors.Fault.CALLER:
            assert 400 <= status < 500, kind
        if kind.fault is errors.Fault.PLATFORM:
            assert status >= 500, kind


def test_an_error_says_when_to_try_again() -> None:
    headers = dict(http.error_headers(errors.Unavailable("Soon.", retry_after=1.2)))
    assert headers == {b"content-type": b"application/json", b"retry-after": b"2"}
    assert b"retry-after" not in dict(http.error_headers(errors.Unavailable("Later.")))


def test_browsers_are_asked_for_the_token() -> None:
    headers = dict(http.error_headers(errors.Unauthenticated("Who?")))
    assert headers[b"www-authenticate"] == b'Basic realm="tidegate"'


# --- credentials


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (b"Bearer abc", "abc"),
        (b"bearer abc ", "abc"),
        (basic("token:abc"), "abc"),
        (basic("token:a:b"), "a:b"),
        (b"BASIC " + base64.b64encode(b"token:abc"), "abc"),
    ],
)
def test_a_token_is_read(header: bytes, token: str) -> None:
    assert http.bearer_token(header) == token


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (None, "No credentials were sent. Send the header 'Authorization: Bearer <token>'"),
        (b"", "No credentials were sent."),
        (b"Basic !!!", "The Basic credentials are not valid base64."),
        (b"Basic \xff\xff", "The Basic credentials are not valid base64."),
        (b"Basic " + base64.b64encode(b"\xff:\xff"), "The Basic credentials are not valid base64."),
        (basic("admin:abc"), "must have the user name 'token'"),
        (b"Digest abc", "Only Bearer and Basic credentials are understood."),
    ],
)
def test_other_credentials_are_refused_with_a_reason(header: bytes | None, sentence: str) -> None:
    with pytest.raises(errors.Unauthenticated) as caught:
        http.bearer_token(header)
    assert sentence in caught.value.message


@given(st.binary(), st.sampled_from((b"", b"Basic ", b"Bearer ")))
@example(b"\xff", b"Basic ")
def test_no_header_breaks_the_reader(rest: bytes, scheme: bytes) -> None:
    try:
        assert isinstance(http.bearer_token(scheme + rest), str)
    except errors.Unauthenticated as refusal:
        assert rest.decode("latin-1") not in refusal.message or len(rest) < 8


def test_a_token_is_kept_as_its_hash() -> None:
    assert http.token_hash("abc") == hashlib.sha256(b"abc").hexdigest()


# --- request ids


@pytest.mark.parametrize("given_id", [b"a", b"2f1c-9.A_z:1", b"x" * 128])
def test_a_harmless_request_id_is_kept(given_id: bytes) -> None:
    assert http.request_id(given_id) == given_id


@pytest.mark.parametrize("given_id", [None, b"", b"x" * 129, b"a b", b"a\r\nset-cookie: x", "ü".encode()])
def test_any_other_is_replaced_by_a_new_one(given_id: bytes | None) -> None:
    made = http.request_id(given_id)
    assert made != given_id
    assert len(bytes.fromhex(made.decode())) == 16
    assert made != http.request_id(given_id)
