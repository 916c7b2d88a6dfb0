"""An update under the same name is another series; a name that tells the version is enough."""

import pytest

from tidegate.core.series.served_label import served_label


@pytest.mark.parametrize(
    ("name", "version", "label"),
    [
        ("wine-2", "2", "wine-2"),
        ("champion", "2", "champion · version 2"),
        ("wine-12", "2", "wine-12 · version 2"),
        ("2wine", "2", "2wine"),
        ("wine-2-blue", "2", "wine-2-blue"),
        ("a", "x.*", "a · version x.*"),
    ],
)
def test_a_label_tells_name_and_version(name: str, version: str, label: str) -> None:
    assert served_label(name, version) == label


def test_a_label_fits_into_a_record_of_the_ledger() -> None:
    assert len(served_label("x" * 63, "é" * 500).encode()) <= 256
