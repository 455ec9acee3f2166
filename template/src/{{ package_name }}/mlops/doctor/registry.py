"""Can models be registered? Shown by a tag that comes and goes, or by a model that does."""

from ..backend.client import if_exists
from .finding import Finding, failed, ok, reason
from .setup import MARK, Setup


def registry(setup: Setup) -> Finding:
    """Write to the registered model of the project, or to another one while there is none."""
    from mlflow.exceptions import MlflowException

    assert setup.config.model is not None
    client, name = setup.client, setup.config.model.name
    try:
        if if_exists(client.get_registered_model, name) is None:
            another = f"{name}_{setup.name}".replace("-", "_")
            client.create_registered_model(another)
            setup.remove_later(
                f"the registered model {another}", lambda: client.delete_registered_model(another)
            )
            return ok(f"'{name}' comes with the first run; tried with another one")
        client.set_registered_model_tag(name, MARK, setup.name)
        setup.remove_later(
            f"the tag {MARK} of the registered model '{name}'",
            lambda: client.delete_registered_model_tag(name, MARK),
        )
    except MlflowException as error:
        return judge_failure(name, error)
    return ok(f"'{name}' can be written")


def judge_failure(name: str, error: Exception) -> Finding:
    """Say why a model cannot be registered.

    Args:
        name: the registered model's.
        error: MLflow's exception.
    """
    if getattr(error, "error_code", "") == "PERMISSION_DENIED":
        return failed(
            f"the registry does not let us write '{name}'",
            "Ask who owns the model for the permission EDIT, or give model.name another name.",
        )
    return failed(
        f"'{name}' cannot be written ({reason(error)})", "Look at the registry's own log."
    )
