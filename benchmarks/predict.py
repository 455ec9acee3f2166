"""Predicts with a model in this process: `python predict.py MODEL ROWS CALLS [CALLS ...]`.

Started by predicting.py with the interpreter of the project. ROWS is a file of CSV; for each CALLS
it prints, as a line of JSON at the end, the median seconds of a call: the first time with one row,
then with a thousand.
"""

import json
import resource
import statistics
import sys
import time
from typing import Any

import mlflow
import pandas as pd

ROWS = (1, 1000)


def main(model: str, path: str, *calls: str) -> None:
    """Load the model and call it."""
    # A prediction takes no whole number for a column that may hold a fraction.
    rows = pd.read_csv(path).astype(float)
    rows = pd.concat([rows] * (1 + max(ROWS) // len(rows)), ignore_index=True)
    loaded = mlflow.pyfunc.load_model(model)
    seconds = [
        _seconds(loaded, rows.head(count), int(number))
        for count, number in zip(ROWS, calls, strict=True)
    ]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "memory": memory}))


def _seconds(model: Any, rows: pd.DataFrame, calls: int) -> float:
    times = []
    for _ in range(calls // 10 + calls):
        started = time.perf_counter()
        model.predict(rows)
        times.append(time.perf_counter() - started)
    return statistics.median(times[calls // 10 :])


if __name__ == "__main__":
    main(*sys.argv[1:])
