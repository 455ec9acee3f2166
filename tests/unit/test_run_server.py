"""Kedro's HTTP server behind a token: who is let in, and that no two runs are under way at once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tests.support.asgi import Asked
from tests.support.rooms import room

run_server = room("run_server")
TOKEN = "a-token-of-some-length"


class App:
    """A stand-in of Kedro's server: answers 200, and keeps what is under way at once.

    Attributes:
        at_once: the paths that are, whenever a request begins.
    """

    def __init__(self) -> None:
        self.at_once: list[list[str]] = []
        self._now: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        self._now.append(path)
        self.at_once.append([*self._now])
        for _ in range(5):  # Others get their turn.
            await asyncio.sleep(0)
        self._now.remove(path)
        if scope["type"] == "http":
            headers = [(b"content-length", b"2")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize("path", ["/run", "/docs", "/health/x", "/anything"])
@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (None, 401),
        ("", 401),
        ("Bearer ", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
    ],
)
def test_only_who_shows_the_token_is_let_in(path: str, shown: str | None, status: int) -> None:
    app = App()
    headers = {} if shown is None else {"Authorization": shown}
    answer = Asked(run_server.Guard(app, TOKEN)).ask(path, **headers)
    assert answer.status == status
    assert (app.at_once == [[path]]) is (status == 200)
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in str(answer.body)


def test_health_is_open_and_without_a_token_all_is() -> None:
    assert Asked(run_server.Guard(App(), TOKEN)).ask("/health").status == 200
    assert Asked(run_server.Guard(App(), "")).ask("/run").status == 200


async def unheard(_: Any) -> None:
    """Where the answer does not matter."""


def test_a_websocket_needs_the_token_and_the_lifespan_does_not() -> None:
    app = App()
    guard = run_server.Guard(app, TOKEN)
    asyncio.run(guard({"type": "lifespan"}, None, unheard))
    asyncio.run(guard({"type": "websocket", "path": "/run", "headers": []}, None, unheard))
    assert app.at_once == [[""]]


def test_what_has_parameters_waits_for_one_another_and_other_requests_do_not() -> None:
    app = App()
    guard = run_server.Guard(app, "")

    async def ask_all() -> None:
        scopes: list[Any] = [
            {"type": "http", "path": path, "headers": []} for path in ("/run", "/snapshot", "/x")
        ]
        await asyncio.gather(*(guard(scope, None, unheard) for scope in scopes * 4))

    asyncio.run(ask_all())
    assert len(app.at_once) == 12
    assert max(len([path for path in paths if path != "/x"]) for paths in app.at_once) == 1
    assert max(paths.count("/x") for paths in app.at_once) == 4


@pytest.mark.parametrize(
    ("host", "token", "said"),
    [
        ("127.0.0.1", "", None),
        ("127.0.0.8", "", None),
        ("::1", "", None),
        ("localhost", "", None),
        ("0.0.0.0", "", "value of at least 16 characters"),
        ("::", "", "value of at least 16 characters"),
        ("10.1.2.3", "x" * 15, "value of at least 16 characters"),
        ("example.com", "", "value of at least 16 characters"),
        ("example.com", "x" * 16, None),
        ("0.0.0.0", "x" * 16, None),
        ("127.0.0.1", "with a space in it", "holds a space, a line break or a letter beyond ASCII"),
        (
            "127.0.0.1",
            "with-\xe4-in-it-----",
            "holds a space, a line break or a letter beyond ASCII",
        ),
    ],
)
def test_where_others_reach_it_it_needs_a_token_that_is_no_guess(
    monkeypatch: pytest.MonkeyPatch, host: str, token: str, said: str | None
) -> None:
    served = list[str]()
    monkeypatch.setattr(uvicorn, "run", lambda app, **_: served.append(app))
    monkeypatch.setenv("KEDRO_SERVER_TOKEN", token)
    if said:
        refused = pytest.raises(room("errors").TrackingError, match=said)
        with refused, run_server.guarded(host, 8000):
            pass
        return
    with run_server.guarded(host, 8000):
        uvicorn.run("kedro's own", host=host)
    assert served == [f"{run_server.__name__}:create_app"]


def test_the_token_is_no_variable_of_the_runs_and_is_masked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    redaction = room("redaction")
    monkeypatch.setenv("KEDRO_PROJECT_PATH", str(tmp_path))
    monkeypatch.setenv("KEDRO_SERVER_TOKEN", TOKEN)
    try:
        app = run_server.create_app()
        assert "KEDRO_SERVER_TOKEN" not in os.environ
        assert TOKEN not in redaction.mask_text(f"it is {TOKEN}")
        assert Asked(app).ask("/run").status == 401
    finally:
        redaction.KNOWN.clear()
