"""Run the project as a module: `python -m <package>` is `kedro run` for an installed package."""

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main() -> None:
    """Configure the project by its package and hand over to Kedro's `run` command."""
    package = __package__ or ""
    configure_project(package)
    find_run_command(package)()


if __name__ == "__main__":
    main()
