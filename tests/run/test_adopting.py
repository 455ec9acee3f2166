"""A project that is there already comes under the template by what docs/adopting.md says.

The commands are the page's own. Only where the template is, and that `uv` finds the environment
that the other tests have installed, is said here; `uv run kedro` is a fork.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import answers, versions
from tests.support.profiles import weekly
from tests.support.project import Project

PAGE = (answers.REPOSITORY / "docs" / "adopting.md").read_text("utf-8")

PLAIN = {
    "src/old_study/pipelines/measuring/__init__.py": "from .pipeline import create_pipeline\n",
    "src/old_study/pipelines/measuring/nodes.py": """
        def clean(raw):
            return raw.dropna()

        def measure(table, scale):
            return {"mean": float(table["x"].mean() * scale), "rows": len(table)}
    """,
    "src/old_study/pipelines/measuring/pipeline.py": """
        from kedro.pipeline import Node, Pipeline
        from .nodes import clean, measure

        def create_pipeline(**kwargs):
            nodes = [
                Node(clean, "raw", "table", name="clean"),
                Node(measure, ["table", "params:scale"], "report", name="measure"),
            ]
            return Pipeline(nodes, namespace="north", inputs="raw", outputs="report",
                            parameters="params:scale")
    """,
    "conf/base/catalog.yml": """
        raw: {type: pandas.CSVDataset, filepath: data/01_raw/raw.csv}
        report: {type: json.JSONDataset, filepath: data/08_reporting/report.json}
    """,
    "conf/base/parameters.yml": "scale: 10\n",
    "data/01_raw/raw.csv": "x\n1\n2\n\n3\n",
    "tests/test_nodes.py": """
        import pandas as pd
        from old_study.pipelines.measuring.nodes import clean, measure

        def test_measure():
            assert measure(clean(pd.DataFrame({"x": [1, 3, None]})), 2) == {"mean": 4, "rows": 2}
    """,
}

WITH_KEDRO_MLFLOW = {
    "conf/base/catalog.yml": """
        raw: {type: pandas.CSVDataset, filepath: data/01_raw/raw.csv}
        report:
          type: kedro_mlflow.io.artifacts.MlflowArtifactDataset
          dataset: {type: json.JSONDataset, filepath: data/08_reporting/report.json}
        share:
          type: kedro_mlflow.io.metrics.MlflowMetricDataset
    """,
    "src/old_study/hooks.py": """
        from kedro.framework.hooks import hook_impl

        class ProjectHooks:
            @hook_impl
            def after_pipeline_run(self, run_params):
                print("a hook of our own")
    """,
    "src/old_study/pipelines/scoring.py": """
        from kedro.pipeline import Node, Pipeline

        def fit(table):
            return float(table["x"].max()), 0.5

        def score(instances, largest):
            return instances / largest

        def training():
            nodes = [
                Node(lambda raw: raw, "raw", "instances", name="take", tags="training"),
                Node(fit, "instances", ["largest", "share"], name="fit", tags="training"),
            ]
            return Pipeline(nodes)

        def inference():
            return Pipeline([Node(score, ["instances", "largest"], "scores", name="score")])

        def create_pipeline(**kwargs):
            return Pipeline([])
    """,
    "src/old_study/pipeline_registry.py": """
        from kedro_mlflow.pipeline import pipeline_ml_factory
        from .pipelines import measuring, scoring

        def register_pipelines():
            ml = pipeline_ml_factory(
                training=scoring.training(), inference=scoring.inference(), input_name="instances"
            )
            measured = measuring.create_pipeline()
            return {"ml": ml, "measured": measured, "__default__": measured + scoring.training()}
    """,
}

# What the table of the page says of each of these.
CHANGED_BY_THE_TABLE = {
    "conf/base/catalog.yml": """
        raw: {type: pandas.CSVDataset, filepath: data/01_raw/raw.csv}
        report:
          type: json.JSONDataset
          filepath: data/08_reporting/report.json
          metadata: {mlflow: {artifact: true}}
    """,
    "src/old_study/pipeline_registry.py": """
        from .pipelines import measuring, scoring

        def register_pipelines():
            measured = measuring.create_pipeline()
            return {
                "inference": scoring.inference(),
                "measured": measured,
                "__default__": measured + scoring.training(),
            }
    """,
}


@dataclass(frozen=True)
class Old(Project):
    """A project that was there before the template."""

    template: Path
    packages: Path | None = None

    def variables(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Those of any project, and the package's folder and kedro-mlflow's on the path."""
        path = [str(self.folder / "src"), *([str(self.packages)] if self.packages else [])]
        return super().variables(
            {
                "PYTHONPATH": ":".join(path),
                "UV_PROJECT_ENVIRONMENT": str(self.environment),
                "GIT_CONFIG_GLOBAL": "/dev/null",
                **{f"GIT_{role}_{key}": "a@b" for role in ROLES for key in ("NAME", "EMAIL")},
                **(extra or {}),
            }
        )

    def write_all(self, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            lines = text.removeprefix("\n").rstrip(" ").splitlines(keepends=True)
            margin = len(lines[0]) - len(lines[0].lstrip())
            self.write(path, "".join(line[margin:] or "\n" for line in lines))

    def type(self, step: str, before: str = "") -> str:
        """Type the commands of a section of the page, after another one; what they print."""
        # What uv may not do here: install into the environment that all tests share.
        hands_off = "UV_FROZEN" if step.startswith("3") else "UV_NO_SYNC"
        section = PAGE.partition(f"\n## {step}")[2].partition("\n## ")[0]
        screen = ""
        for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL):
            source = f"--vcs-ref {versions.WORKING_TREE} '{self.template}'"
            commands = block.replace("gh:OWNER/copier-kedro-mlflow", source)
            if self.packages is None:
                commands = commands.replace("uv remove kedro-mlflow", ":")
            for line in re.findall(r"^uv run kedro (.*)\n", commands, re.MULTILINE):
                screen += self.kedro(*line.split()).stdout
            commands = re.sub(r"uv run kedro .*\n", "", commands)
            result = subprocess.run(
                ["bash", "-ec", f"{before}\n{commands}"],
                cwd=self.folder,
                env=self.variables({hands_off: "1"}),
                capture_output=True,
                text=True,
                check=False,
            )
            screen += re.sub(r"\x1b\[\d*m", "", result.stdout + result.stderr)
            assert result.returncode == 0, screen
        return screen

    def add_the_pages_settings(self) -> None:
        (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        settings = next((self.folder / "src").glob("*/settings.py"))
        settings.write_text(f"{settings.read_text('utf-8')}\n{block}", "utf-8")


ROLES = ("AUTHOR", "COMMITTER")


@pytest.fixture
def plain(rendered: Project, tmp_path: Path) -> Old:
    """What `kedro new` makes, with a namespaced pipeline and a test in it, committed."""
    make = Project(tmp_path, rendered.environment)
    options = ["--name", "Old Study", "--tools", "none", "--example", "n"]
    make.kedro("new", *options, env={"KEDRO_DISABLE_TELEMETRY": "1"})
    template = versions.publish_all(tmp_path / "template")
    old = Old(tmp_path / "old-study", rendered.environment, template)
    old.write_all(PLAIN)
    answers.git(old.folder, "init", "--quiet", "--initial-branch", "main")
    # Kedro's .gitignore leaves data out; what is raw is kept here, as a small table may be.
    answers.git(old.folder, "add", "--all")
    answers.git(old.folder, "add", "--force", "data/01_raw/raw.csv")
    answers.git(old.folder, "commit", "--quiet", "--message", "As it was")
    return old


def test_a_plain_project_is_tracked_and_its_own_files_stay(plain: Old) -> None:
    before = answers.files(plain.folder)
    listed = plain.type("1. Preview")
    assert answers.files(plain.folder) == before
    assert re.search(r"create\s+src/old_study/mlops/hook\.py", listed)
    assert re.search(r"skip\s+pyproject\.toml", listed)

    (plain.folder / "src/old_study/settings.py").unlink()
    plain.type("2. Add the template's files")
    plain.type("3. Settings and libraries")
    plain.type("4. Check, run, commit")

    after = answers.files(plain.folder)
    touched = {path for path in before if before[path] != after[path]}
    assert touched == {"pyproject.toml", "src/old_study/settings.py", ".gitignore"}
    (run,) = plain.runs()
    assert run.info.status == "FINISHED"
    assert run.data.params == {"scale": "10"}
    assert run.data.metrics["report/mean"] == 20
    plain.forked("pytest", "--quiet", "-p", "no:cacheprovider", "tests")
    ours = ("src/old_study/pipelines/training", "data/05")
    assert not [path for path in after if path.startswith(ours)]


@weekly
def test_an_adopted_project_is_updated_like_any_other(plain: Old) -> None:
    (plain.folder / "src/old_study/settings.py").unlink()
    plain.type("2. Add the template's files")
    versions.commit(plain.folder)
    before = answers.files(plain.folder)
    update = plain.kedro("mlflow", "update", code=3).stdout
    assert f"to {versions.NEXT} of the template" in update
    after = answers.files(plain.folder)
    hook = "src/old_study/mlops/hook.py"
    assert after[hook] == before[hook] + versions.MARK.encode()
    for path in PLAIN:
        assert after[path] == before[path]
    assert "README.md" in update


@pytest.fixture
def with_kedro_mlflow(plain: Old, tmp_path: Path) -> Old:
    """The same with kedro-mlflow: its hook, its data sets, its pipelines, and a run of it."""
    packages = tmp_path / "packages"
    uv = shutil.which("uv")
    assert uv is not None
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(packages)]
    subprocess.run([*install, "kedro-mlflow==2.0.3"], check=True)
    old = Old(plain.folder, plain.environment, plain.template, packages)
    old.write_all(WITH_KEDRO_MLFLOW)
    settings = old.folder / "src/old_study/settings.py"
    lines = "\nfrom old_study.hooks import ProjectHooks\n\nHOOKS = (ProjectHooks(),)\n"
    settings.write_text(settings.read_text("utf-8") + lines, "utf-8")
    old.edit("pyproject.toml", "dependencies = [", 'dependencies = [\n    "kedro-mlflow>=2,<3",')
    old.kedro("mlflow", "init", "--env", "base")
    # MLflow 3.17 refuses the folder that kedro-mlflow would take.
    uri = "mlflow_tracking_uri: "
    old.edit("conf/base/mlflow.yml", f"{uri}null", f"{uri}sqlite:///mlflow.db")
    old.kedro("run")
    old.edit("conf/base/mlflow.yml", "flatten: False", "flatten: True")
    versions.commit(old.folder)
    return old


