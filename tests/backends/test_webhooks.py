"""A team's server calls a webhook of mlflow.yml: signed, and again after a failure."""

from __future__ import annotations

import pytest

from tests.support.project import Project
from tests.support.receiver import Receiver
from tests.support.servers import WEBHOOK_SECRET, TrackingServer, webhook_of


@pytest.mark.usefixtures("as_admin")
def test_it_is_called_signed_and_again_and_changes_without_a_start(
    project: Project, other_server: TrackingServer, receiver: Receiver
) -> None:
    client = other_server.client
    client.create_registered_model("called")
    calls = receiver.about("called", 2)
    assert [call.status for call in calls] == [503, 200]
    assert len({call.delivery for call in calls}) == 1
    assert [call.is_signed_with(WEBHOOK_SECRET) for call in calls] == [True, True]
    assert not calls[0].is_signed_with("CANARY-another")
    assert (calls[0].content["entity"], calls[0].content["action"]) == (
        "registered_model",
        "created",
    )

    # From a project, at the server that runs.
    client.create_webhook("theirs", receiver.url, ["prompt.created"])
    before = {each.name: each.webhook_id for each in client.list_webhooks()}
    changed = webhook_of(receiver.url + "/new")
    project.edit("conf/base/mlflow.yml", "  webhooks: []", f"  webhooks: [{changed}]")
    command = ("mlflow", "server", "--webhooks-only")
    env = other_server.login() | {"DEPLOY_WEBHOOK_SECRET": WEBHOOK_SECRET}
    screen = project.kedro(*command, env=env).stdout
    assert screen.splitlines()[-1] == "Webhook deploy changed."
    after = {each.name: each.webhook_id for each in client.list_webhooks()}
    assert after == before
    assert client.get_webhook(after["deploy"]).url == receiver.url + "/new"
    refused = project.kedro(*command, code=1, env=other_server.login())
    assert "DEPLOY_WEBHOOK_SECRET, is not set" in " ".join(refused.stderr.split())
