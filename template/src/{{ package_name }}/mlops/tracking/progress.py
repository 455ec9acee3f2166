"""How far a node has got: which data set it loads or saves, and how long its own work has taken."""

import time
from contextlib import suppress
from inspect import isgeneratorfunction
from typing import TYPE_CHECKING, Any

from kedro.io import CatalogProtocol, DatasetError

from ..errors import one_line
from ..redaction import mask

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

    from .capture import RunCapture

Catalog = CatalogProtocol[Any, Any]
_CHECKS_SHOWN = 3


class NodeProgress:
    """One node from its first load to its last save.

    Its time is that of its function: what a generator does between two saves is part of it, loads
    and saves are not.
    """

    def __init__(self, run: "RunCapture", node: "Node") -> None:
        self.run, self.node = run, node
        self.saved: list[str] = []  # Its outputs that were saved.
        self._is_generator = isgeneratorfunction(node.func)
        # When its function was called; until then, when it began to load.
        self.started_ns = self._ended_ns = time.time_ns()
        self._worked_ns = 0
        self._working_since: int | None = None
        self._under_way: dict[str, str] = {}

    def starts(self, doing: str, name: str) -> None:
        """Note that a data set is being loaded, or that an output, or a part of it, is saved."""
        if doing == "saving":
            self.work_ends()
        self._under_way[name] = doing

    def ends(self, name: str) -> None:
        """Note that this is done."""
        if self._under_way.pop(name, None) == "saving":
            if self._is_generator:  # Its next part comes now. Whether it was the last is not known.
                self._working_since = time.time_ns()
            else:
                self.saved.append(name)

    def work_starts(self) -> None:
        """Note that the node's function is called."""
        self.started_ns = self._working_since = time.time_ns()

    def work_returns(self) -> None:
        """Note that the node's function has returned; a generator's work begins only now."""
        if not self._is_generator:
            self.work_ends()

    def work_ends(self) -> None:
        """Note that the node's work is done, or that a generator has yielded."""
        if self._working_since is not None:
            self._ended_ns = time.time_ns()
            # The machine's clock may have been set back meanwhile.
            self._worked_ns += max(self._ended_ns - self._working_since, 0)
            self._working_since = None

    def end(self, error: Exception | None = None, catalog: Catalog | None = None) -> dict[str, Any]:
        """Describe how the node has ended: times, status and, of a failed one, what has failed."""
        self.work_ends()
        times = {
            "started_ns": min(self.started_ns, self._ended_ns),
            "ended_ns": self._ended_ns,
            "seconds": self._worked_ns / 1e9,
        }
        if error is None:
            return {**times, "status": "FINISHED"}
        times["ended_ns"] = max(time.time_ns(), times["ended_ns"])
        names = sorted(self._under_way)
        if catalog is not None and len(names) > 1:  # All at once: Kedro's message has the one.
            with suppress(Exception):  # A data set may describe itself by code of its own.
                names = [name for name in names if str(catalog[name]) in str(error)] or names
        doing = "; ".join(f"{self._under_way[name]} '{name}'" for name in names)
        return {
            **times,
            "status": "FAILED",
            "error": why_failed(error),
            "doing": doing or None,
            "saved": self.saved,
        }


def why_failed(error: BaseException) -> str:
    """Say in a line, without the owner's data, why a node or a run has failed."""
    # What a data set raises comes wrapped, with Kedro's words before its own message.
    while type(error) is DatasetError and (cause := error.__cause__):
        if not str(error).endswith(str(cause)):
            break
        error = cause
    line = f"{type(error).__name__}: {one_line(error)}"
    # Of a failed validation: what Kedro's message says after its first line, but the values.
    failures = getattr(error, "failures", None) if isinstance(error, DatasetError) else None
    if failures:
        checks = [f"{each.column or 'data'}: {each.check or each.message}" for each in failures]
        line = f"{line} ({'; '.join(checks[:_CHECKS_SHOWN])})"
    reason: str = mask("", line)
    return reason


def describe_failure(node: dict[str, Any]) -> str:
    """Say in a line which node of a run has failed, at which data set, and why."""
    doing = f", {node['doing']}" if node.get("doing") else ""
    return f"node '{node['name']}'{doing}: {node['error']}"
