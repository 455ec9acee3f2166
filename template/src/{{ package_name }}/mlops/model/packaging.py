"""Packaging: writes the inference pipeline and what a run has fitted for it as one MLflow model."""

import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.validation import DataValidationError
from packaging.requirements import Requirement

from ..backend.client import muted
from ..config import KedroMlflowConfig, ModelOptions
from ..disk import atomic, link, refusal
from ..errors import AS_IT_IS, TrackingError
from ..mlflow_internals import quieten_mlflow
from ..project import (
    PACKAGE,
    PACKAGE_FOLDER,
    TEMPLATE_FOLDER,
    State,
    is_rendered,
    registered_pipeline,
)
from ..redaction import Patterns, mask
from ..tracking import PackagedModel, RunListener, RunStart
from ..tracking.capture.values import read_parameters
from ..tracking.journal import Journal
from . import plan
from .card import write_card
from .frozen import code_of, input_entry
from .own_code import OwnModules, own_modules_of_project, wiring
from .parts import copy_dataset, copy_lookup, fitted_inputs, lookup_inputs, lookup_problems
from .plan import InferencePlan
from .preflight import load_input, missing_modules, pandera_of, problems
from .training_tables import TrainingTables
from .unregistered import keep, note_run, waiting

if TYPE_CHECKING:
    from ..tracking.capture import RunCapture
    from ..tracking.shipping import Delivery
    from .schema import Schema
    from .tensor_schema import TensorSchema

logger = logging.getLogger(__name__)

# For so many the model predicts, to see what it returns.
_ROWS = 5

# What predictions may need of the template's code: each file of a model is one more to upload.
_NEEDED = {"__init__.py", "datasets.py", "disk.py", "errors.py", "mlflow_internals.py"}
_NEEDED |= {"old_names.py", "project.py", "redaction", "model", "validation"}
_NOT_NEEDED_OF_MODEL = {"batch.py", "card.py", "environment.py", "example.py", "frozen.py"}
_NOT_NEEDED_OF_MODEL |= {"inferred_schema.py", "own_code.py", "own_process.py", "packaging.py"}
_NOT_NEEDED_OF_MODEL |= {"parts.py", "predict.py", "predictions.py", "preflight.py"}
_NOT_NEEDED_OF_MODEL |= {"training_tables.py", "transfer.py", "unregistered.py"}


class Packaging(RunListener):
    """Packages the model into runs that have fitted everything that training fits of it.

    A run that fits a part of it, or a model that cannot be packaged, is told so in one sentence.
    """

    subject = "The schema of a table"

    def __init__(self, options: ModelOptions, secrets: Patterns = ()) -> None:
        """Take what mlflow.yml says of the model and of secrets."""
        self._options, self._secrets = options, secrets
        self._tables = TrainingTables()

    def run_starts(self, start: RunStart) -> None:
        """Announce the model if this run fits it; a TrackingError says why that cannot succeed."""
        options, fitted = self._options, fitted_inputs(self._options)
        if not fitted and start.is_tracked and list(start.names) != [options.pipeline]:
            logger.warning(
                "This run registers no version of %s: no pipeline makes anything that '%s' "
                "(model.pipeline) reads.",
                *(options.name, options.pipeline),
            )
        if not fitted or not fitted <= start.pipeline.all_outputs():
            return
        start.registers = options.name
        for run in waiting(State.of(Path(start.run_params["project_path"])))[-1:]:
            logger.info(
                "The model of the run %s waits: `uv run kedro mlflow register latest` registers it "
                "once this is fixed: %s.",
                *(run.folder.name, run.reason),
                extra=AS_IT_IS,
            )
        inference = registered_pipeline(options.pipeline, "model.pipeline")
        # Kedro leaves out nodes that have fitted something of the model already, if it is told so.
        only_missing = start.run_params.get("only_missing_outputs")
        if start.is_tracked and not (only_missing and any(map(start.catalog.exists, fitted))):
            require_model(options, start.pipeline, start.catalog, self._secrets)
            for problem in missing_modules(options, inference, start.catalog):
                logger.warning("%s", problem)
        self.expect(start.pipeline)

    def expect(self, training: Pipeline) -> None:
        """Note which tables of the training the model's types come from."""
        options = self._options
        inference = registered_pipeline(options.pipeline, "model.pipeline")
        self._tables.expect(training, inference, options.input)

    def node_called(self, node: Node, inputs: Mapping[str, Any]) -> Mapping[str, str]:
        """Note what a table of the training is made of."""
        self._tables.look(inputs)
        return {}

    def run_ends(self, run: "RunCapture", catalog: DataCatalog) -> None:
        """Write the model into the run's journal, if the run has fitted it.

        What only the end can show costs no training: the run is finished, and what it has fitted
        is kept for `kedro mlflow register`.
        """
        fitted, made = fitted_inputs(self._options), {name for name, _ in run.outputs()}
        if rest := ", ".join(sorted(fitted - made)):
            if fitted & made:
                text = "This run registers no version of %s: it has not made %s, which that reads."
                logger.info(text, self._options.name, rest)
            return
        if not fitted:
            return
        try:
            tables = self._tables.schemas(catalog)
            add_model(run.config, catalog, run.journal, tables, run.listeners)
        except Exception as error:
            if refusal(error):  # Of the disk: nothing could be kept either.
                raise
            keep(run, catalog, sorted(fitted), error, self._tables.schemas(catalog))

    def run_shipped(self, delivery: "Delivery") -> None:
        """Note the id of a run whose model waits to be registered."""
        note_run(delivery)


