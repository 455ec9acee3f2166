"""What the data must look like: a table that breaks a rule is refused before a node runs.

The catalog names these classes.
"""

from typing import Any

import pandera.pandas as pa


def _between(low: float, high: float, unit: str) -> Any:
    limits = {"min_value": low, "max_value": high}
    return pa.Field(in_range=limits, nullable=True, metadata={"unit": unit})


# Still the example's: list the columns of your data, then delete this line.
class Instances(pa.DataFrameModel):
    """A penguin as it was measured, within what penguins of its kind can be.

    The limits are wide on purpose. They catch another unit and a slipped decimal point, not an
    unusual penguin. What could not be measured is empty.
    """

    island: str = pa.Field(isin=["Biscoe", "Dream", "Torgersen"])
    bill_length_mm: float = _between(15, 90, "mm")
    bill_depth_mm: float = _between(5, 35, "mm")
    flipper_length_mm: float = _between(100, 350, "mm")
    body_mass_g: float = _between(1000, 10000, "g")
    sex: str = pa.Field(isin=["female", "male"], nullable=True)
    year: int = pa.Field(ge=2000, le=2100)

    class Config:
        """Other columns are refused."""

        strict = True


class Records(Instances):
    """What a model is trained on: the measurements, and the species that is predicted."""

    species: str = pa.Field(isin=["Adelie", "Chinstrap", "Gentoo"])
