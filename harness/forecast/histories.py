"""Histories of a panel's series, all at once or each by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.core.snapshot import Micros
from harness.core.transform import Floats
from harness.forecast.paths import newest_column

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """The history one model sees.

    Attributes:
        values: [period] from the first to the newest known value; NaN = missing inside.
        first: position of element 0 on the target's timeline.
        season: season length in periods.
    """

    values: Floats
    first: int
    season: int

    def newest_stretch(self) -> Work:
        """The part after the newest gap, for methods that cannot bridge a missing value."""
        missing = np.flatnonzero(np.isnan(self.values))
        start = int(missing[-1]) + 1 if len(missing) else 0
        return Work(self.values[start:], self.first + start, self.season)


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """The histories of some series.

    Attributes:
        values: [series, period]; NaN = missing.
        first: position of column 0 on the target's timeline.
        season: season length in periods.
        begin, end: [series] column of the first known value, and the one after the newest; 0 where nothing is known.
    """

    values: Floats
    first: int
    season: int
    begin: Micros
    end: Micros

    @classmethod
    def of(cls, values: Floats, first: int, season: int) -> Histories:
        """Histories in a matrix [series, period] whose column 0 is at the position `first`."""
        begin = np.zeros(len(values), dtype=np.int64)
        if values.shape[1]:
            begin = np.argmax(~np.isnan(values), axis=1)
        return cls(values, first, season, begin, newest_column(values) + 1)

    def taken(self, rows: Micros) -> Histories:
        """Those of some rows."""
        if len(rows) == len(self.values) and (rows == np.arange(len(rows))).all():
            return self
        return Histories(self.values[rows], self.first, self.season, self.begin[rows], self.end[rows])

    @property
    def usable(self) -> Flags:
        """[series] whether two values are known."""
        return self.end - self.begin >= 2

    @property
    def constant(self) -> Flags:
        """[series] whether all known values are one and the same."""
        highest = np.fmax.reduce(self.values, axis=1, initial=np.nan)
        return np.asarray(highest == np.fmin.reduce(self.values, axis=1, initial=np.nan))

    @property
    def stretch(self) -> Micros:
        """[series] column at which the part after the newest gap begins (`Work.newest_stretch`)."""
        missing = np.isnan(self.values)
        holed = np.flatnonzero(np.count_nonzero(missing, axis=1) > missing.shape[1] - (self.end - self.begin))
        out = self.begin.copy()
        before = missing[holed] & (np.arange(missing.shape[1]) < self.end[holed, None])
        out[holed] = missing.shape[1] - np.argmax(before[:, ::-1], axis=1)
        return out

    def work(self, row: int) -> Work:
        """The history of one usable series."""
        begin, end = int(self.begin[row]), int(self.end[row])
        return Work(np.array(self.values[row, begin:end]), self.first + begin, self.season)
