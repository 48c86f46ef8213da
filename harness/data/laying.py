"""Rows put in order a part at a time: by the instant they were published, then by all that tells them apart.

Every instant has its stretch of places, counted beforehand. The rows of a part go to the next free places of their
instants; stretches that are not in order after the last part (of rows that came in none) are sorted, few at a time.
So no more than a part is in memory, unless one stretch is larger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.data.ordering import is_sorted
from harness.record.platform import threads_for

STRETCHES = 1 << 14
"""At most so many stretches: where there are more instants, neighbours share one."""
PART = 1 << 20
"""Rows handled together."""
Columns = Mapping[str, NDArray[Any]]


class Room(Protocol):
    """Where the columns of a table are put, each in one piece."""

    def put(self, column: str, start: int, values: NDArray[Any]) -> None:
        """Put values at the places from `start` on."""

    def get(self, column: str, start: int, stop: int) -> NDArray[Any]:
        """The values at some places."""


class Memory:
    """Columns in memory."""

    def __init__(self, rows: int, types: Mapping[str, np.dtype[Any]]) -> None:
        self.columns = {name: np.empty(rows, dtype=dtype) for name, dtype in types.items()}

    def put(self, column: str, start: int, values: NDArray[Any]) -> None:
        """Put values at the places from `start` on."""
        self.columns[column][start : start + len(values)] = values

    def get(self, column: str, start: int, stop: int) -> NDArray[Any]:
        """The values at some places."""
        return self.columns[column][start:stop]


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """A table that is made in order, part by part.

    Attributes:
        rows: how many.
        types: of its columns, in their order; integers and floats.
        order: columns it is sorted by; the first holds instants in microseconds UTC, no float is among them.
        instants: [instant] those that occur, ascending.
        counts: [instant] rows of each.
        parts: reads its rows, in parts and in any order.
    """

    rows: int
    types: Mapping[str, np.dtype[Any]]
    order: Sequence[str]
    instants: NDArray[np.int64]
    counts: NDArray[np.int64]
    parts: Callable[[], Iterable[Columns]]

    def lay(self, room: Room) -> None:
        """Put all rows in their places."""
        starts, bounds = self._stretches()
        free, orderly = starts[:-1].copy(), np.ones(len(bounds), dtype=bool)
        newest = [np.full(len(bounds), np.iinfo(self.types[name]).min, self.types[name]) for name in self.order]
        kept = dict[str, NDArray[Any]]()
        with ThreadPoolExecutor(threads_for(self.rows)) as pool:
            for part in self.parts():
                stretch, rows = self._sorted(part, bounds)
                counts = np.bincount(stretch, minlength=len(bounds))
                met = np.flatnonzero(counts)
                last = counts[met].cumsum()
                first = last - counts[met]
                moves = [*zip(free[met].tolist(), first.tolist(), last.tolist(), strict=True)]
                put = partial(_put, room, part, rows, moves, kept)
                ordered = dict(zip(self.types, pool.map(put, self.types), strict=True))
                keys = [ordered[name] for name in self.order]
                orderly[met] &= _not_before([key[first] for key in keys], [old[met] for old in newest])
                for old, key in zip(newest, keys, strict=True):
                    old[met] = key[last - 1]
                free += counts
        if (free != starts[1:]).any():
            raise RuntimeError("rows were counted that did not come, or others came")
        self._settle(room, starts, orderly)

    def _stretches(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """[stretch + 1] first place of each and the number of rows; [stretch] its first instant."""
        together = max(1, -(-len(self.instants) // STRETCHES))
        first = np.arange(0, len(self.instants), together)
        sizes = np.add.reduceat(self.counts, first) if len(first) else self.counts
        return np.concatenate(([0], sizes.cumsum())), self.instants[first]

    def _sorted(self, part: Columns, bounds: NDArray[np.int64]) -> tuple[NDArray[np.uint16], NDArray[Any] | None]:
        """The stretch of each row, and the rows in order of stretches; those of one as the table wants them.

        Where neighbours share a stretch its rows may be in another order.
        """
        keys = [part[name] for name in self.order]
        stretch = (np.searchsorted(bounds, keys[0], side="right") - 1).astype(np.uint16)
        if is_sorted([keys[1], *keys[2:]]) or is_sorted([keys[1], keys[0], *keys[2:]]):
            return stretch, np.argsort(stretch, kind="stable")  # 16 bits are sorted by counting
        if is_sorted(keys):
            return stretch, None
        frame = pl.DataFrame(dict(zip(self.order, keys, strict=True)))
        return stretch, frame.select(pl.arg_sort_by(self.order)).to_series().to_numpy()

    def _settle(self, room: Room, starts: NDArray[np.int64], orderly: NDArray[np.bool_]) -> None:
        """Sort what is not in order within its stretch."""
        left = np.flatnonzero(~orderly) if len(orderly) == len(self.instants) else np.arange(len(orderly))
        while len(left):
            # neighbours are sorted together: what is in order between them stays as it is
            taken = max(1, int(np.searchsorted(starts[left + 1], starts[left[0]] + PART, side="right")))
            start, stop = int(starts[left[0]]), int(starts[left[taken - 1] + 1])
            left = left[taken:]
            keys = [room.get(name, start, stop) for name in self.order]
            if is_sorted(keys):
                continue
            frame = pl.DataFrame({name: room.get(name, start, stop) for name in self.types}).sort(self.order)
            for name in self.types:
                room.put(name, start, frame[name].to_numpy())

    def repeated(self, room: Room) -> bool:
        """Whether two rows that were put in their places are alike in everything."""
        for start in range(0, self.rows - 1, PART):
            stop = min(start + PART + 1, self.rows)
            again = np.ones(stop - start - 1, dtype=bool)
            for name in self.types:
                values = room.get(name, start, stop)
                again &= values[1:] == values[:-1]
                if not again.any():
                    break
            if again.any():
                return True
        return False


def _put(
    room: Room,
    part: Columns,
    rows: NDArray[Any] | None,
    moves: Sequence[tuple[int, int, int]],
    kept: dict[str, NDArray[Any]],
    name: str,
) -> NDArray[Any]:
    """A column of a part in order, which was put in its places: where to, and from and up to which row."""
    values = _taken(part[name], rows, kept, name)
    for place, start, stop in moves:
        room.put(name, place, values[start:stop])
    return values


def _taken(column: NDArray[Any], rows: NDArray[Any] | None, kept: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """Some rows of a column, in an array that is kept under its name for the next ones; None = the column."""
    if rows is None:
        return column
    if name not in kept or len(kept[name]) < len(rows):
        kept[name] = np.empty(len(rows), dtype=column.dtype)
    return np.take(column, rows, out=kept[name][: len(rows)], mode="clip")  # as they are in range, only faster


def _not_before(keys: Sequence[NDArray[Any]], others: Sequence[NDArray[Any]]) -> NDArray[np.bool_]:
    """[row] whether a row's keys are not below others, by the first that differs."""
    out = np.ones(len(keys[0]), dtype=bool)
    for key, other in zip(reversed(keys), reversed(others), strict=True):
        out = (key > other) | ((key == other) & out)
    return out
