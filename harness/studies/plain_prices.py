"""Prices as of an instant by the plainest definition: a raw level times one factor per event that counts by then.

An event counts for a period before its ex-date once its announcement is known and a level from its ex-date on is known.
A split of v new shares per old one divides by v; a dividend d (total return) leaves 1 - d / x of the newest level x
known before it. Nothing that is checked is imported.
"""

from __future__ import annotations

import math

from harness.core.recipe import Prices
from harness.data.announced import DELISTING, DIVIDEND, SPLIT
from harness.studies.plain_cells import PlainSeries, standing

Factors = list[tuple[int, float]]
"""(ordinal of the first period after the event, what every level before it is multiplied by)."""


def factors(one: PlainSeries, at: int, prices: Prices, *, exclude_hindsight: bool = False) -> Factors:
    """The factors that count at an instant; none for a series without events.

    Args:
        one: the series.
        at: microseconds UTC up to which publications and announcements are known.
        prices: `price` (splits only) or `total` (dividends too).
        exclude_hindsight: as for `standing`.
    """
    told = [event for event in one.events if event.announced <= at and event.kind in (SPLIT, DIVIDEND)]
    if not told:
        return []
    known = {
        period: stated.value
        for period in one.stated
        if (stated := standing(one, period, at, exclude_hindsight=exclude_hindsight)) is not None
    }
    newest = max(known, default=None)
    found = []
    for event in told:
        before = [period for period in known if period < event.ex]
        if newest is None or event.ex > newest or not before:
            continue
        if event.kind == SPLIT:
            found.append((event.ex, 1.0 / event.value))
        elif prices == "total":
            found.append((event.ex, 1.0 - event.value / known[max(before)]))
    return found


def adjusted(value: float, period: int, counting: Factors) -> float:
    """A raw level of a period with every event after it taken into account.

    >>> adjusted(100.0, 3, [(4, 0.5), (3, 0.1), (9, 0.5)])
    25.0
    """
    return value * math.prod(factor for ex, factor in counting if period < ex)


def delisted(one: PlainSeries, at: int) -> tuple[int, bool] | None:
    """First period from which a series is known to be delisted, and whether a final value of it is known or to come.

    Args:
        one: the series.
        at: microseconds UTC up to which announcements are known.
    """
    told = [event for event in one.events if event.kind == DELISTING and event.announced <= at]
    if not told:
        return None
    ex = min(event.ex for event in told)
    return ex, any(not math.isnan(event.value) for event in told if event.ex == ex)
