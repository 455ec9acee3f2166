"""`make pictures`: take the pictures of docs/images again, of what this version shows.

Renders a project, trains, tunes and scores in it, starts MLflow's page, Kedro-Viz, the model's
server and Prometheus, and photographs their pages. Needs Chromium and Prometheus.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import demo
from PIL import Image
from playwright.sync_api import Page, sync_playwright  # type: ignore[import-not-found]

PROJECT = demo.ROOT / "build" / "pictures"
IMAGES = demo.ROOT / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MODEL = "diabetes_progression"
# What each run is, for `kedro run`.
RUNS = ("", "model.alpha=0.3", "model.kind=forest", "model.kind=boosting")
COMMANDS = (
    *(["run", "--params", params] if params else ["run"] for params in RUNS),
    ["mlflow", "compare", "--best", "3"],
    ["mlflow", "tune", "--trials", "20", "--no-run"],
)
ROWS, SHIFT = 300, 1.3  # The batch that has drifted: a body mass index that much higher.
SECONDS_OF_TRAFFIC = 90
MOST_BYTES = 150_000
# What pages remember of readers who have closed what they offer first.
READER = """
localStorage.setItem("KedroViz", JSON.stringify({
    theme: "light", orientation: "vertical", showFeatureHints: false, layer: {visible: true},
    visible: {graph: true, code: false, miniMap: false, sidebar: false},
}));
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""

# Paths of the machine that takes them.
HIDE = """
for (const each of document.querySelectorAll("div"))
    if (each.innerText.startsWith("Path:")) each.style.visibility = "hidden";
"""


def main() -> int:
    """Take all pictures, or those that are named; 0 if that went well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="the uv to use (default: the one on the PATH)")
    parser.add_argument("--python", default=sys.executable, help="the project's Python")
    parser.add_argument("--again", action="store_true", help="take the project as it is there")
    parser.add_argument("names", nargs="*", help="pictures to take (default: all)")
    options = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None or shutil.which("prometheus") is None:
        missing = "Prometheus" if browser else "Chromium"
        name = missing.lower()
        print(f"{missing} is missing: `apt-get install {name}` installs it.", file=sys.stderr)
        return 1
    environment = demo.clean_environment(os.environ, options.python)
    try:
        if not options.again:
            make_project(options.uv, environment)
        with ExitStack() as servers:
            places = start(servers, options.uv, environment)
            take(browser, [*pictures(places)], options.names)
    except demo.StepError as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    return 0


# --- what is on the pictures ---


def make_project(uv: str, environment: Mapping[str, str]) -> None:
    """Render a project and run everything in it that leaves something to see."""
    with demo.step("Render a project with all features"):
        answers = {"features": "[tuning, monitoring]"}
        demo.render(uv, environment, PROJECT, answers)
        demo.put_under_git(environment, PROJECT)
        demo.run([uv, "sync", "--quiet"], environment, folder=PROJECT)
    for command in COMMANDS:
        with demo.step(f"kedro {' '.join(command)}"):
            demo.run([uv, "run", "kedro", *command], environment, folder=PROJECT)
    with demo.step("Score a batch that has drifted"):
        (PROJECT / demo.INSTANCES).write_text(drifted(), encoding="utf-8")
        scoring = [uv, "run", "kedro", "run", "--pipelines", "inference"]
        demo.run(scoring, environment, folder=PROJECT)


def drifted() -> str:
    """Return rows to score, of patients who are heavier than those of the training."""
    with (PROJECT / "data/01_raw/diabetes.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:ROWS]
    text = io.StringIO()
    writer = csv.DictWriter(text, [name for name in rows[0] if name != "progression"])
    writer.writeheader()
    for row in rows:
        del row["progression"]
        writer.writerow({**row, "bmi": round(float(row["bmi"]) * SHIFT, 1)})
    return text.getvalue()


def start(servers: ExitStack, uv: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Start what has pages; the address of each."""
    kedro, viz = [uv, "run", "kedro"], [uv, "run", "--isolated", "--group", "viz", "kedro", "viz"]
    ports = {name: str(demo.free_port()) for name in ("ui", "viz", "serve", "metrics", "watch")}
    prometheus = PROJECT / "deploy/monitoring/pictures.yml"
    text = (prometheus.with_name("prometheus.yml")).read_text(encoding="utf-8")
    text = text.replace("15s", "2s").replace("127.0.0.1:9090", f"127.0.0.1:{ports['metrics']}")
    prometheus.write_text(text, encoding="utf-8")
    storage = PROJECT / ".prometheus"
    shutil.rmtree(storage, ignore_errors=True)
    serve = ["serve", "--port", ports["serve"], "--metrics-port", ports["metrics"]]
    watch = [f"--web.listen-address=127.0.0.1:{ports['watch']}", f"--storage.tsdb.path={storage}"]
    commands = {
        "ui": [*kedro, "mlflow", "ui", "--port", ports["ui"]],
        "viz": [*viz, "run", "--no-browser", "--port", ports["viz"]],
        "serve": [*kedro, "mlflow", *serve],
        "watch": ["prometheus", "--config.file", str(prometheus), *watch],
    }
    log = servers.enter_context((PROJECT / "servers.log").open("w"))
    # The page is not to be opened in a browser of this machine.
    quiet = {**environment, "BROWSER": "true"}
    for command in commands.values():
        servers.enter_context(demo.process_group(command, quiet, log, PROJECT))
    places = {name: f"http://127.0.0.1:{ports[name]}" for name in commands}
    with demo.step("Start MLflow's page, Kedro-Viz, the model's server and Prometheus"):
        for name, path in {
            "ui": "/health",
            "viz": "/",
            "serve": "/ping",
            "watch": "/-/ready",
        }.items():
            wait_for(places[name] + path)
    return places


