"""A stand-in of Databricks' serving endpoints; what it takes and gives are the SDK's own shapes."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from tests.support.proxy import Request

_ENDPOINTS = "/api/2.0/serving-endpoints"
_TAGS = "+-=._:/@"  # Beside letters and digits, what a tag of each cloud may hold.


@dataclass
class ServingEndpoints:
    """A workspace's serving endpoints.

    Attributes:
        endpoints: what is served, by name.
        changes: each call that changes something: method, path and body.
        looks: how often a change is looked at before it is done.
        failure: what the next change fails with; empty if it succeeds.
        refusal: what each call is answered with instead, if anything.
    """

    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    looks: int = 0
    failure: str = ""
    refusal: tuple[int, dict[str, str]] | None = None
    _left: dict[str, int] = field(default_factory=dict)

    def answer(self, request: Request) -> tuple[int, bytes] | None:
        """Answer a call about endpoints; none if it is another service's."""
        if not request.path.startswith(_ENDPOINTS):
            return None
        try:
            status, content = self.refusal or self._answer(request)
        except AssertionError as error:
            status, content = 400, _error("INVALID_PARAMETER_VALUE", str(error))
        return status, json.dumps(content).encode()

    def shares(self, name: str) -> dict[str, int]:
        """The share of requests of each version that an endpoint serves."""
        config = self.endpoints[name]["config"]
        shares = {
            route["served_model_name"]: route["traffic_percentage"]
            for route in config["traffic_config"]["routes"]
        }
        return {
            entity["entity_version"]: shares[entity["name"]] for entity in config["served_entities"]
        }

    def _answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        name, _, part = request.path.removeprefix(_ENDPOINTS).strip("/").partition("/")
        body = json.loads(request.body or b"{}")
        if request.method != "GET":
            self.changes.append((request.method, request.path, body))
        if request.method == "POST" and not name:
            return self._create(body)
        if name not in self.endpoints:
            return 404, _error("RESOURCE_DOES_NOT_EXIST", f"Endpoint with name {name} not found.")
        endpoint = self.endpoints[name]
        if (request.method, part) == ("PUT", "config"):
            return self._change(endpoint, body)
        if (request.method, part) == ("PATCH", "tags"):
            for tag in body["add_tags"]:
                _check_tag(tag)
                others = [other for other in endpoint["tags"] if other["key"] != tag["key"]]
                endpoint["tags"] = [*others, tag]
            return 200, {"tags": endpoint["tags"]}
        assert (request.method, part) == ("GET", ""), request
        self._go_on(endpoint)
        _check_as("ServingEndpointDetailed", endpoint)
        return 200, endpoint

    def _create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = body["name"]
        assert body.keys() == {"name", "config", "tags"}
        for tag in body["tags"]:
            _check_tag(tag)
        self.endpoints[name] = {
            "name": name,
            "tags": body["tags"],
            "state": {"ready": "NOT_READY", "config_update": "NOT_UPDATING"},
        }
        return self._change(self.endpoints[name], body["config"])

    def _change(
        self, endpoint: dict[str, Any], config: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        if endpoint["state"]["config_update"] == "IN_PROGRESS":
            return 409, _error("RESOURCE_CONFLICT", "Endpoint is currently being updated.")
        named = {"name": endpoint["name"]} | config
        _check_as("EndpointCoreConfigInput", named)
        assert (
            sum(route["traffic_percentage"] for route in config["traffic_config"]["routes"]) == 100
        )
        endpoint["pending_config"] = deepcopy(config)
        endpoint["state"]["config_update"] = "IN_PROGRESS"
        self._left[endpoint["name"]] = self.looks
        return 200, endpoint

    def _go_on(self, endpoint: dict[str, Any]) -> None:
        """Let a change that is under way come one look nearer to its end."""
        state = endpoint["state"]
        if state["config_update"] != "IN_PROGRESS":
            return
        self._left[endpoint["name"]] -= 1
        if self._left[endpoint["name"]] >= 0:
            return
        if self.failure:
            state["config_update"] = "UPDATE_FAILED"
            for entity in endpoint["pending_config"]["served_entities"]:
                entity["state"] = {
                    "deployment": "DEPLOYMENT_FAILED",
                    "deployment_state_message": self.failure,
                }
            self.failure = ""
            return
        endpoint["config"] = endpoint.pop("pending_config")
        endpoint["state"] = {"ready": "READY", "config_update": "NOT_UPDATING"}


def _check_as(name: str, content: dict[str, Any]) -> None:
    """Nothing but what the SDK's class of this name knows, and in its place."""
    kind = getattr(import_module("databricks.sdk.service.serving"), name)  # Takes seconds.
    known = kind.from_dict(content).as_dict()
    assert known == content, f"{name}: {content}"


def _check_tag(tag: dict[str, str]) -> None:
    _check_as("EndpointTag", tag)
    assert all(each.isalnum() or each in _TAGS for each in tag["key"] + tag["value"])


def _error(code: str, message: str) -> dict[str, str]:
    return {"error_code": code, "message": message}
