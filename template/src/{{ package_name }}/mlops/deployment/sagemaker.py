"""Target `sagemaker`: an endpoint with the project's container, by MLflow's own client.

Each deployment creates a model, an archive in the bucket and a configuration of the endpoint under
new names, and leaves the earlier ones: so a rollback is one call, and quick.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ..config import KedroMlflowConfig
from ..errors import TrackingError
from .cloud import api_step, refuse_secrets, require_values, wait_step
from .sagemaker_endpoint import (
    NAME,
    PREVIOUS,
    RUN,
    VERSION,
    api_errors,
    find_endpoint,
    state_of,
)
from .steps import Deployment, Step

if TYPE_CHECKING:
    from botocore.client import BaseClient

# Without these, MLflow's client would guess: it knows one region, one image and one bucket.
_NEEDED = {
    "region": "AWS_DEFAULT_REGION",
    "role": "SAGEMAKER_ROLE_ARN",
    "image": "SAGEMAKER_IMAGE",
    "bucket": "SAGEMAKER_BUCKET",
}


# One name for all versions: a scaling policy and an alarm of the endpoint name its variant.
_VARIANT = "champion"


def plan(deployment: Deployment) -> list[Step]:
    """Plan to create the endpoint, or to let it serve this version; no steps if it does."""
    options, version = deployment.options, deployment.version
    wanted = {
        "image_url": options.image,
        "execution_role_arn": options.role,
        "instance_type": options.instance_type,
        "instance_count": options.instance_count,
        "vpc_config": options.vpc,
        "environment": options.environment
        | {NAME: version.name, VERSION: str(version.version), RUN: str(version.run_id)},
    }
    client = _client(options)
    with api_errors():
        endpoint = find_endpoint(client, options.endpoint)
    if endpoint:
        endpoint.require_changeable(version.name)
        if endpoint.serves == wanted:
            return []
    old_config = endpoint.config if endpoint else ""
    environment: Any = wanted.pop("environment")
    return [
        _push(options.image, options.region),
        _deploy(deployment, wanted, environment | ({PREVIOUS: old_config} if old_config else {})),
        _wait(client, options, old_config),
    ]


def rollback(config: KedroMlflowConfig, options: Any) -> list[Step]:
    """Plan to let the endpoint serve what it did before its current version.

    Raises:
        TrackingError: there is no endpoint, or it has never served another version.
    """
    client = _client(options)
    with api_errors():
        endpoint = find_endpoint(client, options.endpoint)
    if endpoint is None:
        raise TrackingError(f"There is no endpoint '{options.endpoint}' to roll back.")
    endpoint.require_changeable(config.model.name if config.model else "")
    if not endpoint.previous:
        raise TrackingError(
            f"The endpoint '{options.endpoint}' has served nothing before version "
            f"{endpoint.version}: there is nothing to go back to."
        )
    back = api_step(
        f"Roll the endpoint '{options.endpoint}' back from version {endpoint.version} to what it "
        "served before.",
        _boto3(options),
        client.update_endpoint,
        api_errors,
        EndpointName=options.endpoint,
        EndpointConfigName=endpoint.previous,
    )
    return [back, _wait(client, options, endpoint.config)]


def _client(options: Any) -> "BaseClient":
    require_values(options, _NEEDED)
    refuse_secrets(
        options.environment,
        "let the container read it from AWS Secrets Manager, as the role deployment.role",
    )
    import boto3

    with api_errors():
        return boto3.client("sagemaker", region_name=options.region)


def _push(image: str, region: str) -> Step:
    registry = image.partition("/")[0]
    return Step(
        "First, and after each change of the code or its libraries, push the image of "
        "deploy/docker yourself.",
        f"aws ecr get-login-password --region {region} | docker login --username AWS "
        f"--password-stdin {registry} && docker push {image}",
        lambda: None,
    )


def _deploy(deployment: Deployment, wanted: dict[str, Any], environment: dict[str, str]) -> Step:
    """Plan to upload the model, and to create or change the endpoint: one call of the client."""
    import mlflow
    from mlflow.deployments import get_deploy_client

    options, version, server = deployment.options, deployment.version, deployment.config.server
    # From there the client fetches the model.
    mlflow.set_tracking_uri(str(server.mlflow_tracking_uri))
    mlflow.set_registry_uri(server.registry_uri)
    target = f"sagemaker:/{options.region}"
    client = get_deploy_client(target)
    exists = PREVIOUS in environment

    @contextmanager
    def safely() -> Iterator[None]:
        with api_errors(), _proxies_hidden():
            yield

    return api_step(
        f"{'Change' if exists else 'Create'} the endpoint '{options.endpoint}': it serves version "
        f"{version.version} of '{version.name}'.",
        f"mlflow.deployments.get_deploy_client({target!r})",
        client.update_deployment if exists else client.create_deployment,
        safely,
        name=options.endpoint,
        model_uri=f"models:/{version.name}/{version.version}",
        flavor="python_function",
        # The client reads an option that is None as JSON.
        config={key: value for key, value in wanted.items() if value is not None}
        | {
            "region_name": options.region,
            "bucket": options.bucket,
            "env": environment,
            "variant_name": _VARIANT,
            # The next step waits, and what was served before is kept to go back to.
            "synchronous": False,
            "archive": True,
        },
    )


def _wait(client: "BaseClient", options: Any, old_config: str) -> Step:
    name = options.endpoint
    command = f"{_boto3(options)}.describe_endpoint(EndpointName={name!r})"
    state_after = partial(state_of, client, name, old_config)
    return wait_step(name, command, state_after, api_errors, options.timeout)


def _boto3(options: Any) -> str:
    return f"boto3.client('sagemaker', {options.region!r})"


@contextmanager
def _proxies_hidden() -> Iterator[None]:
    """Hide this machine's proxies from MLflow's client, and not from boto3.

    It copies http_proxy, https_proxy and no_proxy into the container's environment, with the
    password that may be in them. boto3 reads the same names in capitals.
    """
    names = [name for name in ("http_proxy", "https_proxy", "no_proxy") if name in os.environ]
    hidden = {name: os.environ.pop(name) for name in names}
    added = [name.upper() for name in names if name.upper() not in os.environ]
    os.environ.update({name: hidden[name.lower()] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
        os.environ.update(hidden)
