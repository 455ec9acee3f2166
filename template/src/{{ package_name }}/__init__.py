"""A Kedro project: your pipelines, and in mlops/ what tracks, registers and serves them."""

from . import mlops as mlops  # names of version 1 of the template work from here on

__version__ = "0.1.0"
