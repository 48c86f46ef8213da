"""Leaks, each a small patch of the harness's own source as somebody might write it, and what must give it away.

The patches apply to every world alike, as a leak in the source would: what changes between worlds is the data only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pytest

import harness.backtest.design as design_room
import harness.backtest.splits as splits_room
import harness.data.lags as lags_room
import harness.data.observations as observations_room
import harness.data.outcomes as outcomes_room
import harness.data.replay as replay_room
import harness.data.stamps as stamps_room
from harness.backtest.design import RowBuilder
from harness.backtest.latest_rows import LatestRows
from harness.backtest.splits import MATURED, NOT_MATURED, USED, Plan
from harness.core.recipe import Experiment
from harness.core.time import NEVER, end_of_day, micros, period_ends
from harness.data.changes import ChangeFile
from harness.data.external import issues_from
from harness.data.lags import estimate_lag
from harness.data.matrix import Matrices
from harness.data.observations import Observations
from harness.data.replay import Replay
from harness.forecast.boosting import LightGBM
from harness.forecast.features import feature_names
from harness.forecast.steps.pipeline import StepPipeline
from harness.forecast.steps.rows import StepRows, by_horizon
from harness.studies.scramble import RAW
from tests.planted.world import monthly, quarterly

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]
DESIGN, SPLITS = "harness.backtest.design", "harness.backtest.splits"
REPLAY, INGEST, OUTCOMES = "harness.data.replay", "harness.data.ingest", "harness.data.outcomes"
STEPS, BOOSTING = "harness.forecast.steps", "harness.forecast.boosting"


@dataclass(frozen=True, slots=True)
class Specimen:
    """One leak.

    Attributes:
        name: what the patched code does wrong.
        rule: the law or rule it breaks.
        kind: the way of scrambling that must show it.
        stage, place: the first hand-over that moves, and the module behind it.
        plant: applies the patch.
        series, row, column: what the evidence must name (regular expressions; "" = nothing to name).
        asked: the experiment it is planted in.
        models: the models that are run.
        drop: raw batches lose their later rows instead of getting other values.
        origin: how many origins after the first scored one it is looked for; None = in the middle.
    """

    name: str
    rule: str
    kind: str
    stage: str
    place: str
    plant: Plant
    series: str = ""
    row: str = ""
    column: str = ""
    asked: Callable[[], Experiment] = monthly
    models: tuple[str, ...] = ("ridge",)
    drop: bool = False
    origin: int | None = None


def everywhere(patch: Patch, original: object, leaky: object) -> None:
    """Put a function in the place of another wherever the harness has it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("harness."):
            for key, value in list(vars(module).items()):
                if value is original:
                    patch.setattr(module, key, leaky)


def final_values(changes: ChangeFile, series_id: str) -> dict[int, float]:
    """The newest value of every period, whenever it came out."""
    mine = changes.code == changes.codes[series_id]
    return dict(zip(changes.period[mine].tolist(), changes.value[mine].tolist(), strict=True))


def firsts(changes: ChangeFile) -> ChangeFile:
    """The first statement of every period alone."""
    _, rows = np.unique(np.stack([changes.code, changes.period]), axis=1, return_index=True)
    names = ("code", "period", "published", "value", "vintage", "availability")
    return replace(changes, **{name: getattr(changes, name)[np.sort(rows)] for name in names})


def final_growth(changes: ChangeFile, series_id: str) -> dict[int, float]:
    """Growth in the final history, of the periods that have it."""
    level = final_values(changes, series_id)
    return {at: 100 * float(np.log(level[at] / level[at - 1])) for at in sorted(level) if at - 1 in level and
            level[at] * level[at - 1] > 0}  # fmt: skip


# ---- in the feature rows


Leak = Callable[[Plan, ChangeFile, np.ndarray, int], None]
"""(plan, changes, rows [origin, series, horizon, feature] to be spoilt, last origin)"""


def in_design(leak: Leak) -> Plant:
    def plant(patch: Patch) -> None:
        honest = design_room.build_design

        def leaky(plan: Plan, changes: ChangeFile, *, last: int | None = None) -> np.ndarray:
            rows = honest(plan, changes, last=last)
            leak(plan, changes, rows, len(plan.instants) - 1 if last is None else last)
            return rows

        everywhere(patch, honest, leaky)

    return plant


