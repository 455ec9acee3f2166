"""Commands of this project beside Kedro's own. Add yours to `cli`: @cli.command()."""

from .mlops.cli import cli, run

__all__ = ["cli", "run"]
