"""What is known at an origin, and nothing else: the one door through which forecasting code sees data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.errors import UnknownNameError, UserError
from harness.core.recipe import Target
from harness.core.series import Series
from harness.core.time import NEVER, Timeline, period_ends
from harness.core.transform import Floats, Transform, apply_transform, one_period_steps, variance_proxies

Micros = NDArray[np.int64]
NO_POSITION = NEVER
"""Marks 'no period known' in an array of positions."""
SNAPSHOT_SCHEMA = pl.Schema(
    {"series_id": pl.String(), "period": pl.Date(), "published_at": pl.Datetime("us", "UTC"), "value": pl.Float64()}
)


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Series of one frequency, calendar and zone as known at one instant; columns are consecutive positions.

    Attributes:
        ids: stored series ids, one per row.
        timeline: the order of periods as known then.
        first: position (on the timeline) of column 0.
        values: [series, period] newest published value; NaN = unpublished or withdrawn.
        published: [series, period] microseconds UTC at which that value became public; NEVER = none.
        vintage: [series, period] microseconds UTC of the vintage the number came from; NEVER = hindsight.
    """

    ids: tuple[str, ...]
    timeline: Timeline
    first: int
    values: Floats
    published: Micros
    vintage: Micros

    def row(self, series_id: str) -> int:
        """Row of a series.

        Raises:
            ValueError: the series is not in this panel.
        """
        return self.ids.index(series_id)


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """One series as known at one instant, from its first to its last known period without holes in the axis.

    Attributes:
        series_id: stored id.
        timeline: the order of periods as known then.
        first: position of element 0 (meaningless when empty).
        values: [period] level; NaN = missing.
        published: [period] microseconds UTC; NEVER = missing.
    """

    series_id: str
    timeline: Timeline
    first: int
    values: Floats
    published: Micros

    @property
    def last(self) -> int:
        """Position of the newest known period; NO_POSITION when nothing is known."""
        return self.first + len(self.values) - 1 if len(self.values) else NO_POSITION


