"""The parameters of the training pipeline: their types and limits.

The nodes' type hints name these classes, so Kedro checks `parameters.yml` before a run starts.
The values are in `conf/base/parameters.yml` and nowhere else: there are no defaults here.
"""

from typing import Annotated, Literal

from pydantic import Field

from ...mlops import Parameters

# NumPy's seeds are unsigned 32-bit integers.
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Split(Parameters):
    """How records are divided into training and test."""

    test_fraction: float = Field(gt=0, lt=1)
    seed: Seed


class Model(Parameters):
    """The classifier: its family, and what each family takes."""

    kind: Literal["boosting", "forest", "logistic"]
    strength: float = Field(gt=0)
    trees: int = Field(ge=1)
    depth: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=1)
    seed: Seed


class Evaluation(Parameters):
    """For which groups of test records measures are given."""

    smallest_group: int = Field(ge=1)
