"""Whether everything has arrived: counts and digests at both ends, compared."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .files import Files, ModelFiles, RunFiles, differences, sizes
from .models import models_from, new_names
from .notes import noted
from .places import FROM_MODEL, registered_name
from .runs import history, identity, moved_tags, runs_from
from .traces import find_trace, spans_of
from .versions import version_key, version_key_of, versions

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import RegisteredModel

    from .move import Move


@dataclass
class Findings:
    """What a check has found.

    Attributes:
        counts: how many things of each kind were compared.
        differences: what is not the same, a line each.
    """

    counts: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def add(self, what: str, found: Iterator[str]) -> None:
        """Take the differences found in one thing, or why nothing can be found."""
        with noted(self.differences, what):
            for difference in found:
                self.differences.append(f"{what}: {difference}")


def check(move: "Move") -> Findings:
    """Compare all that a move has brought, now or the last time, with what it was."""
    findings = Findings()
    findings.counts["experiments"] = len(move.experiments)
    client = move.source.client
    for run_id in [here for here, there in move.runs.items() if there]:
        run = client.get_run(run_id)
        findings.add(_name_of(run), _of_run(move, run, findings.counts))
    for model_id in [here for here, there in move.models.items() if there]:
        model = client.get_logged_model(model_id)
        findings.add(f"Model {model.name} ({model_id})", _of_model(move, model, findings.counts))
    for trace_id in sorted(move.traces):
        findings.add(f"Trace {trace_id}", _of_trace(move, trace_id, findings.counts))
    for registered in move.registered_here():
        what = f"Registered model {registered.name}"
        findings.add(what, _of_registered(move, registered, findings.counts))
    return findings


def _name_of(run: "Run") -> str:
    return f"Run '{run.info.run_name}' ({run.info.run_id})"


def _of_run(move: "Move", run: "Run", counts: Counter[str]) -> Iterator[str]:
    run_id, experiment_id = run.info.run_id, move.experiment(run.info.experiment_id)
    there = runs_from(move.target, experiment_id, run_id)
    if len(there) != 1:
        yield f"it is there {len(there)} times"
        return
    target = move.target.client.get_run(there[0].info.run_id)
    counts.update({"runs": 1, "parameters": len(run.data.params)})
    yield from _lacking("", _facts(run), _facts(target))
    yield from _lacking("the parameter ", run.data.params, target.data.params)
    yield from _lacking("the tag ", moved_tags(move, run), target.data.tags)
    yield from _lacking("the input ", _datasets(run), _datasets(target))
    models = {move.model(each): part for each, part in _models(run).items()}
    models.pop(None, None)  # Deleted ones.
    yield from _lacking("the model ", models, _models(target))
    yield from _of_metrics(move, run, target, counts)
    source, files = RunFiles(move.source, run_id), RunFiles(move.target, target.info.run_id)
    yield from _of_files(source, files, {run_id: target.info.run_id}, counts)


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


def _models(run: "Run") -> dict[str, str]:
    read = [each.model_id for each in run.inputs.model_inputs] if run.inputs else []
    made = [each.model_id for each in run.outputs.model_outputs] if run.outputs else []
    return dict.fromkeys(read, "its input") | dict.fromkeys(made, "its output")


def _of_metrics(move: "Move", run: "Run", target: "Run", counts: Counter[str]) -> Iterator[str]:
    for key in sorted(run.data.metrics):
        one = {key: 0.0}
        before = sorted(map(identity, history(move.source, run.info.run_id, one)))
        after = sorted(map(identity, history(move.target, target.info.run_id, one)))
        counts["metric values"] += len(before)
        if before != after:
            yield f"the metric {key} is another ({len(after)} values there, {len(before)} here)"


def _of_files(
    source: Files, target: Files, renamed: Mapping[str, str], counts: Counter[str]
) -> Iterator[str]:
    counts["files"] += sum(1 for _ in sizes(source))
    yield from differences(source, target, renamed)


def _of_model(move: "Move", model: "LoggedModel", counts: Counter[str]) -> Iterator[str]:
    there = models_from(move.target, move.experiment(model.experiment_id), model.model_id)
    if len(there) != 1:
        yield f"it is there {len(there)} times"
        return
    target = move.target.client.get_logged_model(there[0].model_id)
    counts["models"] += 1
    yield from _lacking("", _facts_of_model(model), _facts_of_model(target))
    yield from _lacking("the parameter ", model.params, target.params)
    tags = {**model.tags, FROM_MODEL: model.model_id}
    yield from _lacking("the tag ", tags, target.tags)
    before = {identity(each) for each in model.metrics or [] if move.runs.get(str(each.run_id))}
    if before != {identity(each) for each in target.metrics or []}:
        yield "its metrics are others there"
    source, files = ModelFiles(move.source, model), ModelFiles(move.target, target)
    yield from _of_files(source, files, new_names(move, model, target), counts)


def _facts_of_model(model: "LoggedModel") -> dict[str, Any]:
    return {"name": model.name, "kind": model.model_type or "", "status": str(model.status)}


def _of_trace(move: "Move", trace_id: str, counts: Counter[str]) -> Iterator[str]:
    counts["traces"] += 1
    target = find_trace(move.target, trace_id)
    if target is None:
        yield "it is not there"
    elif spans_of(target.data.spans) != spans_of(move.source.traces.get_trace(trace_id).data.spans):
        yield "its spans are others there"


def _of_registered(
    move: "Move", registered: "RegisteredModel", counts: Counter[str]
) -> Iterator[str]:
    name = registered_name(registered.name, move.config.model)
    there = versions(move.target, name)
    for version in versions(move.source, registered.name):
        counts["versions"] += 1
        found = [each for each in there if version_key_of(each) == version_key(version)]
        if len(found) != 1:
            yield f"version {version.version} is there {len(found)} times"
            continue
        run_id = move.run(version.run_id) if version.run_id else None
        if (found[0].run_id or None) != run_id:
            yield f"version {version.version} is of another run there"
        yield from _lacking(f"version {version.version}: the tag ", version.tags, found[0].tags)
    aliases = move.target.client.get_registered_model(name).aliases
    for alias in sorted(registered.aliases.keys() - aliases.keys()):
        yield f"the alias {alias} is missing"


def _lacking(what: str, expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> Iterator[str]:
    """Tell what of some entries is not there or has another value; more than these may be."""
    for key in sorted(expected.keys() - found.keys(), key=str):
        yield f"{what}{key} is missing"
    for key in sorted(expected.keys() & found.keys(), key=str):
        if expected[key] != found[key]:
            yield f"{what}{key} is {found[key]!r} there and {expected[key]!r} here"
