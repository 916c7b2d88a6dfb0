"""The attributes of a session's cookie."""

from http.cookies import SimpleCookie

from tidegate.control.access.session_cookie import remove_cookie, set_cookie
from tidegate.public_url import PublicUrl, parse


def test_no_script_reads_it_and_no_other_site_sends_it() -> None:
    assert set_cookie("s3cret", PublicUrl()) == "tidegate_session=s3cret; Path=/; HttpOnly; SameSite=Lax"
    below = set_cookie("s3cret", parse("https://example.org/ml"))
    assert below == "tidegate_session=s3cret; Path=/ml/; HttpOnly; SameSite=Lax; Secure"
    cookie = SimpleCookie(remove_cookie(parse("https://example.org/ml")))["tidegate_session"]
    assert (cookie.value, cookie["max-age"], cookie["path"], cookie["secure"]) == ("", "0", "/ml/", True)