def require_model(
    options: ModelOptions, training: Pipeline, catalog: DataCatalog, secrets: Patterns = ()
) -> None:
    """Raise a TrackingError that says why a run of the training pipeline could register no model.

    All that is known before the run counts.
    """
    inference = registered_pipeline(options.pipeline, "model.pipeline")
    try:
        _parameters(inference, catalog, secrets)
        project_requirements()
        for problem in problems(
            options, training, inference, catalog, pandera_of(options, catalog)
        ):
            raise TrackingError(problem)
    except TrackingError as error:
        raise TrackingError(
            f"{error.message} Or set `model: null` in mlflow.yml: the run registers no model then."
        ) from error


def add_model(
    config: KedroMlflowConfig,
    catalog: DataCatalog,
    journal: Journal,
    tables: "Iterable[Schema]",
    listeners: Sequence[RunListener] = (),
) -> None:
    """Package the model with its card, and write it into the journal of a run.

    The tables are those that the training has read; the listeners may add files to the model.
    """
    options, folder = config.model, journal.files / "pipeline_model"
    assert options
    with atomic(folder):
        made = package(options, catalog, folder, config.redaction.patterns, tables)
        project_path = State.of_journal(journal.folder).project_path
        write_card(config, project_path, journal.folder, folder)
        for listener in listeners:
            listener.model_packaged(config, journal, catalog, made)
    # A registered model of Unity Catalog has three names with dots between them; MLflow takes
    # none in a run's own model.
    name = options.name.rpartition(".")[2]
    journal.append("model", path=str(folder), name=name, register=options.name, pipeline=True)


def package(
    options: ModelOptions,
    catalog: DataCatalog,
    folder: Path,
    secrets: Patterns = (),
    tables: "Iterable[Schema]" = (),
) -> PackagedModel:
    """Write the inference pipeline into a new folder, as an MLflow pyfunc from code.

    The model holds the project's package, the fitted data sets in the formats of their catalog
    entries, the values of the parameters, a schema, a signature and an example of the input: no
    pickle of the pipeline, and no row unless mlflow.yml says so. The schema's types are those of
    the input's validator, of the training's tables, or else of the input. A TrackingError says what
    of this is missing, or would be a secret.
    """
    import mlflow.pyfunc
    from mlflow.models import ModelSignature

    # They import pandas, which a run may do without.
    from .inferred_schema import model_schema, signature_of
    from .schema import FILE

    quieten_mlflow()
    inference = registered_pipeline(options.pipeline, "model.pipeline")
    for problem in lookup_problems(options, catalog):
        raise TrackingError(problem)
    rows = load_input(options, catalog)
    schema = model_schema(rows, pandera_of(options, catalog), tables)
    with TemporaryDirectory(dir=folder.parent) as scratch:
        entries, files = {}, {FILE: str(Path(scratch, FILE))}
        schema.write(Path(scratch, FILE))
        lookups = sorted(lookup_inputs(options))
        for name in sorted(fitted_inputs(options)):
            entries[name], files[name] = copy_dataset(name, catalog, Path(scratch))
        for name in lookups:
            entries[name], files[name] = copy_lookup(name, catalog, Path(scratch))
        if lookups:
            logger.info("The model keeps the look-up tables %s as they are.", ", ".join(lookups))
        config = {
            "package": PACKAGE,
            "pipeline": options.pipeline,
            "input": options.input,
            "output": next(iter(inference.outputs())),
            "datasets": entries,
            "parameters": _parameters(inference, catalog, secrets),
            "validator": catalog.validators.get(options.input),
            "lookups": lookups,
            "input_entry": input_entry(options.input, catalog),
            "nodes": wiring(inference),
        }
        code = code_of(config, inference)
        config["modules"] = code.files
        predict = InferencePlan.load(config, files).predict
        predictions = _predictions(options, predict, rows[:_ROWS])
        signature = ModelSignature(schema.signature(), signature_of(predictions))
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(Path(__file__).with_name("pyfunc_code.py")),
            code_paths=[*map(str, (copy_code(Path(scratch)), *_copy_packages(code, scratch)))],
            # As URIs: MLflow takes a "%" or "?" of a path for a part of one.
            artifacts={n: f"{Path(f).parent.as_uri()}/{Path(f).name}" for n, f in files.items()},
            model_config=config,
            signature=signature,
            input_example=_example(options, rows[:_ROWS], schema, predict),
            pip_requirements=project_requirements(),
            # Else MLflow copies the pyproject.toml and uv.lock of the working directory, private
            # indexes and all.
            uv_project_path=scratch,
        )
    return PackagedModel(folder, schema, predict)


