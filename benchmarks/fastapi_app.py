"""The classification example as a good engineer serves it by hand: FastAPI, pydantic, pandera.

Uvicorn starts it in the project's folder. It reads the same fitted files as the registered model.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import pandera.pandas as pa
import skops.io
from fastapi import FastAPI
from pydantic import BaseModel, Field

GAPS = ["island", "sex"]


class Penguin(BaseModel):
    """One row of a request."""

    island: Literal["Biscoe", "Dream", "Torgersen"]
    bill_length_mm: Annotated[float, Field(ge=15, le=90)] | None
    bill_depth_mm: Annotated[float, Field(ge=5, le=35)] | None
    flipper_length_mm: Annotated[float, Field(ge=100, le=350)] | None
    body_mass_g: Annotated[float, Field(ge=1000, le=10000)] | None
    sex: Literal["female", "male"] | None
    year: Annotated[int, Field(ge=2000, le=2100)]


class Request(BaseModel):
    """The rows, as MLflow's clients send them too."""

    dataframe_records: list[Penguin]


class Rows(pa.DataFrameModel):
    """The table that the model gets."""

    island: str = pa.Field(isin=["Biscoe", "Dream", "Torgersen"])
    bill_length_mm: float = pa.Field(ge=15, le=90, nullable=True, coerce=True)
    bill_depth_mm: float = pa.Field(ge=5, le=35, nullable=True, coerce=True)
    flipper_length_mm: float = pa.Field(ge=100, le=350, nullable=True, coerce=True)
    body_mass_g: float = pa.Field(ge=1000, le=10000, nullable=True, coerce=True)
    sex: str = pa.Field(isin=["female", "male"], nullable=True)
    year: int = pa.Field(ge=2000, le=2100)


def load(name: str) -> Any:
    """Read what training has fitted."""
    path = Path("data/06_models", f"{name}.skops")
    return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))


app = FastAPI()
preparation, classifier = load("preparation"), load("classifier")


@app.post("/invocations")
def predict(request: Request) -> dict[str, list[dict[str, float | str]]]:
    """Return the likeliest class of each row, and the probability of every class."""
    rows = Rows.validate(pd.DataFrame([row.model_dump() for row in request.dataframe_records]))
    rows[GAPS] = rows[GAPS].astype(object).where(rows[GAPS].notna(), "missing")
    features = preparation.transform(rows[list(preparation.feature_names_in_)])
    probabilities = classifier.predict_proba(features)
    answer = pd.DataFrame(probabilities, columns=[f"probability_{c}" for c in classifier.classes_])
    answer.insert(0, "species", classifier.classes_[probabilities.argmax(axis=1)])
    return {"predictions": answer.to_dict("records")}
