"""What the data must look like: a table that breaks a rule is refused before a node runs.

The catalog names the validators.
"""

from typing import Any

import pandas as pd
import pandera.pandas as pa

from ..mlops import validated


def _between(low: float, high: float, unit: str = "") -> Any:
    return pa.Field(in_range={"min_value": low, "max_value": high}, metadata={"unit": unit})


# Still the example's: list the columns of your data, then delete this line.
class Instances(pa.DataFrameModel):
    """The ten baseline measurements of a patient, within what a living body can show.

    The limits are wide on purpose. They catch another unit (cholesterol in mmol/L, triglycerides
    without the logarithm), a slipped decimal point and exchanged columns, not an unusual patient.
    """

    age: float = _between(0, 120, "years")
    sex: float = pa.Field(isin=[1, 2])
    bmi: float = _between(10, 80, "kg/m²")
    blood_pressure: float = _between(30, 200, "mmHg")
    total_cholesterol: float = _between(50, 600, "mg/dL")
    ldl: float = _between(10, 500, "mg/dL")
    hdl: float = _between(5, 200, "mg/dL")
    cholesterol_ratio: float = _between(1, 30)
    log_triglycerides: float = _between(2, 8, "log mg/dL")
    glucose: float = _between(20, 600, "mg/dL")


class Records(Instances):
    """What a model is trained on: the measurements, and what is to be predicted from them."""

    progression: float = _between(0, 1000)


def validate_records(data: pd.DataFrame) -> pd.DataFrame:
    """Check training data."""
    return validated(data, Records)


def validate_instances(data: pd.DataFrame) -> pd.DataFrame:
    """Check what is to be predicted."""
    return validated(data, Instances)
