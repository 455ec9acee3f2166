"""What is at which address."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from .model import Model
from .scoring import content_type

Headers = Mapping[bytes, bytes]


Predict = Callable[[bytes, Headers], tuple[bytes, int]]


class Route(NamedTuple):
    """What is at an address: either the answer to GET, or what POST is for.

    Attributes:
        name: in metrics and messages.
        content: the answer to GET.
        predict: makes the answer to POST of body and headers, and tells how many rows there were.
        is_open: whether it answers without a token.
    """

    name: str
    content: bytes = b""
    predict: Predict | None = None
    is_open: bool = False


def routes_of(model: Model) -> dict[str, Route]:
    """List the addresses of a server of this model: MLflow's and KServe's."""

    def invoke(body: bytes, headers: Headers) -> tuple[bytes, int]:
        return model.invoke(body, content_type(headers.get(b"content-type")))

    def infer(body: bytes, headers: Headers) -> tuple[bytes, int]:
        return model.infer(body)

    mlflow = _version_of_mlflow()
    about_server = {"name": "kedro-mlflow-serving", "version": mlflow, "extensions": []}
    is_ready = {"name": model.name, "ready": True}
    routes = {
        "/ping": Route("/ping", b"\n", is_open=True),
        "/health": Route("/health", b"\n", is_open=True),
        "/version": Route("/version", mlflow.encode()),
        "/invocations": Route("/invocations", predict=invoke),
        "/v2": Route("/v2", _json(about_server)),
        "/v2/health/live": Route("/v2/health/live", _json({"live": True}), is_open=True),
        "/v2/health/ready": Route("/v2/health/ready", _json({"ready": True}), is_open=True),
    }
    start = f"/v2/models/{model.name}"
    for base in (start, f"{start}/versions/{model.version}"):
        routes |= {
            base: Route("/v2/models/NAME", _json(model.metadata)),
            f"{base}/ready": Route("/v2/models/NAME/ready", _json(is_ready), is_open=True),
            f"{base}/infer": Route("/v2/models/NAME/infer", predict=infer),
        }
    return routes


def _version_of_mlflow() -> str:
    for name in ("mlflow", "mlflow-skinny"):  # The container has the latter alone.
        with suppress(PackageNotFoundError):
            return version(name)
    return "unknown"


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode()
