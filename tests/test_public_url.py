"""The setting `server.public_url`: how it is read, and the sentence for what it cannot be."""

import pytest

from tidegate.core.errors import ConfigurationError
from tidegate.public_url import OWN_PATHS, PublicUrl, parse
from tidegate.settings_loading import load


@pytest.mark.parametrize(
    ("text", "origin", "prefix"),
    [
        ("", "", ""),
        ("https://example.org", "https://example.org", ""),
        ("https://example.org/", "https://example.org", ""),
        ("HTTPS://Example.ORG:443/ml/tidegate/", "https://example.org", "/ml/tidegate"),
        ("http://example.org:80", "http://example.org", ""),
        ("http://example.org:443", "http://example.org:443", ""),
        ("http://[::1]:8080/a", "http://[::1]:8080", "/a"),
        ("http://10.0.0.1/ml.v2~x", "http://10.0.0.1", "/ml.v2~x"),
    ],
)
def test_what_it_means(text: str, origin: str, prefix: str) -> None:
    assert parse(text) == PublicUrl(origin, prefix)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("example.org", "http://"),
        ("ftp://example.org", "http://"),
        ("https://", "host"),
        ("https:///ml", "host"),
        ("https://user:secret@example.org", "password"),
        ("https://example.org/?a=1", "query"),
        ("https://example.org/#a", "fragment"),
        ("https://example.org//ml", "path"),
        ("https://example.org/ml//x", "path"),
        ("https://example.org/ml/../x", "path"),
        ("https://example.org/a b", "path"),
        ("https://example.org/%6Dl", "path"),
        ("https://example.org/<x>", "path"),
        ("https://exa mple.org", "host"),
        ("https://example.org\nx", "no URL"),
        ("https://example.org:0", "no URL"),
        ("https://example.org:x", "no URL"),
        ("https://[::1", "no URL"),
        *((f"https://example.org/{own}/x", own) for own in sorted(OWN_PATHS)),
    ],
)
def test_what_it_cannot_be_ends_the_start(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({"TIDEGATE_SERVER__PUBLIC_URL": text})
    assert "server.public_url" in caught.value.message
    assert says in caught.value.message


def test_paths_and_urls() -> None:
    url = parse("https://example.org/ml")
    assert (url.path(), url.path("/login")) == ("/ml/", "/ml/login")
    assert (url.absolute(), url.absolute("/login")) == ("https://example.org/ml", "https://example.org/ml/login")
    assert url.secure
    assert not parse("http://example.org").secure
    assert (PublicUrl().path("/x"), PublicUrl().absolute("/x"), PublicUrl().secure) == ("/x", "/x", False)


def test_the_callers_host_stands_in_for_a_url_that_no_setting_says() -> None:
    assert parse("https://example.org/ml").for_host("10.0.0.1:8080").absolute() == "https://example.org/ml"
    assert PublicUrl().for_host("10.0.0.1:8080").absolute("/x") == "http://10.0.0.1:8080/x"
