"""What the data must look like: a table that breaks a rule is refused before a node runs.

The catalog names the validators.
"""

import pandas as pd
import pandera.pandas as pa

from ..mlops import validated


# Still the example's: list the columns of your data, then delete this line.
class Instances(pa.DataFrameModel):
    """What is predicted from."""

    x: float


class Records(Instances):
    """What a model is trained on: the same columns, and the one that is predicted."""

    y: float


def validate_records(data: pd.DataFrame) -> pd.DataFrame:
    """Check training data."""
    return validated(data, Records)


def validate_instances(data: pd.DataFrame) -> pd.DataFrame:
    """Check what is to be predicted."""
    return validated(data, Instances)
