"""`kedro.command` starts the same run again: Kedro's own parser reads it back."""

from __future__ import annotations

import datetime
import math
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from kedro.framework.cli.project import run as kedro_run
from kedro.runner import SequentialRunner, ThreadRunner

from tests.support.profiles import examples
from tests.support.rooms import Rooms
from tests.support.run_params import NOTHING

NAMES_OF_OPTIONS = {
    "pipeline_names": "pipelines",
    "runtime_params": "params",
    "runner_name": "runner",
}


class Custom(SequentialRunner):
    """A runner of the project's own."""


def command(mlops: Rooms, **given: Any) -> str:
    """The command of a run that was started with this."""
    text: str = mlops("tracking.capture.command").replay_command(NOTHING | given)
    return text


def parsed(text: str) -> dict[str, Any]:
    """What Kedro makes of a command, as the shell passes it on."""
    words = shlex.split(text, comments=True)
    assert words[:2] == ["kedro", "run"]
    return kedro_run.make_context("run", words[2:]).params


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "kedro run"),
        ({"pipeline_names": ["a", "b"], "env": "prod"}, "kedro run --pipelines a,b --env prod"),
        ({"node_names": ("split", "fit")}, "kedro run --nodes split,fit"),
        ({"tags": ("x", "y"), "namespaces": ["n.m"]}, "kedro run --tags x,y --namespaces n.m"),
        (
            {"from_nodes": ["a"], "to_nodes": ["b"], "from_inputs": ["c"], "to_outputs": ["d"]},
            "kedro run --from-nodes a --to-nodes b --from-inputs c --to-outputs d",
        ),
        (
            {"load_versions": {"x": "2026-01-01T00.00.00.000Z", "y": "v2"}},
            "kedro run --load-versions x:2026-01-01T00.00.00.000Z,y:v2",
        ),
        ({"only_missing_outputs": True}, "kedro run --only-missing-outputs"),
        ({"conf_source": "other conf"}, "kedro run --conf-source 'other conf'"),
        ({"runner": str(SequentialRunner())}, "kedro run"),
        ({"runner": str(ThreadRunner())}, "kedro run --runner ThreadRunner"),
        ({"runner": str(Custom())}, f"kedro run --runner {__name__}.Custom"),
        (
            {"runner_name": "ParallelRunner", "runner_params": {"max_workers": 2}},
            "kedro run --runner ParallelRunner --runner-params max_workers=2",
        ),
        ({"is_async": True}, "kedro run --async"),
        ({"runtime_params": {"a": 1, "b": "x y"}}, "kedro run --params 'a=1,b=x y'"),
        ({"runtime_params": {"model": {"alpha": 1}}}, "kedro run --params model.alpha=1"),
        ({"runtime_params": {"a": "x,y"}}, r"""kedro run --params 'a="x\x2cy"'"""),
        ({"runtime_params": {"a": [1, 2]}}, "kedro run --params 'a=- 1\n- 2'"),
        (
            {"runtime_params": {"token": "CANARY", "x": 1}},
            "kedro run --params 'token=********,x=1'  # cannot carry 'token' (a secret)",
        ),
        (
            {"runtime_params": {"day": datetime.date(2026, 1, 2), "x": 1}},
            "kedro run --params x=1  # cannot carry 'day' (date)",
        ),
        ({"runtime_params": {"a": (1, 2)}}, "kedro run  # cannot carry 'a' (tuple)"),
        ({"runtime_params": {"a": np.float64(1)}}, "kedro run  # cannot carry 'a' (float64)"),
        ({"runtime_params": {"a.b": 1}}, "kedro run  # cannot carry 'a.b' (int)"),
        (
            {"from_inputs": ["a,b", "c"]},
            "kedro run --from-inputs a,b,c  # cannot carry --from-inputs 'a,b'",
        ),
        ({"runner": "an odd one"}, "kedro run  # cannot carry the runner 'an odd one'"),
    ],
)
def test_the_command_starts_the_same_run_or_says_what_it_cannot(
    mlops: Rooms, given: dict[str, Any], expected: str
) -> None:
    text = command(mlops, **given)
    assert text == expected
    if "********" in text or "conf_source" in given:  # Kedro wants a value, and a folder.
        return
    params = parsed(text)
    for name, value in given.items():
        if "# cannot" not in text and name != "runner":
            read = params[NAMES_OF_OPTIONS.get(name, name)]
            assert read == (list(value) if isinstance(value, tuple) else value)


