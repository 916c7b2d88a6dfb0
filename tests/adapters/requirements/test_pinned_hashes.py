"""Which hashes of a model's requirements its lock has."""

import pytest

from tidegate.adapters.requirements.pinned_hashes import with_pinned_hashes
from tidegate.core.errors import BuildFailed

LOCK = "alpha==1.0 \\\n    --hash=sha256:index \\\n    --hash=sha256:more\nbeta==2.0 --hash=sha256:beta\nown @ file:///own\n"


@pytest.mark.parametrize(
    ("requirements", "hashes"),
    [
        (["alpha==1.0 --hash=sha256:b --hash=sha256:a"], "sha256:a sha256:b"),
        (["Alpha[x]>=1 --hash sha512:a"], "sha512:a"),
        (["alpha==1.0 --hash=sha256:a --hash=sha256:b", "alpha --hash=sha256:b"], "sha256:b"),
        (["alpha==1.0", "alpha --hash=sha256:b"], "sha256:b"),
        (
            ["alpha==0.1; python_version<'3.9' --hash=sha256:a", "alpha==1; python_version>='3.9' --hash=sha256:b"],
            "sha256:b",
        ),
        (["alpha==1; python_full_version=='3.10.13' --hash=sha256:a"], "sha256:a"),
        (["alpha; extra=='x' --hash=sha256:a"], "sha256:index sha256:more"),
        (
            ["alpha @ https://host/alpha-1.0-py3-none-any.whl ; sys_platform=='none' --hash=sha256:a"],
            "sha256:index sha256:more",
        ),
        (["gamma==1 --hash=sha256:a"], "sha256:index sha256:more"),
        (["alpha==1.0"], "sha256:index sha256:more"),
    ],
)
def test_what_is_pinned_stands_over_what_the_index_says(requirements: list[str], hashes: str) -> None:
    lock = with_pinned_hashes(LOCK, requirements, "3.10.13").replace("\\\n", " ")
    wanted = [f"--hash={each}" for each in hashes.split()]
    assert [line.split() for line in lock.splitlines()][:2] == [
        ["alpha==1.0", *wanted],
        ["beta==2.0", "--hash=sha256:beta"],
    ]


def test_a_lock_that_nobody_pins_is_left_alone() -> None:
    assert with_pinned_hashes(LOCK, ["alpha==1.0", "beta"], "3.10.13") == LOCK


@pytest.mark.parametrize(
    ("requirements", "complaint"),
    [
        (["alpha --hash=sha256:a", "alpha --hash=sha256:b"], "pin hashes of alpha that exclude each other"),
        (["own @ file:///own --hash=sha256:a"], "pin a hash of own, but a folder or repository has none"),
    ],
)
def test_what_cannot_be_is_refused(requirements: list[str], complaint: str) -> None:
    with pytest.raises(BuildFailed, match=complaint):
        with_pinned_hashes(LOCK, requirements, "3.10.13")
