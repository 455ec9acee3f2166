"""Tags tell how a run came about."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from kedro.framework.cli.project import run as kedro_run

from tests.tracking.conftest import Tracking

NOTHING: dict[str, Any] = {
    "run_id": "2026-01-01T00.00.00.000Z",
    "kedro_version": "1.7.0",
    "env": None,
    "pipeline_names": None,
    "tags": None,
    "node_names": None,
    "from_nodes": None,
    "to_nodes": None,
    "from_inputs": None,
    "to_outputs": None,
    "namespaces": None,
    "runtime_params": {},
}


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ({}, "kedro run"),
        ({"pipeline_names": ["a", "b"], "env": "prod"}, "kedro run --pipelines a,b --env prod"),
        ({"node_names": ("split", "fit")}, "kedro run --nodes split,fit"),
        ({"runtime_params": {"a": 1, "b": "x y"}}, "kedro run --params 'a=1,b=x y'"),
        (
            {"runtime_params": {"model": {"alpha": 1}, "token": "CANARY"}},
            "kedro run --params 'model.alpha=1,token=********'",
        ),
    ],
)
def test_the_command_starts_the_same_run(
    tracking: Tracking, given: dict[str, Any], command: str
) -> None:
    assert tracking("capture.tags").replay_command(NOTHING | given) == command


def test_every_option_of_the_command_is_one_of_kedros(tracking: Tracking) -> None:
    screen = CliRunner().invoke(kedro_run, ["--help"]).output
    for option, _ in tracking("capture.tags")._OPTIONS.values():
        assert option in screen


def test_tags_are_cut_to_what_mlflow_takes(tracking: Tracking) -> None:
    names = [f"node_{number}" for number in range(2000)]
    tags = tracking("capture.tags").run_tags(NOTHING | {"node_names": names}, ["training"], "p")
    assert len(tags["kedro.command"]) == 8000
    assert tags["kedro.pipelines"] == "training"
