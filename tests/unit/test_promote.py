"""A promotion in a real registry: one champion, its history and its verdict, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.support.rooms import Rooms

RULES = {
    "holdout": "rows",
    "predictions": "predictions",
    "thresholds": {"rmse": {"max": 60}},
    "improvement": {"rmse": {"better": "lower"}},
}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db"


@pytest.fixture
def registry(mlops: Rooms, uri: str, tmp_path: Path) -> SimpleNamespace:
    """Versions 1 to 4 with a run each: the champion, a better one, a worse one, a better one."""
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
    assert (tags["promotion.verdict"], tags["promotion.reason"]) == ("promoted by force", "a whim")


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
    assert [check.rule for check in outcome.verdict.checks] == ["rmse"]


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
