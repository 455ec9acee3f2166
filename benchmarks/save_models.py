"""Saves what a registered model is compared with: `python save_models.py MODEL PACKAGE FOLDER`.

Started by served.py with the interpreter of the project that has registered it. Into the folder
come `plain`, a pyfunc that calls the same functions, and `bare`, the regressor alone.
"""

import sys
from importlib import import_module
from pathlib import Path

import mlflow
from mlflow.models import Model, infer_signature


def main(registered: Path, package: str, folder: Path) -> None:
    """Save both, with the signature of the registered model."""
    artifacts = {
        name: str(registered / "artifacts" / f"{name}.skops")
        for name in ("preparation", "regressor")
    }
    model = Model.load(registered)
    mlflow.pyfunc.save_model(
        folder / "plain",
        python_model=str(Path(__file__).with_name("plain_model.py")),
        code_paths=[str(Path(import_module(package).__file__ or "").parent)],
        artifacts=artifacts,
        model_config={"package": package},
        signature=model.signature,
        pip_requirements=["mlflow"],
    )
    regressor = import_module(f"{package}.mlops").SkopsDataset(filepath=artifacts["regressor"])
    rows = model.load_input_example(str(registered))
    mlflow.sklearn.save_model(
        regressor.load(),
        folder / "bare",
        signature=infer_signature(rows, regressor.load().predict(rows)),
        pip_requirements=["mlflow"],
        serialization_format="cloudpickle",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