@pytest.mark.strays("the plugin has tracked here before")
def test_a_project_leaves_kedro_mlflow_with_its_settings_and_runs(with_kedro_mlflow: Old) -> None:
    old = with_kedro_mlflow
    (first,) = old.runs()
    before = answers.files(old.folder)
    named = old.type("1. Preview", before="uvx() { :; }")
    assert answers.files(old.folder) == before
    for place in (
        "conf/base/catalog.yml:3:",
        "conf/base/catalog.yml:6:",
        "src/old_study/pipeline_registry.py:1:",
        "src/old_study/pipeline_registry.py:5:",
        "pyproject.toml:",
    ):
        assert place in named, named

    old.write_all(CHANGED_BY_THE_TABLE)
    old.type("2. Add the template's files")
    old.add_the_pages_settings()
    old.type("3. Settings and libraries")
    assert "kedro-mlflow" not in (old.folder / "pyproject.toml").read_text("utf-8")
    old = Old(old.folder, old.environment, old.template)  # and so it is no longer installed
    old.kedro("mlflow", "doctor")
    assert "a hook of our own" in old.kedro("run").stdout

    after = answers.files(old.folder)
    assert after["conf/base/mlflow.yml"] == before["conf/base/mlflow.yml"]
    second, again = old.runs()
    assert again.info.run_id == first.info.run_id
    assert second.info.experiment_id == first.info.experiment_id
    assert second.info.status == "FINISHED"
    assert second.data.metrics["share"] == first.data.metrics["share"] == 0.5
    files = [file.path for file in old.client.list_artifacts(second.info.run_id, "data")]
    assert any("report" in file for file in files), files
