"""What happens to the measurements of a patient before a model sees them.

Training and inference both call `prepare` with the state that `fit_preparation` learned from the
training patients. There is no second place: a change here changes both.
"""

from typing import Any

from pandas import DataFrame

TARGET = "progression"


def fit_preparation(train_patients: DataFrame) -> Any:
    """Learn the preparation from the training patients alone.

    Every measurement is brought to mean 0 and standard deviation 1, so that one penalty suits all
    of them. `sex` has two codes: scaled, it remains an indicator.

    Returns:
        The fitted transformer. It knows its columns by name and their order.
    """
    from sklearn.preprocessing import StandardScaler

    measurements = train_patients.drop(columns=TARGET)
    return StandardScaler().set_output(transform="pandas").fit(measurements)


def prepare(patients: DataFrame, preparation: Any) -> DataFrame:
    """Turn patients into features: one row each, same index, the columns of the training.

    Columns the preparation was not fitted on, the target among them, are left out.
    """
    return preparation.transform(patients[list(preparation.feature_names_in_)])
