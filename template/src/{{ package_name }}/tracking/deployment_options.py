"""What mlflow.yml says of `kedro mlflow deploy`: the options of each serving target.

The targets themselves are in the package ``deployment``, each only where it is the answer.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _TargetOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DockerOptions(_TargetOptions):
    """A container on this machine: what is in its image, what that is called, where it answers."""

    target: Literal["docker"]
    model: Literal["baked", "champion"] = "baked"
    image: str
    port: int = 8080


class KubernetesOptions(_TargetOptions):
    """KServe: the image as the cluster pulls it, the overlay, and the share of the new version."""

    target: Literal["kubernetes"]
    image: str | None = None
    overlay: str = "staging"
    canary_percent: int | None = Field(default=None, ge=0, le=100)
