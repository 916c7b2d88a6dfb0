"""The worker under every Python that models are logged with, in plain interpreters without packages."""

import subprocess
from pathlib import Path

import pytest

from tests.worker.conftest import interpreter


@pytest.mark.parametrize("minor", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
def test_the_worker_needs_only_the_standard_library(minor: str, tmp_path: Path) -> None:
    python = interpreter(minor)
    if python is None:
        pytest.skip(f"Python {minor} is not installed here")
    subprocess.run([python, "-m", "venv", "--without-pip", tmp_path / "plain"], check=True, timeout=60)
    checks, source = Path(__file__).with_name("plain_checks.py"), Path(__file__).parents[2] / "src"
    plain = tmp_path / "plain" / "bin" / "python"
    command: list[str | Path] = [plain, "-I", "-W", "error", checks, source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "all checks passed\n", done.stderr
