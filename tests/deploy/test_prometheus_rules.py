"""The alert rules and the Grafana dashboard: read by Prometheus' own tools, and about metrics that exist."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.services.programs import PROMETHEUS, environ
from tidegate.telemetry import METRICS

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "tidegate.json").read_text())

KNOWN = {
    f"{metric.name}{suffix}"
    for metric in METRICS
    for suffix in {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count", "")}[metric.kind]
}


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    program = PROMETHEUS.program("promtool")
    return subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=60, check=False, env=environ(program)
    )


def queries() -> list[str]:
    """Every query of the dashboard, with values for Grafana's variables."""
    targets = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    return [expr.replace("$__rate_interval", "1m").replace("$endpoint", ".*") for expr in targets]


def test_the_alert_rules_are_valid() -> None:
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_alerts_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    """Series made up for each alert, and what fires after a quarter of an hour of them."""
    series = [
        ('up{job="tidegate"}', "0x20"),
        ('tidegate_endpoint_ready{endpoint="bad"}', "0x20"),
        ('tidegate_endpoint_ready{endpoint="good"}', "1x20"),
        ('tidegate_responses_total{endpoint="bad",status="500"}', "0+60x20"),
        ('tidegate_responses_total{endpoint="bad",status="429"}', "0+6x20"),
        ('tidegate_responses_total{endpoint="good",status="200"}', "0+600x20"),
        ('tidegate_request_outcomes_total{endpoint="bad",outcome="lost"}', "0x10 3x10"),
        ('tidegate_reruns_total{endpoint="bad",revision="r"}', "0+2x20"),
        ('tidegate_builds_total{result="failed"}', "0x5 1x15"),
    ]
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    asked = [
        {"eval_time": "15m", "alertname": rule["alert"], "exp_alerts": [{"exp_labels": {"endpoint": "none"}}]}
        for rule in rules
    ]
    inputs = [{"series": name, "values": values} for name, values in series]
    (tmp_path / "test.yml").write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(RULES)],
                "evaluation_interval": "1m",
                "tests": [{"interval": "1m", "input_series": inputs, "alert_rule_test": asked}],
            }
        )
    )
    said = (
        promtool("test", "rules", tmp_path / "test.yml").stderr
        + promtool("test", "rules", tmp_path / "test.yml").stdout
    )
    fired = re.findall(r"alertname: (\w+), time: 15m,\s+exp:\[[^\]]*\],\s+got:\[\s*0:\s+Labels:\{([^}]*)\}", said)
    assert {name for name, _ in fired} == {rule["alert"] for rule in rules}, said
    assert not [labels for _, labels in fired if 'endpoint="good"' in labels]


def test_every_query_is_one_and_names_metrics_that_exist(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(queries())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = promtool("check", "rules", file)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    alerts = [rule["expr"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]]
    named = set(re.findall(r"\btidegate_\w+", " ".join([*queries(), *alerts])))
    assert named <= KNOWN, named - KNOWN


@pytest.mark.parametrize(
    "panel", [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"], ids=lambda p: p["title"]
)
def test_a_panel_has_a_title_a_unit_and_its_place(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
