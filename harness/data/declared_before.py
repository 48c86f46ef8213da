"""A declaration as it stands in the clear under a seal: without releases and closures that the cut hides."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from harness.core.series import LagRule, Series
from harness.core.time import instant, local_day
from harness.data.declaration import announced, tells_days
from harness.data.lags import release_days, release_instant

Pairs = tuple[tuple[date, date], ...]


def declared_before(series: Series, cut: int) -> Series:
    """The declaration without what it tells of an instant and later.

    Of a release that lies there only that it does is left: its period stands under the first day whose release is not
    before the cut, so that nothing is dated before it that was not. An exception goes where the rule itself says so.
    What could have been written at an earlier instant (`declared_by`) stays the same.

    Args:
        series: the whole declaration.
        cut: microseconds UTC.

    >>> rule = LagRule("dates", dates=((date(2018, 9, 30), date(2018, 10, 20)), (date(2018, 12, 31), date(2019, 2, 9))))
    >>> declared_before(Series("cpi", "Q", lag=rule), 1546300800_000_000).lag.dates[1]
    (datetime.date(2018, 12, 31), datetime.date(2019, 1, 1))
    """
    if not tells_days(series):
        return series
    closures = tuple(pair for pair in series.closures if announced(series, pair[1]) < cut)
    lag = series.lag
    if lag is not None and (lag.dates or lag.exceptions):
        lag = _lag_before(lag, lag.zone or series.zone, cut)
    if closures == series.closures and lag == series.lag:
        return series
    return replace(series, closures=closures, lag=lag)


def _lag_before(lag: LagRule, zone: str, cut: int) -> LagRule:
    def late(day: date) -> bool:
        return release_instant(day, lag.at, zone) >= cut

    hidden = local_day(instant(cut), zone) - timedelta(days=1)
    while not late(hidden):
        hidden += timedelta(days=1)

    def without(pairs: Pairs) -> Pairs:
        return tuple((end, hidden if late(day) else day) for end, day in pairs)

    plain = replace(lag, exceptions=())

    def told(end: date, day: date) -> bool:
        """Whether an exception is needed: its day is before the cut, or the rule would say so."""
        if not late(day) or lag.kind == "dates":
            return True
        (ruled,) = release_days(plain, np.array([end], dtype="datetime64[D]")).tolist()
        return not late(ruled)

    exceptions = without(tuple(pair for pair in lag.exceptions if told(*pair)))
    return replace(lag, exceptions=exceptions, dates=without(lag.dates))
