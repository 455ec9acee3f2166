"""What mlflow.yml says of `kedro mlflow deploy`: the options of each serving target.

The targets themselves are in the package ``deployment``, each only where it is the answer.
"""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


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


class SageMakerOptions(_TargetOptions):
    """An endpoint of SageMaker: what it runs, on which machines, and as whom."""

    target: Literal["sagemaker"]
    endpoint: str
    region: str | None = None
    role: str | None = None
    image: str | None = None
    bucket: str | None = None
    instance_type: str = "ml.m5.large"
    instance_count: int = Field(default=1, ge=1)
    vpc: dict[str, list[str]] | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    timeout: float = Field(default=1200, gt=0)

    @field_validator("endpoint")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        return _named(
            name, r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "letters, digits and, inside, hyphens"
        )


class DatabricksOptions(_TargetOptions):
    """A serving endpoint of Databricks: its size, what it is told, and the new version's share."""

    target: Literal["databricks"]
    endpoint: str
    workload_type: str = "CPU"
    workload_size: str = "Small"
    scale_to_zero: bool = True
    canary_percent: int | None = Field(default=None, ge=0, le=100)
    environment: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, str] = Field(default_factory=dict)
    timeout: float = Field(default=1800, gt=0)

    @field_validator("endpoint")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        return _named(name, r"[\w-]{1,63}", "letters, digits, hyphens and underscores")

    @field_validator("secrets")
    @classmethod
    def _are_references(cls, secrets: dict[str, str]) -> dict[str, str]:
        for variable, secret in secrets.items():
            if not re.fullmatch(r"[\w.@-]+/[\w.@-]+", secret):
                # Not what stands there: it may be the secret itself.
                raise ValueError(f"{variable} is to name a secret of Databricks, as SCOPE/KEY")
        return secrets


def _named(name: str, pattern: str, of: str) -> str:
    if not re.fullmatch(pattern, name, re.ASCII):
        raise ValueError(
            f"'{name}' is no name for an endpoint, which has up to 63 characters: {of}"
        )
    return name
