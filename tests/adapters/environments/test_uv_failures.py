"""uv's own words, as it wrote them, and the sentence that is made of them."""

import pytest

from tidegate.adapters.environments.uv_failures import explain, missing_packages, network_failed

NO_SOLUTION = "error: No solution found when resolving dependencies\n  cause: Because "
REFUSED = (
    "The package index host refused the credentials ({}): it got none, or wrong ones. "
    "Correct those in its URL, or the variables of the server's environment that the URL names."
)
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
                "nosuch.invalid cannot be reached, for its name is not known, and what is needed is not in the cache. "
                "Check the network and the index URL."
            ),
        ),
        (
            (
                "error: Failed to fetch: `https://u:p@host/simple/`\n"
                "  cause: HTTP status client error (401 Unauthorized) for url (https://u:p@host/simple/)"
            ),
            REFUSED.format("401 Unauthorized"),
        ),
        (
            (
                f"{NO_SOLUTION}alpha was not found in the package registry and you require alpha{END}\n\n"
                "hint: An index URL (https://host/simple/) could not be queried due to a lack of valid authentication "
                "credentials (401 Unauthorized)"
            ),
            REFUSED.format("401 Unauthorized"),
        ),
        (
            (
                f"{NO_SOLUTION}alpha was not found in the package registry and you require alpha{END}\n\n"
                "hint: An index (https://host/s3cret/simple/) returned a 403 Forbidden error. Check that"
            ),
            REFUSED.format("403 Forbidden"),
        ),
        (
            (
                "error: Git operation failed\n"
                "         fatal: could not read Username for 'https://host': terminal prompts disabled"
            ),
            REFUSED.format("could not read Username").replace("package index", "repository's server"),
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


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        ("client error (Connect)\n  cause: Connection refused (os error 111)", "host:8 cannot be reached, and"),
        ("operation timed out", "host:8 does not answer in time, and"),
        (
            "HTTP status server error (503 Service Unavailable) for url (x)",
            "host:8 answers 503 Service Unavailable, and",
        ),
        ("HTTP status client error (429 Too Many Requests) for url (x)", "host:8 answers 429 Too Many Requests, and"),
        (
            "HTTP status client error (407 Proxy Auth) for url (x)",
            "host:8 is behind a proxy that answers 407 Proxy Auth",
        ),
        (
            "client error (Connect)\n  cause: invalid peer certificate: UnknownIssuer",
            "host:8 has a certificate that is not trusted (UnknownIssuer), and",
        ),
        (
            "client error (Connect)\n  cause: received corrupt message of type InvalidContentType",
            "host:8 does not speak TLS, and",
        ),
    ],
)
def test_a_network_failure_says_how_it_failed(cause: str, sentence: str) -> None:
    lines = f"error: Failed to fetch: https://u:p@host:8/simple/\n  cause: {cause}".splitlines()
    assert network_failed(lines)
    assert explain(lines).startswith(sentence)


def test_the_variable_that_an_index_is_named_by_stands_for_it() -> None:
    assert explain(["error: Failed to fetch: ${INDEX}/six/", "  cause: timed out"]).startswith(
        "${INDEX} does not answer"
    )


def test_a_long_explanation_is_cut() -> None:
    assert len(explain([f"error: {'x' * 5000}"])) < 500


def test_a_warning_is_no_network_failure() -> None:
    assert not network_failed(["warning: the read timed out once", "error: No solution found"])


def test_the_missing_packages_are_those_that_no_index_has() -> None:
    lines = ["Because a-b was not found in the package registry and c was not found in the provided package locations"]
    assert missing_packages(lines) == {"a-b", "c"}
