"""What one part of the pipeline handed to the next, as tables that can be compared bit for bit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.splits import Plan, TrainingSet
from harness.backtest.tuning.study import Studied
from harness.core.frames import UTC_INSTANT, Rows
from harness.core.snapshot import Panel, Snapshot
from harness.core.time import NEVER, period_ends
from harness.forecast.protocol import Forecaster
from harness.forecast.state import fitted_state
from harness.record.cells import Cell

STAGES = (
    "archive", "publications", "announcements", "members", "snapshot", "target", "declarations", "issues", "outcomes",
    "inner rows", "search", "matured rows", "training rows", "frozen rows", "labels", "fit", "asked rows", "forecast",
    "facts",
)  # fmt: skip
"""In the order of work: where two runs differ in several, the first tells where it came in."""
PLACES: Mapping[str, str] = {
    "archive": "harness.data.ingest",
    "publications": "harness.data.ingest",
    "announcements": "harness.data.ingest",
    "members": "harness.backtest.membership",
    "outcomes": "harness.data.outcomes",
    "snapshot": "harness.data.replay",
    "target": "harness.data.replay",
    "declarations": "harness.data.replay",
    "issues": "harness.data.replay",
    "inner rows": "harness.backtest.tuning",
    "search": "harness.backtest.tuning",
    "matured rows": "harness.backtest.splits",
    "training rows": "harness.backtest.design",
    "frozen rows": "harness.backtest.design",
    "labels": "harness.backtest.splits",
    "asked rows": "harness.backtest.design",
}
"""The room behind each hand-over; that of a fit or a forecast is the model's own."""
EXCLUDED = ("fit_key", "seconds", "warnings")
"""Facts of a cell that may differ between two runs of the same computation: ids, timings, what a model talks about."""
RAISED = r"^((?:fit|predict): \w+): .*$"
"""The reason of a failure that was raised: its kind counts, its words may hold a clock's or a memory's numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Handover:
    """One hand-over.

    Attributes:
        stage: one of `STAGES`.
        model: name of the model, "" = the same for all of them.
        origin: index of the origin at which it happened.
        keys: columns of `table` that name a row.
        table: one row per thing handed over; the other columns are what is compared.
    """

    stage: str
    model: str
    origin: int
    keys: tuple[str, ...]
    table: pl.DataFrame


@dataclass(slots=True)
class Trace:
    """A witness that keeps every hand-over, in the order of work.

    Attributes:
        plan: names origins, series and periods.
        handovers: what was seen.
    """

    plan: Plan
    handovers: list[Handover] = field(default_factory=list)
    _last: Snapshot | None = None

    def snapshot(self, model: str, origin: int, snapshot: Snapshot) -> None:
        """Everything known: values with their dates and vintages, declarations, issued forecasts."""
        if snapshot is self._last:  # several models were given the very same one
            return
        self._last = snapshot
        if self.plan.experiment.target.universe:
            self._add("members", "", origin, ("pseudo_origin", "series_id"), self._members(origin))
            self._add("target", "", origin, ("place",), _target(snapshot))
        self._add("snapshot", "", origin, ("series_id", "period"), _known(snapshot))
        self._add("declarations", "", origin, ("series_id",), _declared(snapshot))
        self._add("issues", "", origin, ("source", "series_id", "issued_at", "step"), _issued(snapshot))
        self._add("outcomes", "", origin, ("series_id", "period", "start"), matured_outcomes(self.plan, origin))

    def study(self, model: str, origin: int, studied: Studied) -> None:
        """The inner rows a search was judged on; then every trial's setting and values, and what was chosen."""
        self._add("inner rows", model, origin, INNER_KEYS, studied.inner)
        kinds = [
            ":".join(str(line["reason"]).split(":")[:2]) for line in studied.trials
        ]  # its words may hold a clock's
        trials = [{**line, "reason": kind} for line, kind in zip(studied.trials, kinds, strict=True)]
        said = {"chosen": studied.values, "best": studied.best, "ended": studied.end, "trials": trials}
        self._add("search", model, origin, ("parameter",), _leaves(said))

    def training_set(self, model: str, origin: int, sets: Mapping[int, TrainingSet]) -> None:
        """The purge mask: which rows are in."""
        self._add(
            "matured rows", model, origin, ("horizon", "pseudo_origin", "series_id", "period"), self._chosen(sets)
        )

    def training_rows(self, model: str, origin: int, rows: Rows) -> None:
        """Features and labels of the training rows."""
        self._add("training rows", model, origin, KEYS, _featured(rows))
        labels = rows.keys.with_columns(pl.Series("label", rows.y, dtype=pl.Float64()))
        self._add("labels", model, origin, KEYS, labels)

    def fit(self, model: str, origin: int, forecaster: Forecaster) -> None:
        """Everything the steps and the model fitted."""
        self._add("fit", model, origin, ("parameter",), _leaves(fitted_state(forecaster)))

    def asked_rows(self, model: str, origin: int, rows: Rows) -> None:
        """Features of the rows to be forecast."""
        if rows.X.width:
            self._add("asked rows", model, origin, KEYS, _featured(rows))

    def cell(self, model: str, origin: int, cell: Cell) -> None:
        """The answer: values, statuses, reasons; then seed and row counts."""
        frame = cell.frame.drop("origin").with_columns(pl.col("reason").str.replace(RAISED, "$1"))
        self._add("forecast", model, origin, ("series_id", "horizon", "quantile"), frame)
        facts = {name: value for name, value in cell.facts.items() if name not in EXCLUDED}
        self._add("facts", model, origin, ("parameter",), _leaves(facts))

    def _add(self, stage: str, model: str, origin: int, keys: tuple[str, ...], table: pl.DataFrame) -> None:
        self.handovers.append(Handover(stage, model, origin, keys, table))

    def _members(self, origin: int) -> pl.DataFrame:
        """Who was announced by an origin and every pseudo-origin before it, in which order, and who is asked."""
        members = self.plan.members
        order = (*members.order, *(name for name in members.series if name not in set(members.order)))
        asked = members.member[: origin + 1, [members.series.index(name) for name in order]]
        named = np.arange(len(order)) < members.announced[: origin + 1, np.newaxis]
        rows, places = np.nonzero(named | asked)
        return pl.DataFrame(
            {
                "pseudo_origin": pl.Series(self.plan.instants[: origin + 1], dtype=UTC_INSTANT).gather(rows),
                "series_id": pl.Series(order, dtype=pl.String()).gather(places),
                "place": places,
                "asked": asked[rows, places],
            }
        )

    def _chosen(self, sets: Mapping[int, TrainingSet]) -> pl.DataFrame:
        plan, experiment = self.plan, self.plan.experiment
        parts = [
            pl.DataFrame(
                {
                    "horizon": np.full(len(some.origins), experiment.horizons[place]),
                    "pseudo_origin": pl.Series(plan.known[some.origins]).cast(pl.Datetime("us", "UTC")),
                    "series_id": pl.Series(experiment.target.series, dtype=pl.String()).gather(some.series),
                    "period": plan.end_days[some.origins, place].astype("datetime64[D]"),
                }
            )
            for place, some in sorted(sets.items())
        ]
        return pl.concat(parts) if parts else pl.DataFrame()