@dataclass(frozen=True, slots=True, eq=False)
class Issue:
    """One external forecast path, as it was issued, with the levels known at its issue.

    Attributes:
        source: who issued it.
        series_id: stored id of the series it forecasts (levels).
        issued_at: microseconds UTC.
        cutoff: microseconds UTC of its data cut-off; NEVER = unknown.
        ordinals: [step] period ordinals of the path.
        quantiles: [step] quantile; NaN = point forecast.
        values: [step] forecast level.
        known_first: ordinal of element 0 of `known`.
        known: [period] levels as of the issue instant, consecutive ordinals ending at the newest known then; NaN = none
            (a series of sessions has one element for every day, NaN where there is no session).
    """

    source: str
    series_id: str
    issued_at: int
    cutoff: int
    ordinals: Micros
    quantiles: Floats
    values: Floats
    known_first: int
    known: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything known at an origin (law 2). It holds no archive, no connection and nothing dated later.

    Attributes:
        origin: the instant the forecast is issued.
        known_at: microseconds UTC up to which publications are known (origin minus latency).
        panels: the series, grouped by frequency, calendar and zone.
        series: declarations of every series in the panels, by stored id.
        target: what is forecast, or None for a plain as-of question.
        issues: external forecasts issued by then, oldest first.
    """

    origin: datetime
    known_at: int
    panels: tuple[Panel, ...]
    series: Mapping[str, Series]
    target: Target | None = None
    issues: tuple[Issue, ...] = ()
    _panel_of: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        places = {name: place for place, panel in enumerate(self.panels) for name in panel.ids}
        object.__setattr__(self, "_panel_of", places)

    def panel(self, series_id: str) -> Panel:
        """The panel a series is in.

        Raises:
            UnknownNameError: no such series in this snapshot.
        """
        if series_id not in self._panel_of:
            raise UnknownNameError("series", series_id, self._panel_of)
        return self.panels[self._panel_of[series_id]]

    def history(self, series_id: str) -> History:
        """One series from its first to its last known period."""
        panel = self.panel(series_id)
        row = panel.row(series_id)
        known = np.flatnonzero(~np.isnan(panel.values[row]))
        if len(known) == 0:
            return History(series_id, panel.timeline, 0, np.empty(0), np.empty(0, dtype=np.int64))
        cut = slice(int(known[0]), int(known[-1]) + 1)
        return History(
            series_id, panel.timeline, panel.first + cut.start, panel.values[row, cut], panel.published[row, cut]
        )

    def frame(self) -> pl.DataFrame:
        """Tidy frame: series_id, period (last day), published_at (UTC), value; withdrawn cells are omitted."""
        parts = [_panel_frame(panel) for panel in self.panels]
        return pl.concat(parts) if parts else pl.DataFrame(schema=SNAPSHOT_SCHEMA)


def _panel_frame(panel: Panel) -> pl.DataFrame:
    rows, columns = np.nonzero(~np.isnan(panel.values))
    positions = panel.first + np.arange(panel.values.shape[1])
    ordinals = positions if panel.timeline.sessions is None else panel.timeline.sessions[positions]
    ends = period_ends(panel.timeline.frequency, ordinals.astype(np.int64))
    return pl.DataFrame(
        {
            "series_id": pl.Series(panel.ids, dtype=pl.String).gather(rows),
            "period": pl.Series(ends[columns]).cast(pl.Date),
            "published_at": pl.Series(panel.published[rows, columns]).cast(pl.Datetime("us", "UTC")),
            "value": panel.values[rows, columns],
        }
    )


@dataclass(frozen=True, slots=True, eq=False)
class TargetPanel:
    """The target's own history inside one snapshot, for every target series at once.

    Attributes:
        ids: stored target series ids, one per row.
        timeline: the order of target periods as known then.
        first: position of column 0.
        values: [series, period] transformed value (for volatility: over the w sessions *ending* at the period).
        steps: [series, period] one-period steps the target is built from (for volatility: variance proxies).
        last: [series] position of the newest period whose level (for volatility: proxy) is published.
    """

    ids: tuple[str, ...]
    timeline: Timeline
    first: int
    values: Floats
    steps: Floats
    last: Micros


def target_panel(snapshot: Snapshot, target: Target | None = None, *, since: int | None = None) -> TargetPanel:
    """Transform the target's levels inside one snapshot (growth is never taken across vintages, law 5).

    Args:
        snapshot: what is known.
        target: what is forecast; None = the snapshot's own.
        since: first position wanted (the lookback before it is added); None = all.

    Raises:
        UserError: there is no target, or its series do not share a frequency, calendar and zone.
    """
    target = target or snapshot.target
    if target is None:
        raise UserError("this snapshot has no target", fix="ask an experiment for it, or pass target=")
    inputs = [name for series_id in target.series for name in target.transform.inputs(series_id)]
    panels = {id(panel): panel for panel in map(snapshot.panel, inputs)}
    if len(panels) != 1:
        raise UserError(
            "target series differ in frequency, calendar or zone",
            value=", ".join(sorted(set(inputs))),
            rule="one target has one timeline",
            fix="forecast them in separate experiments",
        )
    panel = next(iter(panels.values()))
    start = 0 if since is None else min(max(0, since - panel.first - target.transform.lookback), panel.values.shape[1])
    values, steps, base = _transformed(panel, target, start)
    known = ~np.isnan(base)
    newest = known.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1) if known.shape[1] else np.zeros(len(known))
    last = np.where(known.any(axis=1), panel.first + start + newest, NO_POSITION).astype(np.int64)
    return TargetPanel(target.series, panel.timeline, panel.first + start, values, steps, last)


def newest_periods(snapshot: Snapshot, count: int) -> Snapshot:
    """The same snapshot with the target's panel cut to its newest target periods (a rolling window).

    As many levels stay as `count` transformed values need.

    Args:
        snapshot: what is known at the origin.
        count: target periods kept, counted back from the newest known of any target series.
    """
    last = int(target_panel(snapshot).last.max())
    target = snapshot.target
    if last == NO_POSITION or target is None:
        return snapshot
    own = snapshot.panel(target.transform.inputs(target.series[0])[0])
    start = max(0, last - count + 1 - target.transform.lookback - own.first)
    cut = replace(
        own,
        first=own.first + start,
        values=own.values[:, start:],
        published=own.published[:, start:],
        vintage=own.vintage[:, start:],
    )
    return replace(snapshot, panels=tuple(cut if panel is own else panel for panel in snapshot.panels))


def _transformed(panel: Panel, target: Target, start: int) -> tuple[Floats, Floats, Floats]:
    transform: Transform = target.transform

    def levels(names: list[str]) -> Floats:
        return panel.values[[panel.row(name) for name in names], start:]

    count = len(target.series)
    own = levels(list(target.series)) if transform.proxy != "parkinson" else levels([transform.high] * count)
    other = levels([transform.other] * count) if transform.other else None
    if transform.is_volatility:
        high = levels([transform.high] * count) if transform.high else None
        low = levels([transform.low] * count) if transform.low else None
        values = apply_transform(transform, own, high=high, low=low)
        steps = variance_proxies(transform, own, high, low)
        return values, steps, steps
    values = apply_transform(transform, own, other=other)
    base = own if other is None else own - other
    return values, one_period_steps(transform, own, other=other), base
