"""Checks tables in this process: `python validate.py PACKAGE ROWS CALLS`.

Started by predicting.py with the interpreter of the project. At the end it prints, as a line of
JSON, the median seconds of a call by what was checked: one row of ten numbers; one of ten columns
of mixed types, and ROWS of these, typed already or as they are read from CSV, all three by pandera
as well, which coerces what comes from CSV.
"""

import io
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

PLANS = ["basic", "plus", "gold"]


class Mixed(pa.DataFrameModel):
    """Ten columns of the types that customers have."""

    id: str = pa.Field(unique=True, str_matches="^c[0-9]+$")
    plan: str = pa.Field(isin=PLANS)
    region: Annotated[pd.CategoricalDtype, ["north", "south"], False] = pa.Field(nullable=True)
    signup: datetime = pa.Field(ge=datetime(2020, 1, 1))
    children: pd.Int64Dtype = pa.Field(nullable=True, ge=0, le=20)
    visits: int = pa.Field(ge=0)
    smoker: bool
    age: float = pa.Field(in_range={"min_value": 0, "max_value": 120})
    income: float = pa.Field(nullable=True, ge=0)
    note: str = pa.Field(nullable=True, str_length={"max_value": 20})


class Coerced(Mixed):
    """The same, of what pandera makes of other types."""

    class Config:
        """Options of pandera."""

        coerce = True


Numbers = type(
    "Numbers",
    (pa.DataFrameModel,),
    {"__annotations__": {f"x{number}": float for number in range(10)}}
    | {f"x{number}": pa.Field(ge=0, le=10) for number in range(10)},
)


def customers(count: int) -> pd.DataFrame:
    """A table as CSV holds it."""
    random = np.random.default_rng(0)

    def choice(*values: Any) -> Any:
        return random.choice(np.array(values, dtype=object), count)

    table = pd.DataFrame(
        {
            "id": [f"c{number}" for number in range(count)],
            "plan": choice(*PLANS),
            "region": choice("north", "south", None),
            "signup": pd.Timestamp(2021, 1, 1)
            + pd.to_timedelta(random.integers(0, 999, count), "D"),
            "children": choice(0, 1, 2, None),
            "visits": random.integers(0, 99, count),
            "smoker": choice(True, False),
            "age": random.integers(18, 99, count),
            "income": choice(1000.5, 2000.0, None),
            "note": choice("called", "wrote", None),
        }
    )
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


def main(package: str, rows: str, calls: str) -> None:
    """Check, and check again."""
    validated = import_module(f"{package}.mlops").validated
    numbers = pd.DataFrame({f"x{number}": [5.0] for number in range(10)})
    read = customers(int(rows))
    typed = validated(read, Mixed)
    one = typed.head(1).copy()
    few = 15
    seconds = {
        "numbers": _seconds(lambda: validated(numbers, Numbers), int(calls)),
        "one": _seconds(lambda: validated(one, Mixed), int(calls)),
        "one, pandera": _seconds(lambda: Mixed.validate(one, lazy=True), int(calls) // 20),
        "typed": _seconds(lambda: validated(typed, Mixed), few),
        "typed, pandera": _seconds(lambda: Mixed.validate(typed, lazy=True), few),
        "read": _seconds(lambda: validated(read, Mixed), few),
        "read, pandera": _seconds(lambda: Coerced.validate(read, lazy=True), few),
    }
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "memory": memory}))


def _seconds(call: Callable[[], Any], calls: int) -> float:
    times = []
    for _ in range(calls // 10 + calls + 1):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times[calls // 10 + 1 :])


if __name__ == "__main__":
    main(*sys.argv[1:])
