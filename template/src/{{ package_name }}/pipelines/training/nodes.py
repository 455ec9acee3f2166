"""Nodes of the training pipeline."""

from itertools import pairwise
from typing import Any

from pandas import DataFrame, Series

from ..preparation import TARGET
from .parameters import Evaluation, Model, Split

# R2 compares with the mean of the slice, which one patient does not have.
FEWEST_FOR_R2 = 2


def split(patients: DataFrame, parameters: Split) -> list[DataFrame]:
    """Divide the patients at random into [training, test]; the same seed gives the same split."""
    from sklearn.model_selection import train_test_split

    parts: list[DataFrame] = train_test_split(
        patients, test_size=parameters.test_fraction, random_state=parameters.seed
    )
    return parts


def fit(train_features: DataFrame, train_patients: DataFrame, parameters: Model) -> Any:
    """Fit a ridge regression of the progression on the features."""
    from sklearn.linear_model import Ridge

    return Ridge(alpha=parameters.alpha).fit(train_features, train_patients[TARGET])


def evaluate(
    test_patients: DataFrame, test_predictions: DataFrame, parameters: Evaluation
) -> dict[str, Any]:
    """Measure the errors on the test patients, over all and within each sex and age band.

    Returns:
        `rmse` and `mae` (in units of progression), `r2` and the number of `patients`, and the same
        below one key per slice: `sex_1`, `age_under_40`. Empty slices are left out, and so is the
        `r2` of a slice of one.
    """
    measured, predicted = test_patients[TARGET], test_predictions[TARGET]
    slices = {
        name: _errors(measured[members], predicted[members])
        for name, members in _slices(test_patients, parameters.age_bands).items()
        if members.any()
    }
    return {**_errors(measured, predicted), **slices}


def _errors(measured: Series, predicted: Series) -> dict[str, float]:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    errors = {
        "rmse": float(root_mean_squared_error(measured, predicted)),
        "mae": float(mean_absolute_error(measured, predicted)),
        "patients": float(len(measured)),
    }
    if len(measured) >= FEWEST_FOR_R2:
        errors["r2"] = float(r2_score(measured, predicted))
    return errors


def _slices(patients: DataFrame, age_bands: list[int]) -> dict[str, Series]:
    """Name each slice and mark its members: one slice per code of sex and per age band."""
    sex, age = patients["sex"], patients["age"]
    slices = {f"sex_{code:g}": sex == code for code in sorted(sex.unique())}
    if age_bands:
        slices[f"age_under_{age_bands[0]}"] = age < age_bands[0]
        for low, high in pairwise(age_bands):
            slices[f"age_{low}_to_{high - 1}"] = (age >= low) & (age < high)
        slices[f"age_{age_bands[-1]}_and_over"] = age >= age_bands[-1]
    return slices
