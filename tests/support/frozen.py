"""A project whose predictions depend on all that a version holds, and what may change in it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.project import PACKAGE, Project
from tests.support.tiny import CONFIG

HERE = f"src/{PACKAGE}"

CATALOG = f"""\
table: {{type: pandas.CSVDataset, filepath: data/01_raw/table.csv}}
state: {{type: json.JSONDataset, filepath: data/06_models/state.json}}
rates:
  type: pandas.CSVDataset
  filepath: data/03_primary/rates.csv
  load_args: {{sep: ";", na_filter: false}}
instances:
  type: pandas.CSVDataset
  filepath: data/05_model_input/instances.csv
  load_args: {{keep_default_na: false, na_values: [""]}}
  validator: {PACKAGE}.checks.checked
predictions:
  type: pandas.CSVDataset
  filepath: data/07_model_output/predictions.csv
  save_args: {{index: false}}
"""

FILES = {
    f"{HERE}/pipeline_registry.py": """\
from .pipelines import frozen

def register_pipelines():
    pair = {"training": frozen.training, "inference": frozen.inference}
    return {**pair, "__default__": frozen.training}
""",
    f"{HERE}/pipelines/frozen.py": """\
from functools import partial
from kedro.pipeline import Pipeline, node
from . import steps

training = Pipeline([node(steps.fit, "table", "state", name="fit")])
inference = Pipeline([
    node(partial(steps.widen, by=3), "instances", "wide", name="widen"),
    node(steps.predict, ["wide", "state", "rates", "params:limits"], "predictions", name="predict"),
])
""",
    f"{HERE}/pipelines/steps.py": """\
import pricing_rules.tariffs

def fit(table):
    return {"highest": float(table["x"].max())}

def widen(rows, by):
    return rows.assign(wide=rows["x"] * by)

def predict(wide, state, rates, limits):
    import rules
    from acme.extras import shift

    rate = wide["country"].map(rates.set_index("country")["rate"]).fillna(1000.0)
    y = wide["wide"].clip(upper=limits["threshold"]) * state["highest"] + rate
    return (y * pricing_rules.tariffs.tariff() + shift.BY - rules.DISCOUNT).to_frame("y")
""",
    f"{HERE}/checks.py": "def checked(rows):\n    return rows.assign(x=rows['x'] + 0.25)\n",
    "src/pricing_rules/__init__.py": "",
    "src/pricing_rules/tariffs.py": """\
import json
from pathlib import Path

def tariff():
    return json.loads(Path(__file__).with_name("tariff.json").read_text())
""",
    "src/pricing_rules/tariff.json": "1.5",
    "src/rules.py": "DISCOUNT = 7.0\n",
    "src/acme/extras/shift.py": "BY = 100.0\n",
    "conf/base/catalog.yml": CATALOG,
    "conf/base/parameters.yml": "limits: {threshold: 5.0, unused: a}\n",
    "conf/base/mlflow.yml": f"{CONFIG}model: {{name: {PACKAGE}}}\n",
    "data/01_raw/table.csv": "x\n1.0\n10.0\n",
    "data/03_primary/rates.csv": "country;rate\nNA;1.0\nDE;2.0\n",
    "data/05_model_input/instances.csv": "x,country\n1.0,NA\n2.0,DE\n0.5,FR\n",
}
# By hand: 1.5 * (min(3 * (x + 0.25), 5) * 10 + rate) + 100 - 7.
EXPECTED = [
    1.5 * (min(3 * (x + 0.25), 5.0) * 10 + rate) + 93
    for x, rate in ((1.0, 1.0), (2.0, 2.0), (0.5, 1000.0))
]


@dataclass(frozen=True)
class Change:
    """What an owner edits after the training, and what the batch says of it."""

    name: str
    path: str
    old: str
    new: str
    said: str

    def make(self, project: Project) -> None:
        project.edit(self.path, self.old, self.new)


STATE = ("{type: json.JSONDataset, filepath", "{type: yaml.YAMLDataset, filepath")
CATALOG_FILE, STEPS = "conf/base/catalog.yml", f"{HERE}/pipelines/steps.py"
VALUES = [
    Change(
        "parameter",
        *("conf/base/parameters.yml", "threshold: 5.0", "threshold: 0.5"),
        "parameters limits.threshold (5.0, now 0.5)",
    ),
    Change("look-up", "data/03_primary/rates.csv", "NA;1.0", "NA;9.0", "look-up tables rates"),
    Change(
        "load_args",
        CATALOG_FILE,
        "keep_default_na: false, ",
        "",
        "how instances is read",
    ),
]
CODE = [
    Change("node", STEPS, 'rows["x"] * by', 'rows["x"] + by', f"{PACKAGE}/pipelines/steps.py"),
    Change(
        "package",
        "src/pricing_rules/tariffs.py",
        "return json",
        "return 2 * json",
        "pricing_rules/tariffs.py",
    ),
    Change(
        "file in a package",
        "src/pricing_rules/tariff.json",
        "1.5",
        "2.5",
        "pricing_rules/tariff.json",
    ),
    Change("late import", "src/rules.py", "7.0", "8.0", "rules.py"),
    Change(
        "namespace package", "src/acme/extras/shift.py", "100.0", "200.0", "acme/extras/shift.py"
    ),
    Change("bound argument", f"{HERE}/pipelines/frozen.py", "by=3", "by=4", "node widen"),
    Change("validator's code", f"{HERE}/checks.py", "0.25", "0.5", f"{PACKAGE}/checks.py"),
    Change(
        "validator",
        CATALOG_FILE,
        f"  validator: {PACKAGE}.checks.checked\n",
        "",
        "the validator of instances",
    ),
    Change("class of a data set", CATALOG_FILE, *STATE, "data set state"),
    Change(
        "late import gone",
        STEPS,
        "import rules\n",
        "class rules: DISCOUNT = 1\n",
        f"{PACKAGE}/pipelines/steps.py",
    ),
    Change("another node", f"{HERE}/pipelines/frozen.py", '"widen"', '"wider"', "node wider"),
]


def frozen(project: Project) -> Project:
    """Give a project these files, in place of the study's."""
    for path, content in FILES.items():
        (project.folder / path).parent.mkdir(parents=True, exist_ok=True)
        project.write(path, content)
    return project
