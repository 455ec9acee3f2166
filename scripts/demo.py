"""`make demo`: a project from nothing to an answered HTTP request, step by step.

Renders the default answers into `build/demo` and types there what its README tells, and the same
with each other example at the same time. Needs only the standard library: copier comes through uv,
in an environment of its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import FrameType
from typing import IO, Any, TypeAlias

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "build" / "demo"
# The answers to `example`, the default first.
EXAMPLES = ("regression", "classification", "none")
INSTANCES = Path("data/05_model_input/instances.csv")
PREDICTIONS = Path("data/07_model_output/predictions.csv")
EVALUATION = Path("data/08_reporting/evaluation.json")
# How pandas writes a gap, and how it reads one.
GAPS = ("", "NA")

INDENT = "    "
ROWS_TO_ASK = 2
SECONDS_TO_START = 90.0
SECONDS_TO_STOP = 10.0
LINES_OF_A_FAILURE = 25


class StepError(Exception):
    """A step did not do what it says; the text tells what happened and what to do."""


def main() -> int:
    """Run all steps; 0 if every one of them did what it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="the uv to use (default: the one on the PATH)")
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="the Python to make the project's environment with (default: the one running this)",
    )
    parser.add_argument(
        "--example",
        choices=["", *EXAMPLES],
        default="",
        help="only this one (default: all of them)",
    )
    parser.add_argument("--beside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    examples = [options.example] if options.example else EXAMPLES
    uv = shutil.which(options.uv)
    if uv is None:
        print("uv is missing: start the demo with `make demo`, which fetches it.", file=sys.stderr)
        return 1
    uv = str(Path(uv).absolute())
    signal.signal(signal.SIGTERM, _stop_like_ctrl_c)
    started = time.monotonic()
    environment = clean_environment(os.environ, options.python)
    try:
        with ExitStack() as stack:
            others = [
                stack.enter_context(beside(uv, options.python, other)) for other in examples[1:]
            ]
            run_all(uv, environment, examples[0])
            for other in others:
                print(screen_of(other), end="")
    except StepError as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running. Start again with `make demo`.", file=sys.stderr)
        return 130
    if not options.beside:
        print(f"\nAll done in {time.monotonic() - started:.0f} s.")
        print_next_steps(uv, folder_of(examples[0]))
    return 0


Beside: TypeAlias = tuple[subprocess.Popen[bytes], IO[str]]


@contextmanager
def beside(uv: str, python: str, example: str) -> Iterator[Beside]:
    """Run an example at the same time, by another process, whose screen is shown later."""
    command = [sys.executable, __file__, "--uv", uv, "--python", python]
    command += ["--example", example, "--beside"]
    with (
        TemporaryFile("w+") as screen,
        process_group(command, os.environ, screen, ROOT) as process,
    ):
        yield process, screen


def screen_of(other: Beside) -> str:
    """What an example beside this one has printed to its end; StepError if it has failed."""
    process, screen = other
    process.wait()
    screen.seek(0)
    text = screen.read()
    if process.returncode:
        raise StepError(text.strip("\n"))
    return text


def folder_of(example: str) -> Path:
    """Where the project of an example is rendered."""
    return PROJECT if example == EXAMPLES[0] else PROJECT.with_name(f"{PROJECT.name}-{example}")


def run_all(uv: str, environment: Mapping[str, str], example: str) -> None:
    """Render, install, train, score, serve, ask; raises StepError at the first that fails."""
    project = folder_of(example)
    with step(f"Render the default answers, example={example}, into {project.relative_to(ROOT)}"):
        render(uv, environment, project, {"example": example})
    with step("Install the project's environment (uv sync)"):
        run(
            [uv, "sync", "--quiet"],
            environment,
            folder=project,
            remedy="Check the network and run `make demo` again.",
        )
        put_under_git(environment, project)
    with step("Train, track, register (uv run kedro run)"):
        output = run([uv, "run", "kedro", "run"], environment, folder=project, show=True)
        show_registered(output, project)
    with step("Score a batch with the champion (uv run kedro run --pipelines inference)"):
        scoring = [uv, "run", "kedro", "run", "--pipelines", "inference"]
        run(scoring, environment, folder=project, show=True)
        show_predictions(project)
    port = free_port()
    command = [uv, "run", "kedro", "mlflow", "serve", "--port", str(port)]
    with server(command, environment, port, project), step("Ask it over HTTP (POST /invocations)"):
        ask(port, project)


def print_next_steps(uv: str, project: Path) -> None:
    """Print the three commands to go on with, with a uv that the reader has."""
    typed = "uv" if shutil.which("uv") else os.path.relpath(uv, project)
    print(f"To continue in {project.relative_to(ROOT)}:\n")
    for command, purpose in (
        ("kedro mlflow ui", "open the MLflow page: runs, plots, the registered model"),
        ("kedro run", "train again: the next version of the model"),
        ("kedro mlflow serve", "answer HTTP requests with the champion"),
    ):
        print(f"  {typed} run {command:<22}{purpose}")


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done and, when it is, how long it took."""
    print(f"\n==> {what}", flush=True)
    started = time.monotonic()
    yield
    say(f"done in {time.monotonic() - started:.1f} s")


def say(text: str) -> None:
    """Print what belongs to the step under way."""
    print(textwrap.indent(text, INDENT), flush=True)


def clean_environment(variables: Mapping[str, str], python: str) -> dict[str, str]:
    """The caller's variables less those that would send the demo elsewhere or slow it down."""
    # Without .pyc files every start compiles MLflow again; inside a git hook GIT_DIR names another
    # repository; a MLFLOW_TRACKING_URI would put the demo's runs on a real server.
    unwanted = ("PYTHON", "VIRTUAL_ENV", "GIT_DIR", "GIT_INDEX", "GIT_WORK", "MLFLOW_", "KEDRO_")
    kept = {
        name: value
        for name, value in variables.items()
        if not name.startswith(unwanted) or name.endswith("_TELEMETRY")
    }
    return {
        **kept,
        # The interpreter that make has found: no other is looked for.
        "UV_PYTHON": python,
        "PYTHONUNBUFFERED": "1",
        # Kedro folds its lines at 80 columns when it does not write to a terminal itself.
        "COLUMNS": str(shutil.get_terminal_size((120, 24)).columns - len(INDENT)),
    }


def render(
    uv: str,
    environment: Mapping[str, str],
    project: Path,
    answers: Mapping[str, str],
) -> None:
    """Copy the template as it stands, uncommitted changes included, into a new folder.

    An environment of an earlier demo stays, with its lock: `uv sync` makes it what the project
    asks for, and neither uv nor Python does again what takes seconds.
    """
    for path in project.iterdir() if project.is_dir() else ():
        if path.name in (".venv", "uv.lock"):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    copier = [uv, "tool", "run", "--quiet", "--constraints", str(ROOT / "requirements-dev.txt")]
    copier += ["--with", "copier-template-extensions", "copier", "copy"]
    options = ["--trust", "--defaults", "--quiet", "--vcs-ref", "HEAD"]
    lowest = {"python_version": "3.10"} if sys.version_info < (3, 11) else {}
    for key, answer in (lowest | dict(answers)).items():
        options += ["--data", f"{key}={answer}"]
    # An absolute path is recorded, so that `copier update` finds the template from anywhere.
    run(
        [*copier, *options, str(ROOT), str(project)],
        environment,
        folder=ROOT,
        remedy="Run it in a git clone with at least one commit, and with the network up.",
    )


def put_under_git(environment: Mapping[str, str], project: Path) -> None:
    """Commit the project in a repository of its own: `copier update` asks for a clean one."""
    # A machine on which nobody has committed yet has no name to sign with.
    roles = ("GIT_AUTHOR", "GIT_COMMITTER")
    names = {f"{role}_NAME": "demo" for role in roles}
    addresses = {f"{role}_EMAIL": "demo@localhost" for role in roles}
    commit = ["commit", "--no-verify", "--no-gpg-sign", "--message", "As rendered"]
    for command in (["init"], ["add", "--all"], commit):
        run(["git", *command], {**environment, **names, **addresses}, folder=project)


def show_registered(output: str, project: Path) -> None:
    """Print the measures and the model of a training; StepError if it registered no champion."""
    evaluation = json.loads((project / EVALUATION).read_text())
    rows = evaluation.pop("rows")
    measures = [f"{name} {it:.3g}" for name, it in evaluation.items() if isinstance(it, float)]
    say(f"On {rows:.0f} rows held out: {', '.join(measures)}")
    # The run's closing line, which may be folded at any space.
    model = re.search(r"registered\s+(\S+)\s+version\s+(\d+)\s+\((\w+)\)", output)
    if model is None or model[3] != "champion":
        raise StepError("The training has registered no model with the alias champion.")
    say(f"Registered model: {model[1]}, version {model[2]}, alias {model[3]}")


def show_predictions(project: Path) -> None:
    """Print the first scored instances beside what was predicted for them."""
    with (project / PREDICTIONS).open(newline="") as file:
        predictions = list(csv.DictReader(file))
    say(f"{len(predictions)} predictions in {PREDICTIONS}, the first:")
    for instance, prediction in zip(
        read_instances(project), predictions[:ROWS_TO_ASK], strict=False
    ):
        version = prediction.pop("model_version")
        del prediction["model_run_id"]
        print_answer(instance, prediction, f" (version {version})")


def read_instances(project: Path) -> list[dict[str, Any]]:
    """The rows that the project ships for scoring: numbers, texts, None for a gap."""
    with (project / INSTANCES).open(newline="") as file:
        return [
            {name: value_of(text) for name, text in row.items()} for row in csv.DictReader(file)
        ]


def value_of(text: str) -> float | int | str | None:
    """What a field of a CSV file says."""
    if text in GAPS:
        return None
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def ask(port: int, project: Path) -> None:
    """Send rows of the instances file to the server and print its answer beside them."""
    instances = read_instances(project)[:ROWS_TO_ASK]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=json.dumps({"dataframe_records": instances}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with direct().open(request, timeout=30) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        raise StepError(
            f"The server refused the request: {error} {error.read().decode()}"
        ) from error
    for instance, prediction in zip(instances, answer["predictions"], strict=True):
        print_answer(instance, prediction)


def print_answer(instance: Mapping[str, Any], prediction: Any, origin: str = "") -> None:
    """Print one row, what the model says of it, and whose word that is, as far as it is known."""
    row = ", ".join(f"{name} {value}" for name, value in instance.items() if value is not None)
    values = prediction if isinstance(prediction, Mapping) else {"prediction": prediction}
    answer = ", ".join(f"{name} {shown(value)}" for name, value in values.items())
    say(f"{row}\n  -> {answer}{origin}")


def shown(value: Any) -> str:
    """A predicted value as a person reads it."""
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return str(value)


@contextmanager
def server(
    command: Sequence[str], environment: Mapping[str, str], port: int, project: Path
) -> Iterator[None]:
    """A server that answers for as long as the block runs and is gone afterwards."""
    log_file = project.with_name(f"{project.name}-server.log")
    with log_file.open("w") as log, process_group(command, environment, log, project) as process:
        with step(f"Start the server (uv {' '.join(command[1:])})"):
            wait_until_it_answers(process, port, project, log_file)
        yield
        with step("Stop the server"):
            stop_group(process)


def wait_until_it_answers(
    process: subprocess.Popen[bytes], port: int, project: Path, log_file: Path
) -> None:
    """Return once /ping answers; StepError when the server ends or takes too long."""
    problem = f"The server has not answered after {SECONDS_TO_START:.0f} s"
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            problem = f"The server ended with exit code {process.returncode}"
            break
        try:
            with direct().open(f"http://127.0.0.1:{port}/ping", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    log = log_file.read_text(errors="replace").splitlines()
    raise StepError(
        f"{problem}. The end of its output:\n{end_of(log)}\n"
        f"To see it alone: cd {project.relative_to(ROOT)} && uv run kedro mlflow serve"
    )


@contextmanager
def process_group(
    command: Sequence[str],
    environment: Mapping[str, str],
    output: int | IO[str],
    folder: Path,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own: it and all it has started are gone after the block."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        stop_group(process)


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and everything it has started: politely, then not."""
    if sys.platform == "win32":
        tree = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
        subprocess.run(tree, capture_output=True, check=False)
        process.wait()
        return
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signal_number)
            process.wait(timeout=SECONDS_TO_STOP)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    folder: Path,
    show: bool = False,
    remedy: str = "",
) -> str:
    """Run a command to its end and return its output; StepError with the end of it if it fails.

    Args:
        command: The program and its arguments.
        environment: All its variables.
        folder: Where it runs.
        show: Print its output line by line as it comes.
        remedy: What to do if it fails.
    """
    lines: list[str] = []
    with process_group(command, environment, subprocess.PIPE, folder) as process:
        assert process.stdout is not None
        for raw in process.stdout:
            lines.append(raw.decode(errors="replace").rstrip())
            if show:
                say(lines[-1])
        process.wait()
    if process.returncode != 0:
        typed = " ".join([Path(command[0]).name, *command[1:]])
        hint = remedy or f"To see it alone: cd {folder.relative_to(ROOT)} && {typed}"
        raise StepError(
            f"`{typed}` failed with exit code {process.returncode}. The end of its output:\n"
            f"{end_of(lines)}\n{hint}"
        )
    return "\n".join(lines)


def end_of(lines: Sequence[str]) -> str:
    """The last of a program's lines, indented."""
    return textwrap.indent("\n".join(lines[-LINES_OF_A_FAILURE:]), INDENT)


def direct() -> urllib.request.OpenerDirector:
    """An opener that goes straight to this machine, whatever proxy the environment names."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    """A free TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stop_like_ctrl_c(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