def column(plan: Plan, name: str) -> int:
    return feature_names(plan.experiment.features).index(name)


def newest_known(plan: Plan, changes: ChangeFile, series_id: str, origin: int) -> int:
    known = (changes.code == changes.codes[series_id]) & (changes.published <= plan.known[origin])
    return int(changes.period[known].max(initial=0))


def centred(plan: Plan, changes: ChangeFile, rows: np.ndarray, last: int) -> None:
    for place, series_id in enumerate(plan.experiment.target.series):
        growth = final_growth(changes, series_id)
        for origin in range(last + 1):
            middle = newest_known(plan, changes, series_id, origin)
            window = [growth.get(middle + step, np.nan) for step in (-1, 0, 1)]
            rows[origin, place, :, column(plan, "own.rolling_mean_3")] = np.mean(window)


def lag_in_rows(plan: Plan, changes: ChangeFile, rows: np.ndarray, last: int) -> None:
    """Row k before the end of a table of first releases, cut where its fastest series ends."""
    tables = {name: sorted(final_growth(firsts(changes), name).items()) for name in plan.experiment.target.series}
    for origin in range(last + 1):
        newest = max(newest_known(plan, changes, name, origin) for name in tables)
        for place, table in enumerate(tables.values()):
            until = [value for period, value in table if period <= newest]
            rows[origin, place, :, column(plan, "own.lag_1")] = until[-1] if until else np.nan


def filled(plan: Plan, changes: ChangeFile, rows: np.ndarray, last: int, *, weight: float) -> None:
    """Missing values get the next one (weight 1), or lie on the line between the last and the next."""
    for place, series_id in enumerate(plan.experiment.target.series):
        growth = final_growth(changes, series_id)
        for origin in range(last + 1):
            wanted = int(plan.ends[origin, 0]) - 1
            before, after = [p for p in growth if p < wanted], [p for p in growth if p > wanted]
            missing = wanted not in growth and wanted < newest_known(plan, changes, series_id, origin) + 1
            if missing and before and after:
                value = weight * growth[min(after)] + (1 - weight) * growth[max(before)]
                rows[origin, place, :, column(plan, "own.lag_1")] = value


def realised(plan: Plan, changes: ChangeFile, rows: np.ndarray, last: int) -> None:
    rate = final_values(changes, "made/rate")
    for origin in range(last + 1):
        for step, period in enumerate(plan.ends[origin].tolist()):
            rows[origin, :, step, column(plan, "rate.known_ahead_0")] = rate.get(period, np.nan)


def dated_by_period(changes: ChangeFile) -> ChangeFile:
    """As if every value had been public when its period ended, the newest one at once."""
    ends = np.zeros(len(changes.period), dtype=np.int64)
    for name, code in changes.codes.items():
        mine, one = changes.code == code, changes.series[name]
        days = period_ends(one.parsed, changes.period[mine].astype(np.int64)).tolist()
        ends[mine] = [micros(end_of_day(day, one.zone)) for day in days]
    order = np.lexsort((changes.published, ends))
    taken = {name: getattr(changes, name)[order] for name in ("code", "period", "value", "vintage", "availability")}
    return replace(changes, published=ends[order], **taken)


def joined_on_period(patch: Patch) -> None:
    honest = design_room.build_design
    everywhere(patch, honest, lambda plan, changes, *, last=None: honest(plan, dated_by_period(changes), last=last))


def refreshed(patch: Patch) -> None:
    honest = RowBuilder.__init__

    def leaky(self: RowBuilder, plan: Plan, rows: np.ndarray, blocks: Any, changes: ChangeFile) -> None:
        honest(self, plan, rows, blocks, changes)
        self.latest = LatestRows(plan, blocks, changes) if blocks else None

    patch.setattr(RowBuilder, "__init__", leaky)


def as_of_refit(patch: Patch) -> None:
    """The rows of every origin are made anew with the final numbers of the cells that were known."""

    def leak(plan: Plan, changes: ChangeFile, rows: np.ndarray, last: int) -> None:
        for place, series_id in enumerate(plan.experiment.target.series):
            growth = final_growth(changes, series_id)
            for origin in range(last + 1):
                newest = newest_known(plan, changes, series_id, origin)
                rows[origin, place, :, column(plan, "own.latest_1")] = growth.get(newest, np.nan)

    in_design(leak)(patch)


