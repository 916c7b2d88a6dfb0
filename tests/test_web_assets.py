"""The static files of the web pages, as they are named and answered."""

import gzip
from pathlib import Path

import pytest

from tidegate.web_assets import FOLDER, AssetAnswer, UnknownAsset, WebAssets, lean

CSS = b"\n".join([b"body { color: #0b63ce }"] * 50)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"app.css": CSS, "vendor/lib.min.js": b"x" * 200, "logo.png": b"\x89PNG" * 60, "vendor/LICENSE": b"MIT"}
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def answer(assets: WebAssets, name: str, accept: bytes = b"", known: bytes = b"") -> AssetAnswer:
    found = assets.answer(assets.url(name), accept, known)
    assert found is not None
    return found


def test_a_name_has_the_contents_hash(folder: Path) -> None:
    before = WebAssets.load(folder)
    assert before.url("vendor/lib.min.js") == "/static/vendor/lib.min.aa20c23e.js"
    (folder / "app.css").write_bytes(CSS + b"/* new */")
    after = WebAssets.load(folder)
    assert after.url("app.css") != before.url("app.css")
    assert after.url("logo.png") == before.url("logo.png")
    assert after.answer(before.url("app.css")) is None


def test_only_the_folders_files_of_known_types_are_there(folder: Path) -> None:
    (folder.parent / "secret.css").write_bytes(b"")
    assets = WebAssets.load(folder)
    for path in ("/static/app.css", "/static/../secret.css", "/static/vendor/LICENSE", "/static/", "/static/vendor"):
        assert assets.answer(path) is None
    assert assets.has("vendor/lib.min.js")
    assert not assets.has("vendor/LICENSE")
    with pytest.raises(UnknownAsset, match=r"no static file 'vendor/htmx.js'.*make setup"):
        assets.url("vendor/htmx.js")


def test_a_missing_folder_is_an_empty_one(tmp_path: Path) -> None:
    assert not WebAssets.load(tmp_path / "none").has("app.css")


def test_a_browser_keeps_a_file_for_good_and_guesses_no_type(folder: Path) -> None:
    headers = dict(answer(WebAssets.load(folder), "app.css").headers)
    assert headers[b"cache-control"] == b"public, max-age=31536000, immutable"
    assert headers[b"content-type"] == b"text/css; charset=utf-8"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"vary"] == b"accept-encoding"


@pytest.mark.parametrize(
    ("accept", "zipped"),
    [
        (b"", False),
        (b"gzip, deflate, br", True),
        (b"br;q=1.0, GZIP;q=0.5", True),
        (b"gzip;q=0, *", False),
        (b"*", True),
        (b"gzip;q=0.0", False),
        (b"gzip;q=words", False),
        (b"identity, br", False),
    ],
)
def test_a_file_is_compressed_for_whom_that_pleases(folder: Path, accept: bytes, zipped: bool) -> None:
    found = answer(WebAssets.load(folder), "app.css", accept)
    assert (dict(found.headers).get(b"content-encoding") == b"gzip") is zipped
    assert (gzip.decompress(found.body) if zipped else found.body) == CSS


def test_a_picture_is_sent_as_it_is(folder: Path) -> None:
    assert b"content-encoding" not in dict(answer(WebAssets.load(folder), "logo.png", b"gzip").headers)


def test_a_known_file_is_not_sent_again(folder: Path) -> None:
    assets = WebAssets.load(folder)
    plain = dict(answer(assets, "app.css").headers)[b"etag"]
    zipped = dict(answer(assets, "app.css", b"gzip").headers)[b"etag"]
    assert plain != zipped
    for accept, tag in ((b"", plain), (b"gzip", zipped), (b"gzip", b'"x", W/' + zipped), (b"", b"*")):
        found = answer(assets, "app.css", accept, tag)
        assert (found.status, found.body) == (304, b"")
    assert answer(assets, "app.css", b"", zipped).status == 200


def test_the_platform_has_its_mark() -> None:
    assert WebAssets.load(FOLDER).has("favicon.svg")


def test_comments_and_indentation_are_not_sent() -> None:
    text = "/* One line. */\na { /* stays */\n    b: c;\n\n  /* Several\n     lines. */\n  d: e;\n}\n"
    assert lean(text) == "a { /* stays */\nb: c;\nd: e;\n}"


@pytest.mark.parametrize("file", sorted([*FOLDER.glob("*.js"), *FOLDER.glob("*.css")]), ids=lambda file: file.name)
def test_what_is_left_out_of_our_files_is_nothing_but_comments(file: Path) -> None:
    text = file.read_text()
    assert all(line.count("`") % 2 == 0 for line in text.splitlines()), "a text that goes over several lines"
    for line in map(str.strip, text.splitlines()):
        assert not line.startswith("/*") or "*/" not in line or line.endswith("*/"), line