def wait_for(address: str) -> None:
    """Return once a server answers."""
    deadline = time.monotonic() + 10 * demo.SECONDS_TO_START
    while time.monotonic() < deadline:
        try:
            with demo.direct().open(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise demo.StepError(f"{address} does not answer. See {PROJECT / 'servers.log'}.")


# --- the pictures ---


def pictures(places: Mapping[str, str]) -> Iterator[tuple[str, str, str, Callable[[Page], None]]]:
    """Return each picture's name, address, a text that is on the page, and what to do there."""
    runs = runs_by_name(places["ui"])
    first, page = runs["training"], f"{places['ui']}/#"
    in_experiment = f"{page}/experiments/{first['experiment_id']}"
    view = "workflowType=machine_learning"

    def of_run(name: str, rest: str = "") -> str:
        return f"{in_experiment}/runs/{runs[name]['run_id']}{rest}?{view}"

    some = [runs[name]["run_id"] for name in list(runs) if name.startswith("training")]
    compared = quote(json.dumps(some)), quote(json.dumps([first["experiment_id"]]))
    yield "mlflow-run", of_run("training alpha=0.3"), "Registered models", nothing
    yield "mlflow-models", f"{in_experiment}/models?{view}", "Source run", widen
    compare = f"{page}/compare-runs?runs={compared[0]}&experiments={compared[1]}"
    yield "mlflow-compare", f"{compare}&{view}", "Parallel Coordinates Plot", nothing
    plot = "/artifacts/figures/feature_importance_plot.png"
    yield "mlflow-figure", of_run("training", plot), "feature_importance_plot.png", nothing
    yield "mlflow-tuning", of_run("tuning: rmse"), "Child runs", nothing
    yield "mlflow-timeline", of_run("training", "/traces"), "tr-", open_timeline
    yield "mlflow-version", f"{page}/models/{MODEL}/versions/1?{view}", "Intended use", nothing
    yield "mlflow-drift", of_run("inference version 1", "/artifacts/drift/drift.csv"), "psi", widen
    yield "kedro-viz", places["viz"], "Dismiss", draw_graph

    def send(page: Page) -> None:
        send_rows(places["serve"])
        page.set_viewport_size({"width": 1280, "height": 1020})
        page.reload()

    psi = quote('feature:psi:1h{group="all"}')
    graph = f"{places['watch']}/graph?g0.expr={psi}&g0.tab=0&g0.range_input=3m"
    yield "prometheus-drift", graph, "Graph", send


def runs_by_name(address: str) -> dict[str, dict[str, Any]]:
    """Return what MLflow says of runs, the oldest of a name."""
    api = f"{address}/api/2.0/mlflow"
    experiment = asked(f"{api}/experiments/get-by-name?experiment_name={MODEL}")["experiment"]
    body = {"experiment_ids": [experiment["experiment_id"]], "max_results": 100}
    return {
        run["info"]["run_name"]: run["info"] for run in asked(f"{api}/runs/search", body)["runs"]
    }


def asked(address: str, body: Any = None) -> Any:
    """Return the answer of MLflow's server."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with demo.direct().open(request, timeout=60) as answer:
        return json.load(answer)


def nothing(page: Page) -> None:
    """Leave a page as it is."""


def widen(page: Page) -> None:
    """Make room for the columns on the right."""
    page.set_viewport_size({"width": 1700, "height": 620})
    page.get_by_label("Toggle sidebar").click()


def open_timeline(page: Page) -> None:
    """Open the trace, and in it the times."""
    page.set_viewport_size({"width": 1280, "height": 620})
    page.get_by_text("tr-").first.click()
    page.get_by_label("Show execution timeline").click()


def draw_graph(page: Page) -> None:
    """Let the graph be all of the picture."""
    page.set_viewport_size({"width": 1000, "height": 1250})
    page.get_by_text("Dismiss").click()
    page.reload()
    page.get_by_text("Dismiss").click()


def send_rows(address: str) -> None:
    """Send the batch that has drifted to the server, as often as Prometheus needs."""
    rows = (PROJECT / demo.INSTANCES).read_bytes()
    for _ in range(SECONDS_OF_TRAFFIC // 3):
        request = urllib.request.Request(
            f"{address}/invocations", rows, {"Content-Type": "text/csv"}
        )
        with demo.direct().open(request, timeout=60):
            time.sleep(3)


def take(browser: str, wanted: list[Any], names: list[str]) -> None:
    """Photograph the pages, or those that are named."""
    known = [name for name, *_ in wanted]
    if unknown := {*names}.difference(known):
        raise demo.StepError(f"No picture is called {unknown.pop()}. There are {', '.join(known)}.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        context = chromium.new_context(viewport={"width": 1280, "height": 860})
        context.set_default_timeout(60_000)
        context.add_init_script(READER)
        for name, address, text, act in wanted:
            if names and name not in names:
                continue
            with demo.step(name), closing(context.new_page()) as page:
                page.goto(address)
                if text:
                    page.get_by_text(text).first.wait_for()
                act(page)
                page.wait_for_timeout(6000)  # Whatever moves has come to rest.
                page.evaluate(HIDE)
                save(page.screenshot(), IMAGES / f"{name}.png")


def save(screenshot: bytes, path: Path) -> None:
    """Save a picture with as many colours as the limit of its size allows."""
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    for colours in (256, 128, 64, 32, 16):
        file = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        if len(file.getvalue()) < MOST_BYTES:
            break
    path.write_bytes(file.getvalue())
    demo.say(f"{path.name}: {len(file.getvalue()) // 1000} kB")


if __name__ == "__main__":
    sys.exit(main())
