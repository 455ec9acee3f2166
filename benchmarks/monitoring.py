"""Monitoring: what counting rows and predictions costs the served model."""

from __future__ import annotations

import json
import shutil

import pandas as pd

from . import project
from .measure import Command, run
from .project import Project
from .report import Row, Table
from .served import INSTANCES
from .servers import free_port
from .serving import Program, under_load

MOST = 1.03
_ROOM = project.REPOSITORY / "template/src/{{ package_name }}/mlops/monitoring"


def measure(_: int, rendered: Project) -> Table:
    """Compare `kedro mlflow serve` with the feature and without, both with metrics."""
    places = [rendered.copy(name) for name in ("watched", "unwatched")]
    shutil.copytree(_ROOM, places[0].package / "mlops" / "monitoring")
    for each in places:
        run(Command([each.programs / "kedro", "run"], each.folder))
    body = project.BENCH / "request.json"
    row = pd.read_csv(places[0].folder / INSTANCES).astype(float).head(1)
    body.write_text(json.dumps({"dataframe_split": row.to_dict("split")}), encoding="utf-8")
    programs = [
        Program(
            each,
            [each.programs / "kedro", *("mlflow", "serve", "--metrics-port", str(free_port()))],
        )
        for each in places
    ]
    (ours, without), (many, many_without) = under_load(programs, 1, body)
    rows = []
    for what, percent, two in (
        ("1 caller: p50", 50, (ours, without)),
        ("1 caller: p99", 99, (ours, without)),
        ("8 callers: p50", 50, (many, many_without)),
    ):
        first, second = (each.percentile(percent) * 1000 for each in two)
        is_bound = what == "1 caller: p50"
        rows.append(
            Row(
                what,
                f"{first:.2f} ms",
                f"{second:.2f} ms",
                f"{first / second:.3f} x",
                f"at most {MOST:g} x" if is_bound else "",
                first / second <= MOST if is_bound else None,
            )
        )
    return Table(
        "Monitoring",
        "Ours is `kedro mlflow serve --metrics-port` of a version with a reference, theirs the "
        "same in a project without the feature. One worker, one row a request.",
        rows,
    )
