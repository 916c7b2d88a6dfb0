"""uv's own words, as it wrote them, and the sentence that is made of them."""

import pytest

from tidegate.adapters.uv_failures import explain, missing_packages, network_failed

NO_SOLUTION = "error: No solution found when resolving dependencies\n  cause: Because "
END = ", we can conclude that your requirements are unsatisfiable."


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            f"{NO_SOLUTION}there is no version of scikit-learn==99 and you require scikit-learn==99{END}",
            "No version of scikit-learn matches ==99. Change the model's requirements.",
        ),
        (
            f"{NO_SOLUTION}nosuch was not found in the package registry and you require nosuch{END}",
            "No package index that was asked has a package 'nosuch'. Change the model's requirements.",
        ),
        (
            f"{NO_SOLUTION}you require beta==1.0 and beta==2.0{END}",
            (
                "The requirements contradict each other: you require beta==1.0 and beta==2.0. "
                "Change the model's requirements."
            ),
        ),
        (
            (
                f"{NO_SOLUTION}tensorflow==1.15.0 has no wheels with a matching Python ABI tag (e.g., `cp310`) and you "
                f"require tensorflow==1.15{END}"
            ),
            (
                "tensorflow==1.15.0 is not offered for this Python and machine. "
                "Change its version, or log the model under another Python."
            ),
        ),
        (
            "error: Failed to fetch: http://nosuch.invalid/simple/six/\n  cause: dns error",
            (
                "nosuch.invalid cannot be reached, and what is needed is not in the cache. "
                "Check the network and the index URL."
            ),
        ),
        (
            (
                "error: Failed to fetch: `https://u:p@host/simple/`\n"
                "  cause: HTTP status client error (401 Unauthorized) for url (https://u:p@host/simple/)"
            ),
            "The package index host refused access: 401 Unauthorized. Check the credentials in its URL.",
        ),
        (
            (
                "error: Failed to download `numpy==2.2.6`\n"
                "  cause: failed to write to file `/data/c/.tmp78/numpy/a.py`: No space left on device (os error 28)"
            ),
            "The disk is full: there is no room in /data/c/.tmp78/numpy. Free space there, then try again.",
        ),
        (
            "  x Failed to build `foo==1.0`\n  cause: The build backend returned an error",
            (
                "foo==1.0 has no wheel for this Python and does not build from source; the build log says why. "
                "Change its version."
            ),
        ),
        (
            (
                "error: Couldn't parse requirement in `1.txt` at position 0\n"
                '  cause: no such comparison operator "="\n         alpha=1\n              ^^'
            ),
            (
                "The model's requirements have a line that cannot be read: "
                "'alpha=1' (no such comparison operator \"=\"). Correct it."
            ),
        ),
        ("error: something new\n  cause: deep inside", "The environment could not be made: something new."),
        ("", "The environment could not be made: no output."),
    ],
)
def test_the_sentence(output: str, sentence: str) -> None:
    assert explain(output.splitlines()) == sentence


def test_a_long_explanation_is_cut() -> None:
    assert len(explain([f"error: {'x' * 5000}"])) < 500


def test_a_warning_is_no_network_failure() -> None:
    assert not network_failed(["warning: the read timed out once", "error: No solution found"])


def test_the_missing_packages_are_those_that_no_index_has() -> None:
    lines = ["Because a-b was not found in the package registry and c was not found in the provided package locations"]
    assert missing_packages(lines) == {"a-b", "c"}
