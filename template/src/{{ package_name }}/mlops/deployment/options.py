"""What mlflow.yml says of a serving target: the key `deployment`, one class per target."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from ..config import KedroMlflowConfig


def _endpoint(pattern: str, characters: str) -> Any:
    """Make the type of an endpoint's name."""

    def check(name: str) -> str:
        if not re.fullmatch(pattern, name, re.ASCII):
            raise ValueError(
                f"'{name}' is no name for an endpoint, which has up to 63 characters: {characters}"
            )
        return name

    return AfterValidator(check)


_SAGEMAKER_NAME = _endpoint(
    r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "letters, digits and, inside, hyphens"
)
_DATABRICKS_NAME = _endpoint(r"[\w-]{1,63}", "letters, digits, hyphens and underscores")


class _Target(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# Source: the grammar of references to images, of the project "distribution".
_PART = r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"
_IMAGE = re.compile(rf"([\w.-]+(:\d+)?/)?{_PART}(/{_PART})*", re.ASCII)


def _without_tag(name: str) -> str:
    if not _IMAGE.fullmatch(name):
        raise ValueError(
            f"'{name}' is no name for an image, such as registry.example.com:5000/team/model: it "
            "is in lower case, and has no tag and no digest, for the model's version is the tag"
        )
    return name


_ImageName = Annotated[str, AfterValidator(_without_tag)]


class _Image(_Target):
    """What an image is built from: null for Docker's official Python, and PyPI."""

    base_image: str | None = None
    index_url: str | None = None

    @field_validator("index_url")
    @classmethod
    def _is_no_secret(cls, url: str | None) -> str | None:
        if url and "@" in url.partition("://")[2].partition("/")[0]:
            # Not the value: it is the secret itself.
            raise ValueError("it holds a login, which everybody with the image's history can read")
        return url


class DockerOptions(_Image):
    """A container on this machine."""

    target: Literal["docker"]
    model: Literal["baked", "champion"] = "baked"
    image: _ImageName
    port: int = 8080


class KubernetesOptions(_Image):
    """Kubernetes, with KServe or without."""

    target: Literal["kubernetes"]
    image: _ImageName | None = None
    overlay: str = "staging"
    canary_percent: int | None = Field(default=None, ge=0, le=100)


class SageMakerOptions(_Target):
    """An endpoint of SageMaker."""

    target: Literal["sagemaker"]
    endpoint: Annotated[str, _SAGEMAKER_NAME]
    region: str | None = None
    role: str | None = None
    image: str | None = None
    bucket: str | None = None
    instance_type: str = "ml.m5.large"
    instance_count: int = Field(default=1, ge=1)
    vpc: dict[str, list[str]] | None = None
    environment: dict[str, str] = {}
    timeout: float = Field(default=1200, gt=0)


class DatabricksOptions(_Target):
    """A serving endpoint of Databricks."""

    target: Literal["databricks"]
    endpoint: Annotated[str, _DATABRICKS_NAME]
    workload_type: str = "CPU"
    workload_size: str = "Small"
    scale_to_zero: bool = True
    canary_percent: int | None = Field(default=None, ge=0, le=100)
    environment: dict[str, str] = {}
    secrets: dict[str, str] = {}
    timeout: float = Field(default=1800, gt=0)

    @field_validator("secrets")
    @classmethod
    def _are_references(cls, secrets: dict[str, str]) -> dict[str, str]:
        for variable, secret in secrets.items():
            if not re.fullmatch(r"[\w.@-]+/[\w.@-]+", secret):
                # Not the value: it may be the secret itself.
                raise ValueError(f"{variable} must name a secret of Databricks, as SCOPE/KEY")
        return secrets


class _UnknownTarget(BaseModel):
    target: Literal["docker", "kubernetes", "sagemaker", "databricks"]


class _DockerConfig(KedroMlflowConfig):
    deployment: DockerOptions


class _KubernetesConfig(KedroMlflowConfig):
    deployment: KubernetesOptions


class _SageMakerConfig(KedroMlflowConfig):
    deployment: SageMakerOptions


class _DatabricksConfig(KedroMlflowConfig):
    deployment: DatabricksOptions


class _UnknownConfig(KedroMlflowConfig):
    deployment: _UnknownTarget


_SCHEMAS: dict[str, type[KedroMlflowConfig]] = {
    "docker": _DockerConfig,
    "kubernetes": _KubernetesConfig,
    "sagemaker": _SageMakerConfig,
    "databricks": _DatabricksConfig,
}


def schema_of(deployment: Any) -> type[KedroMlflowConfig]:
    """Return the schema of mlflow.yml for the serving target that it names."""
    if deployment is None:
        return KedroMlflowConfig
    target = deployment.get("target") if isinstance(deployment, dict) else None
    return _SCHEMAS.get(str(target), _UnknownConfig)
