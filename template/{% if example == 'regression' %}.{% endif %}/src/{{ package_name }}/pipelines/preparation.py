"""What the columns of a table are, and what happens to them before a model sees them.

Training and inference both call `prepare` with the state that `fit_preparation` learned from the
training records. There is no second place: a change here changes both.
"""

from typing import Any

from pandas import DataFrame

# The column that is predicted.
TARGET = "progression"
# Groups of rows that the errors are given for: each value of a column, or bands of its numbers.
GROUPS: dict[str, list[float]] = {"sex": [], "age": [40, 60]}


def fit_preparation(train_records: DataFrame) -> Any:
    """Learn the preparation from the training records alone.

    Every column is brought to mean 0 and standard deviation 1, so that one penalty suits all of
    them. `sex` has two codes: scaled, it remains an indicator.

    Returns:
        The fitted transformer. It knows its columns by name and their order.
    """
    from sklearn.preprocessing import StandardScaler

    measurements = train_records.drop(columns=TARGET)
    return StandardScaler().set_output(transform="pandas").fit(measurements)


def prepare(rows: DataFrame, preparation: Any) -> DataFrame:
    """Turn rows into features: one row each, same index, the columns of the training.

    Columns the preparation was not fitted on, the target among them, are left out.
    """
    return preparation.transform(rows[list(preparation.feature_names_in_)])