def test_every_option_of_kedro_run_is_carried_or_is_another_name(mlops: Rooms) -> None:
    module = mlops("tracking.capture.command")
    carried = {*module._NAMES.values(), *module._VALUES.values(), *module._FLAGS.values()}
    carried |= {"--runner", "--conf-source"}
    options = {
        option.opts[0] for option in kedro_run.params if isinstance(option, click.Option)
    } - {"--help"}
    # The name of old for one pipeline, and a file of these options.
    assert options == carried | {"--pipeline", "--config"}


KEYS = st.text(min_size=1, max_size=5) | st.sampled_from(["a", "b.c", "d[0]", "e=f", "g,h"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["1", "1e5", "true", "null", "a,b", "${x}", "- a", "a: b", " a ", "", "#"])
    | st.dates()
    | st.binary(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS | st.integers(), inner, max_size=3)
        | st.tuples(inner)
    ),
    max_leaves=8,
)


@settings(max_examples=examples(100, weekly=1000))
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=3))
def test_any_value_comes_back_as_itself_or_is_named(mlops: Rooms, values: dict[str, Any]) -> None:
    text = command(mlops, runtime_params=values)
    if "********" in text:  # A name, of all, was `token`: Kedro wants its value.
        assert "(a secret)" in text
        return
    read = parsed(text)["params"] or {}
    comment = text.rpartition("  # cannot carry ")[2] if "  # cannot carry " in text else ""
    missing = {name for name in values if f"{name!r} (" in comment}
    assert alike(read, {name: values[name] for name in values if name not in missing})


def test_common_values_are_all_carried(mlops: Rooms) -> None:
    values = {
        "text": "a, b = 'c' \"d\" ${e} # f\nümlaut",
        "numbers": [1, 2.5, 1e-9, math.inf, -(10**30)],
        "empty": [[], {}, "", None],
        "nested": {"list": [{"a": 1, "b": [True, "1"]}], "deep": {"er": "x"}, "by": {1: "one"}},
        "looks": ["1", "true", "null", "1e5", "2026-01-02", "~"],
    }
    text = command(mlops, runtime_params=values)
    assert "# cannot carry" not in text
    assert alike(parsed(text)["params"], values)


def alike(left: Any, right: Any) -> bool:
    """Whether two values are equal in all types as well; what is not a number equals itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(alike(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(alike, left, right))
    return repr(left) == repr(right)


def test_a_command_that_is_too_long_says_that_it_is_cut(mlops: Rooms) -> None:
    names = [f"node_{number}" for number in range(2000)]
    text = command(mlops, node_names=names)
    assert len(text) == mlops("tracking.capture.values").MAX_TAG_LENGTH
    assert text.endswith("  # cut: the whole command is too long for MLflow")


def test_what_kedro_does_not_pass_on_is_read_where_it_is(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def look(**_: Any) -> None:
        for source in ("conf", "other", f"{tmp_path}/conf", f"{tmp_path}/other", "/x", "s3://b/c"):
            context = SimpleNamespace(config_loader=SimpleNamespace(conf_source=source))
            with click.get_current_context().scope():
                found.append(mlops("tracking.capture.command").options_beside(context, tmp_path))

    like_run = click.Command("run", params=kedro_run.params, callback=look)
    arguments = ["--runner-params", "max_workers=2", "--async", "--runner", "ThreadRunner"]
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    result = CliRunner().invoke(like_run, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    first, *others = found
    assert first["runner_params"] == {"max_workers": 2}
    assert (first["is_async"], first["runner_name"]) == (True, "ThreadRunner")
    # The command has started one run: others of the process are not its.
    assert first["conf_source"] == "below/conf"
    assert others == [
        {"conf_source": "below/other"},
        {},
        {"conf_source": "other"},
        {"conf_source": "/x"},
        {"conf_source": "s3://b/c"},
    ]