KEYS = ("series_id", "pseudo_origin", "horizon", "period")
INNER_KEYS = ("fold", "inner_origin", "side", *KEYS)


def _featured(rows: Rows) -> pl.DataFrame:
    return pl.concat([rows.keys, rows.X.cast(pl.Float64)], how="horizontal")


def _target(snapshot: Snapshot) -> pl.DataFrame:
    """The series of the target as a model is told of them, in their order."""
    series = () if snapshot.target is None else snapshot.target.series
    return pl.DataFrame(
        {"place": range(len(series)), "series_id": series}, schema={"place": pl.Int64(), "series_id": pl.String()}
    )


def _declared(snapshot: Snapshot) -> pl.DataFrame:
    """What is told of every series beside its values: its declaration, its span and its order of periods."""
    panels = {name: panel for panel in snapshot.panels for name in panel.ids}
    orders = {id(panel): _order(panel) for panel in snapshot.panels}
    rows = [
        (name, repr(one), panels[name].first, panels[name].values.shape[1], orders[id(panels[name])])
        for name, one in sorted(snapshot.series.items())
    ]
    schema = {
        "series_id": pl.String(), "declared": pl.String(), "first": pl.Int64(), "periods": pl.Int64(),
        "sessions": pl.String(),
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def _order(panel: Panel) -> str:
    """The sessions that a panel's periods are counted in, "" = calendar periods."""
    sessions = panel.timeline.sessions
    return "" if sessions is None else f"{len(sessions)} sessions, {sha256(sessions.tobytes()).hexdigest()[:16]}"


def _known(snapshot: Snapshot) -> pl.DataFrame:
    """Every cell that says anything: a value, or the date or vintage of one."""
    parts = [_cells(panel) for panel in snapshot.panels]
    return pl.concat(parts) if parts else pl.DataFrame(schema={"series_id": pl.String(), "period": pl.Date()})


def _cells(panel: Panel) -> pl.DataFrame:
    told = ~np.isnan(panel.values) | (panel.published != NEVER) | (panel.vintage != NEVER)
    rows, columns = np.nonzero(told)
    positions = panel.first + np.arange(panel.values.shape[1])
    ordinals = positions if panel.timeline.sessions is None else panel.timeline.sessions[positions]
    ends = period_ends(panel.timeline.frequency, ordinals.astype(np.int64))
    return pl.DataFrame(
        {
            "series_id": pl.Series(panel.ids, dtype=pl.String()).gather(rows),
            "period": pl.Series(ends[columns]).cast(pl.Date()),
            "published_at": instants(panel.published[rows, columns]),
            "value": panel.values[rows, columns],
            "vintage": instants(panel.vintage[rows, columns]),
        }
    )


def instants(micros: NDArray[np.int64]) -> pl.Series:
    """Microseconds UTC as instants that can be read; NEVER is null."""
    given = pl.Series(micros, dtype=pl.Int64())
    return given.set(given == NEVER, None).cast(UTC_INSTANT)


def matured_outcomes(plan: Plan, origin: int) -> pl.DataFrame:
    """The pinned outcomes that had matured by an origin, and which periods had any value.

    Under `latest` an outcome is pinned only at the archive's end, and labels are read in each origin's snapshot.
    """
    table, known = plan.outcomes, plan.known[origin]
    pinned = (table.matured_at != NEVER) & (table.matured_at <= known)
    if plan.experiment.target.outcome.kind == "latest":
        pinned = np.zeros_like(pinned)
    opened = (table.first_public != NEVER) & (table.first_public <= known)
    series, requests = np.nonzero(pinned | opened)
    at = (series, requests)
    days = np.empty(table.value.shape[1], dtype="datetime64[D]")
    days[plan.request] = plan.end_days
    return pl.DataFrame(
        {
            "series_id": pl.Series(plan.experiment.target.series, dtype=pl.String()).gather(series),
            "period": pl.Series(days[requests]).cast(pl.Date()),
            "start": plan.windows.starts[requests],
            "first_public": instants(np.where(opened[at], table.first_public[at], NEVER)),
            "matured_at": instants(np.where(pinned[at], table.matured_at[at], NEVER)),
            "status": np.where(pinned[at], table.status[at], -1),
            "value": np.where(pinned[at], table.value[at], np.nan),
            "hindsight": pinned[at] & table.hindsight[at],
        }
    )


def _issued(snapshot: Snapshot) -> pl.DataFrame:
    rows: list[tuple[object, ...]] = []
    for issue in snapshot.issues:
        head = (issue.source, issue.series_id, issue.issued_at)
        path = zip(issue.ordinals.tolist(), issue.quantiles.tolist(), issue.values.tolist(), strict=True)
        rows += [(*head, step, *told, issue.cutoff) for step, told in enumerate(path)]
        rows += [
            (*head, -1 - place, issue.known_first + place, float("nan"), value, issue.cutoff)
            for place, value in enumerate(issue.known.tolist())
        ]
    schema = {
        "source": pl.String(), "series_id": pl.String(), "issued_at": pl.Int64(), "step": pl.Int64(),
        "ordinal": pl.Int64(), "quantile": pl.Float64(), "value": pl.Float64(), "cutoff": pl.Int64(),
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def _leaves(value: object) -> pl.DataFrame:
    """Every number and word inside a JSON value, by its path."""
    found = list(_walk("", value))
    schema = {"parameter": pl.String(), "value": pl.String()}
    return pl.DataFrame(found, schema=schema, orient="row")


def _walk(path: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name in sorted(value, key=str):
            yield from _walk(f"{path}.{name}" if path else str(name), value[name])
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _walk(f"{path}[{place}]", item)
    else:
        yield path, repr(value) if isinstance(value, float) else json.dumps(value, default=str)
