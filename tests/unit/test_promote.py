"""A promotion in a real registry: one champion, its history and its verdict, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.pipeline import Pipeline, node
from mlflow import MlflowClient

from tests.support.promoting import PIPELINES, RULES
from tests.support.rooms import Rooms


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db"


@pytest.fixture
def registry(
    mlops: Rooms, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SimpleNamespace:
    """Versions 1 to 4 with a run each: the champion, a better one, a worse one, a better one."""
    comparison = mlops("registry.comparison")
    monkeypatch.setattr(comparison, "registered_pipelines", lambda: PIPELINES)
    config = mlops("config").parse_config(
        {
            "server": {"mlflow_tracking_uri": uri},
            "model": {"name": tmp_path.name, "pipeline": "inference", "input": "rows"},
            "promotion": RULES,
        }
    )
    client: MlflowClient = mlops("backend.client").connect(config.server)
    name = tmp_path.name
    experiment = client.create_experiment(name, artifact_location=(tmp_path / "files").as_uri())
    client.create_registered_model(name)
    for rmse in (50.0, 40.0, 55.0, 30.0):
        tags = {"holdout.digest": "d" * 32, "holdout.rows": "89"}
        run_id = client.create_run(experiment, tags=tags).info.run_id
        client.log_metric(run_id, "evaluation/rmse", rmse)
        client.create_model_version(name, str(tmp_path), run_id)
    client.set_registered_model_alias(name, "champion", "1")
    client.set_registered_model_alias(name, "challenger", "2")
    promotion = mlops("registry.promote").Promotion(config, mlops("project").State(tmp_path))

    def aliases() -> dict[str, str]:
        return {
            key: str(number) for key, number in client.get_registered_model(name).aliases.items()
        }

    def run_tags(number: str) -> dict[str, str]:
        run_id = client.get_model_version(name, number).run_id
        return dict(client.get_run(str(run_id)).data.tags)

    return SimpleNamespace(
        name=name, client=client, promotion=promotion, aliases=aliases, run_tags=run_tags
    )


@pytest.fixture
def meanwhile(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Let something happen while a version is judged."""
    module = mlops("registry.promote")
    judge = module.judge_version

    def happens(what: Callable[[], Any]) -> None:
        def judged(*arguments: Any, **named: Any) -> Any:
            what()
            return judge(*arguments, **named)

        monkeypatch.setattr(module, "judge_version", judged)

    return happens


def test_a_better_version_becomes_the_champion(registry: SimpleNamespace) -> None:
    outcome = registry.promotion.promote()
    assert outcome.promoted
    assert "is the champion now, instead of version 1: all 2 rules hold" in outcome.summary
    assert registry.aliases() == {"champion": "2"}
    assert registry.run_tags("2")["promotion.verdict"] == "promoted"


def test_a_dry_run_changes_and_keeps_nothing(registry: SimpleNamespace) -> None:
    outcome = registry.promotion.promote(dry_run=True)
    assert "would be the champion" in outcome.summary
    assert registry.aliases() == {"champion": "1", "challenger": "2"}
    assert "promotion.verdict" not in registry.run_tags("2")


def test_a_worse_version_does_not_unless_it_is_forced(registry: SimpleNamespace) -> None:
    outcome = registry.promotion.promote("3")
    assert not outcome.promoted
    assert "rmse against the champion is 55, and must be at most 50" in outcome.summary
    assert registry.aliases()["champion"] == "1"
    assert registry.run_tags("3")["promotion.verdict"] == "not promoted"
    assert "forced (a whim)" in registry.promotion.promote("3", force="a whim").summary
    assert registry.aliases()["champion"] == "3"
    tags = registry.run_tags("3")
    assert (tags["promotion.verdict"], tags["promotion.reason"]) == ("forced", "a whim")


def test_what_cannot_be_compared_is_refused_and_may_be_forced(
    mlops: Rooms, registry: SimpleNamespace
) -> None:
    run_id = registry.client.get_model_version(registry.name, "2").run_id
    registry.client.set_tag(run_id, "holdout.digest", "e" * 32)
    with pytest.raises(mlops("errors").TrackingError, match="that of version 2 is not on this mac"):
        registry.promotion.promote()
    outcome = registry.promotion.promote(force="it is urgent")
    assert outcome.promoted
    assert "is not on this machine" in outcome.verdict.note
    # What was not compared does not hold, and is named wherever the verdict is.
    assert [check.holds for check in outcome.verdict.checks] == [True, None]
    assert outcome.summary.endswith(
        "is the champion now, instead of version 1: forced (it is urgent); not compared: rmse "
        "against the champion."
    )
    tags = registry.run_tags("2")
    assert (tags["promotion.verdict"], tags["promotion.reason"]) == ("forced", "it is urgent")
    assert tags["promotion.improvement.rmse"] == "40, at most the champion's: not compared"
    version = registry.client.get_model_version(registry.name, "2")
    assert version.tags["promotion_reason"] == "it is urgent"
    assert version.tags["promotion_verdict"] == "forced"
    table = mlops("registry.report").on_screen(outcome.verdict)
    assert table[-1] == "rmse against the champion  40         at most the champion's  not compared"


