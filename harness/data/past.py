"""The past of single series in a change file: its changes, its span, and since when true vintages exist."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UserError
from harness.core.time import NEVER
from harness.core.transform import Floats
from harness.data.changes import ChangeFile

Integers = NDArray[np.int64]
CHUNK = 1 << 18
"""Changes looked at together."""
VALUELESS = "ingest its dataset; while its files hold no value of it, leave it out of the experiment"


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Changes of one series, in order of publication; arrays [change].

    Attributes:
        period: ordinals.
        published: microseconds UTC.
        value: NaN = withdrawn.
        vintage: microseconds of the vintage the number came from; NEVER = hindsight.
        availability: index into `core.series.AVAILABILITIES`.
    """

    period: Integers
    published: Integers
    value: Floats
    vintage: Integers
    availability: NDArray[np.int8]

    @property
    def first_published(self) -> int:
        """Microseconds UTC of the earliest change.

        Raises:
            UserError: there is none.
        """
        if not len(self.published):
            raise UserError("series without any ingested value", fix=VALUELESS)
        return int(self.published[0])

    @property
    def first_true_vintage(self) -> int:
        """Microseconds UTC of the first value that is as it was stated then (S6); NEVER = none is."""
        true = self.published[self.vintage == self.published]
        return int(true[0]) if len(true) else NEVER

    @property
    def span(self) -> tuple[int, int]:
        """Ordinals of the first and last period that ever had a value."""
        return int(self.period.min()), int(self.period.max())


@dataclass(frozen=True, slots=True, eq=False)
class Beginnings:
    """Where each series of a change file begins and how far it reaches; arrays [code].

    Attributes:
        first_published, first_true_vintage: microseconds UTC as in `Past`; NEVER = there is none.
    """

    first_published: Integers
    first_true_vintage: Integers


@lru_cache(maxsize=4)
def beginnings(changes: ChangeFile) -> Beginnings:
    """The beginnings of all series, in one pass: as `past_of` tells them one by one."""
    return Beginnings(_earliest(changes, true_only=False), _earliest(changes, true_only=True))


def _earliest(changes: ChangeFile, *, true_only: bool) -> Integers:
    """[code] instant of the first change, or of the first as it was stated then; rows ascend in time."""
    out = np.full(len(changes.ids), NEVER)
    for start in range(0, len(changes.code), CHUNK):
        rows = slice(start, start + CHUNK)
        code, published = changes.code[rows].astype(np.int64), changes.published[rows]
        new = out.take(code) == NEVER
        if true_only:
            new &= changes.vintage[rows] == published
        if new.any():
            out[code[new][::-1]] = published[new][::-1]  # of several the last written stays
            if (out != NEVER).all():
                break
    return out


@lru_cache(maxsize=4)
def _grouped(changes: ChangeFile) -> tuple[Integers, Integers]:
    order = np.argsort(changes.code, kind="stable").astype(np.int64)
    edges = np.searchsorted(changes.code[order], np.arange(len(changes.ids) + 1)).astype(np.int64)
    return order, edges


def rows_of(changes: ChangeFile, codes: Integers) -> Integers:
    """Rows of some series, one series after the other, each in order of publication."""
    order, edges = _grouped(changes)
    return np.concatenate([order[edges[code] : edges[code + 1]] for code in codes.tolist()])


def past_of(changes: ChangeFile, series_id: str) -> Past:
    """The changes of one series; none where nothing of it was ever published."""
    order, edges = _grouped(changes)
    code = changes.code_of(series_id)
    rows = order[edges[code] : edges[code + 1]]
    return Past(
        changes.period[rows].astype(np.int64),
        changes.published[rows],
        changes.value[rows],
        changes.vintage[rows],
        changes.availability[rows],
    )
