"""The administrator's token."""

import os
from pathlib import Path

import pytest

from tidegate import admin_token
from tidegate.core.errors import ConfigurationError


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


def test_it_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "admin.token"
    before = os.umask(0)
    try:
        admin_token.ensure(file)
    finally:
        os.umask(before)
    token = file.read_text()
    assert len(token) >= 43  # 256 bits
    assert mode(file) == 0o600
    admin_token.ensure(file)
    assert file.read_text() == token
    assert [path.name for path in tmp_path.iterdir()] == ["admin.token"]


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_one_would_let_everybody_in(tmp_path: Path, content: str) -> None:
    file = tmp_path / "admin.token"
    file.write_text(content)
    admin_token.ensure(file)
    assert len(file.read_text()) >= 43


def test_one_that_others_can_read_is_closed_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "admin.token"
    file.write_text("chosen by the user")
    file.chmod(0o644)
    admin_token.ensure(file)
    assert mode(file) == 0o600
    assert file.read_text() == "chosen by the user"
    assert "open to other users" in caplog.text
    assert "chosen" not in caplog.text


def test_one_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "admin.token").mkdir()
    with pytest.raises(ConfigurationError, match=r"admin\.token cannot be used: Is a directory"):
        admin_token.ensure(tmp_path / "admin.token")
