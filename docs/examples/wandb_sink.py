"""Weights & Biases as a sink: every run goes there as well as to MLflow.

Copy this file into the project's package (`src/<package>/wandb_sink.py`), run `uv add wandb`, and
name the class in `conf/base/mlflow.yml`:

    mirrors:
      - type: <package>.wandb_sink.WandbSink
        init_kwargs:
          project: my-project
"""

import re
import shutil
from ast import literal_eval
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from .mlops import Record, Sink, TrackingError, all_records

_EXIT_CODES = {"FINISHED": 0, "FAILED": 1, "KILLED": 255}


class WandbSink(Sink):
    """Delivers a run to Weights & Biases: what MLflow gets, under the same names."""

    place = "Weights & Biases"

    def __init__(
        self,
        project: str,
        entity: str | None = None,
        mode: Literal["online", "offline"] | None = None,
    ) -> None:
        """Say where runs go.

        Args:
            project: the project in Weights & Biases.
            entity: the team or user that it belongs to; the API key's own by default.
            mode: ``offline`` writes runs to `wandb/`, for `wandb sync`; WANDB_MODE by default.
        """
        self._where: dict[str, Any] = {"project": project, "entity": entity, "mode": mode}
        self._run: Any = None

    def begin(self, started: Record) -> None:
        """Open the run, under an id that is the same in every process that delivers it."""
        try:
            import wandb
        except ModuleNotFoundError as error:
            raise TrackingError("wandb is not installed: run `uv add wandb`") from error
        tags = started.data["tags"]
        try:
            self._run = wandb.init(
                **self._where,
                id=started.data["journal"],
                resume="allow",
                # Several runs may be open at once in one process.
                reinit="create_new",
                name=started.data["name"],
                tags=tags["kedro.pipelines"].split(", "),
                notes=tags["kedro.command"],
                config=tags,
                dir=self.folder.parents[2],  # The project's.
                settings=wandb.Settings(console="off", silent=True),
            )
        except wandb.errors.CommError as error:
            raise ConnectionError(str(error)) from error

    def deliver(self, records: list[Record], patient: bool) -> None:
        """Keep what is known before the run's end."""
        for record in records:
            if record.kind in ("params", "tags"):
                values = record.data["values"]
                named = {_prefix(record) + name: _plain(text) for name, text in values.items()}
                self._run.config.update(named, allow_val_change=True)
            elif record.kind == "metrics":
                values = record.data["values"]
                self._run.summary.update({_prefix(record) + name: last for name, last, _ in values})
            elif record.kind == "artifact":
                self._keep_file(Path(record.data["path"]), record.data["folder"])
            elif record.kind == "model":
                self._keep_model(Path(record.data["path"]), record.data["name"])

    def end(self, ended: Record, patient: bool) -> None:
        """Close the run, with all of its journal once more.

        Weights & Biases writes in a process of its own: what it had taken and not yet written is
        lost when that is killed. And it takes metrics in the order of their steps alone.
        """
        self.deliver(list(all_records(self.folder)), patient)
        for step, values in sorted(_by_step(all_records(self.folder)).items()):
            self._run.log(values, step=step)
        self._run.finish(_EXIT_CODES[ended.data["status"]])

    def _keep_file(self, path: Path, folder: str) -> None:
        # A copy: W&B makes links, and the journal is removed once it is delivered.
        copy = Path(self._run.dir, folder, path.name)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        self._run.save(copy, base_path=self._run.dir, policy="now")

    def _keep_model(self, folder: Path, name: str) -> None:
        import wandb

        model = wandb.Artifact(re.sub(r"[^\w.-]", "_", name, flags=re.ASCII), type="model")
        for file in (path for path in folder.rglob("*") if path.is_file()):
            model.add_file(str(file), name=file.relative_to(folder).as_posix())
        self._run.log_artifact(model)  # The same files again make no second version.


def _prefix(record: Record) -> str:
    """Name the namespace that a record belongs to, if that has a child run in MLflow."""
    namespace = record.data.get("namespace")
    return f"{namespace}/" if namespace else ""


def _plain(text: str) -> Any:
    """Read a parameter, which MLflow keeps as a text, as what it was."""
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _by_step(records: Iterable[Record]) -> dict[int, dict[str, float]]:
    """Gather metrics by their steps, with the time of the last one at each step."""
    steps: dict[int, dict[str, float]] = defaultdict(dict)
    for record in records:
        if record.kind == "metrics":
            for name, value, step in record.data["values"]:
                steps[step][_prefix(record) + name] = value
                steps[step]["_timestamp"] = record.time / 1000
    return steps
