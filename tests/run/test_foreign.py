"""What nodes of other people's projects are, read and return: tracked at no cost of the run."""

from __future__ import annotations

import pytest

from tests.support.project import PACKAGE, Project
from tests.support.tiny import said, small

PIPELINES = """\
from functools import partial
from kedro.io import AbstractDataset
from kedro.pipeline import Pipeline, node
from matplotlib.figure import Figure

class Table:
    columns = dtypes = property(lambda self: 1 / 0)
    def __len__(self):
        raise RuntimeError("rows are asked for")

class PipeDataset(AbstractDataset):
    def __init__(self, filepath):
        self._filepath = filepath
    def load(self):
        return open(self._filepath).read()
    def save(self, data):
        raise NotImplementedError
    def _describe(self):
        return {}

def read(text):
    return text

def measure(factor, text):
    return {"rmse": 1.5, "best": "ridge", "is_good": True, "hit@5": 0.5, "hit#5": factor}

def make():
    return Table(), {"age.png": Figure(), "bmi.png": Figure()}, [Figure()], {"a": Figure()}

def use(table):
    return type(table).__name__

nodes = [
    node(str.upper, "params:title", "loud", name="loud"),
    node(read, "raw", "text", name="read"),
    node(partial(measure, 0.9), "text", "evaluation", name="measure"),
    node(make, None, ["table", "plots", "listed", "parts"], name="make"),
    node(use, "table", "kind", name="use"),
]
PIPELINES = {"__default__": Pipeline(nodes)}
"""

CATALOG = """\
raw: {type: PACKAGE.pipelines.small.PipeDataset, filepath: pipe}
plots: {type: matplotlib.MatplotlibDataset, filepath: data/08_reporting/plots}
parts:
  type: partitions.PartitionedDataset
  path: data/08_reporting/parts
  dataset: matplotlib.MatplotlibDataset
  filename_suffix: .png
"""


def test_foreign_objects_are_tracked_at_no_cost(project: Project) -> None:
    small(project, PIPELINES)
    project.write("conf/base/parameters.yml", "title: quiet\n")
    project.write("conf/base/catalog.yml", CATALOG.replace("PACKAGE", PACKAGE))
    project.write("writer.py", "open('pipe', 'w').write('from a pipe')\n")
    project.script("import os\nos.mkfifo('pipe')\n")
    writer = project.fork("python", "writer.py")
    done = project.kedro("run")
    assert writer.communicate() == ("", "")
    (run,) = project.runs()
    metrics = {name: value for name, value in run.data.metrics.items() if "seconds" not in name}
    assert metrics == {
        "evaluation/rmse": 1.5,
        "evaluation/is_good": 1.0,
        "evaluation/hit_5": 0.5,
        "evaluation/hit_5_2": 0.9,
    }
    files = {
        file.path
        for folder in ("plots", "listed", "parts")
        for file in project.client.list_artifacts(run.info.run_id, f"figures/{folder}")
    }
    assert files == {
        *("figures/plots/age.png", "figures/plots/bmi.png"),
        *("figures/listed/0.png", "figures/parts/a.png"),
    }
    assert "Not tracked of the output 'evaluation': best (str)." in said(done.stdout + done.stderr)
    assert run.inputs
    (read,) = run.inputs.dataset_inputs
    assert read.dataset.name == "raw"


WORK = """\
import time
from kedro.pipeline import Pipeline, node

def work(alpha):
    time.sleep(0.3)
    return alpha

nodes = [node(work, "params:alpha", f"n{number}", name=f"n{number}") for number in range(2)]
PIPELINES = {"__default__": Pipeline(nodes)}
"""


@pytest.mark.parametrize("runner", ["SequentialRunner", "ParallelRunner"])
def test_mlflows_variables_count_or_a_line_says_that_they_do_not(
    project: Project, runner: str
) -> None:
    small(project, WORK)
    variables = {
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
        "MLFLOW_EXPERIMENT_NAME": "from-the-shell",
    }
    done = project.kedro("run", "--runner", runner, env=variables)
    (run,) = project.runs()
    experiment = project.client.get_experiment(run.info.experiment_id)
    assert experiment.name == PACKAGE
    screen = said(done.stdout + done.stderr)
    assert "(tracking.experiment.name): MLFLOW_EXPERIMENT_NAME does not count." in screen
    metrics = run.data.metrics
    assert metrics["system/system_memory_usage_megabytes"] > 0
    workers = {name.split("/")[1] for name in metrics if name.startswith("system/Fork")}
    assert bool(workers) is (runner == "ParallelRunner")
