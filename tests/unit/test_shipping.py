"""The shipper delivers everything, once, whatever the sink does; the journal forgets nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from tests.support.rooms import Rooms


class Collecting:
    """A stand-in for a server: keeps what it takes, and fails when it is told to."""

    place = "nowhere"
    ends_last = False

    def __init__(
        self,
        mlops: Rooms,
        folder: Path,
        fail: Callable[[int], Exception | None] = lambda attempt: None,
    ) -> None:
        self.folder = folder
        self.delivery = mlops("tracking.shipping").Delivery.load(folder, "server")
        self.begun: list[str] = []
        self.numbers: list[int] = []
        self.ended: list[str] = []
        self.impatient = 0
        self.attempts = 0
        self._fail = fail

    def is_well(self) -> bool:
        return True

    def begin(self, started: Any) -> None:
        self.begun.append(started.data["name"])

    def deliver(self, records: list[Any], patient: bool) -> None:
        self.impatient += not patient
        self.attempts += 1
        if patient and (error := self._fail(self.attempts)):
            raise error
        self.numbers += [record.data["number"] for record in records if "number" in record.data]

    def end(self, record: Any, patient: bool) -> None:
        self.ended.append(record.data["status"])


@pytest.fixture
def quick(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between attempts."""
    monkeypatch.setattr(mlops("tracking.shipping.shipper"), "_FIRST_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(mlops("tracking.shipping.shipper"), "_LONGEST_BACKOFF_SECONDS", 0.002)
    monkeypatch.setattr(mlops("tracking.shipping.shipper"), "_SHORTEST_PAUSE_SECONDS", 0.01)


def ship(mlops: Rooms, sink: Collecting, count: int = 500) -> tuple[Any, bool]:
    """Append events while a shipper delivers them; return it, and whether all was delivered."""
    journal = mlops("tracking.journal").Journal(sink.folder)
    journal.append("run_started", name="run")
    shipper = mlops("tracking.shipping.shipper").Shipper(sink)
    shipper.start()
    for number in range(count):
        journal.append("metrics", number=number)
    journal.append("run_ended", status="FINISHED")
    shipper.finish()
    return shipper, shipper.drain(time.monotonic() + 20)


def test_all_that_was_appended_is_delivered_and_then_the_end(mlops: Rooms, tmp_path: Path) -> None:
    sink = Collecting(mlops, tmp_path)
    _, done = ship(mlops, sink)
    assert done
    assert sink.begun == ["run"]
    assert sink.numbers == list(range(500))
    assert sink.ended == ["FINISHED"]


@pytest.mark.parametrize("is_given_up", [False, True])
def test_a_sink_may_end_once_mlflow_has_all_or_is_given_up(
    is_given_up: bool, mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = Collecting(mlops, tmp_path), Collecting(mlops, tmp_path)
    last.ends_last, answers = True, threading.Event()
    monkeypatch.setattr(first, "begin", lambda started: answers.wait(20))
    journal = mlops("tracking.journal").Journal(tmp_path)
    journal.append("run_started", name="run")
    journal.append("run_ended", status="FINISHED")
    one, two = mlops("tracking.shipping.shipper").shippers_of([first, last])
    for shipper in (one, two):
        shipper.start()
        shipper.finish()
    two.join(0.3)
    assert last.ended == []
    if is_given_up:
        assert not one.drain(time.monotonic())
    else:
        answers.set()
    assert two.drain(time.monotonic() + 20)
    assert (last.ended, first.ended) == (["FINISHED"], [] if is_given_up else ["FINISHED"])
    answers.set()


def test_a_long_journal_is_delivered_without_pauses_and_ends_with_its_process(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlops("tracking.journal"), "_CHUNK_BYTES", 1000)
    journal = mlops("tracking.journal").Journal(tmp_path)
    journal.append("run_started", name="run")
    for number in range(100):
        journal.append("metrics", number=number)
    sink = Collecting(mlops, tmp_path)
    shipper = mlops("tracking.shipping.shipper").Shipper(sink)
    waited: list[int] = []

    def wait(seconds: float) -> None:
        waited.append(len(sink.numbers))
        journal.append("run_ended", status="FINISHED")
        shipper.finish()

    monkeypatch.setattr(shipper._finishing, "wait", wait)
    shipper.start()
    assert shipper.daemon
    assert shipper.drain(time.monotonic() + 20)
    assert waited == [100]
    assert sink.ended == ["FINISHED"]


@pytest.mark.usefixtures("quick")
def test_a_server_that_comes_back_gets_everything_once(mlops: Rooms, tmp_path: Path) -> None:
    sink = Collecting(
        mlops, tmp_path, lambda attempt: ConnectionError("gone") if attempt < 4 else None
    )
    shipper, done = ship(mlops, sink)
    assert done
    assert shipper.error is None
    assert sink.numbers == list(range(500))


@pytest.mark.usefixtures("quick")
def test_what_fails_again_and_again_at_a_server_that_is_well_holds_nothing_up(
    mlops: Rooms, tmp_path: Path
) -> None:
    sink = Collecting(mlops, tmp_path, lambda attempt: ConnectionError("a poisoned record"))
    _, done = ship(mlops, sink)
    assert done
    assert sink.impatient


def test_a_sink_that_is_gone_is_waited_for_seconds_and_nothing_is_lost(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlops("tracking.shipping.shipper"), "_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(Collecting, "is_well", lambda self: False)
    sink = Collecting(mlops, tmp_path, lambda attempt: ConnectionError("gone"))
    started = time.monotonic()
    shipper, done = ship(mlops, sink, count=5)
    assert not done
    assert time.monotonic() - started < 10
    assert isinstance(shipper.error, ConnectionError)
    assert len(list(mlops("tracking.journal").all_records(tmp_path))) == 7


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("well", [False, True])
def test_a_sink_that_loses_an_answer_late_is_given_the_time_that_it_takes(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, well: bool
) -> None:
    """If it is there, as much as it needs; else a few seconds from then on."""
    monkeypatch.setattr(mlops("tracking.shipping.shipper"), "_GRACE_SECONDS", 0.5)
    monkeypatch.setattr(Collecting, "is_well", lambda self: well)
    sink = Collecting(mlops, tmp_path)
    calls = iter([1.0, 2.0 if well else 0.2])

    def take(records: list[Any], patient: bool) -> None:
        seconds = next(calls, 0)
        time.sleep(seconds)
        if seconds == 1.0:
            raise ConnectionError("cut off")

    monkeypatch.setattr(sink, "deliver", take)
    _, done = ship(mlops, sink, count=5)
    assert done


def test_an_error_that_waiting_does_not_mend_stops_the_delivery(
    mlops: Rooms, tmp_path: Path
) -> None:
    shipper, done = ship(mlops, Collecting(mlops, tmp_path, lambda attempt: ValueError("no")), 5)
    assert not done
    assert isinstance(shipper.error, ValueError)


def test_a_later_process_goes_on_where_one_has_stopped(mlops: Rooms, tmp_path: Path) -> None:
    journal = mlops("tracking.journal").Journal(tmp_path)
    journal.append("run_started", name="run")
    journal.append("metrics", number=1)
    first = Collecting(mlops, tmp_path)
    shipper = mlops("tracking.shipping.shipper").Shipper(first)
    shipper.start()
    while not first.numbers:
        time.sleep(0.01)
    shipper.drain(time.monotonic() + 0.5)
    journal.append("metrics", number=2)
    second = Collecting(mlops, tmp_path)
    later = mlops("tracking.shipping.shipper").Shipper(second)
    later.start()
    later.finish()
    assert later.drain(time.monotonic() + 20)
    assert (first.numbers, second.numbers) == ([1], [2])
    assert second.begun == ["run"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_that_is_put_away_while_another_process_looks_at_it_costs_neither_anything(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    module = mlops("tracking.shipping.sync")
    folder = tmp_path / "journal" / "run"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}", encoding="utf-8")

    class Lock(module.FileLock):  # type: ignore[name-defined]
        def take(self) -> bool:
            if moment == "before":
                module.put_away(folder)
            taken = bool(super().take())
            if moment == "after":
                module.put_away(folder)
            return taken

    monkeypatch.setattr(module, "FileLock", Lock)
    assert list(module.sync(folder.parent, None)) == []
    assert list(tmp_path.rglob("*")) == [folder.parent]


def test_a_run_that_is_just_starting_is_left_alone(mlops: Rooms, tmp_path: Path) -> None:
    """Its folder is there before anything is in it, and its lock before its first record."""
    module = mlops("tracking.shipping.sync")
    empty, locked = tmp_path / "journal" / "empty", tmp_path / "journal" / "locked"
    for folder in (empty, locked):
        folder.mkdir(parents=True)
    (locked / "run.json").write_text("{}", encoding="utf-8")
    with mlops("disk").FileLock(locked / "lock") as taken:
        assert taken
        assert list(module.sync(tmp_path / "journal", None)) == [module.Outcome("locked", None)]
    assert empty.exists()
    assert (locked / "run.json").exists()
    # Nobody holds the lock any more: it was killed before it had started, and nothing is lost.
    assert list(module.sync(tmp_path / "journal", None)) == []
    assert not locked.exists()


def test_a_run_of_another_environment_is_left_for_it(mlops: Rooms, tmp_path: Path) -> None:
    folder = tmp_path / "journal/one"
    mlops("tracking.journal").Journal(folder).append("run_started")
    (folder / "run.json").write_text('{"environment": "staging"}', encoding="utf-8")
    module = mlops("tracking.shipping.sync")
    outcomes = list(module.sync(folder.parent, mlops("config").KedroMlflowConfig()))
    assert outcomes == [module.Outcome("one", None, environment="staging")]
    assert folder.exists()


@pytest.mark.parametrize("restore", [True, False])
def test_a_deleted_experiment_is_restored_unless_mlflow_yml_says_otherwise(
    mlops: Rooms, tmp_path: Path, restore: bool
) -> None:
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment_id = client.create_experiment("study", tmp_path.as_uri())
    client.delete_experiment(experiment_id)
    options = mlops("config").ExperimentOptions(name="study", restore_if_deleted=restore)
    assert mlops("tracking.shipping.runs").find_experiment(client, options) == experiment_id
    found = client.get_experiment(experiment_id)
    assert found.lifecycle_stage == ("active" if restore else "deleted")


def test_an_experiment_is_made_as_mlflow_yml_says(
    mlops: Rooms, tmp_path: Path, database: str
) -> None:
    client, find = MlflowClient(database), mlops("tracking.shipping.runs").find_experiment
    kwargs = {"artifact_location": f"{tmp_path.as_uri()}/files", "tags": {"team": "a"}}
    options = mlops("config").ExperimentOptions(name="study", create_experiment_kwargs=kwargs)
    found = client.get_experiment(find(client, options))
    assert found.artifact_location == kwargs["artifact_location"]
    assert found.tags == {"team": "a", "mlflow.experimentKind": "custom_model_development"}
    assert find(client, options) == found.experiment_id


@pytest.mark.parametrize("wins", [True, False])
def test_an_experiment_that_another_run_makes_meanwhile_is_taken(
    mlops: Rooms, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch, wins: bool
) -> None:
    client, make = MlflowClient(database), MlflowClient.create_experiment

    def create(self: Any, name: str, *given: Any) -> str:
        if wins:
            make(self, name, *given)
        raise ConnectionError("it exists, or nothing answers")

    monkeypatch.setattr(MlflowClient, "create_experiment", create)
    kwargs = {"artifact_location": tmp_path.as_uri()}
    options = mlops("config").ExperimentOptions(name="study", create_experiment_kwargs=kwargs)
    find = mlops("tracking.shipping.runs").find_experiment
    if wins:
        assert client.get_experiment(find(client, options)).name == "study"
    else:
        with pytest.raises(ConnectionError):
            find(client, options)


def test_an_experiment_whose_folder_is_gone_takes_no_run(
    mlops: Rooms, tmp_path: Path, database: str
) -> None:
    client, find = MlflowClient(database), mlops("tracking.shipping.runs").find_experiment
    client.create_experiment("study", f"{tmp_path}/moved/away/files")
    options = mlops("config").ExperimentOptions(name="study")
    with pytest.raises(mlops("errors").TrackingError, match="/moved/away/files, a folder that is"):
        find(client, options)
    # MLflow's own, in a folder of whoever made the database.
    assert find(client, mlops("config").ExperimentOptions(name="Default")) == "0"


def test_how_far_a_delivery_has_got_is_remembered(mlops: Rooms, tmp_path: Path) -> None:
    delivery = mlops("tracking.shipping").Delivery
    first = delivery.load(tmp_path, "server")
    assert (first.run_id, first.resumed, first.done) == (None, False, False)
    first.run_id, first.offsets, first.done = "r", {"1.jsonl": 5}, True
    first.save()
    second = delivery.load(tmp_path, "server", resumed=True)
    assert (second.run_id, second.offsets, second.done) == ("r", {"1.jsonl": 5}, True)
    assert second.resumed
    assert delivery.load(tmp_path, "mirror-1").run_id is None
    assert [path.name for path in tmp_path.iterdir()] == ["delivery-server.json"]


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("status", ["READY", "PENDING"])
def test_a_retry_takes_a_model_of_its_own_and_nobody_elses(
    mlops: Rooms, tmp_path: Path, joined: bool, status: str
) -> None:
    """In a run that was there before, a ready model may be another program's."""
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment_id = client.create_experiment("study", tmp_path.as_uri())
    run_id = client.create_run(experiment_id).info.run_id
    before = client.create_logged_model(experiment_id, "model", run_id)
    if status == "READY":
        client.finalize_logged_model(before.model_id, "READY")
    delivery = mlops("tracking.shipping").Delivery.load(tmp_path, "server")
    delivery.experiment_id, delivery.joined = experiment_id, joined
    shipment = mlops("tracking").Shipment(client, delivery, run_id, None)
    taken = mlops("tracking.shipping.lineage")._find(shipment, "model")
    takes_it = status == "PENDING" or not joined
    assert (taken and taken.model_id) == (before.model_id if takes_it else None)


@pytest.mark.parametrize("counts", [(1, 0, 0), (250, 801, 3), (100, 800, 100)])
def test_batches_keep_to_mlflows_limits_and_lose_nothing(
    mlops: Rooms, counts: tuple[int, int, int]
) -> None:
    record = mlops("tracking.journal").Record
    params, metrics, tags = counts
    records = [
        record("params", 1, {"values": {f"p{n}": "x" for n in range(params)}}),
        record("tags", 1, {"values": {f"t{n}": "x" for n in range(tags)}}),
        record("metrics", 7, {"values": [[f"m{n}", 1.0, n] for n in range(metrics)]}),
    ]
    made = list(mlops("tracking.shipping.batches").batches(records))
    assert [p.key for b in made for p in b.params] == [f"p{n}" for n in range(params)]
    assert [(m.key, m.step, m.timestamp) for b in made for m in b.metrics] == [
        (f"m{n}", n, 7) for n in range(metrics)
    ]
    assert sum(len(b.tags) for b in made) == tags
    for batch in made:
        assert len(batch.params) <= 100
        assert len(batch.params) + len(batch.metrics) + len(batch.tags) <= 1000
    assert len(made) == max(-(-params // 100), -(-metrics // 800), 1)


def mlflow_sink(mlops: Rooms, folder: Path, uri: str) -> Any:
    config = mlops("config")
    sink = mlops("tracking.shipping.mlflow_sink").MlflowSink(
        config.ServerOptions(mlflow_tracking_uri=uri), config.TrackingOptions()
    )
    sink.attach("server", folder)
    return sink


def test_one_piece_that_is_refused_takes_nothing_else_with_it(mlops: Rooms, tmp_path: Path) -> None:
    """With a real store: it takes no second value for a parameter."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    run_id = client.create_run("0").info.run_id
    client.log_param(run_id, "taken", "1")
    sink = mlflow_sink(mlops, tmp_path, uri)
    sink._opened, sink.delivery.run_id = client, run_id
    batch = mlops("tracking.shipping.batches").Batch(
        [Metric("m", 1.0, 1, 0)], [Param("taken", "2"), Param("free", "2")], [RunTag("t", "x")]
    )
    sink._log_batch(run_id, batch, patient=True)
    run = client.get_run(run_id)
    assert run.data.params == {"taken": "1", "free": "2"}
    assert run.data.metrics == {"m": 1.0}
    (line,) = (tmp_path / "server.refused").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["what"] == "the parameter taken"
    assert sink.delivery.refused == 1
    assert " refuses the parameter taken for good (" in sink.notes[0]
    assert f"`uv run kedro mlflow sync --give-up {tmp_path.name}` deletes it." in sink.notes[0]
    # What was refused is no event of the run, which goes on.
    assert [*mlops("tracking.journal").all_records(tmp_path)] == []


def test_a_continued_run_keeps_its_parameters_and_the_changed_ones_are_told(
    mlops: Rooms, tmp_path: Path
) -> None:
    """With a real store: it takes no second value for a parameter."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    run_id = client.create_run("0").info.run_id
    old = {"same": "1", "alpha": "0.5", "db": "pg://me:CANARY-1@host/a", "token": "CANARY-2"}
    client.log_batch(run_id, params=[Param(*item) for item in (old | {"long": "x" * 99}).items()])
    sink = mlflow_sink(mlops, tmp_path, uri)
    record = mlops("tracking.journal").Record
    new = {"same": "1", "alpha": "0.7", "db": "pg://host/b", "token": "********", "beta": "2"}
    started = {"name": "n", "tags": {"t": "x"}, "journal": "j", "join": run_id}
    sink.begin(record("run_started", 1, started))
    records = [
        record("params", 1, {"values": new | {"long": "y" * 99}}),
        record("metrics", 1, {"values": [["m", 1.0, 0]]}),
    ]
    for _ in range(2):
        sink.deliver(records, patient=True)
    run = client.get_run(run_id)
    assert run.data.params == old | {"long": "x" * 99, "beta": "2"}
    assert run.data.metrics == {"m": 1.0}
    assert sink.delivery.refused == 0
    assert mlops("tracking.shipping.batches").describe_changes(sink.delivery.changed) == (
        "MLflow lets no run change its parameters, and this one keeps "
        "alpha = 0.5 (this time 0.7), db = pg://********@host/a (this time pg://host/b), "
        f"long = {'x' * 60}... (this time {'y' * 60}...)."
    )
