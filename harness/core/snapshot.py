"""What is known at an origin, and nothing else: the one door through which forecasting code sees data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.errors import FEW, UnknownNameError, UserError, listed
from harness.core.names import Names, names_of
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", names_of(self.ids))

    @property
    def names(self) -> Names:
        """The ids, which know their rows."""
        return names_of(self.ids)

    def row(self, series_id: str) -> int:
        """Row of a series.

        Raises:
            ValueError: the series is not in this panel.
        """
        if series_id not in self.names.places:
            message = f"{series_id} is not in this panel"
            raise ValueError(message)
        return self.names.places[series_id]

    def levels(self, names: tuple[str, ...], start: int = 0) -> Floats:
        """[series, period] newest values of some of its series, from a column on; a view where these are all."""
        rows = self.names.rows_of(names)
        if rows is None:
            return self.values[:, start:]
        if (rows < 0).any():
            self.row(names[int(np.argmax(rows < 0))])
        return self.values[rows, start:]


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
    _targets: dict[tuple[int, int | None], tuple[Target, TargetPanel]] = field(
        init=False, repr=False, default_factory=dict
    )

    def __reduce__(self) -> tuple[type[Snapshot], tuple[object, ...]]:
        """Pickle what is known alone: what was transformed is transformed again."""
        return Snapshot, (self.origin, self.known_at, self.panels, self.series, self.target, self.issues)

    def panel(self, series_id: str) -> Panel:
        """The panel a series is in.

        Raises:
            UnknownNameError: no such series in this snapshot.
        """
        for panel in self.panels:
            if series_id in panel.names.places:
                return panel
        raise UnknownNameError("series", series_id, [name for panel in self.panels for name in panel.ids])

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
            "series_id": panel.names.column.gather(rows),
            "period": pl.Series(ends[columns]).cast(pl.Date),
            "published_at": pl.Series(panel.published[rows, columns]).cast(pl.Datetime("us", "UTC")),
            "value": panel.values[rows, columns],
        }
    )


@dataclass(frozen=True, eq=False)
class TargetPanel:
    """The target's own history inside one snapshot, for every target series at once; its arrays are read-only.

    Attributes:
        ids: stored target series ids, one per row.
        timeline: the order of target periods as known then.
        first: position of column 0.
        values: [series, period] transformed value (for volatility: over the w sessions *ending* at the period).
        last: [series] position of the newest period whose level (for volatility: proxy) is published.
        stepped: makes `steps` when they are first asked for.
    """

    ids: tuple[str, ...]
    timeline: Timeline
    first: int
    values: Floats
    last: Micros
    stepped: Callable[[], Floats] = field(repr=False)

    @cached_property
    def steps(self) -> Floats:
        """[series, period] one-period steps the target is built from (for volatility: variance proxies)."""
        return _read_only(self.stepped())


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
    asked = (id(target), since)
    if asked not in snapshot._targets:  # noqa: SLF001 - its own memory; the target is kept, so its identity stays its own
        snapshot._targets[asked] = (target, _target_panel(snapshot, target, since))  # noqa: SLF001
    return snapshot._targets[asked][1]  # noqa: SLF001


def _target_panel(snapshot: Snapshot, target: Target, since: int | None) -> TargetPanel:
    panel = _shared_panel(snapshot, target)
    start = 0 if since is None else min(max(0, since - panel.first - target.transform.lookback), panel.values.shape[1])
    values, base, stepped = _transformed(panel, target, start)
    last = np.full(len(values), NO_POSITION, dtype=np.int64)
    missing = np.ones(len(values), dtype=bool)
    for column in range(base.shape[1] - 1, -1, -1):  # from the newest back: nearly all are found in the first few
        found = missing & ~np.isnan(base[:, column])
        last[found] = panel.first + start + column
        missing &= ~found
        if not missing.any():
            break
    return TargetPanel(target.series, panel.timeline, panel.first + start, _read_only(values), last, stepped)


def _shared_panel(snapshot: Snapshot, target: Target) -> Panel:
    """The one panel all inputs of the target are in."""
    first = snapshot.panel(target.transform.inputs(target.series[0])[0])
    inputs = [] if target.transform.proxy == "parkinson" else [target.series]
    transform = target.transform
    extra = tuple(name for name in (transform.other, transform.high, transform.low) if name)
    inputs += [extra] if extra else []
    for names in inputs:
        rows = first.names.rows_of(names)
        if rows is not None and (rows < 0).any():
            apart = snapshot.panel(names[int(np.argmax(rows < 0))])  # refuses a name that is nowhere
            assert apart is not first  # noqa: S101
            every = {name for series_id in target.series for name in transform.inputs(series_id)}
            raise UserError(
                "target series differ in frequency, calendar or zone",
                value=listed(sorted(every), FEW),
                rule="one target has one timeline",
                fix="forecast them in separate experiments",
            )
    return first


def _read_only(array: Floats) -> Floats:
    view = array.view()
    view.flags.writeable = False
    return view


def newest_periods(snapshot: Snapshot, count: int, newest: int | None = None) -> Snapshot:
    """The same snapshot with the target's panel cut to its newest target periods (a rolling window).

    As many levels stay as `count` transformed values need.

    Args:
        snapshot: what is known at the origin.
        count: target periods kept, counted back from the newest known of any target series.
        newest: position of that period, where the snapshot has some of the series; None = it has all.
    """
    last = int(target_panel(snapshot).last.max()) if newest is None else newest
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


def _transformed(panel: Panel, target: Target, start: int) -> tuple[Floats, Floats, Callable[[], Floats]]:
    """Transformed values, what must be known for the newest one, and how the one-period steps are made."""
    transform: Transform = target.transform

    def levels(name: str) -> Floats:
        row = panel.values[panel.row(name), start:]
        return np.broadcast_to(row, (len(target.series), len(row)))

    own = panel.levels(target.series, start) if transform.proxy != "parkinson" else levels(transform.high)
    other = levels(transform.other) if transform.other else None
    if transform.is_volatility:
        high = levels(transform.high) if transform.high else None
        low = levels(transform.low) if transform.low else None
        steps = variance_proxies(transform, own, high, low)
        return apply_transform(transform, own, high=high, low=low), steps, lambda: steps
    base = own if other is None else own - other
    values = own if transform.kind == "level" else apply_transform(transform, own, other=other)
    return values, base, lambda: one_period_steps(transform, own, other=other)
