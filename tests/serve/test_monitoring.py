"""The drift of what is served: counted by the workers, computed by a real Prometheus."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.support import answers
from tests.support.machine import environment, free_port, program
from tests.support.processes import wait_until
from tests.support.profiles import IS_WEEKLY, weekly
from tests.support.project import PACKAGE, Project, listening
from tests.support.serving import Served, serving

FEATURE = {"features": "[monitoring]"}


@pytest.fixture(scope="module")
def project(rendered: Project, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with monitoring, trained."""
    folder = tmp_path_factory.mktemp("watched") / "project"
    answers.render(template, folder, FEATURE)
    answers.git(folder, "init", "--quiet")
    made = Project(folder, rendered.environment)
    made.kedro("run")
    return made


@pytest.fixture(scope="module")
def served(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    workers = ("--workers", "2" if IS_WEEKLY else "1")  # test_serving.py has two each time.
    with serving(project, tmp_path_factory.mktemp("serving"), *workers) as server:
        yield server
    assert "Traceback" not in server.screen(), server.screen()


@pytest.fixture(scope="module")
def prometheus(
    project: Project, served: Served, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A real Prometheus with the rendered configuration, but faster."""
    binary = program("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    source = project.folder / "deploy/monitoring"
    config = yaml.safe_load((source / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    address = urllib.parse.urlsplit(served.metrics).netloc
    config["scrape_configs"][0]["static_configs"] = [{"targets": [address]}]
    config["rule_files"] = [str(folder / "rules.yml")]
    rules = (source / "rules.yml").read_text("utf-8").replace("for: 10m", "for: 1s")
    (folder / "rules.yml").write_text(rules, "utf-8")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")
    url = f"http://127.0.0.1:{(port := free_port())}"
    options = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data")
    machine = Project(folder, Path("/usr"))
    assert binary == "/usr/bin/prometheus"
    with listening(
        machine,
        "prometheus",
        *options,
        f"--web.listen-address=127.0.0.1:{port}",
        url=f"{url}/-/ready",
    ):
        yield url


def asked(prometheus: str, query: str) -> list[Any]:
    """What Prometheus answers to a query, or has just answered.

    On a busy machine a scrape may take longer than its second, and what it should show is gone
    until the next one.
    """
    text = urllib.parse.urlencode({"query": f"last_over_time(({query})[20s:1s])"})
    with urllib.request.urlopen(f"{prometheus}/api/v1/query?{text}", timeout=30) as answer:
        content = json.load(answer)
    assert content["status"] == "success"
    return list(content["data"]["result"])


def values(prometheus: str, query: str, label: str = "feature") -> dict[str, float]:
    return {each["metric"][label]: float(each["value"][1]) for each in asked(prometheus, query)}


def send(served: Served, rows: pd.DataFrame) -> None:
    """Send rows one by one and many at a time, in several shapes of the protocol."""
    clean = json.loads(rows.to_json(orient="records"))
    for row in clean[:20]:
        assert served.ask("/invocations", {"dataframe_records": [row]}).status == 200
    split = json.loads(rows[20:120].to_json(orient="split"))
    assert served.ask("/invocations", {"dataframe_split": split}).status == 200
    csv = rows[120:].to_csv(index=False).encode()
    assert served.ask("/invocations", csv, "text/csv").status == 200


def raw(project: Project) -> pd.DataFrame:
    rows = pd.read_csv(project.folder / "data/01_raw/diabetes.csv")
    return rows.drop(columns="progression")


def test_rules_and_dashboard_are_what_prometheus_takes(project: Project, tmp_path: Path) -> None:
    promtool = program("promtool", "prometheus")
    source = project.folder / "deploy/monitoring"
    for check in (("check", "rules", "rules.yml"), ("check", "config", "prometheus.yml")):
        done = subprocess.run(
            [promtool, *check], cwd=source, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    dashboard = json.loads((source / "dashboard.json").read_text("utf-8"))
    found = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    rules = [{"record": f"r{n}", "expr": expr} for n, expr in enumerate(found)]
    path = tmp_path / "dashboard.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}), "utf-8")
    subprocess.run([promtool, "check", "rules", path], check=True, capture_output=True)
    known = {
        r.get("record")
        for g in yaml.safe_load((source / "rules.yml").read_text("utf-8"))["groups"]
        for r in g["rules"]
    }
    assert {name for expr in found for name in re.findall(r"feature:\w+(?::1h)?", expr)} <= known


# Reads a dashboard as Grafana's own models do; what they do not know, they leave out.
GRAFANA = """\
import json, sys
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
register_default_plugins()
content = json.load(sys.stdin)
read = json.loads(JSONEncoder().encode(Dashboard.from_json(content)))

def lost(given, found, path):
    pairs = given.items() if isinstance(given, dict) else enumerate(given)
    for key, value in pairs:
        place = f"{path}/{key}"
        if isinstance(given, dict) and key not in found:
            yield place
        elif isinstance(value, dict | list) and type(value) is type(found[key]):
            yield from lost(value, found[key], place)
        elif value != found[key]:
            yield place

print(*lost(content, read, ""))
"""


@weekly
def test_grafanas_models_know_all_of_the_dashboard(project: Project, tmp_path: Path) -> None:
    programs = environment(tmp_path / "venv", "grafana-foundation-sdk==1769699998!10.1.0")
    path = project.folder / "deploy/monitoring/dashboard.json"
    dashboard = json.loads(path.read_text("utf-8"))
    found = []
    for _ in range(2):
        command, given = [str(programs / "python"), "-c", GRAFANA], json.dumps(dashboard)
        found += subprocess.check_output(command, input=given, text=True).splitlines()
        dashboard["panels"][0]["fieldConfig"]["defaults"]["unitt"] = "short"
    assert found == ["", "/panels/0/fieldConfig/defaults/unitt"]


def test_a_shift_is_seen_by_prometheus_and_the_trainings_rows_are_not(
    project: Project, served: Served, prometheus: str
) -> None:
    """First the training's own rows, then twice as many whose body mass index has grown."""
    rows = raw(project).sample(300, random_state=1)
    # What Prometheus has not seen as zero has not increased.
    wait_until(lambda: asked(prometheus, "count_over_time(serving_feature_rows_total[1m]) > 2"))
    send(served, rows)
    total = 'sum by (feature) (serving_feature_rows_total{group="all"})'
    wait_until(lambda: values(prometheus, total).get("bmi") == len(rows))
    assert set(values(prometheus, total)) == {*rows, "progression"}
    psi = 'feature:psi:1h{group="all"}'
    counted = f'min(feature:rows:1h{{group="all"}}) >= {len(rows) - 1}'
    wait_until(lambda: asked(prometheus, counted))
    wait_until(lambda: max(values(prometheus, psi).values(), default=1) < 0.25)
    assert not asked(prometheus, 'ALERTS{alertname="FeatureDrift"}')

    shifted = pd.concat([rows, rows])
    shifted["bmi"] = (shifted["bmi"] * 1.6).round(1)
    send(served, shifted)
    wait_until(lambda: values(prometheus, psi).get("bmi", 0) > 0.5)
    wait_until(lambda: asked(prometheus, 'ALERTS{alertname="FeatureDrift",feature="bmi"}'))
    assert values(prometheus, psi)["glucose"] < 0.1
    excess = 'feature:excess_share:1h{group="all",kind="input",flaw="beyond"}'
    assert values(prometheus, excess)["bmi"] > 0.05
    assert values(prometheus, excess)["glucose"] < 0.05
    # All rows are counted, a few seconds later.
    counts = 'sum by (group) (serving_feature_rows_total{feature="bmi"})'
    groups: dict[str, float] = {}

    def are_all_counted() -> bool:
        groups.update(values(prometheus, counts, "group"))
        return groups.get("all") == groups.get("sex=1", 0) + groups.get("sex=2", 0) == 900

    wait_until(are_all_counted)
    # What the dashboard shows is there.
    dashboard = json.loads((project.folder / "deploy/monitoring/dashboard.json").read_text("utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            series, label = re.findall(r"label_values\((.*), (\w+)\)", variable["query"]["query"])[
                0
            ]
            queries.append(f"count by ({label}) ({series})")
    for name, chosen in {"model": PACKAGE, "group": "all", "feature": "bmi"}.items():
        queries = [query.replace(f"${name}", chosen) for query in queries]
    assert [query for query in queries if not asked(prometheus, query)] == []


def test_no_value_of_a_row_is_at_the_metrics_port(served: Served) -> None:
    with urllib.request.urlopen(served.metrics, timeout=30) as answer:
        text = answer.read().decode()
    assert "serving_feature_rows_total{" in text
    assert re.search(r'serving_feature_reference_share\{.*bucket="\(other\)"', text)
    assert os.fspath(served.log.parent) not in text
