"""Which modules a template without a record imports."""

from pathlib import Path

import pytest

from tidegate import bounded_text
from tidegate.engines.templates.template_imports import imports_of


def names(folder: Path, mlmodel: str) -> tuple[str, ...]:
    (folder / "MLmodel").write_bytes(mlmodel.encode())
    return imports_of(folder / "no record", str(folder)).names


@pytest.mark.parametrize("end", ["\n", "\r\n", "  \n", ""])
def test_the_flavor_says_what_is_imported(tmp_path: Path, end: str) -> None:
    assert "sklearn" in names(tmp_path, f"flavors:\n  python_function:\n    loader_module: mlflow.sklearn{end}")


def test_a_file_beyond_the_bound_says_nothing(tmp_path: Path) -> None:
    """Empty lines alone took a time that grew with the square of their number: hours for these."""
    text = "\n" * 10**6 + "loader_module: mlflow.sklearn\n"
    assert "sklearn" in names(tmp_path, text)
    assert "sklearn" not in names(tmp_path, "#" * bounded_text.MAX_TEXT_BYTES + "\n" + text)