# ---- in the snapshots


def around(patch: Patch, owner: Any, name: str, leak: Callable[..., Any]) -> None:
    """Put `leak(honest, ...)` in the place of a function or method."""
    honest = getattr(owner, name)

    def leaky(*args: Any, **more: Any) -> Any:
        return leak(honest, *args, **more)

    patch.setattr(owner, name, leaky)


def without_latency(patch: Patch) -> None:
    def leak(honest: Any, *args: Any, latency: timedelta = timedelta(0), **more: Any) -> None:
        honest(*args, **more)

    around(patch, Replay, "__init__", leak)


def replayed_by_period(patch: Patch) -> None:
    def leak(honest: Any, self: Replay, changes: ChangeFile, *args: Any, **more: Any) -> None:
        honest(self, dated_by_period(changes), *args, **more)

    around(patch, Replay, "__init__", leak)


def issued_early(patch: Patch) -> None:
    def leak(honest: Any, self: Replay, origin: Any) -> None:
        honest(self, origin)
        if self._pending:
            _, forecasts = self._pending.pop(0)
            self._issues += issues_from(
                forecasts, self._names, lambda code, _: self._matrices.levels(self._names[code])
            )

    around(patch, Replay, "advance", leak)


def declared_whole(patch: Patch) -> None:
    patch.setattr(replay_room, "declared_by", lambda series, known_at: series)


def declared_through(patch: Patch) -> None:
    def leak(honest: Any, self: Replay, changes: ChangeFile, ids: Any, **more: Any) -> None:
        honest(self, changes, ids, **more)
        known = changes.known_through
        self._series = {
            name: replace(one, description=f"known through {known[name]}") for name, one in self._series.items()
        }

    around(patch, Replay, "__init__", leak)


def as_wide_as_ever(patch: Patch) -> None:
    def leak(honest: Any, self: Matrices, at: int) -> None:
        honest(self, at)
        self._seen[:] = True

    around(patch, Matrices, "announce", leak)


def dated_by_next(patch: Patch, *, known: bool) -> None:
    """Cells carry the instant of their next change: those that have a value, or those that have none yet."""

    def leak(honest: Any, self: Matrices, start: int, end: int) -> None:
        honest(self, start, end)
        code, period, published = (array[end : end + 6] for array in self._rows[:3])
        cells = self._row_start[code] + self._column_of[period - self._low[code]]
        wanted = np.isnan(self.values[cells]) != known
        self.published[cells[wanted]] = published[wanted]
        self._seen[(self._seen_start[code] + self._column_of[period - self._low[code]])[wanted]] = True

    around(patch, Matrices, "apply", leak)


# ---- in the purge, the labels and the outcomes


def with_fates(leak: Callable[[np.ndarray, np.ndarray, Plan, int], np.ndarray]) -> Plant:
    """`leak(fates, whether an outcome is ever matured, plan, origin)` in the place of the fates."""

    def plant(patch: Patch) -> None:
        honest = splits_room.row_fates

        def leaky(plan: Plan, origin: int, horizon: int, snapshot: Any) -> np.ndarray:
            some = plan.outcomes.status[:, plan.request[:origin, horizon]].T == MATURED
            return leak(honest(plan, origin, horizon, snapshot), some, plan, origin)

        everywhere(patch, honest, leaky)

    return plant


def unpurged(fates: np.ndarray, ever: np.ndarray, plan: Plan, origin: int) -> np.ndarray:
    return np.where((fates == NOT_MATURED) & ever, USED, fates).astype(np.int8)


def own_cutoffs(fates: np.ndarray, ever: np.ndarray, plan: Plan, origin: int) -> np.ndarray:
    """Every series is cut as many rows before its own end as the first one is."""
    first = (fates[:, :1] == USED) & (fates == NOT_MATURED) & ever
    return np.where(first, USED, fates).astype(np.int8)


