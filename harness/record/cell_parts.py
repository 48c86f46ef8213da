"""A cell of a very large panel that comes in blocks of series: each is put away as it comes, the whole is never held.

What is stored is to the bit what `cells.write_cell` stores of the whole.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from harness.core.names import Names
from harness.record.cells import write_large_cell
from harness.record.files import room_for
from harness.record.panel_cells import Flags, PanelAnswers, Words
from harness.record.runs import alive


class Scratch:
    """A folder among the cells, for what is not a cell yet; those of processes that died are removed by the next."""

    def __init__(self, shelf: Path) -> None:
        """Make it.

        Args:
            shelf: where the cells stand; other machines may write to it, too.
        """
        shelf.mkdir(parents=True, exist_ok=True)
        mine = f".tmp-parts-{socket.gethostname()}-"
        for folder in shelf.glob(f"{mine}*"):
            owner = folder.name.removeprefix(mine).partition("-")[0]
            if owner.isdigit() and not alive(int(owner)):
                shutil.rmtree(folder, ignore_errors=True)
        self.shelf, self.folder = shelf, shelf / f"{mine}{os.getpid()}-{secrets.token_hex(6)}"
        self.folder.mkdir()

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        shutil.rmtree(self.folder, ignore_errors=True)


class CellInParts:
    """The answers of one recipe at one origin, part after part."""

    def __init__(self, scratch: Scratch, key: str, series: Names) -> None:
        """Nothing is answered yet.

        Args:
            scratch: where parts are put away.
            key: of the cell.
            series: stored ids of all rows to come, in their order.
        """
        self._scratch, self._key, self._series = scratch, key, series
        self._files = {name: _Rows(scratch.folder / f"{key}.{name}") for name in ROWS}
        self._like: PanelAnswers | None = None

    def add(self, part: PanelAnswers) -> None:
        """Put away the next rows.

        Raises:
            ValueError: the part does not continue the last ones, or an external's.
        """
        like = part if self._like is None else self._like
        longer, shorter = sorted((part.reasons, like.reasons), key=len, reverse=True)
        trained = like.trained_at or part.trained_at  # None also where nothing of a part was to be answered
        same = part.trained_at in {None, trained} and part.origin == like.origin and part.phase == like.phase
        if not same or longer[: len(shorter)] != shorter or not np.isnan(part.issue_age).all():
            message = f"{self._key}: a part that does not belong to the others"
            raise ValueError(message)
        self._like = replace(like, reasons=longer, trained_at=trained)
        for name, file in self._files.items():
            file.add(getattr(part, name))

    def write(self, facts: Mapping[str, object]) -> None:
        """Store the whole under its key, and remove the parts.

        Args:
            facts: of the cell.

        Raises:
            ValueError: rows are missing.
        """
        like, count = self._like, len(self._series)
        if like is None or any(file.count != count for file in self._files.values()):
            message = f"{self._key}: not all rows have been answered"
            raise ValueError(message)
        rows: dict[str, Any] = {name: file.whole() for name, file in self._files.items()}
        whole = replace(like, series=self._series, issue_age=np.broadcast_to(np.full(1, np.nan), count), **rows)
        write_large_cell(self._scratch.shelf, self._key, whole, facts)
        for file in self._files.values():
            file.drop()


ROWS = ("value", "status", "reason", "answered", "last_known", "last")
"""What differs from row to row."""


class _Rows:
    """An array that grows by rows: one number as long as it is the same everywhere, else a file."""

    def __init__(self, path: Path) -> None:
        self._path, self._stored = path, False
        self.count = 0
        self._like: NDArray[Any] = np.empty(0)

    def add(self, part: NDArray[Any]) -> None:
        """Append rows."""
        if not part.size:
            self.count += len(part)
            return
        if not self._like.size:
            self._like = part[:1].copy()
        if not self._stored and not self._continued(part):
            self._stored = True
            self._append(np.broadcast_to(self._like.flat[0], (self.count, *self._like.shape[1:])))
        if self._stored:
            self._append(part)
        self.count += len(part)

    def _continued(self, part: Words | Flags | NDArray[Any]) -> bool:
        """Whether these rows, and those before, are one and the same small number."""
        return part.dtype.itemsize == 1 and bool((part == self._like.flat[0]).all())

    def _append(self, part: NDArray[Any]) -> None:
        with room_for(self._path), self._path.open("ab") as stream:
            stream.write(np.ascontiguousarray(part).ravel().view(np.uint8).data)

    def whole(self) -> NDArray[Any]:
        """All rows; those in a file are mapped."""
        shape = (self.count, *self._like.shape[1:])
        if not self._stored:
            return np.broadcast_to(self._like.ravel()[:1], shape) if self._like.size else self._like
        return np.memmap(self._path, dtype=self._like.dtype, mode="r", shape=shape)

    def drop(self) -> None:
        """Remove the file; what is mapped of it stays as long as it is held."""
        self._path.unlink(missing_ok=True)
