"""An endpoint of SageMaker: what it serves, and the state of a change."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import TrackingError
from ..redaction import mask_text

if TYPE_CHECKING:
    from botocore.client import BaseClient

# Variables of the container, for people and for the next deployment: the version that it serves,
# the run that trained it, and what was served before.
NAME, VERSION, RUN = "MODEL_NAME", "MODEL_VERSION", "MODEL_RUN_ID"


PREVIOUS = "PREVIOUS_ENDPOINT_CONFIG"


# What MLflow's client adds to them.
_OF_MLFLOW = ("MLFLOW_DEPLOYMENT_FLAVOR_NAME", "SERVING_ENVIRONMENT")


# Seconds until an update shows in the endpoint's state; MLflow's client waits as long.
_GRACE = 20


_SERVES = "InService"


_BROKEN = ("Failed", "OutOfService", "UpdateRollbackFailed")


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as it is now.

    Attributes:
        name: its name.
        state: SageMaker's word for how it is: InService, Updating, Failed and so on.
        reason: what SageMaker says of a failure; may be empty.
        config: the name of its configuration.
        serves: what it runs, with the same keys as `wanted` in `plan`.
        previous: the configuration that it had before; empty if it is its first.
    """

    name: str
    state: str
    reason: str
    config: str
    serves: dict[str, Any]
    previous: str

    @property
    def version(self) -> str:
        """The version of the model that it serves."""
        return str(self.serves["environment"].get(VERSION, ""))

    def require_changeable(self, model: str) -> None:
        """Require that the endpoint is in service, and serves this project's model.

        Raises:
            TrackingError: it says what to do.
        """
        if self.serves["environment"].get(NAME) != model:
            raise TrackingError(
                f"The endpoint '{self.name}' does not serve '{model}': choose another name for "
                "this project's (deployment.endpoint in mlflow.yml), or delete that one."
            )
        if self.state in _BROKEN:
            raise TrackingError(
                f"The endpoint '{self.name}' is {self.state}{_because(self.reason)}: fix or "
                "delete it in SageMaker, and deploy again."
            )
        if self.state != _SERVES:
            raise TrackingError(
                f"The endpoint '{self.name}' is {self.state}: wait until that is over, and deploy "
                "again."
            )


def find_endpoint(client: "BaseClient", name: str) -> Endpoint | None:
    """Ask SageMaker what an endpoint serves; none if there is no such endpoint."""
    from botocore.exceptions import ClientError

    try:
        endpoint = client.describe_endpoint(EndpointName=name)
    except ClientError as error:
        if "Could not find" in error.response["Error"].get("Message", ""):
            return None
        raise
    config = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    variant = config["ProductionVariants"][0]
    model = client.describe_model(ModelName=variant["ModelName"])
    container = model.get("PrimaryContainer", {})
    environment = dict(container.get("Environment", {}))
    previous = environment.pop(PREVIOUS, "")
    return Endpoint(
        name,
        endpoint["EndpointStatus"],
        endpoint.get("FailureReason", ""),
        endpoint["EndpointConfigName"],
        {
            "image_url": container.get("Image"),
            "execution_role_arn": model.get("ExecutionRoleArn"),
            "instance_type": variant.get("InstanceType"),
            "instance_count": variant.get("InitialInstanceCount"),
            "vpc_config": model.get("VpcConfig") or None,
            "environment": {
                variable: value
                for variable, value in environment.items()
                if variable not in _OF_MLFLOW
            },
        },
        previous,
    )


def state_of(client: "BaseClient", name: str, old_config: str, passed: float) -> str | None:
    """Return the state of an endpoint that is being changed; none once it is in service.

    Args:
        client: SageMaker's.
        name: the endpoint's.
        old_config: its configuration before the change; empty when it is created.
        passed: how many seconds ago the change began.

    Raises:
        TrackingError: the change has failed. SageMaker goes back to the old configuration then.
    """
    endpoint = client.describe_endpoint(EndpointName=name)
    state, reason = endpoint["EndpointStatus"], endpoint.get("FailureReason", "")
    still_old = endpoint["EndpointConfigName"] == old_config
    if state == _SERVES and not still_old:
        return None
    if state in _BROKEN or (state == _SERVES and passed > _GRACE):
        served = " and serves what it did before" if state == _SERVES else ""
        raise TrackingError(
            f"The endpoint '{name}' is {state}{served}, SageMaker could not change it"
            f"{_because(reason)}. The container's log is in CloudWatch, in the log group "
            f"/aws/sagemaker/Endpoints/{name}."
        )
    return str(state)


@contextmanager
def api_errors() -> Iterator[None]:
    """Turn an error of AWS, or of the connection, into a sentence.

    Raises:
        TrackingError: instead of what `boto3` raises, or MLflow's client because of it.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (BotoCoreError, Boto3Error, ClientError, MlflowException) as error:
        cause: BaseException | None = error
        while cause and not isinstance(cause, BotoCoreError | ClientError):
            cause = cause.__cause__ or cause.__context__
        raise TrackingError(_sentence(cause or error)) from error


def _sentence(error: BaseException) -> str:
    from botocore.exceptions import ClientError, NoCredentialsError

    if isinstance(error, NoCredentialsError):
        return (
            "There are no credentials for AWS: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, in the environment or in .env (see .env.example)."
        )
    message = mask_text(" ".join(str(error).split())).rstrip(".")
    if isinstance(error, ClientError):
        said = error.response["Error"]
        text = " ".join(str(said.get("Message", "")).split()).rstrip(".")
        return f"AWS rejected {error.operation_name} ({said.get('Code')}): {text}."
    return f"AWS is not reachable: {message}."


def _because(reason: str) -> str:
    return f" ({' '.join(reason.split()).rstrip('.')})" if reason else ""
