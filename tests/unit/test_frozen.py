"""What of a project has changed since a version was trained, in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node

from tests.support.rooms import Rooms

INFERENCE = Pipeline([node(lambda *given: given, ["rows", "rates", "params:a"], "out", name="n")])
RATES = {"type": "kedro_datasets.pandas.csv_dataset.CSVDataset"}
ENTRY = {"type": "pandas.CSVDataset", "load_args": {"sep": ";"}}


def changes(mlops: Rooms, folder: Path, config: Any = None, **ours: Any) -> Any:
    """Compare a version with a project, which are the same but for what is given."""
    entries: dict[str, dict[str, Any]] = {
        "rows": {**ENTRY, "filepath": str(folder / "rows.csv"), "validator": "owner.check"},
        "rates": {"type": "pandas.CSVDataset", "filepath": str(folder / "rates.csv")},
    }
    (folder / "rates.csv").write_text(ours.pop("rates", "a\n1\n"), encoding="utf-8")
    (folder / "theirs.csv").write_text("a\n1\n", encoding="utf-8")
    entries["rows"] |= ours.pop("entry", {})
    catalog = DataCatalog.from_config(
        {name: {k: v for k, v in e.items() if v} for name, e in entries.items()}
    )
    catalog["params:a"] = MemoryDataset(ours.pop("a", 1))
    frozen = mlops("model.frozen")
    theirs = {
        "pipeline": "inference",
        "input": "rows",
        "datasets": {},
        "parameters": {"a": 1},
        "validator": "owner.check",
        "lookups": ["rates"],
        "input_entry": {**ENTRY, "type": "kedro_datasets.pandas.csv_dataset.CSVDataset"},
        "nodes": mlops("model.own_code").wiring(INFERENCE),
        "modules": [],
    }  # fmt: skip
    theirs = {name: value for name, value in {**theirs, **(config or {})}.items() if value != "-"}
    secrets = [re.compile("^mine$")]
    files = {"rates": folder / "theirs.csv"}
    return frozen.changes_since(theirs, files, folder, INFERENCE, catalog, secrets)


SAID: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"a": 2}, "parameters a (1, now 2)"),
    ({"a": 1.0}, "parameters a (1, now 1.0)"),
    ({"a": "1"}, 'parameters a (1, now "1")'),
    ({"a": None}, "parameters a (1, now null)"),
    ({"config": {"parameters": {"a": {"b": [1], "c": 2}}}, "a": {"c": 2, "b": [1]}}, ""),
    (
        {"config": {"parameters": {"a": {"b": {"c": 1}, "d": 2}}}, "a": {"b": {"c": 3}, "e": 4}},
        "parameters a.b.c (1, now 3), a.d (2, now null), a.e (null, now 4)",
    ),
    (
        {"config": {"parameters": {"a": {"token": "x", "mine": "y"}}}, "a": {"token": "CANARY1"}},
        'parameters a.mine ("********", now null), a.token ("********", now "********")',
    ),
    ({"a": "x" * 99}, f'parameters a (1, now "{"x" * 59}...)'),
    ({"config": {"parameters": {"a": float("nan")}}, "a": float("nan")}, ""),
    ({"rates": "a\n2\n"}, "look-up tables rates"),
    ({"entry": {"load_args": {"sep": ","}}}, "how rows is read"),
    ({"entry": {"load_args": None}}, "how rows is read"),
    ({"entry": {"type": "pandas.JSONDataset"}}, "how rows is read"),
    ({"entry": {"validator": "owner.other"}}, "code the validator of rows"),
    ({"entry": {"validator": None}}, "code the validator of rows"),
    ({"config": {"validator": None}}, "how rows is read"),
    ({"config": {"validator": {"class": "owner.check", "on": "load"}}},
     "code the validator of rows"),
    ({"config": {"datasets": {"rates": RATES}}}, ""),
    ({"config": {"datasets": {"rates": {**RATES, "type": "pickle.PickleDataset"}}}},
     "code data set rates"),
    ({"config": {"datasets": {"rates": {**RATES, "load_args": {"trusted": ["os.system"]}}}}},
     "code data set rates"),
    ({"config": {"datasets": {"unknown": RATES}}}, "code data set unknown"),
    ({"config": {"nodes": {"n": "other"}}}, "code node n"),
    ({"config": {"nodes": {}}}, "code node n"),
    ({"config": {"modules": ["gone.py"]}}, "code gone.py"),
    ({"a": 2, "rates": "", "entry": {"load_args": None}, "config": {"nodes": {}}},
     "parameters a (1, now 2); look-up tables rates; how rows is read; code node n"),
    # A version of an older template says less.
    ({"config": {"modules": "-", "input_entry": "-", "lookups": "-"}}, ""),
    ({"config": {"input_entry": "-"}, "entry": {"load_args": None}}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "said"), SAID, ids=range(len(SAID)))
def test_what_has_changed_is_said_in_one_line(
    mlops: Rooms, tmp_path: Path, ours: dict[str, Any], said: str
) -> None:
    assert str(changes(mlops, tmp_path, **ours)) == said