def test_force_is_no_word_for_a_version_that_all_rules_hold_for(registry: SimpleNamespace) -> None:
    outcome = registry.promotion.promote(force="to be sure")
    assert "instead of version 1: all 2 rules hold" in outcome.summary
    assert registry.run_tags("2")["promotion.verdict"] == "promoted"


def test_the_rules_of_an_earlier_verdict_go(registry: SimpleNamespace) -> None:
    run_id = registry.client.get_model_version(registry.name, "2").run_id
    stale = {"promotion.thresholds.mae": "1, at most 2: holds", "promotion.slices.r2": "x"}
    others = {"promotion.campaign": "the owner's", "thresholds.rmse": "too"}
    for key, value in (stale | others).items():
        registry.client.set_tag(run_id, key, value)
    registry.promotion.promote()
    tags = registry.run_tags("2")
    assert not stale.keys() & tags.keys()
    assert others.items() <= tags.items()
    assert tags["promotion.thresholds.rmse"] == "40, at most 60: holds"


@pytest.mark.parametrize(
    ("rules", "number", "said"),
    [
        ({}, "3", "was not compared with version 1 (--new-champion)"),
        ({"thresholds": {"rmse": {"max": 54}}}, "3", None),
    ],
)
def test_a_new_champion_is_judged_and_not_compared(
    mlops: Rooms, registry: SimpleNamespace, rules: dict[str, Any], number: str, said: str | None
) -> None:
    promotion = registry.promotion
    options = mlops("config").PromotionOptions(**(RULES | rules))
    promotion._config = promotion._config.model_copy(update={"promotion": options})
    outcome = promotion.promote(number, new="other data")
    assert outcome.promoted is bool(said)
    assert [check.rule for check in outcome.verdict.checks] == ["rmse"]
    tags = registry.run_tags(number)
    if said:
        assert said in outcome.verdict.note
        assert "instead of version 1: new champion (other data)" in outcome.summary
        assert tags["promotion.verdict"] == "new champion"
        assert tags["promotion.reason"] == "other data"
        assert "promotion.improvement.rmse" not in tags
        assert registry.client.get_model_version(registry.name, "3").tags["promoted_from"] == "1"
    else:  # All other rules are about it.
        assert "rmse is 55, and must be at most 54" in outcome.summary
        assert tags["promotion.verdict"] == "not promoted"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"evaluation": "scores"}, "promotion.yml: evaluation names the data set 'scores'"),
        (
            {"holdout": "patients"},
            "promotion.yml: holdout names the data set 'patients', which 'measu",
        ),
        (
            {"predictions": "p"},
            "promotion.yml: predictions names the data set 'p', which 'measure'",
        ),
    ],
)
def test_names_that_no_pipeline_has_come_before_any_other_advice(
    mlops: Rooms, registry: SimpleNamespace, wrong: dict[str, str], said: str
) -> None:
    promotion = registry.promotion
    options = mlops("config").PromotionOptions(**(RULES | wrong))
    promotion._config = promotion._config.model_copy(update={"promotion": options})
    run_id = registry.client.get_model_version(registry.name, "2").run_id
    registry.client.delete_tag(run_id, "holdout.digest")
    with pytest.raises(mlops("errors").TrackingError) as raised:
        promotion.promote()
    assert said in raised.value.message
    assert "rain again" not in raised.value.message
    outcome = promotion.promote(force="urgent")
    assert said in outcome.verdict.note
    assert registry.run_tags("2")["promotion.verdict"] == "forced"


OLD, NEW = {"x": "number", "bmi": "number"}, {"x": "number", "plan": "text"}


