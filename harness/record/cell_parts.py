"""A cell of a very large panel that comes in blocks of series: each is put away as it comes, the whole is never held.

What is stored is to the bit what `cells.write_cell` stores of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.core.names import Names
from harness.record.cells import keep_large_cell, panel_at, write_large_cell
from harness.record.files import room_for
from harness.record.panel_cells import PanelAnswers, series_column, told_once
from harness.record.placed import absent, write_around, write_at
from harness.record.scratch import drop_left, held, scratch_name

PARTS = ".tmp-parts-"


class Scratch:
    """A folder among the cells, for what is not a cell yet; those of processes that died are removed by the next."""

    def __init__(self, shelf: Path) -> None:
        """Make it.

        Args:
            shelf: where the cells stand; other machines may write to it, too.
        """
        self.shelf, self.folder = shelf, shelf / f"{PARTS}{scratch_name()}"
        self._held = ExitStack()
        self._held.enter_context(held(self.folder))
        drop_left(shelf, f"{PARTS}*")

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        self._held.close()


class CellInParts:
    """The answers of one recipe at one origin, part after part, in any order; several threads may add some.

    Where parts differ in values and newest known periods alone, as they mostly do, each is written to its place in the
    file of the cell. Otherwise arrays are kept apart until the whole is written.
    """

    def __init__(self, scratch: Scratch, key: str, series: Names) -> None:
        """Nothing is answered yet.

        Args:
            scratch: where parts are put away.
            key: of the cell.
            series: stored ids of all rows to come, in their order.
        """
        self._scratch, self._key, self._series = scratch, key, series
        self._rows = {name: _Rows(scratch.folder / f"{key}.{name}", len(series)) for name in ROWS}
        self._like: PanelAnswers | None = None
        self._placed: _Placed | None = None
        self._count, self._turn = 0, Lock()

    def add(self, part: PanelAnswers, start: int) -> None:
        """Put away some rows.

        Args:
            part: the rows.
            start: where they begin among all.

        Raises:
            ValueError: the part does not belong to the others, or is an external's.
            FullDiskError: there is no room for it.
        """
        with self._turn, room_for(self._scratch.folder):
            first, like = self._like is None, part if self._like is None else self._like
            longer, shorter = sorted((part.reasons, like.reasons), key=len, reverse=True)
            trained = like.trained_at or part.trained_at  # None also where nothing of a part was to be answered
            same = part.trained_at in {None, trained} and part.origin == like.origin and part.phase == like.phase
            if not same or longer[: len(shorter)] != shorter or not np.isnan(part.issue_age).all():
                message = f"{self._key}: a part that does not belong to the others"
                raise ValueError(message)
            self._like = replace(like, reasons=longer, trained_at=trained)
            if first:
                self._placed = _Placed.begun(self._scratch.folder / f"{self._key}.arrow", self._series, part)
            elif self._placed is not None and not self._placed.takes(part):
                self._keep_apart(self._placed)
            if self._placed is not None:
                self._placed.put(part, start)
            else:
                self._add_apart(part, start)
            self._count += len(part.series)

    def _keep_apart(self, placed: _Placed) -> None:
        """Go on with arrays that are kept apart, from what was written to its place until now."""
        self._add_apart(placed.panel(), 0)
        placed.path.unlink()
        self._placed = None

    def _add_apart(self, part: PanelAnswers, start: int) -> None:
        for name, rows in self._rows.items():
            rows.add(getattr(part, name), start)

    def write(self, facts: Mapping[str, object]) -> None:
        """Store the whole under its key, and remove the parts.

        Args:
            facts: of the cell.

        Raises:
            ValueError: rows are missing.
            FullDiskError: there is no room for it.
        """
        like, count = self._like, len(self._series)
        if like is None or self._count != count:
            message = f"{self._key}: not all rows have been answered"
            raise ValueError(message)
        if self._placed is not None:
            keep_large_cell(self._scratch.shelf, self._key, self._placed.path, facts)
            return
        rows: dict[str, Any] = {name: file.whole() for name, file in self._rows.items()}
        whole = replace(like, series=self._series, issue_age=np.broadcast_to(np.full(1, np.nan), count), **rows)
        write_large_cell(self._scratch.shelf, self._key, whole, facts)
        for file in self._rows.values():
            file.drop()


ROWS = ("value", "status", "reason", "answered", "last_known", "last")
"""What may differ from row to row."""


class _Placed:
    """The file of a cell, complete but for rows of values and newest known periods that are still to come."""

    def __init__(self, path: Path, metadata: Mapping[bytes, str], steps: int, starts: tuple[int, ...]) -> None:
        self.path, self._metadata, self._steps, self._starts = path, metadata, steps, starts

    @classmethod
    def begun(cls, path: Path, series: Names, like: PanelAnswers) -> _Placed | None:
        """Write all but the rows; None = other things differ from row to row, too.

        Args:
            path: where to.
            series: stored ids of all rows.
            like: some of the rows.
        """
        metadata, differing = told_once(like)
        if differing or not like.value.size or np.isnat(like.last_known).any():
            return None
        count, steps = len(series), len(like.horizons)
        columns = {
            "series_id": series_column(series),
            "last_known_period": absent(pa.date32(), count),
            "last_position": absent(pa.int64(), count),
            "value": pa.FixedSizeListArray.from_arrays(absent(pa.float64(), count * steps), steps),
        }
        with path.open("xb") as stream:
            starts, _ = write_around(stream.fileno(), pa.table(columns).replace_schema_metadata(metadata))
        return cls(path, metadata, steps, tuple(starts))

    def takes(self, part: PanelAnswers) -> bool:
        """Whether a part differs from the others in no other way."""
        metadata, differing = told_once(part)
        return not differing and metadata == self._metadata and not np.isnat(part.last_known).any()

    def put(self, part: PanelAnswers, start: int) -> None:
        """Write rows to their places."""
        days = part.last_known.astype("datetime64[D]").view(np.int64).astype(np.int32)
        rows: list[NDArray[Any]] = [days, part.last.astype(np.int64, copy=False), part.value]
        with self.path.open("r+b", buffering=0) as stream:
            for place, values in zip(self._starts, rows, strict=True):
                write_at(stream.fileno(), place + start * values[:1].nbytes, values)

    def panel(self) -> PanelAnswers:
        """All rows; those that have not come are anything."""
        found = panel_at(self.path)
        assert found is not None  # noqa: S101 - this file says that it is one
        return found


class _Rows:
    """An array whose rows come in any order: one number as long as it is the same everywhere, else a file."""

    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count, self._stored = path, count, False
        self._like: NDArray[Any] = np.empty(0)

    def add(self, part: NDArray[Any], start: int) -> None:
        """Put rows in their place."""
        if not part.size:
            return
        others_came = self._like.size > 0
        if not others_came:
            self._like = part[:1].copy()
        if not self._stored and not self._continued(part):
            self._stored = True
            if others_came:  # nobody knows which rows did: they get it all over the file, and others theirs later
                self._put(np.broadcast_to(self._like.flat[0], (self._count, *self._like.shape[1:])), 0)
        if self._stored:
            self._put(part, start)

    def _continued(self, part: NDArray[Any]) -> bool:
        """Whether these rows, and those that came, are one and the same small number."""
        return part.dtype.itemsize == 1 and bool((part == self._like.flat[0]).all())

    def _put(self, part: NDArray[Any], start: int) -> None:
        numbers = np.ascontiguousarray(part).view(np.uint8)  # days, too
        with self._path.open("r+b" if self._path.exists() else "xb", buffering=0) as stream:
            write_at(stream.fileno(), start * (numbers.size // len(part)), numbers)

    def whole(self) -> NDArray[Any]:
        """All rows; those in a file are mapped."""
        shape = (self._count, *self._like.shape[1:])
        if not self._stored:
            return np.broadcast_to(self._like.ravel()[:1], shape) if self._like.size else self._like
        return np.memmap(self._path, dtype=self._like.dtype, mode="r", shape=shape)

    def drop(self) -> None:
        """Remove the file; what is mapped of it stays as long as it is held."""
        self._path.unlink(missing_ok=True)
