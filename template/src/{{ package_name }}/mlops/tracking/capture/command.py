"""The command that repeats a run: each option of `kedro run`, each value that an option carries."""

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml
from omegaconf import OmegaConf

from ...redaction import MASK, Patterns, mask
from .values import MAX_TAG_LENGTH

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext

# Options of `kedro run` that take names, by what Kedro calls them in `run_params`.
_NAMES = {
    "pipeline_names": "--pipelines",
    "env": "--env",
    "tags": "--tags",
    "node_names": "--nodes",
    "from_nodes": "--from-nodes",
    "to_nodes": "--to-nodes",
    "from_inputs": "--from-inputs",
    "to_outputs": "--to-outputs",
    "namespaces": "--namespaces",
    "load_versions": "--load-versions",
}
# Options that take `key=value` pairs.
_VALUES = {"runner_params": "--runner-params", "runtime_params": "--params"}
_FLAGS = {"is_async": "--async", "only_missing_outputs": "--only-missing-outputs"}
_CUT = "  # cut: the whole command is too long for MLflow"


def options_beside(context: "KedroContext", project_path: Path) -> dict[str, Any]:
    """Return what a run was started with that Kedro does not pass to its hooks.

    Those are the runner's parameters, if a command has started the run, and another folder of
    configuration.
    """
    options: dict[str, Any] = {}
    command = click.get_current_context(silent=True)
    # A node may start another run: the command is not about that one.
    if command and "runner_params" in command.params and not command.meta.get(__name__):
        command.meta[__name__] = True
        options = {key: command.params[key] for key in ("runner_params", "is_async")}
        options["runner_name"] = command.params["runner"] or "SequentialRunner"
    from kedro.framework.project import settings

    source = str(context.config_loader.conf_source)
    if "://" not in source:  # Where the command is repeated is the project's folder.
        path = Path(source).absolute()
        inside = path.is_relative_to(project_path)
        source = path.relative_to(project_path).as_posix() if inside else str(path)
    return options | ({"conf_source": source} if source != str(settings.CONF_SOURCE) else {})


def replay_command(run_params: Mapping[str, Any], patterns: Patterns = ()) -> str:
    """Write the `kedro run` command that starts the same run, whatever started this one.

    It takes what Kedro passes to its hooks, and `options_beside`; secrets are masked. What no
    option can carry is named behind a ``#``, where a shell's comment begins.
    """
    words, missing = ["kedro", "run"], []
    for key, option in _NAMES.items():
        names = _names(run_params.get(key))
        missing += [f"{option} {name!r}" for name in names if "," in name or name != name.strip()]
        words += [option, ",".join(names)] if names else []
    if source := run_params.get("conf_source"):
        words += ["--conf-source", source]
    runner = run_params.get("runner_name") or runner_path(str(run_params["runner"]))
    if not re.fullmatch(r"\w+(\.\w+)*", runner):
        missing.append(f"the runner {runner!r}")
    elif runner != "SequentialRunner":
        words += ["--runner", runner]
    for key, option in _VALUES.items():
        items: list[str] = []
        for name, value in (run_params.get(key) or {}).items():
            shown = mask(str(name), value, patterns)
            is_secret = MASK in str(shown) and MASK not in str(value)
            found = _assignments((name,), shown if is_secret else value)
            # Kedro refuses the mask: who repeats the run has to fill it in.
            items += [item.replace(f"'{MASK}'", MASK) for item in found or ()]
            if found is None or is_secret:
                missing.append(f"{name!r} ({'a secret' if is_secret else type(value).__name__})")
        words += [option, ",".join(items)] if items else []
    words += [option for key, option in _FLAGS.items() if run_params.get(key)]
    command = shlex.join(words)
    if missing:
        command += f"  # cannot carry {', '.join(missing)}"
    fits = len(command) <= MAX_TAG_LENGTH
    return command if fits else command[: MAX_TAG_LENGTH - len(_CUT)] + _CUT


def _names(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{name}:{version}" for name, version in value.items()]
    return [value] if isinstance(value, str) else list(map(str, value or ()))


def runner_path(shown: str) -> str:
    """Read the runner's class out of what Kedro passes, ``<module.Class object at 0x7f…>``.

    Kedro passes ``None`` when it chooses by itself, and then takes the SequentialRunner.
    """
    if shown == "None":
        return "SequentialRunner"
    path = shown.strip("<>").split(" object at ")[0]
    return path.rpartition(".")[2] if path.startswith("kedro.runner.") else path


def _assignments(keys: tuple[Any, ...], value: Any) -> list[str] | None:
    """Write a value as `path=value` pairs, a dictionary by its entries; none if they cannot say it.

    Kedro splits them at commas, and OmegaConf reads each value as YAML.
    """
    expected = repr(reduce(lambda inner, key: {key: inner}, reversed(keys), value))
    if isinstance(value, Mapping) and value:
        parts = [_assignments((*keys, key), entry) for key, entry in value.items()]
        if None not in parts:
            return [item for part in parts for item in part or ()]
    for text in _as_yaml(value):
        item = f"{'.'.join(map(str, keys))}={text}"
        if _read(item) == expected:
            return [item]
    return None


def _as_yaml(value: Any) -> Iterator[str]:
    """Write a value as YAML without a comma: as short as possible, then with every text quoted."""
    for quoted in (False, True):
        with suppress(yaml.YAMLError):
            text = yaml.dump(
                value,
                Dumper=_Quoting if quoted else _Short,
                default_flow_style=False,
                allow_unicode=True,
                sort_keys=False,
                width=float("inf"),
            )
            # In a quoted text, which is where all commas are.
            yield text.removesuffix("\n").removesuffix("\n...").replace(",", r"\x2c")


class _Short(yaml.SafeDumper):
    """Quotes texts where that is needed, and where there is a comma; knows no references."""

    quotes = False

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = '"' if self.quotes or "," in text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Short.add_representer(str, _Short.represent_text)


class _Quoting(_Short):
    quotes = True


def _read(item: str) -> str | None:
    """Write down what Kedro makes of an option, with all its types; none if it refuses it."""
    parts = [part.strip().partition("=") for part in item.split(",") if part.strip()]
    texts = [f"{key.strip()}={value}" for key, _, value in parts]
    with suppress(Exception):  # Whatever a parser says to a text like that.
        return repr(OmegaConf.to_container(OmegaConf.from_dotlist(texts)))
    return None
