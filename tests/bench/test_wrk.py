"""What wrk reports is read right."""

import pytest

from bench import wrk

REPORT = """Running 2s test @ http://127.0.0.1:46673/invocations
  1 threads and 64 connections
  Latency Distribution
     50%  585.95us
     75%  655.49ms
     90%  744.15ms
     99%    1.33s \n{failures}  182 requests in 2.11s, 25.59KB read
Requests/sec:     86.31
Transfer/sec:     12.14KB
"""


@pytest.mark.parametrize(
    ("failures", "failed"),
    [
        ("", 0),
        ("  Non-2xx or 3xx responses: 7\n", 7),
        ("  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 7\n", 17),
    ],
)
def test_parse(failures: str, failed: int) -> None:
    found = wrk.parse(REPORT.format(failures=failures))
    assert (found.requests_per_second, found.p99, found.failed) == (86.31, 1330.0, failed)
    assert found.p50 == pytest.approx(0.58595)
