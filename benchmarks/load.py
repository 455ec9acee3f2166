"""Asks a server for predictions as fast as it answers: `python load.py PORT BODY SECONDS CALLERS`.

Each caller has its own connection and asks again as soon as it has its answer. One thread waits
for all of them, so that no caller's clock stands still for another. Prints the seconds of each
request, and those of all together, as a line of JSON.
"""

import json
import selectors
import socket
import sys
import time
from pathlib import Path

_REQUEST = (
    "POST /invocations HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    "Content-Length: {length}\r\n\r\n"
)


class Caller:
    """A connection, and what has come of the answer to the last request."""

    def __init__(self, port: int, request: bytes) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self.ask()

    def ask(self) -> None:
        """Send the request; the clock starts before."""
        self._answer = b""
        self.asked = time.perf_counter()
        self.connection.sendall(self._request)

    def is_answered(self) -> bool:
        """Take what has arrived and tell whether it is the whole answer.

        Raises:
            RuntimeError: the answer is not one of success, with its length.
        """
        arrived = self.connection.recv(65536)
        self._answer += arrived
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not arrived or (found and not head.startswith(b"HTTP/1.1 200")):
            raise RuntimeError(f"no answer of success but {self._answer!r}")
        if not found:
            return False
        length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        return len(body) >= int(length)


def main(port: int, body: bytes, seconds: float, callers: int) -> None:
    """Let the callers ask for so many seconds."""
    request = _REQUEST.format(port=port, length=len(body)).encode() + body
    times: list[float] = []
    with selectors.DefaultSelector() as selector:
        started = time.perf_counter()
        for _ in range(callers):
            caller = Caller(port, request)
            selector.register(caller.connection, selectors.EVENT_READ, caller)
        while selector.get_map():
            for key, _ in selector.select():
                caller = key.data
                if not caller.is_answered():
                    continue
                answered = time.perf_counter()
                times.append(answered - caller.asked)
                if answered - started < seconds:
                    caller.ask()
                else:
                    selector.unregister(caller.connection)
                    caller.connection.close()
        print(json.dumps({"requests": times, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes(), float(sys.argv[3]), int(sys.argv[4]))
