"""Sinks of the project's own: what mlflow.yml says of them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.rooms import Rooms

SINK = """
from importlib import import_module

Sink = import_module("BASE").Sink


class Own(Sink):
    place = "a place of our own"

    def __init__(self, project):
        self.project = project

    def begin(self, started):
        pass

    def deliver(self, records, patient):
        pass

    def end(self, ended, patient):
        pass


class Half(Sink):
    def begin(self, started):
        pass
"""


def sinks_of(mlops: Rooms, folder: Path, mirrors: list[dict[str, Any]]) -> Any:
    config = mlops("config").parse_config(
        {"server": {"mlflow_tracking_uri": "http://127.0.0.1:1"}, "mirrors": mirrors}
    )
    return mlops("tracking.shipping.shipper").sinks_of(folder, config)


@pytest.fixture
def own(mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with a sink of the user's own."""
    # The template's package has no name that Python could import before it is rendered.
    base = mlops("tracking.shipping").__name__
    (tmp_path / "own_sink.py").write_text(SINK.replace("BASE", base), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "own_sink"


def test_a_class_of_the_users_own_is_a_sink_beside_the_servers(
    mlops: Rooms, tmp_path: Path, own: str
) -> None:
    mirrors: list[dict[str, Any]] = [
        {"type": f"{own}.Own", "init_kwargs": {"project": "one"}},
        {"mlflow_tracking_uri": "http://127.0.0.1:2"},
        {"type": f"{own}.Own", "init_kwargs": {"project": "two"}},
    ]
    server, *sinks = sinks_of(mlops, tmp_path, mirrors)
    assert [sink.place for sink in (server, *sinks)] == [
        "MLflow at http://127.0.0.1:1",
        "a place of our own",
        "MLflow at http://127.0.0.1:2",
        "a place of our own",
    ]
    assert [sinks[0].project, sinks[2].project] == ["one", "two"]
    names = [sink.name for sink in sinks]
    assert len(set(names)) == 3
    _, *reordered = sinks_of(mlops, tmp_path, mirrors[::-1])
    assert [sink.name for sink in reordered] == names[::-1]


@pytest.mark.parametrize(
    ("kind", "arguments", "named"),
    [
        ("own_sink.Owns", {}, "cannot be loaded"),
        ("own_snk.Own", {}, "cannot be loaded: No module named 'own_snk'"),
        ("own_sink", {}, "cannot be loaded"),
        ("pathlib.Path", {}, "is no subclass of"),
        ("own_sink.Own", {"projct": "x"}, "cannot be made with init_kwargs: "),
        ("own_sink.Half", {}, "abstract method"),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_is_no_sink_is_refused_in_a_sentence(
    mlops: Rooms, tmp_path: Path, kind: str, arguments: dict[str, str], named: str
) -> None:
    with pytest.raises(mlops("errors").TrackingError) as refusal:
        sinks_of(mlops, tmp_path, [{"type": kind, "init_kwargs": arguments}])
    assert f"mlflow.yml: mirrors.0.type: '{kind}'" in refusal.value.message
    assert named in refusal.value.message
    assert len(refusal.value.message.splitlines()) == 1
