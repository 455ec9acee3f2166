"""SageMaker: an endpoint that runs the project's container, by MLflow's own SageMaker client.

Each deployment makes a model, an archive in the bucket and a configuration of the endpoint, with
names of their own, and leaves those before it alone: so going back is one call, and quick.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ...config import KedroMlflowConfig
from ...errors import TrackingError
from ..cloud import call, refuse_secrets, require_values, wait
from ..plan import Deployment, Step
from .endpoint import NAME, PREVIOUS, RUN, VERSION, explained, find_endpoint, state_of

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
    """Make the endpoint, or let it serve this version; no steps if it does already."""
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
    with explained():
        endpoint = find_endpoint(client, options.endpoint)
    if endpoint:
        endpoint.require_rest(version.name)
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
    """Let the endpoint serve what it did before the version that it serves now.

    Raises:
        TrackingError: there is no endpoint, or it has never served another version.
    """
    client = _client(options)
    with explained():
        endpoint = find_endpoint(client, options.endpoint)
    if endpoint is None:
        raise TrackingError(f"There is no endpoint '{options.endpoint}' that could go back.")
    endpoint.require_rest(config.model.name if config.model else "")
    if not endpoint.previous:
        raise TrackingError(
            f"The endpoint '{options.endpoint}' has served nothing before version "
            f"{endpoint.version}: there is nothing to go back to."
        )
    back = call(
        f"Let the endpoint '{options.endpoint}' go back from version {endpoint.version} to what it "
        "served before.",
        f"boto3.client('sagemaker', {options.region!r})",
        client.update_endpoint,
        explained,
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

    with explained():
        return boto3.client("sagemaker", region_name=options.region)


def _push(image: str, region: str) -> Step:
    registry = image.partition("/")[0]
    return Step(
        "Before this, and once for each change of the code or its libraries: push the image of "
        "deploy/docker (this command does not).",
        f"aws ecr get-login-password --region {region} | docker login --username AWS "
        f"--password-stdin {registry} && docker push {image}",
        lambda: None,
    )


def _deploy(deployment: Deployment, wanted: dict[str, Any], environment: dict[str, str]) -> Step:
    """Upload the model, and make or change the endpoint: one call of MLflow's client."""
    import mlflow
    from mlflow.deployments import get_deploy_client

    options, version, server = deployment.options, deployment.version, deployment.config.server
    # What the client fetches the model from.
    mlflow.set_tracking_uri(str(server.mlflow_tracking_uri))
    mlflow.set_registry_uri(server.registry_uri)
    target = f"sagemaker:/{options.region}"
    client = get_deploy_client(target)
    exists = PREVIOUS in environment

    @contextmanager
    def safely() -> Iterator[None]:
        with explained(), _no_proxy_told():
            yield

    return call(
        f"{'Change' if exists else 'Make'} the endpoint '{options.endpoint}': it serves version "
        f"{version.version} of '{version.name}'.",
        f"mlflow.deployments.get_deploy_client({target!r})",
        client.update_deployment if exists else client.create_deployment,
        safely,
        name=options.endpoint,
        model_uri=f"models:/{version.name}/{version.version}",
        flavor="python_function",
        # What is not given it takes for a text, and reads as JSON.
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

    def take() -> None:
        with explained():
            wait(
                f"The endpoint '{name}'",
                partial(state_of, client, name, old_config),
                options.timeout,
            )

    return Step(
        f"Wait until it is in service, for {options.timeout} seconds at most.",
        f"boto3.client('sagemaker', {options.region!r}).describe_endpoint(EndpointName={name!r})",
        take,
    )


@contextmanager
def _no_proxy_told() -> Iterator[None]:
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
