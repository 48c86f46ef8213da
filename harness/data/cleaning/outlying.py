"""Bounds of an outlier rule: from values published earlier, and never from the row's own publication or later ones."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from itertools import groupby
from math import inf, isnan

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.data.cleaning.steps import Outliers

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Earlier:
    """First values of the newest periods, in order: their median, and the median of their distances from it.

    Attributes:
        window: periods looked back on.
        first: period -> its first value, of every period.
        periods: every period, ascending.
        values: the first values of the newest `window` periods, ascending.
        below: how many of the values nearest to the centre lay below it when it was last asked.
    """

    window: int
    first: dict[int, float] = field(default_factory=dict)
    periods: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    below: int = 0

    def take(self, period: int, value: float) -> None:
        """Add the first value of a new period; where the window was full, its oldest period leaves."""
        place = bisect_left(self.periods, period)
        self.periods.insert(place, period)
        self.first[period] = value
        oldest = len(self.periods) - self.window
        if place < oldest:
            return
        insort(self.values, value)
        if oldest > 0:
            gone = self.first[self.periods[oldest - 1]]
            del self.values[bisect_left(self.values, gone)]

    def median(self) -> float:
        """The median of the values; there is at least one."""
        half, odd = divmod(len(self.values), 2)
        return self.values[half] if odd else (self.values[half - 1] + self.values[half]) / 2

    def distance(self, centre: float) -> float:
        """The median of the distances from `centre`; there is at least one value.

        The values below and above `centre` are two ascending runs of distances, and of the `rank` nearest values
        `below` are of the run below. From one publication to the next that number hardly moves, so it is kept.
        """
        values, split = self.values, bisect_right(self.values, centre)
        above_all, half = len(values) - split, len(values) // 2
        rank = half if len(values) % 2 else half - 1
        least, most = max(0, rank - above_all), min(rank, split)
        below = min(max(self.below, least), most)
        while below > least and centre - values[split - below] > values[split + rank - below] - centre:
            below -= 1
        while below < most and centre - values[split - below - 1] <= values[split + rank - below - 1] - centre:
            below += 1
        self.below = below
        left, right = split - below - 1, split + rank - below
        down = centre - values[left] if left >= 0 else inf
        up = values[right] - centre if right < len(values) else inf
        if len(values) % 2:
            return min(down, up)
        if down <= up:
            second = centre - values[left - 1] if left > 0 else inf
            return (down + min(second, up)) / 2
        second = values[right + 1] - centre if right + 1 < len(values) else inf
        return (up + min(down, second)) / 2


def outlying(rows: pl.DataFrame, rule: Outliers, *, clip: bool) -> tuple[Floats, Floats]:
    """Lowest and highest value that the rule allows each row of one series.

    The median and the median absolute deviation are those of the first values of the newest `window` periods published
    strictly earlier, as they were let through. Too few of them, or a deviation of 0: no bound.

    Args:
        rows: period, published (microseconds UTC) and value of one series.
        rule: the rule.
        clip: whether a value outside is taken in as the bound, else it is not taken in.

    Returns:
        [row] lower and upper bounds.
    """
    low, high = [-inf] * rows.height, [inf] * rows.height
    days = rows["period"].cast(pl.Int64).to_numpy()
    order = np.lexsort((days, rows["published"].to_numpy())).tolist()
    period, published = days.tolist(), rows["published"].to_list()
    value = rows["value"].fill_null(np.nan).to_list()
    least = -inf if rule.least is None else rule.least
    most = inf if rule.most is None else rule.most
    earlier = Earlier(rule.window)
    for _, batch in groupby(order, key=published.__getitem__):
        below, above = -inf, inf
        if len(earlier.periods) >= rule.minimum:
            centre = earlier.median()
            reach = rule.k * earlier.distance(centre)
            if reach > 0.0:
                below, above = centre - reach, centre + reach
        floor, top = max(below, least), min(above, most)
        for row in batch:
            low[row], high[row] = below, above
            one, at = value[row], period[row]
            if at in earlier.first or isnan(one) or not (clip or floor <= one <= top):
                continue
            earlier.take(at, min(max(one, floor), top))
    return np.array(low), np.array(high)
