"""A machine with environments, templates and idle endpoints, to look at in the preview and to check in tests."""

from tests.dashboard.web_house import WebHouse
from tidegate.core.endpoint.machine_report import TemplateReport
from tidegate.core.endpoint.revision import EnvironmentDigest


def furnish(web: WebHouse) -> None:
    """Give the platform environments on disk and warm templates, and let all endpoints but two be idle."""
    engine, data = web.house.engine, web.house.data
    digests = sorted({seen.target.environment.digest for seen in engine.held.values()} | {"0123456789abcdef"})
    for number, digest in enumerate(digests):
        site = data.envs / digest / "lib" / "python3.11" / "site-packages"
        for package in range(20 + number):
            (site / f"p{package}-1.0.dist-info").mkdir(parents=True, exist_ok=True)
        (site / "module.py").write_text("x" * 100_000)
        (data.envs / digest / "pyvenv.cfg").write_text("home = /usr\nversion_info = 3.11.7\n")
    engine.templates = tuple(
        TemplateReport(EnvironmentDigest(digest), (4000 + number, 5000 + number), 80_000_000, 3600.0, 12)
        for number, digest in enumerate(digests[:2])
    )
    for number, revision in enumerate(engine.held):
        engine.idle[revision] = 100.0 * number
