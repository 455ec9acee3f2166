"""Both ends compared: counts, values, and digests of files."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..backend.client import pages
from ..registry.environments import version_key
from ..registry.versions import versions_of
from .endpoints import FROM_MODEL, Migration, noting, registered_name
from .files import Files, ModelFiles, RunFiles, differences, sizes
from .logged_models import models_from, new_names
from .registered_models import version_key_of
from .traces import find_trace, spans_of
from .tracked_runs import identity, models_of, runs_from, tags_of

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import RegisteredModel


@dataclass
class Comparison:
    """What was compared.

    Attributes:
        counts: how many things of each kind.
        differences: what is not the same, one line each.
    """

    counts: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def add(self, what: str, found: Iterator[str]) -> None:
        """Take the differences in one thing, or why it could not be compared."""
        with noting(self.differences, what):
            for difference in found:
                self.differences.append(f"{what}: {difference}")


def compare(migration: Migration) -> Comparison:
    """Compare everything that was copied, now or by an earlier migration, with its source."""
    comparison, client, ids = Comparison(), migration.source.client, migration.ids
    counts = comparison.counts
    counts["experiments"] = len(ids.experiments)
    for run_id in [run_id for run_id, copied in ids.runs.items() if copied]:
        run = client.get_run(run_id)
        what = f"Run '{run.info.run_name}' ({run_id})"
        comparison.add(what, _of_run(migration, run, counts))
    for model_id in [model_id for model_id, copied in ids.models.items() if copied]:
        model = client.get_logged_model(model_id)
        comparison.add(f"Model {model.name} ({model_id})", _of_model(migration, model, counts))
    for trace_id in sorted(ids.traces):
        comparison.add(f"Trace {trace_id}", _of_trace(migration, trace_id, counts))
    for registered in pages(client.search_registered_models):
        what = f"Registered model {registered.name}"
        comparison.add(what, _of_registered(migration, registered, counts))
    return comparison


def _of_run(migration: Migration, run: "Run", counts: Counter[str]) -> Iterator[str]:
    experiment_id = migration.ids.experiments[run.info.experiment_id]
    there = runs_from(migration.target, experiment_id, run)
    if len(there) != 1:
        yield f"it is there {len(there)} times"
        return
    target = migration.target.client.get_run(there[0].info.run_id)
    counts.update({"runs": 1, "parameters": len(run.data.params)})
    yield from _lacking("", _facts(run), _facts(target))
    yield from _lacking("the parameter ", run.data.params, target.data.params)
    yield from _lacking("the tag ", tags_of(migration, run), target.data.tags)
    yield from _lacking("the input ", _datasets(run), _datasets(target))
    models = {migration.ids.models.get(each): part for each, part in models_of(run).items()}
    models.pop(None, None)  # Deleted ones.
    yield from _lacking("the model ", models, models_of(target))
    yield from _of_metrics(migration, run, target, counts)
    run_id, target_id = run.info.run_id, target.info.run_id
    source, files = RunFiles(migration.source, run_id), RunFiles(migration.target, target_id)
    yield from _of_files(source, files, {run_id: target_id}, counts)


def _facts(run: "Run") -> dict[str, Any]:
    info = run.info
    return {
        "name": info.run_name,
        "status": info.status,
        "start": info.start_time,
        "end": info.end_time,
    }


def _datasets(run: "Run") -> dict[str, str]:
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return {f"{each.dataset.name} {each.dataset.digest}": each.dataset.digest for each in inputs}


def _of_metrics(
    migration: Migration, run: "Run", target: "Run", counts: Counter[str]
) -> Iterator[str]:
    before, after = migration.source.client, migration.target.client
    for key in sorted(run.data.metrics):
        here = sorted(map(identity, before.get_metric_history(run.info.run_id, key)))
        there = sorted(map(identity, after.get_metric_history(target.info.run_id, key)))
        counts["metric values"] += len(here)
        if here != there:
            yield f"the metric {key} differs ({len(there)} values there, {len(here)} here)"


def _of_files(
    source: Files, target: Files, renamed: Mapping[str, str], counts: Counter[str]
) -> Iterator[str]:
    counts["files"] += sum(1 for _ in sizes(source))
    yield from differences(source, target, renamed)


def _of_model(migration: Migration, model: "LoggedModel", counts: Counter[str]) -> Iterator[str]:
    experiment_id = migration.ids.experiments[model.experiment_id]
    there = models_from(migration.target, experiment_id, model)
    if len(there) != 1:
        yield f"it is there {len(there)} times"
        return
    target = migration.target.client.get_logged_model(there[0].model_id)
    counts["models"] += 1
    yield from _lacking("", _facts_of_model(model), _facts_of_model(target))
    yield from _lacking("the parameter ", model.params, target.params)
    tags = {**model.tags, FROM_MODEL: model.model_id}
    yield from _lacking("the tag ", tags, target.tags)
    runs = migration.ids.runs
    before = {identity(each) for each in model.metrics or [] if runs.get(str(each.run_id))}
    if before != {identity(each) for each in target.metrics or []}:
        yield "its metrics differ"
    source, files = ModelFiles(migration.source, model), ModelFiles(migration.target, target)
    yield from _of_files(source, files, new_names(model, target), counts)


def _facts_of_model(model: "LoggedModel") -> dict[str, Any]:
    return {"name": model.name, "kind": model.model_type or "", "status": str(model.status)}


def _of_trace(migration: Migration, trace_id: str, counts: Counter[str]) -> Iterator[str]:
    counts["traces"] += 1
    target = find_trace(migration.target, trace_id)
    if target is None:
        yield "it is not there"
    elif spans_of(target) != spans_of(migration.source.traces.get_trace(trace_id)):
        yield "its spans differ"


def _of_registered(
    migration: Migration, registered: "RegisteredModel", counts: Counter[str]
) -> Iterator[str]:
    name = registered_name(registered.name, migration.config.model)
    there = versions_of(migration.target.client, name)
    for version in versions_of(migration.source.client, registered.name):
        counts["versions"] += 1
        found = [each for each in there if version_key_of(each) == version_key(version)]
        if len(found) != 1:
            yield f"version {version.version} is there {len(found)} times"
            continue
        run_id = migration.ids.runs.get(version.run_id or "")
        if (found[0].run_id or None) != run_id:
            yield f"version {version.version} is of another run there"
        yield from _lacking(f"version {version.version}: the tag ", version.tags, found[0].tags)
    aliases = migration.target.client.get_registered_model(name).aliases
    for alias in sorted(registered.aliases.keys() - aliases.keys()):
        yield f"the alias {alias} is missing"


def _lacking(what: str, expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> Iterator[str]:
    """List the entries that are missing or have another value; further ones are no difference."""
    for key in sorted(expected.keys() - found.keys(), key=str):
        yield f"{what}{key} is missing"
    for key in sorted(expected.keys() & found.keys(), key=str):
        if expected[key] != found[key]:
            yield f"{what}{key} is {found[key]!r} there and {expected[key]!r} here"
