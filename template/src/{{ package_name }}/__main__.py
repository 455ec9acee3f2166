"""Run the project as a module: `python -m <package>` is `kedro run` for an installed package."""

import sys
from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*args: Any, **kwargs: Any) -> Any:
    """Call Kedro's `run` command: `main(["--pipelines", "inference"])`, or as the program's own."""
    package = Path(__file__).parent.name  # Run as a file it has no package.
    configure_project(package)
    kwargs.setdefault("standalone_mode", not hasattr(sys, "ps1"))
    return find_run_command(package)(*args, **kwargs)


if __name__ == "__main__":
    main()