def one_release_early(patch: Patch) -> None:
    honest = splits_room.row_fates

    def leaky(plan: Plan, origin: int, horizon: int, snapshot: Any) -> np.ndarray:
        known, at = plan.known.copy(), plan.outcomes.matured_at
        later = at[(at != NEVER) & (at > known[origin])]
        known[origin] = later.min() if len(later) else known[origin]
        return honest(replace(plan, known=known), origin, horizon, snapshot)

    everywhere(patch, honest, leaky)


def final_labels(patch: Patch) -> None:
    """What a period's growth is in the final history, under the date of its first release."""

    def leak(honest: Any, changes: ChangeFile, target: Any, windows: Any, inputs: Any, due: np.ndarray) -> Any:
        end = int(changes.published.max())
        return honest(changes, target, windows, inputs, np.where(due == NEVER, due, np.maximum(due, end)))

    around(patch, outcomes_room, "_evaluate_all", leak)


# ---- in steps and models: rows of all origins, whatever is known


ALL_ROWS: dict[str, Any] = {}
"""The rows of all origins with their labels, as the newest fit could have had them."""


def with_all_rows(patch: Patch) -> None:
    def leak(honest: Any, self: RowBuilder, origin: int, sets: Any, snapshot: Any) -> Any:
        plan = self.plan
        many = np.indices((len(plan.request), len(plan.experiment.target.series), len(sets)))
        origins, series, places = (axis.ravel() for axis in many)
        horizons = np.array(sorted(sets))[places]
        rows = self._rows(self._frozen(origins, series, horizons), origins, series, horizons)
        labels = plan.outcomes.value[series, plan.request[origins, horizons]]
        ALL_ROWS["rows"] = replace(rows, y=labels)
        ALL_ROWS["later"] = origins > origin
        return honest(self, origin, sets, snapshot)

    around(patch, RowBuilder, "training", leak)


def fitted_on_all(kind: str) -> Plant:
    """A step is fitted on the rows of all origins, and only then applied to the training rows."""

    def plant(patch: Patch) -> None:
        with_all_rows(patch)

        def leak(honest: Any, self: StepPipeline, rows: StepRows, *, seed: int, horizon: int) -> Any:
            every = next(table for step, _, table in by_horizon(ALL_ROWS["rows"]) if step == horizon)
            for place, (name, step) in enumerate(self._named()):
                step.fit(_usable(every, name) if name == kind else rows, seed=seed + place)
                rows, every = step.transform(rows), step.transform(every)
            return rows

        around(patch, StepPipeline, "fit", leak)

    return plant


def _usable(rows: StepRows, kind: str) -> StepRows:
    """Rows a step can be fitted on: scores need labels, and components need every value."""
    there = np.ones(len(rows), dtype=bool) if rows.y is None or kind != "select" else ~np.isnan(rows.y)
    if kind in ("select", "pca"):
        there &= ~np.isnan(rows.X).any(axis=1)
    return rows.taken(np.flatnonzero(there))


def stopped_on_later_rows(patch: Patch) -> None:
    """The number of trees is the one that is best on rows after the origin."""
    with_all_rows(patch)

    def leak(honest: Any, self: LightGBM, rows: Any, snapshot: Any, *, seed: int) -> None:
        every, later = ALL_ROWS["rows"], ALL_ROWS["later"]
        errors = {}
        for rounds in range(1, 16):
            self._rounds = rounds
            honest(self, rows, snapshot, seed=seed)
            answers = self.predict(replace(every, y=None), snapshot)["value"].to_numpy()
            errors[rounds] = float(np.nansum((answers - every.y)[later] ** 2))
        self._rounds = min(errors, key=lambda one: errors[one])
        honest(self, rows, snapshot, seed=seed)

    around(patch, LightGBM, "fit", leak)


# ---- in the reading of files


def without_time_of_day(patch: Patch) -> None:
    def leak(honest: Any, *args: Any, **more: Any) -> pl.Series:
        found = honest(*args, **more)
        if found.dtype == pl.Date:
            return found
        return found.dt.convert_time_zone("America/New_York").dt.truncate("1d").dt.convert_time_zone("UTC")

    around(patch, observations_room, "moments", leak)


def ends_in_utc(room: Any) -> Plant:
    return lambda patch: patch.setattr(room, "end_of_day", lambda day, _: end_of_day(day, "UTC"))


