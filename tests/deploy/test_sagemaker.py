"""`kedro mlflow deploy` to SageMaker: MLflow's own client and boto3, against moto."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.aws import BUCKET, IMAGE, ROLE, Aws, aws
from tests.support.deploying import SECRET, Deploying, deploying
from tests.support.machine import free_port
from tests.support.project import PACKAGE, Project, Trained, listening

ENDPOINT = PACKAGE.replace("_", "-")


@dataclass(frozen=True)
class Account(Deploying):
    """A project with two versions of its model, and the account that it deploys to."""

    aws: Aws

    @property
    def version(self) -> str:
        """The version that is served."""
        version: str = self.aws.served(ENDPOINT)["Environment"]["MODEL_VERSION"]
        return version


@pytest.fixture(scope="module")
def original(
    template: Path, installed: Project, trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> Deploying:
    """The project, rendered once, with the runs and models of the trained one."""
    folder = tmp_path_factory.mktemp("sagemaker") / "project"
    made = deploying(template, folder, {"serving_target": "sagemaker"}, installed)
    shutil.copy2(trained.project.folder / "mlflow.db", folder)
    return made


@pytest.fixture
def account(original: Deploying, tmp_path: Path) -> Iterator[Account]:
    """An account of AWS with nothing but a bucket in it."""
    with aws() as cloud:
        copy = original.copied(
            tmp_path,
            cloud.variables
            | {"SAGEMAKER_ROLE_ARN": ROLE, "SAGEMAKER_IMAGE": IMAGE, "SAGEMAKER_BUCKET": BUCKET},
        )
        yield Account(copy.project, copy.variables, cloud)


def test_a_dry_run_says_the_calls_and_the_champion_is_served_once(account: Account) -> None:
    screen = account.deploy("--dry-run")
    assert f"Create the endpoint '{ENDPOINT}': it serves version 1 of '{PACKAGE}'." in screen
    assert "get_deploy_client('sagemaker:/eu-west-1').create_deployment(name=" in screen
    assert f"docker push {IMAGE}" in screen
    assert account.aws.changes == []
    assert account.aws.client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0

    account.aws.looks = 1
    proxy = {"http_proxy": f"http://ada:{SECRET}@proxy.example.com", "no_proxy": "127.0.0.1"}
    assert "Creating" in account.deploy(env=proxy)
    container = account.aws.served(ENDPOINT)
    assert container["Image"] == IMAGE
    run_id = container["Environment"].pop("MODEL_RUN_ID")
    assert container["Environment"] == {
        "MLFLOW_DEPLOYMENT_FLAVOR_NAME": "python_function",
        "SERVING_ENVIRONMENT": "SageMaker",
        "MODEL_NAME": PACKAGE,
        "MODEL_VERSION": "1",
    }
    assert run_id == account.project.client.get_model_version(PACKAGE, "1").run_id
    key = container["ModelDataUrl"].removeprefix(f"s3://{BUCKET}/")
    archive = account.aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        assert {"MLmodel", "registered_model_meta"} <= set(files.getnames())
    assert "nothing to do" in account.deploy(env=proxy)
    assert len(account.aws.changes) == 1


def test_a_version_replaces_another_and_goes_back(account: Account) -> None:
    account.deploy()
    account.deploy("--version", "2")
    assert account.version == "2"
    account.option("instance_count: 1", "instance_count: 2")
    account.deploy("--version", "2")
    assert len(account.aws.changes) == 3
    before = [config for _, config in account.aws.changes]
    assert "update_endpoint(EndpointName=" in account.deploy("--rollback", "--dry-run")
    account.deploy("--rollback")
    account.deploy("--rollback")
    assert account.version == "1"
    assert account.aws.changes[3:] == [("Updating", before[1]), ("Updating", before[0])]
    assert "nothing to go back to" in account.deploy("--rollback", code=1)


def test_what_mlflow_yml_says_of_the_endpoint_reaches_it(account: Account) -> None:
    account.option("instance_type: ml.m5.large", "instance_type: ml.c5.xlarge")
    account.option("vpc: null", "vpc: {SecurityGroupIds: [sg-1], Subnets: [subnet-1]}")
    account.option("environment: {}", "environment: {KEDRO_ENV: production}")
    account.deploy()
    assert account.aws.served(ENDPOINT)["Environment"]["KEDRO_ENV"] == "production"
    client = account.aws.client("sagemaker")
    (config,) = client.list_endpoint_configs()["EndpointConfigs"]
    (variant,) = client.describe_endpoint_config(EndpointConfigName=config["EndpointConfigName"])[
        "ProductionVariants"
    ]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.c5.xlarge", 1)
    model = client.describe_model(ModelName=variant["ModelName"])
    assert model["ExecutionRoleArn"] == ROLE
    assert model["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    assert "nothing to do" in account.deploy()
    # The endpoint of another model is left alone.
    account.option(f"  name: {PACKAGE}\n  pipeline", "  name: other\n  pipeline")
    assert "does not serve 'other': choose" in account.deploy("--rollback", code=1)
    assert len(account.aws.changes) == 1


def test_an_endpoint_that_never_comes_up_says_why_and_where_to_look(account: Account) -> None:
    account.aws.failure = "The container did not pass the ping health check."
    screen = account.deploy(code=1)
    assert "is Failed, SageMaker could not change it (The container did not pass" in screen
    assert f"/aws/sagemaker/Endpoints/{ENDPOINT}" in screen
    assert "fix or delete it in SageMaker, and deploy again" in account.deploy(code=1)


def test_waiting_ends_and_what_has_begun_goes_on(account: Account) -> None:
    account.aws.looks = 5
    account.option("timeout: 1200", "timeout: 0.1")
    assert "is still Creating after 0.1 seconds" in account.deploy(code=1)
    assert "is Creating: wait until that is over" in account.deploy(code=1)


def test_what_has_no_value_is_named_with_its_variable(account: Account) -> None:
    for variable in account.variables:
        if variable.startswith("SAGEMAKER_"):
            screen = account.deploy(code=1, env={variable: ""})
            assert f"give {variable} one in the environment" in screen


def test_what_is_refused_is_said_in_a_sentence(account: Account) -> None:
    assert f"The model '{PACKAGE}' has no version 9" in account.deploy("--version", "9", code=1)
    assert "no endpoint" in account.deploy("--rollback", code=1)
    account.option("environment: {}", "environment: {API_KEY: '${oc.env:KEY}'}")
    assert "looks like a secret" in account.deploy(code=1, env={"KEY": SECRET})
    account.option("environment: {API_KEY: '${oc.env:KEY}'}", "environment: {}")
    missing = account.deploy(code=1, env={"SAGEMAKER_BUCKET": "no-such-bucket"})
    assert "AWS rejected" in missing
    assert "(NoSuchBucket)" in missing
    account.aws.ask_who_calls()
    assert "AWS rejected DescribeEndpoint (" in account.deploy(code=1)
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    assert "no credentials for AWS" in account.deploy(code=1, env=nobody)
    assert account.aws.changes == []


def test_the_container_answers_what_sagemaker_asks(
    original: Deploying, trained: Trained, tmp_path: Path
) -> None:
    # As in the container, but for this machine alone.
    script = (original.project.folder / "deploy/sagemaker/serve").read_text("utf-8")
    (tmp_path / "serve").write_text(script.replace("0.0.0.0", "127.0.0.1"), "utf-8")
    project = Project(original.project.folder, trained.project.environment)
    port = free_port()
    where = trained.project.client.get_model_version_download_uri(PACKAGE, "2")
    variables = {
        "PATH": f"{project.environment}/bin{os.pathsep}{os.environ['PATH']}",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SM_MODEL_DIR": where.removeprefix("file://"),
    }
    start = "import os, sys; os.execvp('sh', ['sh', *sys.argv[1:]])"
    shell = ("python", "-c", start, str(tmp_path / "serve"))
    url = f"http://127.0.0.1:{port}"
    with listening(project, *shell, url=f"{url}/ping", env=variables):
        rows = (project.folder / "data/05_model_input/instances.csv").read_bytes()
        asked = urllib.request.Request(f"{url}/invocations", rows, {"Content-Type": "text/csv"})
        with urllib.request.urlopen(asked) as response:
            assert len(json.loads(response.read())["predictions"]) == len(rows.splitlines()) - 1
