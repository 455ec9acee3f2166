"""A request's body: no larger and no slower than allowed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from .refusal import RefusalError

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


_SECONDS = 30


# What is too large is read on for a while, and dropped: most senders look for an answer only when
# they have sent everything, and find the connection broken if nobody reads that.
_MOST_DROPPED = 250_000_000


_CLOSE = ((b"connection", b"close"),)


async def read_body(
    headers: Mapping[bytes, bytes], receive: Receive, most: int, seconds: float = _SECONDS
) -> bytes | None:
    """Read a body, as long as it is within its bounds.

    Args:
        headers: of the request.
        receive: ASGI's.
        most: bytes that it may have.
        seconds: that it may take to arrive.

    Returns:
        The body, or none when the sender has gone.

    Raises:
        RefusalError: it is too large, too slow, or compressed.
    """
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise RefusalError("Content-Encoding: send the body as it is, uncompressed.", 415)
    size = int(headers.get(b"content-length", b"0"))
    if size > most and (b"expect" in headers or size > most + _MOST_DROPPED):
        raise _too_large(most)
    task = asyncio.current_task()
    assert task is not None
    late = False

    def give_up() -> None:
        nonlocal late
        late = True
        task.cancel()

    # Not asyncio.wait_for: a task of its own for each request costs more than all else here.
    timer = asyncio.get_running_loop().call_later(seconds, give_up)
    try:
        return await _read(receive, most)
    except asyncio.CancelledError:
        if not late:
            raise
        raise RefusalError(
            f"The body did not arrive within {seconds:g} seconds.", 408, _CLOSE
        ) from None
    finally:
        timer.cancel()


async def _read(receive: Receive, most: int) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size <= most:
            parts.append(part)
        else:
            parts.clear()
        is_last = not message.get("more_body", False)
        if size > most + (0 if is_last else _MOST_DROPPED):
            raise _too_large(most)
        if is_last:
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(most: int) -> RefusalError:
    return RefusalError(
        f"The body is larger than {most / 1e6:g} MB: send the rows in parts, or raise "
        "serving.max_megabytes in mlflow.yml.",
        413,
        _CLOSE,
    )
