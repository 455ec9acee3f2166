"""The model card: what it is made of, and how much of it is a version's description."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from mlflow.models import Model, infer_signature

from tests.support.rooms import Rooms

TAGS = {"kedro.command": "kedro run", "mlflow.source.git.commit": "abc123"}


def written(mlops: Rooms, project: Path, own: str | None) -> str:
    """The card of a run that has measured and read something, as it lies in the model."""
    config = mlops("config").parse_config(
        {"model": {"name": "progression", "card": {"text": "CARD.md", "file": "out/card.md"}}}
    )
    if own:
        (project / "CARD.md").write_text(own, encoding="utf-8")
    journal = mlops("tracking.journal").Journal(project / "journal")
    journal.append("run_started", name="training", tags=TAGS)
    journal.append("params", values={"uri": "https://me:CANARY@example.com", "alpha": "1"})
    journal.append("metrics", values=[("rmse", 1.0, 0), ("evaluation/rmse", 53.626, 0)])
    journal.append("metrics", values=[("node_seconds/fit", 1.5, 0)])
    journal.append("metrics", values=[("evaluation/sex_1/rmse", 60.0, 0), ("other/mae", 9.0, 0)])
    source = (project / "data/patients.csv").as_uri()
    schema = [("age", "float64")]
    journal.append("input", name="p", source=source, digest="d" * 32, schema=schema, rows=1442)
    journal.close()
    model = project / "model"
    model.mkdir()
    rows = pd.DataFrame({"age": [1.0]})
    Model(signature=infer_signature(rows, rows)).save(model / "MLmodel")
    card: ModuleType = mlops("model.card")
    card.write_card(config, project, journal.folder, model)
    text = (model / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert (project / "out/card.md").read_text(encoding="utf-8") == text
    return text


def test_a_card_holds_what_its_owner_says_and_what_the_run_knows(
    mlops: Rooms, tmp_path: Path
) -> None:
    own = "# About this file\n\nWrite here.\n\n## Intended use\n\nResearch.\n"
    card = written(mlops, tmp_path, own)
    assert card.index("## Intended use\n\nResearch.") < card.index("## Metrics")
    assert "Write here." not in card
    assert "| rmse | 53.63 |" in card
    assert "| Group | rmse |\n|---|---|\n| sex_1 | 60 |" in card
    assert "| p | data/patients.csv | 1,442 | 1 | dddddddddddd |" in card
    assert "| age | double |" in card
    assert "abc123" in card
    assert "node_seconds" not in card
    assert "mae" not in card
    assert "CANARY" not in card
    assert str(tmp_path) not in card


def test_a_card_says_where_its_owners_words_are_missing(mlops: Rooms, tmp_path: Path) -> None:
    assert "Not written yet: they belong in `CARD.md`." in written(mlops, tmp_path, None)


def test_a_description_has_as_many_sections_as_the_registry_takes(
    mlops: Rooms, tmp_path: Path
) -> None:
    describe: Any = mlops("model.card").description_of
    assert describe(tmp_path) is None
    (tmp_path / "MODEL_CARD.md").write_text("# Card\n\n## A\n\nshort\n", encoding="utf-8")
    assert describe(tmp_path) == "# Card\n\n## A\n\nshort\n"
    long = f"# Card\n\n## A\n\nshort\n\n## B\n\n{'long ' * 1000}\n"
    (tmp_path / "MODEL_CARD.md").write_text(long, encoding="utf-8")
    assert describe(tmp_path) == (
        "# Card\n\n## A\n\nshort\n\nThe rest is in `MODEL_CARD.md` among the model's files."
    )


@pytest.mark.parametrize(
    ("about", "kept"),
    [
        ("Still the example's: this describes a model of data/patients.csv. Replace it.", True),
        ("Still the example's: this describes a model of data/other.csv. Replace it.", False),
        ("Still the example's: this describes a model of patients.csv. Replace it.", True),
        ("Still the example's: this describes a model of tients.csv. Replace it.", False),
        ("This describes a model of data/other.csv.", True),
    ],
)
def test_the_examples_words_are_for_the_examples_data(
    about: str, kept: bool, mlops: Rooms, tmp_path: Path
) -> None:
    card = written(mlops, tmp_path, f"# Card\n\n<!-- {about} -->\n\n## Intended use\n\nPatients.\n")
    assert ("## Intended use\n\nPatients." in card) is kept
    assert ("Not written yet: they belong in `CARD.md`." in card) is not kept
