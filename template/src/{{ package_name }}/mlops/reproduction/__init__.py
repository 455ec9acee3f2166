"""Reproduction: a tracked run, repeated as it was, and compared with what it had logged.

`checkout.py` puts its sources, libraries and inputs into a folder of their own; `differences.py`
compares. The repeated run is tracked in that folder, and saves nothing outside of it.
"""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import gmtime, strftime
from typing import TYPE_CHECKING

from ..backend.client import connect
from ..config import SCRATCH, KedroMlflowConfig, ServerOptions
from ..errors import TrackingError
from ..model.batch import WORKING_COPY
from ..model.card import markdown_table
from ..project import anchor
from ..redaction import MASK
from ..tracking.capture.sources import COMMIT, CUT, DIFF, DIFF_FILE, DIRTY, MASKED, PYTHON
from ..tracking.shipping.runs import NAMESPACE_TAG
from .checkout import CheckOut, called
from .differences import Row, differences, facts_of, table_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TAG, _PARENT = "reproduced", "mlflow.parentRunId"
# What may be wrong with the diff of a run.
_DIFFS = {
    MASKED: "had secrets in it, which were masked",
    CUT: "was longer than tracking.diff.max_kilobytes in mlflow.yml, or git took too long",
    None: "was not kept (tracking.diff.max_kilobytes in mlflow.yml was 0)",
}
EXACTLY, CLOSELY, NOT = "exactly", "within the tolerance", "no"


@dataclass(frozen=True)
class Report:
    """What the repeated run has in common with the run."""

    run_id: str
    rows: list[Row]
    tolerance: float

    @property
    def verdict(self) -> str:
        """How well the run was reproduced."""
        if not any(row.breaks for row in self.rows):
            return CLOSELY if any(row.differs for row in self.rows) else EXACTLY
        return NOT

    def keep(self, client: "MlflowClient") -> None:
        """Keep the verdict on the run as a tag, and the table as a file."""
        time = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())
        text = f"# Reproduced: {self.verdict}\n\n{time}, tolerance {self.tolerance:g}\n\n"
        path = f"reproduction/{time.replace(':', '')}.md"
        client.log_text(self.run_id, text + markdown_table(table_of(self.rows)), path)
        client.set_tag(self.run_id, TAG, f"{self.verdict}, {time}")


def why_not(status: str, tags: Mapping[str, str]) -> str | None:
    """Say why a run cannot be repeated, as part of a sentence; none if it can."""
    command, version = tags.get("kedro.command", ""), tags.get("model.version", WORKING_COPY)
    diff = _DIFFS.get(tags.get(DIFF)) if tags.get(DIRTY) == "true" else None
    problems = {
        f"it is a part of the run {tags.get(_PARENT)}: take that one": NAMESPACE_TAG in tags,
        f"it has the status {status}, and only a finished run can be compared": status
        != "FINISHED",
        "it has no commit: it was started without git, or before the first commit": COMMIT
        not in tags,
        "it does not say how it was made: an earlier version of the template has tracked it, or "
        "another program": PYTHON not in tags or not command.startswith("kedro run"),
        f"it has scored with version {version} of the model, which is frozen: `kedro mlflow "
        f"reproduce --version {version}` trains that one again": version != WORKING_COPY,
        f"its files differed from the commit, and the difference {diff}": diff is not None,
        f"its command does not say all: {command}": MASK in command or "  # " in command,
    }
    return next((problem for problem, is_there in problems.items() if is_there), None)


def reproduce(
    project_path: Path,
    config: KedroMlflowConfig,
    run_id: str,
    tolerance: float,
    allows: Callable[[str], bool],
    say: Callable[[str], None],
) -> Report:
    """Repeat a run in a folder of its own, which is gone afterwards, and compare.

    `allows` is asked before the run's diff, which comes from the server, becomes code here. A
    TrackingError says why it cannot be repeated: what is missing, what has changed.
    """
    client = connect(config.server)
    run = client.get_run(run_id)
    if problem := why_not(run.info.status, run.data.tags):
        raise TrackingError(f"The run {run_id} cannot be reproduced: {problem}.")
    with (
        TemporaryDirectory(prefix="reproduce-") as scratch,
        CheckOut(project_path, Path(scratch, "sources"), run.data.tags[COMMIT]) as checkout,
    ):
        say(f"Checked out {run.data.tags[COMMIT][:12]}.")
        diff = _diff_of(client, run_id, Path(scratch))
        if diff and allows(diff.read_text(encoding="utf-8", errors="replace")):
            checkout.apply(diff)
        checkout.require_lock(run.data.tags)
        checkout.place_inputs(run)
        say("Installing what uv.lock names ...")
        checkout.install(run.data.tags[PYTHON])
        command = run.data.tags["kedro.command"]
        say(f"Running `{command}` ...")
        folder = Path(scratch, "tracked")
        folder.mkdir()
        _run(command, checkout.project, folder)
        uri = anchor("sqlite:///mlflow.db", folder)
        repeated = connect(ServerOptions(mlflow_tracking_uri=uri, mlflow_registry_uri=uri))
        now = _only_run(repeated)
        rows = differences(
            facts_of(client, run, Path(scratch, "then")),
            facts_of(repeated, now, Path(scratch, "now")),
            tolerance,
        )
    return Report(run_id, rows, tolerance)


def _diff_of(client: "MlflowClient", run_id: str, folder: Path) -> Path | None:
    names = [each.path for each in client.list_artifacts(run_id, str(Path(DIFF_FILE).parent))]
    if DIFF_FILE not in names:
        return None
    return Path(client.download_artifacts(run_id, DIFF_FILE, str(folder)))


def _run(command: str, project: Path, folder: Path) -> None:
    """Run the command as it was, where nothing but this folder gets to know of it."""
    dropped = ("MLFLOW_", "KEDRO_")
    kept = {key: each for key, each in os.environ.items() if not key.startswith(dropped)}
    uri = anchor("sqlite:///mlflow.db", folder)
    kept |= {SCRATCH: str(folder), "MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri}
    kept |= {"MLFLOW_DISABLE_TELEMETRY": "true", "KEDRO_DISABLE_TELEMETRY": "true"}
    called(["uv", "run", "--no-sync", *shlex.split(command)], project, kept)


def _only_run(client: "MlflowClient") -> "Run":
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, order_by=["attributes.start_time"])
    own = [run for run in runs if NAMESPACE_TAG not in run.data.tags]
    if not own:
        raise TrackingError(
            "The run was repeated and was not tracked: its mlflow.yml leaves it out."
        )
    return own[0]
