"""The rules of promotion on plain numbers, the holdout that they are about, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.pipeline import Pipeline, node
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from tests.support.machine import free_port
from tests.support.rooms import Rooms

CANDIDATE = {"rmse": 50.0, "r2": 0.4, "sex_1/rmse": 40.0, "sex_2/rmse": 60.0, "sex_2/r2": 0.1}


def judged(
    mlops: Rooms, rules: dict[str, Any], champion: dict[str, float] | None = None
) -> list[Any]:
    options = mlops("config").PromotionOptions(holdout="rows", predictions="predictions", **rules)
    checks: list[Any] = mlops("registry.rules").judge(options, CANDIDATE, champion)
    return checks


@pytest.mark.parametrize(
    ("bound", "holds"),
    [
        ({"max": 50.0}, True),
        ({"max": 49.9}, False),
        ({"min": 50.0}, True),
        ({"min": 50.1}, False),
        ({"min": 49, "max": 51}, True),
        ({"min": 51, "max": 52}, False),
    ],
)
def test_a_metric_is_held_against_its_bounds(
    mlops: Rooms, bound: dict[str, float], holds: bool
) -> None:
    (check,) = judged(mlops, {"thresholds": {"rmse": bound}})
    assert (check.value, check.holds) == (50.0, holds)
    low, high = bound.get("min"), bound.get("max")
    assert check.bound == {
        (None, high): f"at most {high:g}" if high else "",
        (low, None): f"at least {low:g}" if low else "",
    }.get((low, high), f"{low} to {high}")


def test_a_group_may_have_a_bound_of_its_own(mlops: Rooms) -> None:
    (check,) = judged(mlops, {"thresholds": {"sex_2/rmse": {"max": 55}}})
    assert (check.value, check.holds) == (60.0, False)


AGAINST = {"improvement": {"rmse": {"better": "lower"}}}


@pytest.mark.parametrize(
    ("rules", "champion", "complaint"),
    [
        ({"thresholds": {"rmse": {"max": 49}}}, None, "rmse is 50, and must be at most 49"),
        # A metric that there is not: those that there are, the nearest first.
        (
            {"thresholds": {"rsme": {"max": 49}}},
            None,
            "rsme is not measured (measured: rmse, r2, sex_1/rmse, sex_2/r2, sex_2/rmse)",
        ),
        (
            {"slices": {"rmsle": {"max": 2}}},
            None,
            "rmsle is not measured (measured: rmse, ",
        ),
        (
            {"slices": {"r2": {"max": 1.0}, "rmse": {"min": 0.9}}},
            None,
            "rmse of sex_1 / overall is 0.8, and must be at least 0.9",
        ),
        (AGAINST, {"rmse": 45}, "rmse against the champion is 50, and must be at most 45"),
        (
            AGAINST,
            {"mae": 45},
            "the champion's rmse is not measured",
        ),
        (AGAINST, {"rmse": float("nan")}, "the champion's rmse is nan"),
        (AGAINST, {}, "rmse against the champion is not compared"),
        (
            {"improvement": {"mae": {"better": "lower"}}},
            {},
            "mae is not measured (measured: ",
        ),
        (
            {"improvement": {"mae": {"better": "lower"}}},
            {"mae": 3},
            "mae is not measured (measured: ",
        ),
    ],
)
def test_what_does_not_hold_is_one_sentence(
    mlops: Rooms, rules: dict[str, Any], champion: dict[str, float] | None, complaint: str
) -> None:
    broken = [check for check in judged(mlops, rules, champion) if not check.holds]
    verdict = mlops("registry.rules").Verdict("model", "3", "1", broken)
    assert verdict.complaints.startswith(complaint)
    assert verdict.complaints.count("must be") <= 1
    assert verdict.complaints.count("measured (") <= 1


@pytest.mark.parametrize(
    ("metrics", "complaint"),
    [
        ({"rmse": 1.0}, "rmse is measured for no group (measured: rmse)"),
        ({"women/rmse": 1.0}, "rmse is not measured (measured: women/rmse)"),
        ({"rmse": 0.0, "women/rmse": 1.0}, "rmse is 0 overall, of which no group's is a share"),
        ({}, "rmse is not measured (measured: nothing)"),
    ],
)
def test_a_group_that_has_no_share_says_why(
    mlops: Rooms, metrics: dict[str, float], complaint: str
) -> None:
    options = mlops("config").PromotionOptions(slices={"rmse": {"max": 2}})
    (check,) = mlops("registry.rules").judge(options, metrics)
    assert (check.holds, check.complaint) == (False, complaint)


@pytest.mark.parametrize(
    ("direction", "names"),
    [
        ("higher", "accuracy f1 auc r2 precision recall ROC_AUC rocAuc f1_macro f1-score"),
        ("higher", "test/accuracy recall/women recall/negative f1_negative precision@5"),
        ("higher", "neg_mean_squared_error test/neg_log_loss balanced_accuracy_score adjusted_r2"),
        ("lower", "rmse mae mse loss error log_loss logLoss val_loss mean_absolute_error"),
        ("lower", "test/rmse rmse/women sex_1/rmse negative/rmse errorRate brier_score mape"),
        (None, "lift score lossless f2 f1_loss neg_recall negative_recall cross_entropy rows"),
    ],
)
def test_a_metrics_name_says_which_values_are_better(
    mlops: Rooms, direction: str | None, names: str
) -> None:
    found = {name: mlops("directions").direction_of(name) for name in names.split()}
    assert found == dict.fromkeys(names.split(), direction)


@pytest.mark.parametrize(
    ("metric", "better", "champion", "holds"),
    [
        ("rmse", None, 51.0, True),
        ("rmse", None, 49.0, False),
        ("r2", None, 0.3, True),
        ("r2", None, 0.5, False),
        ("sex_2/r2", None, 0.2, False),
        # What the owner writes counts, whatever the name says.
        ("rmse", "higher", 49.0, True),
        ("rmse", "higher", 51.0, False),
    ],
)
def test_a_direction_that_is_not_given_is_that_of_the_name(
    mlops: Rooms, metric: str, better: str | None, champion: float, holds: bool
) -> None:
    rule = {"better": better} if better else {}
    (check,) = judged(mlops, {"improvement": {metric: rule}}, {metric: champion})
    assert check.holds is holds


def test_a_direction_that_no_name_gives_is_asked_for(mlops: Rooms) -> None:
    parse = mlops("config").parse_config
    rules = {"holdout": "rows", "predictions": "p", "improvement": {"r2": {}, "lift": {}}}
    with pytest.raises(mlops("errors").TrackingError) as raised:
        parse({"promotion": rules})
    assert raised.value.message == (
        "mlflow.yml: promotion: improvement.lift: its name does not say which values are better: "
        "give better: lower, or better: higher."
    )


def test_what_was_not_measured_or_is_no_number_holds_no_rule(mlops: Rooms) -> None:
    rules = {"thresholds": {"mae": {"max": 1e9}}, "slices": {"mae": {"max": 1e9}}}
    assert [check.holds for check in judged(mlops, rules)] == [False, False]
    nan = mlops("registry.rules").judge(
        mlops("config").PromotionOptions(thresholds={"rmse": {"max": 1}}),
        {"rmse": float("nan")},
    )
    assert not nan[0].holds


@pytest.mark.parametrize(
    ("bound", "group", "ratio", "holds"),
    [
        ({"max": 1.2}, "sex_2", 1.2, True),
        ({"max": 1.1}, "sex_2", 1.2, False),
        ({"min": 0.9}, "sex_1", 0.8, False),
    ],
)
def test_the_group_that_is_farthest_from_the_whole_decides_and_is_named(
    mlops: Rooms, bound: dict[str, float], group: str, ratio: float, holds: bool
) -> None:
    (check,) = judged(mlops, {"slices": {"rmse": bound}})
    assert group in check.rule
    assert (check.value, check.holds) == (pytest.approx(ratio), holds)


@pytest.mark.parametrize(
    ("better", "tolerance", "champion", "holds"),
    [
        ("lower", 0.0, 50.0, True),
        ("lower", 0.0, 49.0, False),
        ("lower", 0.05, 49.0, True),
        ("lower", -0.05, 51.0, False),
        ("lower", -0.05, 53.0, True),
        ("higher", 0.0, 49.0, True),
        ("higher", 0.0, 51.0, False),
        ("higher", 0.05, 51.0, True),
    ],
)
def test_it_may_be_worse_than_the_champion_by_the_tolerance_and_no_more(
    mlops: Rooms, better: str, tolerance: float, champion: float, holds: bool
) -> None:
    rules = {"improvement": {"rmse": {"better": better, "tolerance": tolerance}}}
    (check,) = judged(mlops, rules, {"rmse": champion})
    assert (check.champion, check.holds) == (champion, holds)


def test_without_a_champion_there_is_nothing_to_compare_with(mlops: Rooms) -> None:
    rules = {"improvement": {"rmse": {"better": "lower"}}}
    assert judged(mlops, rules) == []
    (check,) = judged(mlops, rules, {})
    assert not check.holds


def test_a_report_is_a_table_that_names_what_does_not_hold(mlops: Rooms) -> None:
    report = mlops("registry.report")
    rules = {"thresholds": {"r2": {"min": 0.3}}, "improvement": {"rmse": {"better": "lower"}}}
    checks = judged(mlops, rules, {"rmse": 45.0})
    verdict = mlops("registry.rules").Verdict("model", "3", "1", checks, "89")
    assert not verdict.holds
    assert verdict.broken == "rmse against the champion"
    text = report.as_markdown(verdict, report.REFUSED, "worse")
    assert "| Rule | Version 3 | Version 1 | Wanted | Holds |\n|---|---|---|---|---|\n" in text
    assert "| r2 | 0.4 |  | at least 0.3 | yes |" in text
    assert "| rmse against the champion | 50 | 45 | at most 45 | NO |" in text
    tags = report.as_tags(verdict, report.REFUSED, "worse")
    assert tags["promotion.improvement.rmse"] == "50, at most 45: does not hold"


def evaluate(rows: pd.DataFrame, predictions: pd.DataFrame, bands: list[int]) -> dict[str, float]:
    return {"rows": len(rows)}


EVALUATE = node(evaluate, ["rows", "predictions", "params:bands"], "evaluation")


PIPELINES = {
    "inference": Pipeline([node(evaluate, ["instances", "state", "params:bands"], "predictions")]),
    "training": Pipeline(
        [node(evaluate, ["rows", "predictions", "params:bands"], "evaluation", name="evaluate")]
    ),
}
MADE = "which no node makes (nodes make: evaluation, predictions)."
READ = "which 'evaluate', the node that makes 'evaluation', does not read (it reads: "


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"holdout": "rows", "predictions": "predictions"}, []),
        ({}, []),
        # Without rules nothing depends on it; with them, its default counts as well.
        ({"evaluation": "elsewhere"}, []),
        (
            {"evaluation": "evaluatoin", "thresholds": {"r2": {"min": 0.3}}},
            [f"evaluation names the data set 'evaluatoin', {MADE}"],
        ),
        # A node makes it, but not from what it is said to be made from; the nearest name first.
        ({"holdout": "row"}, [f"holdout names the data set 'row', {READ}rows, predictions)."]),
        (
            {"holdout": "patients", "predictions": "prediction"},
            [
                f"holdout names the data set 'patients', {READ}predictions, rows).",
                f"predictions names the data set 'prediction', {READ}predictions, rows).",
            ],
        ),
        ({"evaluation": "x", "holdout": "y", "predictions": "z"}, ["evaluation names the data"]),
    ],
)
def test_names_that_no_pipeline_has_are_said(
    mlops: Rooms, named: dict[str, Any], said: list[str]
) -> None:
    options = mlops("config").PromotionOptions(**named)
    found = mlops("registry.rules").unknown_names(options, PIPELINES)
    assert len(found) == len(said), found
    for sentence, start in zip(found, said, strict=True):
        assert sentence.startswith(f"promotion.yml: {start}"), sentence


def test_of_very_many_names_the_nearest_are_listed(mlops: Rooms) -> None:
    names = [f"metric_{number}" for number in range(30)]
    listed = mlops("registry.rules").nearest_first("metric_17", names)
    assert listed.startswith("metric_17, ")
    assert listed.endswith(" and 20 more")
    assert mlops("registry.rules").nearest_first("rmse", []) == "nothing"


def inputs(**changed: Any) -> dict[str, Any]:
    rows = pd.DataFrame({"age": [1.0, 2.0], "name": ["a", "b"]})
    return {"rows": rows, "predictions": pd.DataFrame(), "params:bands": [40]} | changed


@pytest.fixture
def state(mlops: Rooms, tmp_path: Path) -> Any:
    return mlops("project").State(tmp_path)


@pytest.fixture
def capture(mlops: Rooms, state: Any) -> Any:
    options = mlops("config").PromotionOptions(holdout="rows", predictions="predictions")
    return mlops("registry.holdout").HoldoutCapture(options, state)


def test_two_runs_that_were_asked_the_same_have_the_same_digest(
    mlops: Rooms, state: Any, capture: Any
) -> None:
    other = pd.DataFrame({"age": [1.0, 2.5], "name": ["a", "b"]})
    kept = [
        capture.node_called(EVALUATE, inputs(**changed))
        for changed in (
            {},
            {"predictions": other},
            {"rows": other},
            {"rows": inputs()["rows"].rename(columns={"age": "years"})},
            {"params:bands": [50]},
        )
    ]
    digests = [tags["holdout.digest"] for tags in kept]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4
    assert kept[0]["holdout.rows"] == "2"
    loaded = mlops("registry.holdout").load_holdout(state, digests[2])
    assert set(loaded) == {"rows", "params:bands"}
    pd.testing.assert_frame_equal(loaded["rows"], other)
    assert mlops("registry.holdout").load_holdout(state, "of another machine") is None


PIPELINE, RIDGE, FOREST = {"path": "pipeline_model", "pipeline": True}, {"path": "a"}, {"path": "b"}
EVALUATION, LOSS = [["evaluation/rmse", 2.0, 0]], [["loss", 3.0, 0], ["loss", 1.0, 1]]


@pytest.mark.parametrize(
    ("models", "metrics", "measured"),
    [
        ([RIDGE, PIPELINE], EVALUATION + LOSS, (["pipeline_model", "a"], {"evaluation/rmse": 2.0})),
        # Of several models, nobody says which one was evaluated: it is the pipeline that was.
        ([RIDGE, FOREST, PIPELINE], EVALUATION, (["pipeline_model"], {"evaluation/rmse": 2.0})),
        ([RIDGE, FOREST], EVALUATION, None),
        # Without an evaluation, a run's metrics are those of its model; the last of a history.
        ([RIDGE], LOSS, (["a"], {"loss": 1.0})),
        ([RIDGE], [[f"m{number}", 1.0, 0] for number in range(101)], None),
        ([RIDGE], [], None),
        ([], EVALUATION, None),
        ([RIDGE | {"namespace": "part"}], EVALUATION, None),
    ],
)
def test_what_measures_a_model_is_known(
    mlops: Rooms,
    tmp_path: Path,
    capture: Any,
    models: list[dict[str, Any]],
    metrics: list[list[Any]],
    measured: tuple[list[str], dict[str, float]] | None,
) -> None:
    class Run:
        journal = mlops("tracking.journal").Journal(tmp_path)

    Run.journal.append("tags", values={"holdout.digest": "d", "holdout.rows": "7"})
    for model in models:
        Run.journal.append("model", **model)
    Run.journal.append("metrics", values=metrics)
    capture.run_ends(Run, None)
    records = mlops("tracking.journal").all_records(tmp_path)
    found = [record.data for record in records if record.kind == "measured"]
    if measured is None:
        assert not found
        return
    (data,) = found
    values = {name: value for name, value, *_ in data["values"]}
    assert (data["models"], values) == measured
    on = {"name": "rows", "type": "evaluation", "source": None, "digest": "d", "rows": 7}
    assert data["on"] == on


def test_a_holdout_that_cannot_be_read_is_refused_in_a_sentence(mlops: Rooms, state: Any) -> None:
    state.holdouts.mkdir()
    (state.holdouts / "d.pickle").write_bytes(b"cgone_module\nGone\n.")
    with pytest.raises(mlops("errors").TrackingError, match=r"ModuleNotFoundError.*: train again"):
        mlops("registry.holdout").load_holdout(state, "d")


def test_a_holdout_that_is_too_large_is_not_kept(
    mlops: Rooms,
    state: Any,
    capture: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    holdout = mlops("registry.holdout")
    monkeypatch.setattr(holdout, "_MAX_BYTES", 10)
    tags = capture.node_called(EVALUATE, inputs())
    assert holdout.load_holdout(state, tags["holdout.digest"]) is None
    assert "too large to be kept (0 MB)" in caplog.text
    monkeypatch.setattr(holdout, "_MAX_BYTES", 10**9)
    kept = [capture.node_called(EVALUATE, inputs()) for _ in range(2)]
    assert tags.pop("holdout.too_large") == "0 MB"
    assert kept == [tags, tags]
    assert holdout.load_holdout(state, tags["holdout.digest"])


@pytest.mark.parametrize("kind", ["array", "objects", "list"])
def test_a_holdout_may_be_anything(mlops: Rooms, capture: Any, kind: str) -> None:
    import numpy as np

    def make(last: float) -> Any:
        rows = [1.0, last]
        return rows if kind == "list" else np.array(rows, object if kind == "objects" else float)

    found = [capture.node_called(EVALUATE, inputs(rows=make(last))) for last in (2, 2, 3)]
    digests = [tags["holdout.digest"] for tags in found]
    assert digests[0] == digests[1] != digests[2]
    assert found[0]["holdout.rows"] == "2"
    if kind == "array":
        turned = capture.node_called(EVALUATE, inputs(rows=make(2).reshape(2, 1)))
        assert turned["holdout.digest"] != digests[0]
    lazy = capture.node_called(EVALUATE, inputs(rows=7))
    assert "holdout.rows" not in lazy


def test_the_module_that_evaluates_is_part_of_the_question(
    mlops: Rooms, capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import inspect

    before = capture.node_called(EVALUATE, inputs())
    monkeypatch.setattr(inspect, "getsource", lambda module: "another evaluation")
    assert capture.node_called(EVALUATE, inputs()) != before
    builtin = node(max, ["rows", "predictions"], "evaluation")
    assert capture.node_called(builtin, inputs())["holdout.digest"]


def test_only_what_evaluates_has_a_holdout_and_the_oldest_ones_go(state: Any, capture: Any) -> None:
    fit = node(evaluate, ["rows", "predictions", "params:bands"], "model")
    assert capture.node_called(fit, inputs()) == {}
    assert not state.holdouts.exists()
    for band in range(8):
        capture.node_called(EVALUATE, inputs(**{"params:bands": [band]}))
    assert len(list(state.holdouts.iterdir())) == 5


def promotion_of(mlops: Rooms, state: Any, **server: str) -> Any:
    model = {"name": "sales", "pipeline": "inference", "input": "rows"}
    config = mlops("config").parse_config({"server": server, "model": model})
    return mlops("registry.promote").Promotion(config, state)


@pytest.fixture
def delivery(mlops: Rooms, tmp_path: Path) -> Any:
    """A run that has registered a version, and one of a model that the rules are not about."""
    versions = {"m-1": ["sales", "2", "challenger"], "m-2": ["other", "1", "champion"], "m-3": []}
    return mlops("tracking.shipping").Delivery(tmp_path / "delivery.json", versions=versions)


def test_a_promotion_that_gets_no_answer_is_tried_again_later(
    mlops: Rooms, state: Any, delivery: Any
) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Exception, match="Connection refused") as raised:
        promotion_of(mlops, state, mlflow_tracking_uri=away).run_shipped(delivery)
    assert mlops("backend.client").is_transient(raised.value)


def test_a_promotion_that_is_forbidden_is_not_tried_again(
    mlops: Rooms, state: Any, delivery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    promotion = promotion_of(mlops, state)

    def forbidden(_: str) -> None:
        raise MlflowException("not for you", PERMISSION_DENIED) from OSError("403")

    monkeypatch.setattr(promotion, "promote", forbidden)
    promotion.run_shipped(delivery)
    assert delivery.versions["m-1"] == ["sales", "2", "challenger"]


def test_a_version_that_becomes_the_champion_at_a_runs_end_is_remembered(
    mlops: Rooms, state: Any, delivery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    promotion = promotion_of(mlops, state)
    outcome = mlops("registry.promote").Outcome(None, True, "is the champion already")
    monkeypatch.setattr(promotion, "promote", {"2": outcome}.__getitem__)
    promotion.run_shipped(delivery)
    assert delivery.versions["m-1"] == ["sales", "2", "champion"]
