"""Outputs: what of a node's outputs is tracked goes into the journal, and files beside it."""

import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ...config import TrackingOptions
from ...disk import atomic
from ..journal import Journal
from .artifacts import drawn_files, save_figure
from .findings import Keys, find, left_out, metrics_of
from .models import registered_name, save_model
from .nodes import local_name
from .values import Metric, Names, valid_name

logger = logging.getLogger(__name__)

# Not in the name of a file: some systems give it a meaning, or take only short names.
_REFUSED_IN_FILES = re.compile(r"[^\w\-. ]|^[. ]|[. ]$")
_LONGEST_FILE_NAME = 100


class OutputCapture:
    """Captures metrics, figures and models of node outputs; each has a name of its own."""

    def __init__(self, journal: Journal, options: TrackingOptions) -> None:
        self._journal = journal
        self._options = options
        self._metrics: defaultdict[str, Names] = defaultdict(Names)  # By namespace.
        self._figures = Names(of_files=True)
        self._models = Names("pipeline_model", of_files=True)

    def capture(self, name: str, value: Any, namespace: str, is_drawn: bool) -> list[Metric]:
        """Save an output's models, and figures that are not drawn yet, and return its metrics."""
        capture = self._options.capture
        found = find(value, self._options.metrics)
        if capture.figures and not is_drawn:
            self._keep_figures(name, found.figures, namespace)
        for keys, model in found.models.items() if capture.models else ():
            with self._journal.capturing(f"The model '{'.'.join((name, *keys))}'"):
                self._keep_model(".".join((valid_name(name), *keys)), model, namespace)
        if not capture.metrics:
            return []
        if left := left_out(found):
            logger.info("Not tracked of the output '%s': %s.", name, left)
        names, local = self._metrics[namespace], local_name(name, namespace)
        return metrics_of(local, found, self._options.metrics, names)

    def keep_drawn(self, name: str, dataset: Any, value: Any, namespace: str) -> None:
        """Keep what the catalog has drawn of an output: one figure, or several in a folder."""
        files = {keys: file for keys, file in drawn_files(dataset, value).items() if file.is_file()}
        self._keep_figures(name, files, namespace)

    def _keep_figures(self, name: str, figures: Mapping[Keys, Any], namespace: str) -> None:
        most = self._options.artifacts.max_files
        for keys, figure in islice(figures.items(), most):
            wanted = "/".join(map(_file_name, (name, *keys)))
            path = Path(self._figures.name((name, *keys), wanted, len(wanted) + 9))
            with self._journal.capturing(f"The figure '{'.'.join((name, *keys))}'"):
                saved = save_figure(figure, self._journal.files / "figures" / path)
                folder = ("figures" / path).parent.as_posix()
                self._journal.append("artifact", namespace, path=str(saved), folder=folder)
        if len(figures) > most:
            logger.info(
                "Of the output '%s', %d of %d figures are kept (tracking.artifacts.max_files in "
                "mlflow.yml).",
                *(name, most, len(figures)),
            )

    def _keep_model(self, key: str, model: Any, namespace: str) -> None:
        name = self._models.name(key, _file_name(key))
        folder = self._journal.files / "models" / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic(folder):
            save_model(model, folder)
        self._journal.append(
            "model",
            namespace,
            path=str(folder),
            name=local_name(name, namespace),
            register=registered_name(key, self._options.models),
        )


def _file_name(name: str) -> str:
    return _REFUSED_IN_FILES.sub("_", name)[:_LONGEST_FILE_NAME] or "_"