def copy_code(folder: Path) -> Path:
    """Copy the modules that predictions may need into a folder; the copy may not be written to."""

    def skipped(parent: str, names: list[str]) -> set[str]:
        if Path(parent) == TEMPLATE_FOLDER:
            return set(names) - _NEEDED
        unused = _NOT_NEEDED_OF_MODEL if Path(parent) == TEMPLATE_FOLDER / "model" else set()
        return unused | {"__pycache__"}

    return copytree(PACKAGE_FOLDER, folder / PACKAGE, ignore=skipped, copy_function=link)


def _copy_packages(code: OwnModules, folder: str) -> list[Path]:
    """Copy what else of `src/` the project's package imports, whole packages with their files."""
    copies = []
    for top in sorted((code.tops | own_modules_of_project().tops) - {PACKAGE_FOLDER}):
        copies.append(Path(folder, top.name))
        if top.is_dir():
            copytree(top, copies[-1], ignore=ignore_patterns("__pycache__"), copy_function=link)
        else:
            link(str(top), str(copies[-1]))
    return copies


def _parameters(inference: Pipeline, catalog: DataCatalog, secrets: Patterns) -> dict[str, Any]:
    values = dict(read_parameters(inference, catalog))
    for name, value in values.items():
        if mask(name, value, secrets) != value:
            raise TrackingError(
                f"The parameter '{name}' looks like a secret, and would be written into the model: "
                "let the node read it from an environment variable."
            )
    return values


def project_requirements() -> list[str]:
    """List the project's own requirements, each pinned to the version that is installed."""
    pinned = []
    for requirement in map(Requirement, _distribution().requires or []):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
            try:
                installed = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                raise TrackingError(
                    f"The project requires {requirement.name}, which is not installed here: run "
                    "`uv sync`."
                ) from None
            pinned.append(f"{requirement.name}{extras}=={installed}")
    return sorted(pinned)


def _distribution() -> metadata.Distribution:
    try:
        return metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        # A project may have another name than its package.
        for name in metadata.packages_distributions().get(PACKAGE, []):
            return metadata.distribution(name)
    raise TrackingError(
        f"The package '{PACKAGE}' is not installed in this environment, so its requirements "
        "are unknown: run `uv sync` and start Kedro by `uv run kedro`."
    )


def _predictions(options: ModelOptions, predict: Callable[[Any], Any], rows: Any) -> Any:
    """Predict for some rows, and check that the answer can be served."""
    from .predictions import encoded, records, tensors
    from .schema import in_words

    try:
        predictions = predict(rows)
    except DataValidationError as error:
        raise TrackingError(
            f"The model does not predict for the data set '{options.input}' (model.input in "
            f"mlflow.yml). {in_words(error)}"
        ) from error
    try:
        encoded(records(predictions))
        if is_rendered("serving.v2_protocol"):
            tensors(predictions)
    except (TypeError, ValueError) as error:
        raise TrackingError(
            f"What the model returns cannot be served: {error}. Return a table, a series, an array "
            "or a dictionary of such."
        ) from error
    return predictions


def _example(
    options: ModelOptions,
    rows: Any,
    schema: "Schema | TensorSchema",
    predict: Callable[[Any], Any],
) -> Any:
    """Return what the model may show of its input, by model.example of mlflow.yml."""
    from .example import for_mlflow, synthetic_row

    if options.example == "rows":
        return for_mlflow(schema, schema.conform(rows))
    if options.example == "none":
        return None
    with muted(plan.__name__), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # They are about a row that is made up.
        example = synthetic_row(schema, predict)
    if example is None:
        logger.info("The model has no example: none made from its schema passes its validation.")
    return example
