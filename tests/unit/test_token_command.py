"""A token from a command: run seldom, in time, once for all, and quiet about what it prints."""

from __future__ import annotations

import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import issuer
from tests.support.issuer import issue, issued
from tests.support.rooms import Rooms

ISSUER = Path(issuer.__file__)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text("a key")
    return tmp_path


class Clock:
    """A clock that a test can put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(mlops("backend.token_command"), "time", made)
    return made


def command(folder: Path, seconds: float) -> list[str]:
    return [sys.executable, str(ISSUER), str(folder), str(seconds)]


def test_a_token_is_kept_as_long_as_it_is_good(mlops: Rooms, folder: Path) -> None:
    provider = mlops("backend.token_command").TokenCommand(command(folder, 300))
    first = provider.request_headers()
    assert first["Authorization"].startswith("Bearer ey")
    assert provider.request_headers() == first
    assert len(issued(folder)) == 1


def test_a_token_is_renewed_before_it_expires(mlops: Rooms, folder: Path, clock: Clock) -> None:
    provider = mlops("backend.token_command").TokenCommand(command(folder, 300))
    first = provider.request_headers()
    clock.ahead = 250
    assert provider.request_headers() != first
    assert len(issued(folder)) == 2


def test_a_token_that_does_not_tell_is_good_for_its_lifetime(
    mlops: Rooms, folder: Path, clock: Clock
) -> None:
    program = [sys.executable, "-c", "import os; print(f'opaque-{os.getpid()}')"]
    provider = mlops("backend.token_command").TokenCommand(program, lifetime=1000)
    first = provider.request_headers()
    clock.ahead = 900
    assert provider.request_headers() == first
    clock.ahead = 950
    assert provider.request_headers() != first


def test_threads_share_one_token(mlops: Rooms, folder: Path) -> None:
    provider = mlops("backend.token_command").TokenCommand(command(folder, 300))
    with ThreadPoolExecutor(8) as pool:
        headers = list(pool.map(lambda _: str(provider.request_headers()), range(32)))
    assert len(set(headers)) == len(issued(folder)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_does_not_wait_for_a_lock_of_its_parent(
    mlops: Rooms, folder: Path
) -> None:
    provider = mlops("backend.token_command").TokenCommand(command(folder, 300))
    with provider._lock:
        process = os.fork()
        if process == 0:
            os._exit(0 if provider.request_headers() else 1)
    assert os.waitpid(process, 0)[1] == 0


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ([sys.executable, "-c", "print('CANARY'); exit(3)"], "exit code 3"),
        ([sys.executable, "-c", "print('CANARY and more')"], "does not print a token alone"),
        (["no-such-program", "--secret", "CANARY"], "cannot be started"),
    ],
)
def test_a_command_that_fails_is_told_of_once_and_shows_no_token(
    mlops: Rooms, caplog: pytest.LogCaptureFixture, program: list[str], reason: str
) -> None:
    provider = mlops("backend.token_command").TokenCommand(program)
    with caplog.at_level(logging.WARNING):
        assert provider.request_headers() == provider.request_headers() == {}
    (record,) = caplog.records
    assert reason in record.message
    assert "CANARY" not in record.message


def test_a_command_that_fails_is_left_alone_for_a_while(
    mlops: Rooms, folder: Path, clock: Clock
) -> None:
    script = folder / "script.py"
    script.write_text(f"open({str(folder / 'runs')!r}, 'a').write('x'); exit(1)")
    provider = mlops("backend.token_command").TokenCommand([sys.executable, str(script)])
    for ahead, runs in ((0, 1), (9, 1), (10.5, 2)):
        clock.ahead = ahead
        assert provider.request_headers() == {}
        assert len((folder / "runs").read_text()) == runs


@pytest.mark.parametrize(("seconds", "early", "late"), [(20, 8, 12), (600, 535, 545)])
def test_a_token_is_renewed_a_minute_or_half_its_life_before_the_end(
    mlops: Rooms, folder: Path, clock: Clock, seconds: int, early: int, late: int
) -> None:
    provider = mlops("backend.token_command").TokenCommand(command(folder, seconds))
    first = provider.request_headers()
    clock.ahead = early
    assert provider.request_headers() == first
    clock.ahead = late
    assert provider.request_headers() != first


@pytest.mark.parametrize("given", ["", [], "  "])
def test_a_command_of_nothing_is_refused(mlops: Rooms, given: str | list[str]) -> None:
    with pytest.raises(TypeError, match="command is empty"):
        mlops("backend.token_command").TokenCommand(given)


def test_what_is_still_good_of_a_token_is_used_while_the_command_fails(
    mlops: Rooms, folder: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    script = folder / "script.py"
    script.write_text(f"print({issue(folder, 300)!r})")
    provider = mlops("backend.token_command").TokenCommand([sys.executable, str(script)])
    first = provider.request_headers()
    script.write_text("exit(1)")
    clock.ahead = 260
    assert provider.request_headers() == first
    assert len(caplog.records) == 1
    clock.ahead = 301
    assert provider.request_headers() == {}
    script.write_text(f"print({issue(folder, 900)!r})")
    clock.ahead = 320
    assert provider.request_headers() not in ({}, first)


@pytest.mark.parametrize("token", ["opaque", "a.b", "a.b.c", "e30.e30.x", "e30.WzFd.x", "..."])
def test_only_a_jwt_tells_when_it_expires(mlops: Rooms, token: str) -> None:
    assert mlops("backend.token_command").expiry_of(token) is None


@pytest.mark.parametrize(
    ("system", "command", "words"),
    [
        ("posix", "gcloud auth 'a token'", ["gcloud", "auth", "a token"]),
        ("nt", r"C:\tools\az.cmd account", [r"C:\tools\az.cmd", "account"]),
        ("nt", r'"C:\Program Files\az.cmd" account', [r"C:\Program Files\az.cmd", "account"]),
    ],
)
def test_a_command_is_split_as_its_system_does(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch, system: str, command: str, words: list[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", system)
        found = mlops("backend.token_command").TokenCommand(command)._command
    assert found == words
