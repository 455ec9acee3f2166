"""The study: what was tried, kept by Optuna where several processes share it."""

import platform
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..disk import FileLock
from ..errors import TrackingError, one_line
from ..project import PACKAGE, State, anchor
from ..redaction import mask
from .options import TuningOptions

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

# What a trial says of itself: the process that has it; the trial whose values it tries again.
_PROCESS, _RETRIES = "process", "retries"
# What the study says of a trial whose process is gone, before its number.
STALE = "stale/"
_SECONDS_TO_WAIT = 120.0


class Study:
    """A study of this project, as one process sees it."""

    def __init__(self, options: TuningOptions, state: State, name: str, index: int = 0) -> None:
        """Open the study of this name, or make it."""
        import optuna

        self._options, self._state, self.name = options, state, name
        self._folder = _folder(state)
        self._token = uuid4().hex
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.optuna = optuna.create_study(
                storage=open_storage(options, state),
                study_name=name,
                direction=options.direction,
                pruner=_pruner(options),
                load_if_exists=True,
            )
            self.optuna.sampler = _sampler(options, len(self.trials()) + index)

    def trials(self, *states: str) -> "list[FrozenTrial]":
        """List the trials, but for those whose process is gone: others take their place."""
        stale = self.stale()
        return [
            trial
            for trial in self.optuna.get_trials(deepcopy=False)
            if trial.number not in stale and (not states or trial.state.name in states)
        ]

    def stale(self) -> set[int]:
        """Return the numbers of the trials whose process was gone."""
        attributes = self.optuna.user_attrs
        return {int(name.removeprefix(STALE)) for name in attributes if name.startswith(STALE)}

    def next(self) -> "optuna.Trial | None":
        """Begin a trial; none if there are as many as were wanted."""
        with self._alone():
            begun = self.trials("COMPLETE", "PRUNED", "FAIL", "RUNNING")
            if len(begun) >= self._options.trials:
                return None
            trial = self.optuna.ask()
            trial.set_user_attr(_PROCESS, f"{platform.node()}/{self._token}")
            return trial

    def tell(self, trial: "optuna.Trial", state: str, value: float | None = None) -> None:
        """End a trial."""
        from optuna.trial import TrialState

        self.optuna.tell(trial, value, TrialState[state])

    def give_up(self, number: int) -> None:
        """Mark a trial as failed that did not come to an end, and let another take its place.

        Who is killed in between leaves it under way, and it is given up again: once in all.
        """
        from optuna.trial import TrialState

        trials = self.optuna.get_trials(deepcopy=False)
        if number not in {trial.user_attrs.get(_RETRIES) for trial in trials}:
            self.optuna.enqueue_trial(trials[number].params, user_attrs={_RETRIES: number})
        self.optuna.set_user_attr(f"{STALE}{number}", True)
        self.optuna.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def tries(self, number: int) -> int:
        """Count how often the values of a trial were tried, this time included."""
        trials, count = self.optuna.get_trials(deepcopy=False), 1
        while (number := trials[number].user_attrs.get(_RETRIES, -1)) >= 0:
            count += 1
        return count

    def give_up_stale(self) -> list[int]:
        """Give up the trials whose process on this machine is gone; return their numbers."""
        from optuna.trial import TrialState

        with self._alone():
            begun = self.optuna.get_trials(deepcopy=False, states=[TrialState.RUNNING])
            gone = [trial.number for trial in begun if self._is_gone(trial)]
            for number in gone:
                self.give_up(number)
        return gone

    def _alone(self) -> AbstractContextManager[None]:
        return self._state.one_at_a_time("tuning", "asking for a trial", _SECONDS_TO_WAIT)

    def _is_gone(self, trial: "FrozenTrial") -> bool:
        machine, _, token = trial.user_attrs.get(_PROCESS, "").rpartition("/")
        if machine not in ("", platform.node()):
            return False
        path = self._folder / f"{token}.lock"
        if not path.exists():
            return True
        with FileLock(path) as taken:
            return taken

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Let other processes know, as long as this one lives, that its trials are under way."""
        path = self._folder / f"{self._token}.lock"
        lock = FileLock(path)
        lock.take()
        try:
            yield
        finally:
            lock.release()
            path.unlink(missing_ok=True)


class StudyElsewhere:
    """A study, as a process sees it that runs trials and begins none."""

    def __init__(self, options: TuningOptions, state: State, name: str) -> None:
        """Open the study of this name; a TrackingError says that it is not there."""
        import optuna

        self._storage = open_storage(options, state)
        if name not in optuna.get_all_study_names(self._storage):
            raise TrackingError(
                "the study is not where tuning.yml keeps it here: let `storage` name a database, "
                "or Optuna's proxy of one, that all workers reach."
            )
        self._optuna = optuna.load_study(
            study_name=name,
            storage=self._storage,
            sampler=optuna.samplers.RandomSampler(),  # It draws nothing.
            pruner=_pruner(options),
        )
        self._id = self._storage.get_study_id_from_name(name)

    def trial(self, number: int) -> "optuna.Trial":
        """Open a trial that was begun, to report what comes of it."""
        import optuna

        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
        return optuna.Trial(self._optuna, trial_id)


def latest(options: TuningOptions, state: State) -> str:
    """Return the name of the project's newest study; a TrackingError if there is none."""
    import optuna

    names = optuna.get_all_study_names(open_storage(options, state))
    ours = sorted(name for name in names if name.startswith(f"{PACKAGE}-"))
    if not ours:
        raise TrackingError("There is no study to resume: leave out --resume.")
    return ours[-1]


def new_name() -> str:
    """Name a study so that names are sorted by time."""
    return f"{PACKAGE}-{datetime.now(timezone.utc):%Y%m%d-%H%M%S-%f}"


def _folder(state: State) -> Path:
    folder = state.folder / "tuning"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def open_storage(options: TuningOptions, state: State) -> Any:
    """Open what keeps the studies: a file, a database, or Optuna's proxy of one."""
    from optuna import logging
    from optuna.storages import GrpcStorageProxy, JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    logging.set_verbosity(logging.WARNING)
    url = options.storage
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if url is None:
                return JournalStorage(JournalFileBackend(str(_folder(state) / "studies.log")))
            if url.startswith("grpc://"):
                host, _, port = url.removeprefix("grpc://").rpartition(":")
                storage = GrpcStorageProxy(host=host, port=int(port))
                storage.wait_server_ready(timeout=10)
                return storage
            return RDBStorage(anchor(url, state.project_path))
    except Exception as error:
        place = mask("", url or "")
        raise TrackingError(
            f"tuning.yml: storage: {place} cannot be opened ({one_line(error)})."
        ) from error


def _sampler(options: TuningOptions, index: int) -> Any:
    import optuna

    # Processes of the same seed would all try the same.
    seed = None if options.seed is None else options.seed + index
    if options.sampler == "random":
        return optuna.samplers.RandomSampler(seed)
    if options.sampler == "qmc":
        return optuna.samplers.QMCSampler(seed=options.seed, scramble=True)
    # Other processes and machines may take part.
    return optuna.samplers.TPESampler(seed=seed, constant_liar=True)


def _pruner(options: TuningOptions) -> Any:
    import optuna

    kinds = {
        "median": optuna.pruners.MedianPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
        "halving": optuna.pruners.SuccessiveHalvingPruner,
        "none": optuna.pruners.NopPruner,
    }
    return kinds[options.pruner]()
