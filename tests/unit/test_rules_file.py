"""promotion.yml: the owner's rules, and those that a project of version 2.0 has in mlflow.yml."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader

from tests.support.rooms import Rooms

SECTION = {"auto": False, "thresholds": {"r2": {"min": 0.3}}}
ROWS = {"holdout": "rows", "predictions": "predictions"}


@pytest.mark.parametrize(
    ("section", "rules", "auto", "least"),
    [
        (None, None, False, None),
        (SECTION, None, False, 0.3),
        (None, SECTION, False, 0.3),
        (None, {"auto": True}, True, None),
        # The same in both, or one key here and another there.
        (SECTION, SECTION, False, 0.3),
        ({"auto": True}, {"thresholds": {"r2": {"min": 0.5}}}, True, 0.5),
        (SECTION, {"evaluation": "scores"}, False, 0.3),
        # The section of mlflow.yml, moved as it was.
        (None, {"promotion": SECTION}, False, 0.3),
        (None, {}, False, None),
    ],
)
def test_rules_count_wherever_they_stand(
    mlops: Rooms,
    section: dict[str, Any] | None,
    rules: dict[str, Any] | None,
    auto: bool,
    least: float | None,
) -> None:
    content = {"promotion": section} if section else {}
    options = mlops("config").parse_config(content, rules).promotion
    bound = options.thresholds.get("r2")
    assert (options.auto, bound.min if bound else None) == (auto, least)


def test_rules_that_differ_are_refused_by_both_names(mlops: Rooms) -> None:
    content = {"promotion": {**SECTION, "evaluation": "scores"}}
    rules = {"auto": True, "thresholds": {"r2": {"min": 0.4}}, "evaluation": "scores"}
    with pytest.raises(mlops("errors").TrackingError) as raised:
        mlops("config").parse_config(content, rules)
    assert raised.value.message == (
        "mlflow.yml and promotion.yml differ in promotion.auto, promotion.thresholds: keep the "
        "rules in promotion.yml, and delete the section `promotion` of mlflow.yml."
    )


@pytest.mark.parametrize(
    ("section", "rules", "said"),
    [
        (
            None,
            {"treshold": 1},
            "promotion.yml: unknown key 'treshold'; the nearest valid one is 't",
        ),
        (
            None,
            {"thresholds": {"r2": {"mn": 1}}},
            "promotion.yml: unknown key 'thresholds.r2.mn'; the nearest valid one is 'min'",
        ),
        (None, {"slices": {"rmse": {}}}, "promotion.yml: slices.rmse: give it min, max or both."),
        (
            None,
            {"improvement": {"rmse": {}}},
            "promotion.yml: improvement compares on the same rows: give holdout and predictions.",
        ),
        (
            None,
            {**ROWS, "improvement": {"lift": {}}},
            "promotion.yml: improvement.lift: its name does not say which values are better: give",
        ),
        (None, {"auto": "perhaps"}, "promotion.yml: auto: "),
        # What is in mlflow.yml is looked for there.
        ({"slices": {"rmse": {}}}, {"auto": True}, "mlflow.yml: promotion.slices.rmse: give it"),
        ({"slices": {"rmse": {}}}, None, "mlflow.yml: promotion.slices.rmse: give it min, max"),
        (3, {"auto": True}, "mlflow.yml: promotion: "),
    ],
)
def test_what_is_wrong_names_its_file(
    mlops: Rooms, section: Any, rules: dict[str, Any] | None, said: str
) -> None:
    content = {"promotion": section} if section else {}
    with pytest.raises(mlops("errors").TrackingError) as raised:
        mlops("config").parse_config(content, rules)
    assert raised.value.message.startswith(said)
    assert "\n" not in raised.value.message


def test_a_key_is_looked_for_where_it_stands(mlops: Rooms) -> None:
    options = mlops("config").parse_config({"promotion": {"holdout": "rows"}}, ROWS).promotion
    assert options.at("holdout") == "mlflow.yml: promotion.holdout"
    assert options.at("predictions") == "promotion.yml: predictions"
    assert options.at("evaluation") == "promotion.yml: evaluation"


def read(mlops: Rooms, folder: Path, env: str, **files: str) -> Any:
    for name in ("base", "local", "staging"):
        (folder / "conf" / name).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        environment, _, file = name.partition("__")
        (folder / "conf" / environment / f"{file}.yml").write_text(text, "utf-8")
    # As settings.py of a project that has not heard of the file.
    settings: dict[str, Any] = {
        "base_env": "base",
        "default_run_env": "local",
        "config_patterns": {"mlflow": ["mlflow*"]},
        "merge_strategy": {"mlflow": "soft"},
        "custom_resolvers": {"oc.env": mlops("project").environment_variable},
    }
    loader = OmegaConfigLoader(str(folder / "conf"), env=env, **settings)
    context = SimpleNamespace(config_loader=loader, env=env)
    return mlops("config").read_config(context, folder).promotion


def test_each_environment_says_what_differs(mlops: Rooms, tmp_path: Path) -> None:
    files = {
        "base__promotion": "thresholds:\n  r2: {min: 0.3}\n  rmse: {max: 60}\n",
        "staging__promotion": "auto: true\nthresholds:\n  r2: {min: 0.1}\n",
    }
    base = read(mlops, tmp_path, "local", **files)
    staging = read(mlops, tmp_path, "staging", **files)
    assert (base.auto, base.thresholds["r2"].min) == (False, 0.3)
    assert (staging.auto, staging.thresholds["r2"].min) == (True, 0.1)
    assert staging.thresholds["rmse"].max == 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("auto: ${oc.env:NO_SUCH}\n", "promotion.yml: auto reads the environment variable NO_SUCH"),
        ("auto: ${nothing}\n", "promotion.yml cannot be read: "),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    mlops: Rooms, tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(mlops("errors").TrackingError) as raised:
        read(mlops, tmp_path, "local", base__promotion=text)
    assert said in raised.value.message


def test_neither_file_is_needed(mlops: Rooms, tmp_path: Path) -> None:
    assert not read(mlops, tmp_path, "local").thresholds
