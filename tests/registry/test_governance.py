"""What docs/governance.md asks is answered by a project as it is rendered."""

from __future__ import annotations

import re

from tests.support.answers import REPOSITORY
from tests.support.project import PACKAGE, Project


def test_an_answer_is_followed_to_its_data_and_its_people(project_with_runs: Project) -> None:
    project = project_with_runs
    project.edit("conf/base/promotion.yml", "tolerance: 0.0", "tolerance: -0.5")
    project.kedro("mlflow", "promote", "--force", "--reason", "asked by the study's lead")
    project.kedro("run", "--pipelines", "inference")
    page = (REPOSITORY / "docs/governance.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 5
    said = "\n".join(project.script("\n".join(blocks)))
    run = project.client.get_run(str(project.client.get_model_version(PACKAGE, "2").run_id))
    for line in (
        "version 2 True ",
        f"kedro.lock {run.data.tags['kedro.lock']}",
        "kedro.command kedro run",
        "read records ",
        "did fit ['train_features', 'train_records', 'params:model'] -> ['regressor']",
        "promoted_from = 1",
        "promotion_verdict = forced",
        "promotion_reason = asked by the study's lead",
        "promotion.slices.rmse = ",
        "evaluation/sex_1/rmse ",
    ):
        assert line in said, said
    # What the page shows is of these names.
    shown = "".join(re.findall(r"```text\n(.*?)```", page, re.DOTALL))
    names = {line.split(" ")[0] for line in shown.splitlines()} - {
        "...",
        "mlflow.source.git.commit",
    }
    assert names <= {line.split(" ")[0] for line in said.splitlines()}