@pytest.fixture
def columns(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 1 reads other columns than the others."""

    def of(version: Any, server: Any) -> dict[str, str]:
        return OLD if str(version.version) == "1" else NEW

    for module in ("registry.comparison", "registry.promote"):
        monkeypatch.setattr(mlops(module), "columns_of_version", of)


@pytest.mark.usefixtures("columns")
@pytest.mark.parametrize("kept", [None, {"x": "number", "plan": "text", "y": "number"}])
def test_a_version_for_another_problem_is_said_to_be_one(
    mlops: Rooms,
    registry: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    kept: dict[str, str] | None,
) -> None:
    """By the columns of its holdout or, where that is not kept, by those that it reads."""
    import pandas as pd

    run_id = registry.client.get_model_version(registry.name, "2").run_id
    registry.client.set_tag(run_id, "holdout.digest", "e" * 32)
    if kept:
        rows = {"rows": pd.DataFrame({name: [1] for name in kept})}
        comparison = mlops("registry.comparison")
        monkeypatch.setattr(comparison, "load_holdout", lambda state, digest: rows)
    with pytest.raises(mlops("errors").TrackingError) as raised:
        registry.promotion.promote()
    assert raised.value.message == (
        "Version 2 cannot be compared with the champion, version 1: it is for another problem. The "
        "champion reads the column bmi, which the data of version 2 do not have. `uv run kedro "
        "mlflow promote --version 2 --new-champion --reason TEXT` makes it the champion without a "
        "comparison."
    )
    outcome = registry.promotion.promote("2", new="other data")
    assert outcome.verdict.note == (
        "It reads the column plan, which version 1 does not read, and does not read the column "
        "bmi, which version 1 reads. It was not compared with version 1 (--new-champion)."
    )

    with pytest.raises(mlops("errors").TrackingError) as raised:
        registry.promotion.roll_back("")
    assert raised.value.message.startswith(
        f"Version 1 of {registry.name} reads the column bmi, which version 2, the champion, does "
        "not read: it was trained on other data"
    )
    assert "--rollback --force --reason TEXT" in raised.value.message
    assert registry.aliases()["champion"] == "2"
    assert "is the champion again" in registry.promotion.roll_back("all the same", force=True)
    assert registry.aliases()["champion"] == "1"


@pytest.mark.usefixtures("columns")
def test_a_column_that_is_no_longer_read_may_still_be_in_the_rows(
    mlops: Rooms, registry: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    run_id = registry.client.get_model_version(registry.name, "2").run_id
    registry.client.set_tag(run_id, "holdout.digest", "e" * 32)
    comparison, rows = mlops("registry.comparison"), pd.DataFrame({"x": [1], "bmi": 2, "plan": "a"})
    monkeypatch.setattr(comparison, "load_holdout", lambda state, digest: {"rows": rows})
    monkeypatch.setattr(comparison, "download", lambda version, *_: "m")
    measured = [{"rmse": 44.0}, {"rmse": 45.0}]
    monkeypatch.setattr(comparison, "evaluate_again", lambda *_: measured)
    outcome = registry.promotion.promote()
    assert outcome.promoted
    assert "does not read the column bmi, which version 1 reads" in outcome.verdict.note


@pytest.mark.usefixtures("columns")
def test_a_version_that_reads_other_columns_of_the_same_rows_is_compared(
    registry: SimpleNamespace,
) -> None:
    outcome = registry.promotion.promote()
    assert outcome.promoted
    assert outcome.verdict.note.startswith("It reads the column plan, which version 1 does not")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (
            "The model in of 1 does not predict for it: KeyError: 'bmi'",
            "version 1 does not predict",
        ),
        ("The model in of 2 does not predict for it: it is late.", "version 2 does not predict"),
        ("the node 'measure' cannot evaluate it on this holdout", "the node 'measure' cannot"),
    ],
)
def test_a_comparison_that_fails_names_the_version_and_a_way_out(
    mlops: Rooms,
    registry: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    failure: str,
    said: str,
) -> None:
    run_id = registry.client.get_model_version(registry.name, "2").run_id
    registry.client.set_tag(run_id, "holdout.digest", "e" * 32)
    comparison, refusal = mlops("registry.comparison"), mlops("errors").TrackingError

    def fails(*_: Any) -> None:
        raise refusal(failure)

    monkeypatch.setattr(comparison, "load_holdout", lambda state, digest: {"rows": [1]})
    monkeypatch.setattr(comparison, "download", lambda version, *_: f"of {version.version}")
    monkeypatch.setattr(comparison, "columns_of_version", lambda version, server: None)
    monkeypatch.setattr(comparison, "evaluate_again", fails)
    with pytest.raises(refusal) as raised:
        registry.promotion.promote()
    start = "Version 2 cannot be compared with the champion, version 1: "
    assert raised.value.message.startswith(start + said)
    end = ". `--force --reason TEXT` promotes it without that comparison."
    assert raised.value.message.endswith(end)
    assert ".." not in raised.value.message


def test_a_node_that_cannot_evaluate_says_why(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison, refusal = mlops("registry.comparison"), mlops("errors").TrackingError

    def evaluate(rows: Any, predictions: Any) -> dict[str, float]:
        raise KeyError("progression")

    measure = node(evaluate, ["rows", "predictions"], "evaluation", name="measure")
    pipelines = {"training": Pipeline([measure])}
    monkeypatch.setattr(comparison, "registered_pipelines", lambda: pipelines)
    for name in ("_predictions", "predictions_of"):
        if hasattr(comparison, name):
            monkeypatch.setattr(comparison, name, lambda *_: [[1]])
    options = mlops("config").PromotionOptions(holdout="rows", predictions="predictions")
    with pytest.raises(refusal) as raised:
        comparison.evaluate_again(options, {"rows": [1]}, [Path("m")])
    assert raised.value.message == (
        "the node 'measure' cannot evaluate it on this holdout: KeyError: 'progression'"
    )


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (
            {"holdout.digest": None},
            "its run has not evaluated it on 'rows'. Train again in a run with the node 'measure'.",
        ),
        ({"holdout.digest": "e" * 32}, "is not on this machine. Promote it where it was trained,"),
        (
            {"holdout.digest": "e" * 32, "holdout.too_large": "312 MB"},
            "that of version 2 was too large to be kept (312 MB). `--force",
        ),
        # Kept when the holdout had another name.
        (
            {"holdout.digest": "f" * 32},
            "that of version 2 has no 'rows' (mlflow.yml: promotion.holdout): it was called other",
        ),
    ],
)
def test_what_keeps_two_from_being_compared_has_a_way_out(
    mlops: Rooms,
    registry: SimpleNamespace,
    tmp_path: Path,
    tags: dict[str, str | None],
    said: str,
) -> None:
    state = mlops("project").State(tmp_path)
    mlops("registry.holdout")._save(state.holdouts / f"{'f' * 32}.pickle", {"patients": [1]})
    run_id = registry.client.get_model_version(registry.name, "2").run_id
    for key, value in tags.items():
        if value:
            registry.client.set_tag(run_id, key, value)
        else:
            registry.client.delete_tag(run_id, key)
    with pytest.raises(mlops("errors").TrackingError) as raised:
        registry.promotion.promote()
    assert said in raised.value.message
    assert raised.value.message.endswith("promotes it without that comparison.")


def test_it_is_judged_again_if_another_machine_promotes_meanwhile(
    registry: SimpleNamespace, meanwhile: Callable[[Any], None]
) -> None:
    set_alias = registry.client.set_registered_model_alias
    meanwhile(lambda: set_alias(registry.name, "champion", "2"))
    outcome = registry.promotion.promote("4")
    assert "instead of version 2" in outcome.summary
    assert registry.run_tags("4")["promotion.champion"] == "2"
    assert registry.client.get_model_version(registry.name, "4").tags["promoted_from"] == "2"


def test_it_gives_up_if_the_champion_changes_each_time(
    mlops: Rooms, registry: SimpleNamespace, meanwhile: Callable[[Any], None]
) -> None:
    numbers = iter("232")
    set_alias = registry.client.set_registered_model_alias
    meanwhile(lambda: set_alias(registry.name, "champion", next(numbers)))
    with pytest.raises(mlops("errors").TrackingError, match="has changed 3 times"):
        registry.promotion.promote("4")
    assert registry.aliases()["champion"] == "2"


def test_the_rest_of_a_promotion_that_was_killed_is_done_by_the_next(
    mlops: Rooms, registry: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlops("registry.promote"), "save_verdict", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.promotion.promote()
    assert registry.aliases() == {"champion": "2", "challenger": "2"}
    assert "is the champion already" in registry.promotion.promote().summary
    assert registry.aliases() == {"champion": "2"}
    tags = registry.run_tags("2")
    assert (tags["promotion.verdict"], tags["promotion.champion"]) == ("promoted", "1")


def test_twice_back_goes_back_by_two(mlops: Rooms, registry: SimpleNamespace) -> None:
    registry.promotion.promote("2")
    registry.promotion.promote("4")
    assert "Version 2 of" in registry.promotion.roll_back("", dry_run=True)
    assert registry.aliases()["champion"] == "4"
    assert "is the champion again" in registry.promotion.roll_back("too bold")
    registry.promotion.roll_back("still too bold")
    assert registry.aliases()["champion"] == "1"
    with pytest.raises(mlops("errors").TrackingError, match="there is no way back"):
        registry.promotion.roll_back("")


def test_versions_that_were_asked_differently_predict_again(
    mlops: Rooms, registry: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = registry.client.get_model_version(registry.name, "2").run_id
    registry.client.set_tag(run_id, "holdout.digest", "e" * 32)
    state, comparison = mlops("project").State(tmp_path), mlops("registry.comparison")
    mlops("registry.holdout")._save(state.holdouts / f"{'e' * 32}.pickle", {"rows": [1]})
    monkeypatch.setattr(comparison, "columns_of_version", lambda version, server: None)
    monkeypatch.setattr(comparison, "download", lambda version, server: f"of {version.version}")

    def evaluate_again(options: Any, inputs: Any, folders: Any, _: Any) -> list[dict[str, float]]:
        assert (options.holdout, inputs, folders) == ("rows", {"rows": [1]}, ["of 2", "of 1"])
        return [{"rmse": 44.0}, {"rmse": 45.0}]

    monkeypatch.setattr(comparison, "evaluate_again", evaluate_again)
    outcome = registry.promotion.promote()
    assert outcome.promoted
    assert outcome.verdict.how == (
        "Both have predicted again for the holdout of version 2 (eeeeeeee)."
    )
    compared = outcome.verdict.checks[1]
    assert (compared.value, compared.champion) == (44.0, 45.0)
    assert outcome.verdict.rows == "89"
    path = f"{outcome.verdict.champion}.md"
    text = registry.client.download_artifacts(
        run_id, f"promotion/version-2-against-{path}", str(tmp_path)
    )
    assert outcome.verdict.how in Path(text).read_text("utf-8")


def test_how_two_runs_were_measured_is_told(registry: SimpleNamespace) -> None:
    verdict = registry.promotion.promote().verdict
    assert verdict.how == "Both runs have measured on the same holdout (dddddddd)."
    assert (
        verdict.title
        == f"Version 2 of {registry.name} against the champion, version 1, on 89 " + ("rows")
    )


def test_only_one_process_promotes_at_a_time(
    mlops: Rooms, registry: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlops("registry.promote"), "_SECONDS_TO_WAIT", 0.2)
    with mlops("disk").FileLock(tmp_path / "promotion.lock") as taken:
        assert taken
        with pytest.raises(mlops("errors").TrackingError, match="promoting in this project for"):
            registry.promotion.promote()
    assert registry.aliases()["champion"] == "1"
    registry.promotion.promote()
    assert mlops("disk").FileLock(tmp_path / "promotion.lock").take()


def test_a_promotion_waits_for_the_one_before_it(
    mlops: Rooms, registry: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = mlops("disk").FileLock(tmp_path / "promotion.lock")
    assert lock.take()
    monkeypatch.setattr(mlops("disk").time, "sleep", lambda seconds: lock.release())
    assert registry.promotion.promote().promoted


def test_without_a_model_in_mlflow_yml_nothing_is_promoted(mlops: Rooms, tmp_path: Path) -> None:
    config = mlops("config").parse_config({})
    promotion = mlops("registry.promote").Promotion(config, mlops("project").State(tmp_path))
    with pytest.raises(mlops("errors").TrackingError, match=r"set model\.name"):
        promotion.promote()


def test_the_first_version_is_judged_without_a_comparison(registry: SimpleNamespace) -> None:
    registry.client.delete_registered_model_alias(registry.name, "champion")
    outcome = registry.promotion.promote("3")
    assert outcome.summary.endswith("is the champion now: its rule holds.")
    assert outcome.verdict.champion is None
    tags = registry.run_tags("3")
    assert tags["promotion.champion"] == "none"
    assert "promotion.improvement.rmse" not in tags
    version = registry.client.get_model_version(registry.name, "3")
    assert "promoted_from" not in version.tags
    assert version.tags["promotion_reason"] == "its rule holds"


@pytest.mark.parametrize("status", [403, 503])
def test_a_verdict_that_cannot_be_kept_changes_nothing_about_the_champion(
    registry: SimpleNamespace,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from mlflow.exceptions import RestException

    def refused(*given: Any, **named: Any) -> None:
        error = RestException({"error_code": "X", "message": "not now"})
        error.get_http_status_code = lambda: status  # type: ignore[method-assign]
        raise error

    monkeypatch.setattr(MlflowClient, "log_text", refused)
    if status == 503:
        with pytest.raises(RestException):
            registry.promotion.promote()
    else:
        assert registry.promotion.promote().promoted
        assert "The verdict could not be kept on the run: " in caplog.text
        assert registry.run_tags("2")["promotion.verdict"] == "promoted"
    assert registry.aliases()["champion"] == "2"


def test_a_champion_that_was_promoted_by_hand_needs_no_verdict(
    registry: SimpleNamespace,
) -> None:
    registry.client.set_registered_model_alias(registry.name, "champion", "2")
    assert "is the champion already" in registry.promotion.promote("2").summary
    assert registry.aliases() == {"champion": "2"}
    assert "promotion.verdict" not in registry.run_tags("2")
    registry.client.set_registered_model_alias(registry.name, "challenger", "2")
    registry.promotion.promote("2", dry_run=True)
    assert registry.aliases() == {"champion": "2", "challenger": "2"}


def test_the_missing_verdict_of_one_that_cannot_be_judged_is_told(
    registry: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    client = registry.client
    client.set_registered_model_alias(registry.name, "champion", "2")
    client.set_model_version_tag(registry.name, "2", "promotion_reason", "a whim")
    client.set_model_version_tag(registry.name, "2", "promoted_from", "9")
    registry.promotion.promote("2")
    assert "Version 2 gets no verdict: The model" in caplog.text
    assert registry.aliases() == {"champion": "2"}


def test_the_missing_verdict_of_one_that_cannot_be_compared_says_so(
    registry: SimpleNamespace,
) -> None:
    client = registry.client
    client.set_registered_model_alias(registry.name, "champion", "2")
    client.set_model_version_tag(registry.name, "2", "promotion_reason", "a whim")
    client.set_model_version_tag(registry.name, "2", "promoted_from", "1")
    client.delete_tag(client.get_model_version(registry.name, "2").run_id, "holdout.digest")
    registry.promotion.promote("2")
    tags = registry.run_tags("2")
    assert (tags["promotion.verdict"], tags["promotion.champion"]) == ("forced", "1")


def test_a_promotion_at_a_runs_end_says_what_it_has_done(
    mlops: Rooms, registry: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    delivery = mlops("tracking.shipping").Delivery(tmp_path / "delivery.json")
    delivery.versions = {"m": [registry.name, "2", "challenger"]}
    with caplog.at_level(logging.INFO):
        registry.promotion.run_shipped(delivery)
    assert f"Version 2 of {registry.name} is the champion now" in caplog.text
    assert delivery.versions["m"][2] == "champion"
    assert mlops("tracking.shipping").Delivery.load(tmp_path, "x").versions == {}
    caplog.clear()
    with caplog.at_level(logging.INFO):
        registry.promotion.run_shipped(delivery)
    assert "is the champion" not in caplog.text
    delivery.versions = {"m": [registry.name, "3", "challenger"]}
    with caplog.at_level(logging.INFO):
        registry.promotion.run_shipped(delivery)
    assert "does not become the champion" in caplog.text
    assert delivery.versions["m"][2] == "challenger"
    run_id = registry.client.get_model_version(registry.name, "4").run_id
    registry.client.delete_tag(run_id, "holdout.digest")
    delivery.versions = {"m": [registry.name, "4", "challenger"]}
    registry.promotion.run_shipped(delivery)
    assert f"Version 4 of {registry.name} is not promoted: Version 4 cannot be" in caplog.text


def test_a_table_on_the_screen_has_aligned_columns(mlops: Rooms, registry: SimpleNamespace) -> None:
    report = mlops("registry.report")
    verdict = registry.promotion.promote(dry_run=True).verdict
    assert report.on_screen(verdict) == [
        "Rule                       Version 2  Version 1  Wanted      Holds",
        "rmse                       40                    at most 60  yes",
        "rmse against the champion  40         50         at most 50  yes",
    ]
    registry.client.delete_registered_model_alias(registry.name, "champion")
    alone = registry.promotion.promote(dry_run=True).verdict
    assert report.on_screen(alone)[0] == "Rule  Version 2  Wanted      Holds"
    nothing = mlops("registry.rules").Verdict("m", "1", None)
    assert (nothing.holds, nothing.why) == (True, "there are no rules")
    text = report.as_markdown(nothing, report.PROMOTED, nothing.why)
    assert "|" not in text
    assert "\n\nReason: there are no rules\n" in text
