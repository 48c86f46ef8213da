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
    """Splits and dividends of some series, in order of ex-period; arrays [event].

    Attributes:
        ids: stored ids of the series, one per row of the levels they are applied to.
        row: index into `ids`.
        ex: ordinal of the first period whose level is after the event.
        announced: microseconds UTC.
        kind: `IS_SPLIT` or `IS_DIVIDEND`.
        value: new shares per old share, or cash per old share.
    """

    ids: tuple[str, ...]
    row: Integers
    ex: Integers
    announced: Integers
    kind: NDArray[np.int8]
    value: Floats

    def __len__(self) -> int:
        return len(self.row)

    @property
    def some(self) -> Integers:
        """Rows that have any event, ascending."""
        return np.unique(self.row)


class Adjuster:
    """The price events of a change file, laid out once for every panel they are applied to."""

    def __init__(self, changes: ChangeFile, ids: tuple[str, ...]) -> None:
        """Find the events of some series.

        Args:
            changes: the change file.
            ids: stored ids of the series followed.
        """
        self._changes = changes
        self._placed: dict[tuple[str, ...], PriceEvents] = {}
        self.idle = not len(changes.events.code) or not len(self.events_of(ids))
        """Whether none of the series has any."""

    def events_of(self, ids: tuple[str, ...]) -> PriceEvents:
        """The events of the series of a panel (those followed)."""
        if ids not in self._placed:
            self._placed[ids] = price_events(self._changes, ids)
        return self._placed[ids]

    def panel(self, panel: Panel, known_at: int, prices: Prices) -> Panel:
        """A panel of raw levels adjusted as of an instant, in a copy; as it is when nothing applies.

        Args:
            panel: raw levels as known at the instant; never written to.
            known_at: microseconds UTC up to which announcements count.
            prices: `price` (splits only) or `total` (dividends too).

        Raises:
            DataError: a dividend is not smaller than the price before it.
        """
        events = self.events_of(panel.ids)
        if not len(events) or not panel.values.shape[1]:
            return panel
        positions = np.arange(panel.first, panel.first + panel.values.shape[1], dtype=np.int64)
        ordinals = positions if panel.timeline.sessions is None else panel.timeline.sessions[positions]
        values = adjusted(panel.values, ordinals, events, known_at, prices)
        return panel if values is None else replace(panel, values=values)

    def issue(self, issue: Issue, prices: Prices) -> Issue:
        """An external forecast with the levels known at its issue adjusted as of the issue.

        Its path stays as it was issued: in shares of that day.
        """
        events = self.events_of((issue.series_id,))
        if not len(events) or not len(issue.known):
            return issue
        ordinals = np.arange(issue.known_first, issue.known_first + len(issue.known), dtype=np.int64)
        values = adjusted(issue.known[np.newaxis], ordinals, events, issue.issued_at, prices)
        if values is None:
            return issue
        values.flags.writeable = False
        return replace(issue, known=values[0])


def price_events(changes: ChangeFile, ids: tuple[str, ...]) -> PriceEvents:
    """Splits and dividends of some series.

    Args:
        changes: the change file.
        ids: stored ids.
    """
    rows = changes.events
    row_of = np.full(len(changes.ids), -1, dtype=np.int64)
    row_of[changes.codes_of(ids)] = np.arange(len(ids))
    mine = np.flatnonzero(((rows.kind == IS_SPLIT) | (rows.kind == IS_DIVIDEND)) & (row_of[rows.code] >= 0))
    mine = mine[np.lexsort((rows.kind[mine], rows.ex[mine]))]
    return PriceEvents(
        ids, row_of[rows.code[mine]], rows.ex[mine], rows.announced[mine], rows.kind[mine], rows.value[mine]
    )


def adjusted(raw: Floats, ordinals: Integers, events: PriceEvents, known_at: int, prices: Prices) -> Floats | None:
    """Levels adjusted as of an instant; None when no event applies.

    Args:
        raw: [series, period] raw levels as known at the instant; NaN = unknown.
        ordinals: [period] ascending ordinals of the periods.
        events: splits and dividends of the series.
        known_at: microseconds UTC up to which announcements count.
        prices: `price` or `total`.

    Raises:
        DataError: a dividend is not smaller than the price before it.
    """
    column = np.searchsorted(ordinals, events.ex)  # the first one after the event
    applies = (events.announced <= known_at) & (column > 0) & (column <= _newest(raw, events)[events.row])
    if prices == "price":
        applies &= events.kind == IS_SPLIT
    picked = np.flatnonzero(applies)
    if not len(picked):
        return None
    factors = _factors(raw, column, events, picked)
    touched, place = np.unique(events.row[picked], return_inverse=True)
    steps = np.ones((len(touched), raw.shape[1]))
    np.multiply.at(steps, (place, column[picked] - 1), factors)
    values = raw.copy()
    # from the newest period backwards, so that an older event cannot touch a newer level's bits
    values[touched] *= np.cumprod(steps[:, ::-1], axis=1)[:, ::-1]
    return values


def _newest(raw: Floats, events: PriceEvents) -> Integers:
    """[series] column of the newest known level of every series with events; -1 = nothing known (or no event)."""
    newest = np.full(len(raw), -1, dtype=np.int64)
    some = events.some
    newest[some] = raw.shape[1] - 1
    for row in some[np.isnan(raw[some, -1])].tolist():
        known = np.flatnonzero(~np.isnan(raw[row]))
        newest[row] = int(known[-1]) if len(known) else -1
    return newest


def _factors(raw: Floats, column: Integers, events: PriceEvents, picked: Integers) -> Floats:
    """[picked event] what the levels before each event are multiplied by."""
    row, value, split = events.row[picked], events.value[picked], events.kind[picked] == IS_SPLIT
    before = raw[row, column[picked] - 1]
    for place in np.flatnonzero(np.isnan(before) & ~split):
        earlier = raw[row[place], : column[picked[place]]]
        known = earlier[~np.isnan(earlier)]
        before[place] = known[-1] if len(known) else np.inf  # nothing before the event to be moved by it
    factors: Floats = np.where(split, 1.0 / np.where(split, value, 1.0), 1.0 - value / np.where(split, 1.0, before))
    wrong = np.flatnonzero(~split & (factors <= 0))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            "a dividend is not smaller than the price before it",
            value=f"{events.ids[row[first]]}: {value[first]:g} paid, {before[first]:g} before the ex-date, "
            f"announced {instant(int(events.announced[picked[first]])).isoformat()}",
            rule="a total return divides by the price less the dividend",
            fix="correct the event (cash per share, in the unit of the series)",
        )
    return factors
