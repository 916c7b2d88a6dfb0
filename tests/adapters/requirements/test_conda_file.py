"""What a conda.yaml means to a package index."""

import pytest

from tidegate.adapters.requirements.conda_file import CondaFile, parse_conda
from tidegate.core.errors import BuildFailed


@pytest.mark.parametrize(
    ("spec", "requirement"),
    [
        ("numpy=1.26.4", "numpy==1.26.4"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("numpy=1.26.*", "numpy==1.26.*"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy=1", "numpy==1.*"),
        ("numpy=*", "numpy"),
        ("numpy", "numpy"),
        ("numpy=1.26.4=py310h_0", "numpy==1.26.4"),
        ("numpy==1.26.4=py310h_0", "numpy==1.26.4"),
        ("numpy 1.26.4 py310_0", "numpy==1.26.4"),
        ("numpy >=1.2, <2", "numpy>=1.2,<2"),
        ("numpy>=1.2\n", "numpy>=1.2"),
        ("numpy~=1.2,!=1.3.*", "numpy~=1.2,!=1.3.*"),
        ("conda-forge::Scikit_Learn=1.0.2", "scikit-learn==1.0.2"),
    ],
)
def test_conda_specifications_become_pips(spec: str, requirement: str) -> None:
    assert parse_conda({"dependencies": [spec]}).packages == (requirement,)


def test_python_build_tools_and_pip_stand_apart() -> None:
    content = {
        "dependencies": ["python=3.8.18", "pip<=23.1", "setuptools=65.5.0", "numpy", {"pip": ["mlflow", "a==1"]}]
    }
    assert parse_conda(content) == CondaFile(
        "==3.8.18", ("numpy",), ("pip<=23.1", "setuptools==65.5.0"), ("mlflow", "a==1")
    )


def test_what_no_package_index_has_is_listed() -> None:
    content = {"dependencies": ["python=3.10", "pytorch=2.1", "cudatoolkit=11.8", "numpy"]}
    with pytest.raises(BuildFailed, match=r"does not have: pytorch \(pip: torch\), cudatoolkit\. Log"):
        parse_conda(content)


LINE_ENDS = ("\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")


@pytest.mark.parametrize("content", [None, [], {"dependencies": "numpy"}, {"channels": []}])
def test_another_shape_is_refused(content: object) -> None:
    with pytest.raises(BuildFailed, match="no list of dependencies"):
        parse_conda(content)


@pytest.mark.parametrize(
    "spec",
    [
        *("numpy=1.2|1.3", "numpy[version='1.2']", "=1.2", "numpy=word", "numpy>=1;python_version>'3'"),
        *("x @ file:///srv/x", "x@/srv/x", "x@https://host/x", "x >=1@/srv/x", "x===/srv/x", "x =1 --find-links=/srv"),
        *("python @ file:///srv/x", "setuptools @ file:///srv/x", "conda-forge::x @ file:///srv/x"),
        *(f"x >=1{end}--find-links=/srv" for end in LINE_ENDS),
        *(f"x{end}>=1" for end in LINE_ENDS),
        *("x >=1\x1b", "x\0"),
    ],
)
def test_a_specification_beyond_pip_is_named(spec: str) -> None:
    with pytest.raises(BuildFailed, match="cannot be turned into a pip requirement"):
        parse_conda({"dependencies": [spec]})
