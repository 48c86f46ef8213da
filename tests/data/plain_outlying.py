"""The bounds of an outlier rule as they are defined: every median taken anew, with numpy."""

from __future__ import annotations

from bisect import insort

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.data.cleaning.steps import Outliers

Floats = NDArray[np.float64]


def plain_bounds(rows: pl.DataFrame, rule: Outliers, *, clip: bool) -> tuple[Floats, Floats]:
    """[row] lower and upper bounds; arguments as `harness.data.cleaning.outlying.outlying`."""
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
