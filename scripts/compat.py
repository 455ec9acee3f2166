"""`make compat`: do the oldest and the newest libraries that a project's pins allow go together?

Renders a project for each tracking preset that is named, installs it with each Python and either
end of its pins, runs its own tests, and writes what passed into docs/compatibility.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import demo

FOLDER = demo.ROOT / "build" / "compat"
PAGE = demo.ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- table: written by make compat -->", "<!-- end of table -->"

RESOLUTIONS = {"oldest": "lowest-direct", "newest": "highest"}
# Nobody is called there: a project's tests track in a database of their own.
ADDRESSES = {
    "sagemaker": "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/team",
    "azureml": "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/12345678-abcd-ef01-"
    "2345-6789abcdef01/resourceGroups/team/providers/Microsoft.MachineLearningServices/workspaces/"
    "team",
}
SHOWN = ("kedro", "mlflow", "kedro-datasets", "pandas", "scikit-learn", "skops", "pandera")


@dataclass(frozen=True)
class Combination:
    """What was installed, and whether the project's tests passed with it."""

    preset: str
    python: str
    libraries: str
    versions: dict[str, str]
    failure: str

    @property
    def row(self) -> list[str]:
        """Its line in the table."""
        versions = [self.versions.get(name, "") for name in SHOWN]
        verdict = self.failure or "passed"
        return [self.python, self.preset, self.libraries, *versions, verdict]


def main() -> int:
    """Try all combinations; 0 if the tests passed with every one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="the uv to use (default: the one on the PATH)")
    parser.add_argument(
        "--pythons", nargs="+", default=["3.10", "3.13"], help="versions or paths for uv to find"
    )
    parser.add_argument("--presets", nargs="+", default=["local", "azureml"], help="to render")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} again")
    options = parser.parse_args()
    uv = shutil.which(options.uv)
    if uv is None:
        print("uv is missing: start with `make compat`, which fetches it.", file=sys.stderr)
        return 1
    combinations = []
    shutil.rmtree(FOLDER, ignore_errors=True)
    for preset in options.presets:
        project = render(str(Path(uv).absolute()), preset)
        for python in options.pythons:
            combinations += [
                attempt(str(Path(uv).absolute()), project, preset, python, libraries)
                for libraries in RESOLUTIONS
            ]
    table = markdown(combinations)
    print(f"\n{table}")
    if options.write:
        write(table)
    return any(combination.failure for combination in combinations)


def render(uv: str, preset: str) -> Path:
    """A project for the lowest Python there is to choose."""
    project = FOLDER / preset
    answers = {"python_version": "3.10", "tracking_preset": preset}
    if preset in ADDRESSES:
        answers["tracking_uri"] = ADDRESSES[preset]
    with demo.step(f"Render a project that tracks with {preset}"):
        demo.render(uv, demo.clean_environment(os.environ, sys.executable), project, answers)
    return project


def attempt(uv: str, project: Path, preset: str, python: str, libraries: str) -> Combination:
    """Install one combination into a project of its own, and run the project's tests there."""
    folder = FOLDER / f"{preset}-{re.sub(r'[^0-9.]', '', python)}-{libraries}"
    shutil.copytree(project, folder)
    environment = demo.clean_environment(os.environ, python)
    sync = [uv, "sync", "--quiet", "--resolution", RESOLUTIONS[libraries]]
    versions: dict[str, str] = {}
    found, failure = python, ""
    started = time.monotonic()
    with demo.step(f"Python {python}, {preset}, {libraries} libraries"):
        try:
            demo.run(sync, environment, folder=folder)
            found = demo.run(
                [
                    uv,
                    "run",
                    "--no-sync",
                    "python",
                    "-c",
                    "import platform as p; print(p.python_version())",
                ],
                environment,
                folder=folder,
            )
            installed = demo.run(
                [uv, "pip", "list", "--quiet", "--python", ".venv", "--format", "json"],
                environment,
                folder=folder,
            )
            versions = {entry["name"]: entry["version"] for entry in json.loads(installed)}
            demo.run([uv, "run", "--no-sync", "pytest", "--quiet"], environment, folder=folder)
        except demo.StepError as error:
            demo.say(str(error))
            failure = "installing failed" if not versions else "tests failed"
        demo.say(f"{failure or 'passed'} after {time.monotonic() - started:.0f} s")
    return Combination(preset, found, libraries, versions, failure)


def markdown(combinations: Sequence[Combination]) -> str:
    """The combinations as a table."""
    head = ["Python", "`tracking_preset`", "libraries", *SHOWN, "its tests"]
    rows = [head, ["---"] * len(head), *[combination.row for combination in combinations]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write(table: str) -> None:
    """Replace the table in the page."""
    today = datetime.now(timezone.utc).date().isoformat()
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    text = f"{before}{BEGIN}\n\nRun on {today}.\n\n{table}\n\n{END}{after}"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
