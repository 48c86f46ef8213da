"""The search as a journal of Optuna's own, so that optuna-dashboard opens it; written again from our record at will."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial


class _Kept(BaseJournalBackend):
    """A journal kept in memory, whose lines go to the file once a batch instead of several times a trial."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.logs += logs


class Journal:
    """Exports a study; the file is begun anew.

    Args:
        path: the file; None = nowhere.
        name: of the study in the dashboard.
    """

    def __init__(self, path: Path | None, name: str) -> None:
        self._path, self._written = path, 0
        if path is None:
            return
        self._backend = _Kept()
        self._study = optuna.create_study(storage=JournalStorage(self._backend), study_name=name)
        path.unlink(missing_ok=True)

    def add(self, trials: Iterable[FrozenTrial]) -> None:
        """Write a batch of finished trials."""
        if self._path is None:
            return
        self._study.add_trials(trials)
        lines = [json.dumps(log, separators=(",", ":")) for log in self._backend.logs[self._written :]]
        self._written = len(self._backend.logs)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write("".join(f"{line}\n" for line in lines))
