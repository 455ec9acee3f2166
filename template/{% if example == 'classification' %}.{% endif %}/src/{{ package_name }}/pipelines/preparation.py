"""What the columns of a table are, and what happens to them before a model sees them.

Training and inference both call `prepare` with the state that `fit_preparation` learned from the
training records. There is no second place: a change here changes both.
"""

from typing import Any

from pandas import DataFrame

# The column that is predicted.
TARGET = "species"
# Columns that say nothing about it: the year of a measurement will never come again.
UNUSED = ["year"]
# Groups of rows that the measures are given for: each value of these columns is one.
GROUPS = ["island", "sex"]


def fit_preparation(train_records: DataFrame) -> Any:
    """Learn the preparation from the training records alone.

    A gap in a column of numbers is filled with the median. A column of texts becomes one column of
    zeros and ones per text: a gap is a text of its own, and a text that is new is none of them.

    Returns:
        The fitted transformer. It knows its columns by name and their order.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    rows = _with_plain_texts(train_records.drop(columns=[TARGET, *UNUSED]))
    numbers = list(rows.select_dtypes("number"))
    texts = [name for name in rows if name not in numbers]
    transformer = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median"), numbers),
            ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
        ],
        verbose_feature_names_out=False,
    )
    return transformer.set_output(transform="pandas").fit(rows)


def prepare(rows: DataFrame, preparation: Any) -> DataFrame:
    """Turn rows into features: one row each, same index, the columns of the training.

    Columns the preparation was not fitted on, the target among them, are left out.
    """
    return preparation.transform(_with_plain_texts(rows))


def _with_plain_texts(rows: DataFrame) -> DataFrame:
    """Write gaps in texts as a text: pandas has several kinds of gap, scikit-learn knows one."""
    plain = {
        name: values.to_numpy(object, na_value="missing")
        for name, values in rows.items()
        if values.dtype.kind not in "iuf"  # Of numbers.
    }
    return rows.assign(**plain)
