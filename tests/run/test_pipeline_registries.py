"""Whatever kind of registry a project has, it is asked once, and the model's pipeline is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.little import little, predicted
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.tiny import said

COUNTED = """\
from pathlib import Path

def counted():
    with Path(__file__).with_name("asked").open("a") as file:
        file.write("once\\n")
"""

# Registries, by what is special about them.
REGISTRIES = {
    "a dictionary": """
        from .pipelines import inference, training
        def register_pipelines():
            counted()
            fit, predict = training.create_pipeline(), inference.create_pipeline()
            return {"training": fit, "inference": predict, "__default__": fit}
    """,
    "find_pipelines": """
        from kedro.framework.project import find_pipelines
        def register_pipelines():
            counted()
            return find_pipelines()
    """,
    "as Kedro's template has it": """
        from kedro.framework.project import find_pipelines
        def register_pipelines():
            counted()
            pipelines = find_pipelines(raise_errors=True)
            pipelines["__default__"] = sum(pipelines.values())
            return pipelines
    """,
    "imported when it is asked": """
        def register_pipelines():
            from kedro.framework.project import find_pipelines
            counted()
            return find_pipelines()
    """,
}

# A program that is no Kedro project, with logging of its own.
ELSEWHERE = """\
import logging, sys
logging.basicConfig(level=logging.ERROR, format="mine %(message)s")
mine = list(logging.getLogger().handlers)
import mlflow, pandas as pd
print(list(mlflow.pyfunc.load_model(sys.argv[1]).predict(pd.DataFrame({"x": [1.0]}))["prediction"]))
assert logging.getLogger().handlers == mine
project = sys.modules.get("kedro.framework.project")
assert project is None or project.PACKAGE_NAME is None
"""


def registry(project: Project, source: str) -> None:
    lines = [line[8:] for line in source.splitlines()]
    project.write(f"src/{PACKAGE}/pipeline_registry.py", COUNTED + "\n".join(lines))


def asked(project: Project) -> int:
    path = project.folder / f"src/{PACKAGE}/asked"
    times = len(path.read_text().splitlines()) if path.exists() else 0
    path.unlink(missing_ok=True)
    return times


@pytest.mark.parametrize(
    "kind",
    [
        *("a dictionary", "as Kedro's template has it"),
        *(
            pytest.param(kind, marks=weekly)
            for kind in ("find_pipelines", "imported when it is asked")
        ),
    ],
)
def test_it_is_asked_once_a_run_and_the_model_is_packaged_scored_and_loaded_elsewhere(
    kind: str, project: Project, tmp_path: Path
) -> None:
    registry(little(project), REGISTRIES[kind])
    project.kedro("run", "--pipelines", "training")
    assert asked(project) == 1
    project.kedro("run", "--pipelines", "inference")
    assert asked(project) == 1
    assert [row.rsplit(",")[0] for row in predicted(project)] == ["12.0", "22.0"]
    project.kedro("mlflow", "promote", "--version", "1")
    version = project.client.get_model_version_by_alias(PACKAGE, "champion")
    model = project.client.get_model_version_download_uri(PACKAGE, version.version)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/load.py").write_text(ELSEWHERE, "utf-8")
    result = project.forked("python", "load.py", model, cwd=str(tmp_path / "elsewhere"))
    assert result.stdout.splitlines()[-1] == "[3.0]"


def test_a_broken_pipeline_that_nobody_has_asked_for_costs_neither_run_nor_line(
    project: Project,
) -> None:
    broken = f"src/{PACKAGE}/pipelines/broken"
    registry(little(project), REGISTRIES["find_pipelines"])
    (project.folder / broken).mkdir()
    project.write(f"{broken}/__init__.py", "raise RuntimeError('CANARY')\n")
    result = project.kedro("run", "--pipelines", "training")
    assert "CANARY" not in result.stdout + result.stderr
    assert project.client.get_model_version_by_alias(PACKAGE, "champion").version
    # With errors raised a registry gives what was asked for, and the model's pipeline with it.
    registry(project, REGISTRIES["as Kedro's template has it"])
    project.kedro("run", "--pipelines", "training")
    assert len(project.client.search_model_versions()) == 2


def test_kedro_itself_says_what_is_wrong_with_a_pipeline_that_was_asked_for(
    project: Project,
) -> None:
    registry(little(project), REGISTRIES["find_pipelines"])
    pipeline = project.folder / f"src/{PACKAGE}/pipelines/training/pipeline.py"
    pipeline.write_text("raise RuntimeError('CANARY')\n", "utf-8")
    result = project.kedro("run", "--pipelines", "training", code=1)
    screen = said(result.stdout + result.stderr)
    assert "CANARY" in screen
    assert "Failed to find the pipeline named 'training'" in screen


def test_a_model_pipeline_that_is_in_no_registry_is_named(project: Project) -> None:
    registry(little(project), REGISTRIES["find_pipelines"])
    project.edit("conf/base/mlflow.yml", "model:\n", "model:\n  pipeline: scoring\n")
    result = project.kedro("run", "--pipelines", "training", code=1)
    assert "names the pipeline 'scoring', which pipeline_registry.py does not have" in said(
        result.stderr
    )
