"""A run and the reference: training writes one, and a scoring run is measured against it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kedro.io import DataCatalog, DatasetError
from kedro.pipeline.node import Node
from kedro.validation import DataValidationError

from ..config import KedroMlflowConfig
from ..errors import listed
from ..model.parts import fitted_inputs
from ..model.training_tables import candidates
from ..project import registered_pipeline, registered_pipelines
from ..tracking import PackagedModel, RunListener, RunStart
from ..tracking.capture.values import valid_name
from ..tracking.journal import Journal
from .exit_code import DRIFT_TAG, NO_DRIFT, note

if TYPE_CHECKING:
    from ..tracking.capture import RunCapture
    from .options import MonitoringOptions
    from .reference import Counts, Distribution, Reference

logger = logging.getLogger(__name__)

FOLDER = "drift"
# Of training data of more rows so many are described; for so many the model predicts.
_MOST_ROWS, _MOST_PREDICTIONS = 1_000_000, 10_000


class Finding(NamedTuple):
    """What was measured of a column, in one group, and which rules that breaks."""

    group: str  # "" for all rows.
    column: str
    is_predicted: bool
    reference: "Distribution"
    counts: "Counts"
    measured: Mapping[str, float]
    broken: Mapping[str, float]  # Limits by measure.

    @property
    def name(self) -> str:
        """Name the column and its group."""
        return f"{self.column} of {self.group}" if self.group else self.column

    @property
    def path(self) -> str:
        """Return where its metrics are."""
        group = f"{self.group.replace('=', '_', 1)}/" if self.group else ""
        place = "predictions/" if self.is_predicted else ""
        return f"drift/{group}{place}{self.column}"


class Monitoring(RunListener):
    """Describes the data of a run that trains the model, or measures the drift of one that scores.

    What fails here fails no run: the journal says so in a line.
    """

    subject = "The drift of the data"

    def __init__(self, config: KedroMlflowConfig) -> None:
        assert config.model
        self._model, self._promotion = config.model, config.promotion
        self._options: MonitoringOptions = config.monitoring
        self._reference: Reference | None = None  # Of the version that scores.
        # Of the holdout, as the evaluating node has read them, by group.
        self._predicted: dict[str, dict[str, Distribution]] = {}
        # Of what is scored: counts by group and column, and the rows of each group.
        self._counts: dict[tuple[str, str], Counts] | None = None
        self._groups: dict[str, Any] = {}

    def run_starts(self, start: RunStart) -> None:
        """Read the reference of the version that scores."""
        if start.scored_by is None:
            return
        from .reference import FILE, Reference

        path = start.scored_by / FILE
        if path.is_file():
            self._reference = Reference.read(path)
        else:
            logger.info(
                "The drift is not measured: version %s was trained without monitoring, and has no "
                "%s.",
                *(start.tags.get("model.version"), FILE),
            )

    def node_called(self, node: Node, inputs: Mapping[str, Any]) -> dict[str, str]:
        """Count what is scored, and describe what was predicted for the holdout."""
        if self._reference and self._counts is None and self._model.input in inputs:
            self._counts = self._count(inputs[self._model.input])
        options = self._promotion
        if options.evaluation in node.outputs and {options.holdout, options.predictions} <= set(
            inputs
        ):
            rows, predictions = (inputs[str(n)] for n in (options.holdout, options.predictions))
            self._predicted = self._describe(rows, predictions)
        return {}

    def model_packaged(
        self,
        config: KedroMlflowConfig,
        journal: Journal,
        catalog: DataCatalog,
        model: PackagedModel,
    ) -> None:
        """Write the reference into the model's folder."""
        from ..model.schema import Schema
        from .reference import FILE, as_columns, reference_of

        with journal.capturing(self.subject):
            if not isinstance(model.schema, Schema):
                return  # Of an array: its columns have no names.
            rows = self._training_rows(catalog, model.schema)
            if rows is None:
                logger.warning(
                    "The model has no reference for monitoring: no table that the training reads "
                    "can be read again with the columns of '%s'.",
                    self._model.input,
                )
                return
            predicted = self._predicted
            if not predicted:  # Nothing was evaluated, or in another process.
                some = rows[:: 1 + len(rows) // _MOST_PREDICTIONS]
                predicted = self._describe(some, model.predict(some), model.schema.ids)
            slices = self._options.slices
            reference = reference_of(as_columns(rows), model.schema, predicted, slices)
            reference.write(model.folder / FILE)

    def run_ends(self, run: "RunCapture", catalog: DataCatalog) -> None:
        """Capture the drift: metrics, a table, a figure, a tag."""
        if self._reference is None:
            return
        from .report import write_report

        with run.journal.capturing(self.subject):
            findings = list(self._findings(catalog))
            metrics = [
                (valid_name(f"{each.path}/{name}"), value, 0)
                for each in findings
                for name, value in each.measured.items()
            ]
            broken = [f"{each.name} {rule}" for each in findings for rule in each.broken]
            run.journal.append("metrics", "", values=metrics)
            tag = ", ".join(broken) or NO_DRIFT
            run.journal.append("tags", values={DRIFT_TAG: tag})
            for path in write_report(findings, run.journal.files / FOLDER):
                run.journal.append("artifact", "", path=str(path), folder=FOLDER)
            if broken:
                logger.warning(
                    "The data have drifted since the training (%s): `kedro mlflow monitor` says "
                    "how far.",
                    listed(broken, 5, str),
                )
            note(tag)

    def _findings(self, catalog: DataCatalog) -> "Iterator[Finding]":
        from .reference import as_columns, as_table_of

        assert self._reference
        if self._counts is None:  # Another process has read them.
            self._counts = self._count(catalog.load(self._model.input))
        (output,) = registered_pipeline(self._model.pipeline, "model.pipeline").outputs()
        predicted = as_columns(as_table_of(catalog.load(output)))
        for group, about in self._reference.groups.items():
            for column, reference in about.columns.items():
                if counts := self._counts.get((group, column)):
                    yield self._finding(group, column, False, reference, counts, about.rows)
            for column, reference in about.predictions.items():
                members = self._groups.get(group)
                if column in predicted and _are_rows(members, predicted[column]):
                    counts = reference.count(predicted[column][members])
                    yield self._finding(group, column, True, reference, counts, about.rows)

    def _finding(
        self,
        group: str,
        column: str,
        is_predicted: bool,
        reference: "Distribution",
        counts: "Counts",
        rows: float,
    ) -> Finding:
        measured = reference.drift(rows, counts)
        broken = self._options.broken(column, measured, reference.before, counts.rows)
        return Finding(group, column, is_predicted, reference, counts, measured, broken)

    def _count(self, table: Any) -> "dict[tuple[str, str], Counts]":
        from .reference import as_columns

        assert self._reference
        columns = as_columns(table)
        self._groups = dict(self._reference.members(columns))
        return {
            (group, name): reference.count(columns[name][members])
            for group, members in self._groups.items()
            for name, reference in self._reference.groups[group].columns.items()
            if name in columns
        }

    def _describe(
        self, rows: Any, predictions: Any, ids: Sequence[Any] = ()
    ) -> "dict[str, dict[str, Distribution]]":
        from .reference import as_columns, as_table_of, predictions_by_group

        columns = as_columns(as_table_of(predictions))
        return predictions_by_group(columns, as_columns(rows), self._options.slices, ids)

    def _training_rows(self, catalog: DataCatalog, schema: Any) -> Any:
        """Read the table of the training that has the columns of the model's input."""
        inference, fitted = (
            registered_pipeline(self._model.pipeline, "model.pipeline"),
            fitted_inputs(self._model),
        )
        for training in registered_pipelines().values():
            if not fitted <= training.all_outputs():
                continue
            for name in dict.fromkeys(candidates(training, inference, self._model.input)):
                try:
                    rows = catalog.load(name)
                    return schema.conform(rows[:: 1 + len(rows) // _MOST_ROWS])
                except (DatasetError, DataValidationError, TypeError):
                    continue  # It was in memory alone, or is another table.
        return None


def _are_rows(members: Any, predicted: Any) -> bool:
    """Return whether a group's rows are known, and are those of what was predicted."""
    return isinstance(members, slice) or (members is not None and len(members) == len(predicted))
