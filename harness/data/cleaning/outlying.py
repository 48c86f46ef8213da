"""Bounds of an outlier rule: from values published earlier, and never from the row's own publication or later ones."""

from __future__ import annotations

from bisect import insort

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.data.cleaning.steps import Outliers

Floats = NDArray[np.float64]


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
    low, high = np.full(rows.height, -np.inf), np.full(rows.height, np.inf)
    period = rows["period"].cast(pl.Int64).to_numpy()
    published, value = rows["published"].to_numpy(), rows["value"].fill_null(np.nan).to_numpy()
    order = np.lexsort((period, published))
    starts = np.flatnonzero(np.diff(published[order], prepend=published[order][:1] - 1))
    first: dict[int, float] = {}
    least = -np.inf if rule.least is None else rule.least
    most = np.inf if rule.most is None else rule.most
    periods: list[int] = []
    for batch in np.split(order, starts[1:]):
        if len(first) >= rule.minimum:
            known = np.array([first[at] for at in periods[-rule.window :]])
            centre = float(np.median(known))
            reach = rule.k * float(np.median(np.abs(known - centre)))
            if reach > 0.0:
                low[batch], high[batch] = centre - reach, centre + reach
        for row in batch.tolist():
            floor, top, at = max(low[row], least), min(high[row], most), int(period[row])
            if at in first or np.isnan(value[row]) or not (clip or floor <= value[row] <= top):
                continue
            first[at] = float(np.clip(value[row], floor, top))
            insort(periods, at)
    return low, high
