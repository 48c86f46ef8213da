"""Prices as of an instant: raw levels moved by the splits and dividends known then, relative to the newest price.

Formula, x_p the raw level of period p, N the newest known period of the series, K the instant of knowing:

    adjusted_p = x_p * product of f_e over events e with p < ex_e <= N and announced_e <= K
    split of v new shares per old one       f = 1 / v
    dividend of d per old share             f = 1 - d / x_q, q the newest known period before the ex-date
                                            (only where prices = "total")

So the newest price stands as it was quoted, and a ratio of two levels is a return per share held. An event that is
announced late shows as a raw jump until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import DataError
from harness.core.recipe import Prices
from harness.core.snapshot import Issue, Panel
from harness.core.time import instant
from harness.core.transform import Floats
from harness.data.announced import DIVIDEND, EVENT_KINDS, SPLIT

if TYPE_CHECKING:
    from harness.data.changes import ChangeFile

Integers = NDArray[np.int64]
IS_SPLIT, IS_DIVIDEND = EVENT_KINDS.index(SPLIT), EVENT_KINDS.index(DIVIDEND)


@dataclass(frozen=True, slots=True, eq=False)
class PriceEvents:
    """Splits and dividends of one series in order of their ex-period; arrays [event].

    Attributes:
        ex: ordinal of the first period whose level is after the event.
        announced: microseconds UTC.
        kind: `IS_SPLIT` or `IS_DIVIDEND`.
        value: new shares per old share, or cash per old share.
    """

    ex: Integers
    announced: Integers
    kind: NDArray[np.int8]
    value: Floats


def price_events(changes: ChangeFile, codes: Mapping[str, int]) -> dict[str, PriceEvents]:
    """Splits and dividends of those of some series that have any.

    Args:
        changes: the change file.
        codes: stored id -> code of the series asked for.
    """
    rows = changes.events
    moving = (rows.kind == IS_SPLIT) | (rows.kind == IS_DIVIDEND)
    found: dict[str, PriceEvents] = {}
    for name, code in codes.items() if moving.any() else ():
        mine = np.flatnonzero(moving & (rows.code == code))
        if len(mine):
            mine = mine[np.lexsort((rows.kind[mine], rows.ex[mine]))]
            found[name] = PriceEvents(rows.ex[mine], rows.announced[mine], rows.kind[mine], rows.value[mine])
    return found


def adjusted_panel(panel: Panel, events: Mapping[str, PriceEvents], known_at: int, prices: Prices) -> Panel:
    """A panel of raw levels with the rows of series that have events adjusted, in a copy.

    Args:
        panel: raw levels as known at the instant; never written to, and returned as it is when nothing applies.
        events: events by stored id.
        known_at: microseconds UTC up to which announcements count.
        prices: `price` (splits only) or `total` (dividends too).

    Raises:
        DataError: a dividend is not smaller than the price before it.
    """
    mine = [(row, events[name]) for row, name in enumerate(panel.ids) if name in events]
    if not mine or not panel.values.shape[1]:
        return panel
    positions = np.arange(panel.first, panel.first + panel.values.shape[1], dtype=np.int64)
    ordinals = positions if panel.timeline.sessions is None else panel.timeline.sessions[positions]
    values: Floats | None = None
    for row, some in mine:
        factors = price_factors(panel.ids[row], panel.values[row], ordinals, some, known_at, prices)
        if factors is not None:
            values = panel.values.copy() if values is None else values
            values[row] *= factors
    return panel if values is None else replace(panel, values=values)


def adjusted_issue(issue: Issue, events: Mapping[str, PriceEvents], prices: Prices) -> Issue:
    """An external forecast with the levels known at its issue adjusted as of the issue.

    Its path stays as it was issued: in shares of that day.
    """
    if issue.series_id not in events or not len(issue.known):
        return issue
    ordinals = np.arange(issue.known_first, issue.known_first + len(issue.known), dtype=np.int64)
    some = events[issue.series_id]
    factors = price_factors(issue.series_id, issue.known, ordinals, some, issue.issued_at, prices)
    if factors is None:
        return issue
    known = issue.known * factors
    known.flags.writeable = False
    return replace(issue, known=known)


def price_factors(
    name: str, raw: Floats, ordinals: Integers, events: PriceEvents, known_at: int, prices: Prices
) -> Floats | None:
    """What each level of one series is multiplied by; None when no event applies.

    Args:
        name: stored id, for messages.
        raw: [period] raw levels; NaN = unknown.
        ordinals: [period] ascending ordinals of the periods.
        events: its splits and dividends.
        known_at: microseconds UTC up to which announcements count.
        prices: `price` or `total`.

    Raises:
        DataError: a dividend is not smaller than the price before it.
    """
    known = np.flatnonzero(~np.isnan(raw))
    if not len(known):
        return None
    applies = (events.announced <= known_at) & (events.ex <= ordinals[known[-1]]) & (events.ex > ordinals[known[0]])
    if prices == "price":
        applies &= events.kind == IS_SPLIT
    if not applies.any():
        return None
    ex, kind, value = events.ex[applies], events.kind[applies], events.value[applies]
    before = known[np.searchsorted(ordinals[known], ex) - 1]  # newest known period before each ex-date
    factors = np.where(kind == IS_SPLIT, 1.0 / np.where(kind == IS_SPLIT, value, 1.0), 1.0 - value / raw[before])
    if (factors <= 0).any():
        place = int(np.argmax(factors <= 0))
        raise DataError(
            "a dividend is not smaller than the price before it",
            value=f"{name}: {value[place]:g} paid, {raw[before[place]]:g} before the ex-date, "
            f"announced {instant(int(events.announced[applies][place])).isoformat()}",
            rule="a total return divides by the price less the dividend",
            fix="correct the event (cash per share, in the unit of the series)",
        )
    steps = np.ones(len(raw))
    np.multiply.at(steps, np.searchsorted(ordinals, ex) - 1, factors)
    # from the newest period backwards, so that an older event cannot touch a newer level's bits
    found: Floats = np.cumprod(steps[::-1], dtype=np.float64)[::-1]
    return found
