"""The name of a run says what it is."""

from __future__ import annotations

from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node

from tests.support.rooms import Rooms


def start_of(mlops: Rooms, runtime: dict[str, Any], *inputs: str, about: str = "") -> Any:
    """A run of one node with these inputs."""
    names = list(inputs) or ["params:model", "params:seed"]
    pipeline = Pipeline([node(lambda *_: 1, names, "out", name="fit")])
    values = {"model": {"alpha": 1.0, "api_key": "CANARY-k"}, "seed": 7}
    catalog = DataCatalog({"parameters": MemoryDataset(values)})
    run_params = {"runtime_params": runtime, "env": "staging"}
    return mlops("tracking").RunStart(
        run_params, ["training"], pipeline, catalog, about=[about] if about else []
    )


@pytest.mark.parametrize(
    ("runtime", "inputs", "name"),
    [
        ({}, (), "training"),
        ({"model": {"alpha": 10}}, (), "training alpha=10"),
        (
            {"model": {"alpha": 10, "kind": "ridge"}, "seed": 3},
            (),
            "training alpha=10 kind=ridge seed=3",
        ),
        # Two of one name are told apart.
        ({"a": {"x": 1}, "b": {"x": 2}}, ("params:a", "params:b"), "training a.x=1 b.x=2"),
        ({"model": {"alpha": 10}}, ("parameters",), "training alpha=10"),
        ({"model": {"alpha": 10}}, ("params:model.alpha",), "training alpha=10"),
        # What no node reads has changed nothing.
        ({"model": {"alpha": 10}}, ("params:seed",), "training"),
        ({"model": {"api_key": "CANARY-x"}}, (), "training api_key=********"),
        ({"seed": "x" * 200}, (), f"training seed={'x' * 30}..."),
        ({"seed": "a\n b"}, (), "training seed=a b"),
        ({"model": dict.fromkeys("abcdefg", 1)}, (), "training a=1 b=1 c=1 d=1 +3"),
    ],
)
def test_it_has_the_pipelines_and_what_was_changed(
    mlops: Rooms, runtime: dict[str, Any], inputs: tuple[str, ...], name: str
) -> None:
    run_name = mlops("tracking.capture.tags").run_name
    assert run_name(None, start_of(mlops, runtime, *inputs)) == name


def test_a_listener_adds_to_it(mlops: Rooms) -> None:
    start = start_of(mlops, {}, about="version 3")
    assert mlops("tracking.capture.tags").run_name(None, start) == "training version 3"


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("nightly", "nightly"),
        ("{pipelines} in {env}", "training in staging"),
        ("{pipelines}: a={model.alpha} ({changed})", "training: a=1.0 (seed=3)"),
        ("{seed}", "7"),
        ("{model.api_key}", "********"),
        ("{changed}{changed}", "seed=3seed=3"),
        ("x" * 300, "x" * 250),
    ],
)
def test_its_owner_gives_it_a_template(mlops: Rooms, template: str, name: str) -> None:
    run_name = mlops("tracking.capture.tags").run_name
    assert run_name(template, start_of(mlops, {"seed": 3})) == name


@pytest.mark.parametrize("template", ["{pipeline}", "{model}", "{model.beta}", "a {x} b"])
def test_a_placeholder_that_means_nothing_is_refused_by_name(mlops: Rooms, template: str) -> None:
    placeholder = template[template.index("{") : template.index("}") + 1]
    with pytest.raises(mlops("errors").TrackingError, match=r"tracking\.run\.name has") as raised:
        mlops("tracking.capture.tags").run_name(template, start_of(mlops, {}))
    assert placeholder in str(raised.value.message)
