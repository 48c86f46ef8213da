"""The archive as users of the package hold it: what they append goes through the gate of its home."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import update_wrapper
from typing import Any

from harness.core.series import Series, alike, distinct_ids
from harness.data import archive
from harness.data.archive import BatchReport
from harness.data.declaration import tells_days
from harness.data.ingest.gate import Gate
from harness.data.streamed import whole_frame
from harness.record.home import Home
from harness.record.working import working


class Archive(archive.Archive):
    """Values by series, period and the instant they became public; DuckDB is open only for the length of a call.

    In a home under seal rows from the cut on go into the vault instead, and copies of sealed series are refused.
    """

    def define(self, *series: Series) -> None:
        """As the archive does, through the gate."""
        with self._working():
            gate = Gate.of(self) if any(map(tells_days, series)) else None
            return super().define(*series) if gate is None else gate.define(*series)

    def define_many(self, ids: Iterable[str], like: Series) -> None:
        """As the archive does, through the gate."""
        if tells_days(like):
            return self.define(*(alike(like, name) for name in distinct_ids(ids)))
        return super().define_many(ids, like)

    def append(self, frame: Any, **asked: Any) -> BatchReport:
        """As the archive does, through the gate."""
        with self._working():
            gate = Gate.of(self)
            return super().append(frame, **asked) if gate is None else gate.append(whole_frame(frame), **asked)

    def append_forecasts(self, frame: Any, **asked: Any) -> BatchReport:
        """As the archive does, through the gate."""
        with self._working():
            gate = Gate.of(self)
            return super().append_forecasts(frame, **asked) if gate is None else gate.append_forecasts(frame, **asked)

    def append_events(self, frame: Any, **asked: Any) -> BatchReport:
        """As the archive does, through the gate."""
        with self._working():
            gate = Gate.of(self)
            return super().append_events(frame, **asked) if gate is None else gate.append_events(frame, **asked)

    def append_members(self, frame: Any, **asked: Any) -> BatchReport:
        """As the archive does, through the gate."""
        with self._working():
            gate = Gate.of(self)
            return super().append_members(frame, **asked) if gate is None else gate.append_members(frame, **asked)

    def _working(self) -> AbstractContextManager[None]:
        """Nobody seals the home between what is asked of it and what is written."""
        return working(Home(self.path.absolute().parent), wait=self.store.wait)


for _name in ("define", "define_many", "append", "append_forecasts", "append_events", "append_members"):
    update_wrapper(getattr(Archive, _name), getattr(archive.Archive, _name))  # signature and docstring
