"""A declaration as it stands in the clear under a seal: without releases and closures that the cut hides."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from harness.core.series import LagRule, Series
from harness.core.time import end_of_day, instant, local_day, micros
from harness.data.calendars import session_days
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
    (datetime.date(2018, 12, 31), datetime.date(2018, 12, 31))
    """
    if not tells_days(series):
        return series
    closures = _closures_before(series, cut)
    lag = series.lag
    if lag is not None and (lag.dates or lag.exceptions):
        lag = _lag_before(lag, lag.zone or series.zone, cut)
    if closures == series.closures and lag == series.lag:
        return series
    return replace(series, closures=closures, lag=lag)


def _closures_before(series: Series, cut: int) -> tuple[tuple[date, str], ...]:
    """The closures announced before the cut, and those without which the days before it would count otherwise."""
    late = [day for day, told in series.closures if announced(series, told) >= cut]
    needed = {day for day in late if micros(end_of_day(day - timedelta(days=1), series.zone)) < cut}
    if series.parsed.kind == "B" and len(late) > len(needed):
        bare = session_days(replace(series, closures=())).astype("datetime64[D]").tolist()
        needed |= set(late).difference(bare)  # a session by the declaration alone
    shown = instant(cut).isoformat()
    told = (
        (day, shown if day in needed else said) for day, said in series.closures if day not in late or day in needed
    )
    return tuple(told)


@lru_cache(maxsize=256)  # the series of a dataset share their rule
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
