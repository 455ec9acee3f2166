"""The parameters of the training pipeline: their types and limits.

The nodes' type hints name these classes, so Kedro checks `parameters.yml` before a run starts.
The values are in `conf/base/parameters.yml` and nowhere else: there are no defaults here.
"""

from pydantic import Field

from ...mlops import Parameters


class Split(Parameters):
    """How records are divided into training and test."""

    test_fraction: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0, lt=2**32)  # NumPy's seeds are unsigned 32-bit integers.
