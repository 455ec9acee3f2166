"""Following the champion: asks the registry who it is, and lets the supervisor serve it."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from .supervisor import ServedVersion, Supervisor, say

Result = TypeVar("Result")


class Registry(Protocol):
    """Where the champion is asked for; its calls may take long, or fail."""

    def champion(self) -> Any:
        """Find the version that is the champion."""

    def fetch(self, version: Any) -> ServedVersion:
        """Bring its files to this machine."""

    def drop(self, version: ServedVersion) -> None:
        """Remove files that were brought."""


async def follow(supervisor: Supervisor, registry: Registry, seconds: float) -> None:
    """Change to each new champion, for ever.

    One that cannot be served is left alone until another one has been the champion.

    Args:
        supervisor: what changes.
        registry: what to ask.
        seconds: how often.
    """
    refused = None
    is_away = False
    while True:
        await asyncio.sleep(seconds)
        try:
            champion = await _aside(registry.champion)
            version = str(champion.version)
            if supervisor.served is None or version == supervisor.served.version:
                refused = None
            elif version != refused:
                old, new = supervisor.served, await _aside(partial(registry.fetch, champion))
                if await supervisor.change(new, partial(registry.drop, old)):
                    refused = None
                else:
                    refused = version
                    registry.drop(new)
            is_away = False
        except Exception as error:
            if not is_away:
                say(f"No new champion: {error} {supervisor.served} goes on.")
            is_away = True


async def _aside(work: Callable[[], Result]) -> Result:
    """Do something slow in a thread that nobody waits for when the program ends."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: Exception | None) -> None:
        if future.done():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def call() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:
            failure = error
        with suppress(RuntimeError):  # The loop is closed: the program has ended.
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=call, daemon=True).start()
    return await future