def observed(patch: Patch, leak: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    def around_it(honest: Any, dataset: Any, source: Any, *args: Any) -> Observations:
        found = honest(dataset, source, *args)
        return replace(found, rows=leak(found.rows)) if source.dated_by else found

    honest = observations_room.observe
    everywhere(patch, honest, partial(around_it, honest))


def lag_of_all_rows(patch: Patch) -> None:
    """Values are dated by a late quantile of all lags of the file, those to come included."""

    def leak(rows: pl.DataFrame) -> pl.DataFrame:
        newest = rows.filter(pl.col("published_at") == pl.col("published_at").max().over("series_id", "period"))
        first = rows.group_by("series_id", "period").agg(pl.col("published_at").min())
        days = first.select((pl.col("published_at").dt.date() - pl.col("period")).dt.total_days())
        late = estimate_lag(days.to_series().to_numpy(), 0.9)
        at = pl.col("period").cast(pl.Datetime("us", "UTC")) + pl.duration(days=int(late) + 1)
        return newest.with_columns(published_at=at, value_known_at=at)

    observed(patch, leak)


def clipped_at_all_rows(patch: Patch) -> None:
    """Outliers are cut at quantiles of the whole file."""

    def leak(rows: pl.DataFrame) -> pl.DataFrame:
        low, high = rows["value"].quantile(0.1), rows["value"].quantile(0.9)
        return rows.with_columns(pl.col("value").clip(low, high))

    observed(patch, leak)


def period_before(patch: Patch) -> None:
    """A month is filed under the month before, which the lag rule then dates."""
    honest = stamps_room.period_of

    def leaky(value: object, frequency: Any, *args: Any, **more: Any) -> date:
        day = honest(value, frequency, *args, **more)
        return date(day.year, day.month, 1) - timedelta(days=1) if frequency.kind == "M" else day

    everywhere(patch, honest, leaky)


def issues_begin_with_their_day(patch: Patch) -> None:
    import harness.data.issued as issued_room

    def leak(honest: Any, stamps: pl.Series, zone: str) -> pl.Series:
        return honest(stamps, zone) - timedelta(days=1)

    around(patch, issued_room, "as_instants", leak)


EVENING = partial(monthly, at=time(21))
SPECIMENS = (
    Specimen(
        "a rolling mean is centred", "law 1", "removed", "training rows", DESIGN, in_design(centred),
        series="made/", column=r"own\.rolling_mean_3",
    ),
    Specimen(
        "a lag counts rows of a ragged panel", "law 1", "removed", "asked rows", DESIGN, in_design(lag_in_rows),
        series="made/[ac]", column=r"own\.lag_1",
    ),
    Specimen(
        "missing values are filled backwards", "law 6", "removed", "asked rows", DESIGN,
        in_design(partial(filled, weight=1.0)), series="made/b", column=r"own\.lag_1",
    ),
    Specimen(
        "missing values are interpolated across the origin", "law 6", "noise", "asked rows", DESIGN,
        in_design(partial(filled, weight=0.5)), series="made/b", column=r"own\.lag_1",
    ),
    Specimen(
        "an input known ahead is its realised future", "law 1", "noise", "asked rows", DESIGN, in_design(realised),
        column=r"rate\.known_ahead_0",
    ),
    Specimen(
        "features are joined on the period", "law 1", "noise", "training rows", DESIGN, joined_on_period,
        series="made/", column=r"own\..*",
    ),
    Specimen(
        "frozen rows are made again of each refit's vintage", "law 3", "noise", "frozen rows", DESIGN, refreshed,
        series="made/", column=r"own\..*",
    ),
    Specimen(
        "rows hold final numbers at their own origins' periods", "law 3", "noise", "asked rows", DESIGN, as_of_refit,
        series="made/", column=r"own\.latest_1",
    ),
    Specimen(
        "latency is forgotten", "S2", "removed", "snapshot", REPLAY, without_latency, series="made/",
        asked=partial(monthly, latency=timedelta(days=10)),
    ),
    Specimen(
        "a snapshot is joined on the period", "law 1", "noise", "snapshot", REPLAY, replayed_by_period,
        series="made/",
    ),
    Specimen(
        "an external forecast is used before its issue", "S23", "noise", "issues", REPLAY, issued_early,
        series="made/a", models=("bank",),
    ),
    Specimen(
        "declarations tell release days to come", "S20", "removed", "declarations", REPLAY, declared_whole,
        series="made/rate", column="declared",
    ),
    Specimen(
        "declarations tell how far the archive reaches", "S20", "removed", "declarations", REPLAY, declared_through,
        series="made/", column="declared",
    ),
    Specimen(
        "a panel is as wide as it will be", "S20", "removed", "declarations", REPLAY, as_wide_as_ever,
        series="made/", column="periods",
    ),
    Specimen(
        "a value carries the instant of its next revision", "S20", "restamped", "snapshot", REPLAY,
        partial(dated_by_next, known=True), series="made/", column="published_at",
    ),
    Specimen(
        "an unpublished period carries the instant it will come out", "S20", "restamped", "snapshot", REPLAY,
        partial(dated_by_next, known=False), series="made/",
    ),
    Specimen(
        "overlapping labels are not purged", "law 4", "outcomes", "matured rows", SPLITS, with_fates(unpurged),
        series="made/",
    ),
    Specimen(
        "every series of a panel has its own cutoff", "law 4", "removed", "matured rows", SPLITS,
        with_fates(own_cutoffs), series="made/c",
    ),
    Specimen(
        "a label is used one release early", "law 4", "removed", "matured rows", SPLITS, one_release_early,
        series="made/",
    ),
    Specimen(
        "labels are final values under the date of the first", "S11", "noise", "outcomes", OUTCOMES, final_labels,
        series="made/", column="value|status",
    ),
    Specimen(
        "a scaler is fitted on all rows", "law 6", "noise", "fit", STEPS, fitted_on_all("scale"),
        row=r"parameter steps.*(centre|scale)", column="value", models=("scaled",),
    ),
    Specimen(
        "an imputer is fitted on all rows", "law 6", "noise", "fit", STEPS, fitted_on_all("impute"),
        row=r"parameter steps.*fill", column="value", models=("scaled",),
    ),
    Specimen(
        "outliers are cut at quantiles of all rows", "law 6", "noise", "fit", STEPS, fitted_on_all("winsorise"),
        row=r"parameter steps.*(low|high)", column="value", models=("scaled",),
    ),
    Specimen(
        "columns are selected on all rows", "law 6", "outcomes", "fit", STEPS, fitted_on_all("select"),
        row=r"parameter steps.*(scores|kept)", column="value", models=("chosen",),
    ),
    Specimen(
        "components are those of all rows", "law 6", "noise", "fit", STEPS, fitted_on_all("pca"),
        row=r"parameter steps.*(axes|mean|share)", column="value", models=("chosen",),
    ),
    Specimen(
        "categories are those of all rows", "law 6", "removed", "fit", STEPS, fitted_on_all("encode"),
        row=r"parameter steps.*categories", models=("encoded",), origin=0,
    ),
    Specimen(
        "trees are stopped by rows after the origin", "law 6", "outcomes", "fit", BOOSTING, stopped_on_later_rows,
        row="parameter models", column="value", models=("gbm",),
    ),
    Specimen(
        "ingest drops the time of day", "law 1", RAW, "archive", INGEST, without_time_of_day, series="made/a",
        column="value",
    ),
    Specimen(
        "stamps end their day in UTC", "S1", RAW, "archive", INGEST, ends_in_utc(stamps_room), series="made/gdp",
        column="value", asked=quarterly,
    ),
    Specimen(
        "a lag rule ends its day in UTC", "S1", RAW, "archive", INGEST, ends_in_utc(lags_room), series="made/rate",
        column="value", asked=EVENING,
    ),
    Specimen(
        "a period is filed under the one before", "law 1", RAW, "archive", INGEST, period_before,
        series="made/rate", column="value",
    ),
    Specimen(
        "a lag is estimated from the whole file", "S7", RAW, "archive", INGEST, lag_of_all_rows, series="made/",
        drop=True,
    ),
    Specimen(
        "outliers are cut at quantiles of the whole file", "S21", RAW, "archive", INGEST, clipped_at_all_rows,
        series="made/",
    ),
    Specimen(
        "an issue counts from the day before", "S23", RAW, "archive", INGEST, issues_begin_with_their_day,
        series="made/a", models=("bank",),
    ),
)  # fmt: skip
