"""AWS over HTTP, by moto: buckets, and SageMaker with the one call that moto lacks."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import boto3
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.sagemaker.models import SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"
BUCKET = "team-models"
ROLE = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/serving"
IMAGE = f"{DEFAULT_ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com/model:1"


@dataclass
class Aws:
    """An account of AWS.

    Attributes:
        url: where every service answers.
        looks: how often a change of an endpoint is looked at before it is done.
        failure: why the next change fails; empty if it succeeds.
        changes: the calls that have made or changed endpoints, with the configuration's name.
    """

    url: str
    looks: int = 0
    failure: str = ""
    changes: list[tuple[str, str]] = field(default_factory=list)
    _pending: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """What a program needs to find it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIACANARYCANARY",
            "AWS_SECRET_ACCESS_KEY": "CANARYCANARY-aws",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        """boto3's client of a service."""
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, REGION, endpoint_url=self.url, **keys)

    def ask_who_calls(self) -> None:
        """Refuse, from now on, what no policy of the caller's allows."""
        _tell_moto(self.url, "reset-auth", "0")

    def served(self, endpoint: str) -> dict[str, Any]:
        """The container that an endpoint runs."""
        client = self.client("sagemaker")
        config = client.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
        variants = client.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        model = client.describe_model(ModelName=variants[0]["ModelName"])
        container: dict[str, Any] = model["PrimaryContainer"]
        return container

    def begin(self, endpoint: Any, state: str, config: str) -> None:
        """Begin a change of an endpoint."""
        self.changes.append((state, config))
        endpoint.endpoint_status = state
        self._pending[endpoint.endpoint_name] = (self.looks, config)

    def go_on(self, endpoint: Any) -> None:
        """Let a change that is under way come one look nearer to its end."""
        left, config = self._pending.pop(endpoint.endpoint_name, (None, ""))
        if left is None:
            return
        if left:
            self._pending[endpoint.endpoint_name] = (left - 1, config)
        elif self.failure:
            # An endpoint that has served goes back to what it did before.
            is_new = endpoint.endpoint_status == "Creating"
            endpoint.endpoint_status = "Failed" if is_new else "InService"
            endpoint.failure_reason, self.failure = self.failure, ""
        else:
            endpoint.endpoint_status = "InService"
            endpoint.endpoint_config_name, endpoint.failure_reason = config, None


@contextmanager
def aws() -> Iterator[Aws]:
    """An account with a bucket, and nothing else in it."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    account = Aws(f"http://{host}:{port}")
    _tell_moto(account.url, "reset")
    try:
        place = {"LocationConstraint": REGION}
        account.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
        with _slow_changes(account):
            yield account
    finally:
        _tell_moto(account.url, "reset-auth", "inf")
        server.stop()


def _tell_moto(url: str, what: str, text: str = "") -> None:
    plain = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"{url}/moto-api/{what}", text.encode(), plain, method="POST")
    urllib.request.urlopen(request).close()


@contextmanager
def _slow_changes(account: Aws) -> Iterator[None]:
    """Let endpoints be updated, which moto cannot, and let what becomes of a change take time."""
    create, describe = (
        SageMakerModelBackend.create_endpoint,
        SageMakerModelBackend.describe_endpoint,
    )

    def create_endpoint(backend: Any, *args: Any, **kwargs: Any) -> Any:
        endpoint = create(backend, *args, **kwargs)
        account.begin(endpoint, "Creating", endpoint.endpoint_config_name)
        return endpoint

    def describe_endpoint(backend: Any, endpoint_name: str) -> Any:
        if endpoint_name in backend.endpoints:
            account.go_on(backend.endpoints[endpoint_name])
        return describe(backend, endpoint_name)

    def update_endpoint(response: Any) -> ActionResult:
        name, config = (response._get_param(f"Endpoint{part}Name") for part in ("", "Config"))
        response.sagemaker_backend.describe_endpoint_config(config)
        endpoint = response.sagemaker_backend.endpoints[name]
        account.begin(endpoint, "Updating", config)
        return ActionResult({"EndpointArn": endpoint.arn})

    with ExitStack() as patches:
        for owner, name, function in (
            (SageMakerModelBackend, "create_endpoint", create_endpoint),
            (SageMakerModelBackend, "describe_endpoint", describe_endpoint),
            (SageMakerResponse, "update_endpoint", update_endpoint),
        ):
            patches.enter_context(patch.object(owner, name, function, create=True))
        yield
