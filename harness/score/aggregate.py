"""From answers on the grid to one score row per (model, horizon, series, stretch).

Losses are summed in grid order within the finest groups and the sums rolled up, so equal rows give equal bits
whatever their order or the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import numpy as np
import polars as pl

from harness.score import losses
from harness.score.decision import costs
from harness.score.grid import INSTANT, OUTCOMES, STATUSES, STRETCHES, Answers, Bools, Floats, Grid, Ints
from harness.score.spec import ScoreSpec

Table = dict[str, Floats]


class Outcomes(Protocol):
    """What losses are measured against: outcomes, and the scales of their series, of shapes that go together."""

    @property
    def outcome(self) -> Floats:
        """NaN where not matured."""

    @property
    def scale_mae(self) -> Floats:
        """NaN where there is none."""

    @property
    def scale_rmse(self) -> Floats:
        """NaN where there is none."""


COUNTS: Final = (
    "n",
    *(f"n_{status}" for status in STATUSES[:-1]),
    "n_reference",
    "n_no_reference",
    *(f"n_{status}" for status in OUTCOMES[1:]),
    "n_mase",
    "n_rmsse",
)
METRICS: Final = ("mae", "rmse", "mase", "rmsse", "smape", "qlike", "bias")
SCHEMA: Final[dict[str, Any]] = {
    "model": pl.String,
    "is_rival": pl.Boolean,
    "horizon": pl.Int32,
    "series_id": pl.String,
    "stretch": pl.String,
    "first_origin": INSTANT,
    "last_origin": INSTANT,
    **dict.fromkeys(COUNTS, pl.Int64),
    **dict.fromkeys((*METRICS, "kpi_total", "kpi_mean"), pl.Float64),
}


def primary_losses(grid: Grid, answers: Answers, spec: ScoreSpec) -> Floats:
    """The loss whose mean is the primary metric (before a root), one per cell; NaN where it is not defined."""
    return loss_of(spec.primary, grid, answers.forecast)


def primary_values(grid: Grid, loss: Floats, spec: ScoreSpec, sample: Bools) -> Floats:
    """The primary metric per horizon [horizon] on the sample's cells, from `primary_losses`; NaN where not defined."""
    scaled = {"mase": grid.scale_mae, "rmsse": grid.scale_rmse}.get(spec.primary)
    cells = sample & grid.scorable & (np.isfinite(scaled) if scaled is not None else True)
    horizon = grid.horizon[_starts(grid)]

    def total(values: Floats) -> Floats:
        groups = _added(grid.group[cells], values[cells], horizon.size)
        return _added(horizon, groups, grid.horizons.size)

    return mean(spec.primary, total(loss), total(np.ones(loss.size)))


def score_frame(grid: Grid, models: Iterable[Answers], spec: ScoreSpec, sample: Bools) -> pl.DataFrame:
    """Score rows of every model on the sample's cells, for all cuts by series and by stretch."""
    frames = [_model_frame(grid, answers, spec, sample) for answers in models]
    order = pl.col("stretch").replace_strict(dict(zip(STRETCHES, range(3), strict=True)), default=-1)
    return pl.concat(frames).sort("horizon", "series_id", order, "model", nulls_last=False)


def _model_frame(grid: Grid, answers: Answers, spec: ScoreSpec, sample: Bools) -> pl.DataFrame:
    held = answers.in_span
    sums = _sums(grid, answers, spec, sample & grid.scorable & held) | _left_out(grid, answers)
    horizon, series, stretch = (codes[_starts(grid)] for codes in (grid.horizon, grid.series_code, grid.stretch))
    spans = _spans(grid, held)
    frames = []
    for by_series in (False, True):
        for by_stretch in (False, True):
            whole = np.full(horizon.size, -1)  # the last name, null
            keys = np.stack([horizon, series if by_series else whole, stretch if by_stretch else whole])
            distinct, place = np.unique(keys, axis=1, return_inverse=True)
            rolled = _rolled(sums, place.ravel(), distinct.shape[1])
            limits = _limits(spans, place.ravel(), distinct.shape[1])
            frames.append(_frame(grid, answers, distinct, {**rolled, **metrics(rolled, spec), **limits}))
    return pl.concat(frames)


def loss_of(metric: str, cells: Outcomes, forecast: Floats) -> Floats:
    """Loss of a metric per cell; NaN where the outcome is unknown or the metric has no meaning for it."""
    y = cells.outcome
    if metric == "mae":
        return losses.absolute(y, forecast)
    if metric == "rmse":
        return losses.squared(y, forecast)
    if metric == "mase":
        return losses.absolute(y, forecast) / cells.scale_mae
    if metric == "rmsse":
        return losses.squared(y / cells.scale_rmse, forecast / cells.scale_rmse)
    positive = np.where(y > 0.0, y, np.nan)
    if metric == "smape":
        return losses.symmetric_percentage(positive, forecast)
    return losses.quasi_likelihood(np.square(positive), np.where(forecast > 0.0, np.square(forecast), 0.0))


def _sums(grid: Grid, answers: Answers, spec: ScoreSpec, sample: Bools) -> Table:
    """Sums and counts over the sample, per finest group [group]."""
    place = grid.group[sample]
    size = int(grid.group[-1]) + 1

    def total(values: Floats | Bools) -> Floats:
        return _added(place, values[sample], size)

    status, forecast = answers.status, answers.forecast
    sums = {"n": total(np.ones(sample.size))}
    sums |= {f"n_{name}": total(status == code) for code, name in enumerate(STATUSES[:-1])}
    sums["n_reference"] = total(~answers.own)
    sums["bias"] = total(forecast - grid.outcome)
    sums |= {metric: total(loss_of(metric, grid, forecast)) for metric in ("mae", "rmse")}
    for metric, scale in (("mase", grid.scale_mae), ("rmsse", grid.scale_rmse)):
        usable = np.isfinite(scale)
        sums[f"n_{metric}"] = total(usable)
        sums[metric] = total(np.where(usable, loss_of(metric, grid, forecast), 0.0))
    for metric, valid in (("smape", spec.ratio_levels), ("qlike", spec.volatility)):
        sums[metric] = total(loss_of(metric, grid, forecast)) if valid else np.full(size, np.nan)
    if spec.kpi is not None:
        paid = np.zeros(sample.size)
        paid[sample] = costs(grid.outcome[sample], forecast[sample], spec.kpi, answered=answers.own[sample])
        sums["kpi_total"] = total(paid)
    return sums


def _left_out(grid: Grid, answers: Answers) -> Table:
    """Planned cells of the model that cannot be scored, per finest group [group]; `held` counts all planned ones."""
    size = int(grid.group[-1]) + 1

    def count(cells: Bools) -> Floats:
        return _added(grid.group, cells & answers.in_span, size)

    matured = grid.outcome_status == 0
    table = {f"n_{name}": count(grid.outcome_status == code) for code, name in enumerate(OUTCOMES) if code}
    return table | {"n_no_reference": count(matured & ~grid.scorable), "held": count(matured | True)}


def _rolled(sums: Table, place: Ints, size: int) -> Table:
    return {name: _added(place, values, size) for name, values in sums.items()}


def _added(place: Ints, values: Floats | Bools, size: int) -> Floats:
    """Values added up by place, in their order."""
    return np.asarray(np.bincount(place, weights=values, minlength=size), dtype=np.float64)


def mean(metric: str, total: Floats | Ints, n: Floats | Ints) -> Floats:
    """Mean loss, rooted for squared losses; NaN where nothing was summed."""
    average = np.where(n > 0.0, total / np.maximum(n, 1.0), np.nan)
    return np.sqrt(average) if metric in {"rmse", "rmsse"} else average


def metrics(sums: Mapping[str, Floats | Ints], spec: ScoreSpec) -> Table:
    """Metrics and costs from sums of losses and counts of cells, all of one shape; NaN where not defined."""
    means = {name: mean(name, sums[name], sums.get(f"n_{name}", sums["n"])) for name in METRICS}
    blank = np.full(sums["n"].size, np.nan)
    paid = sums["kpi_total"] if spec.kpi else blank
    return means | {"kpi_total": np.where(sums["n"] > 0.0, paid, blank), "kpi_mean": mean("kpi", paid, sums["n"])}


def _starts(grid: Grid) -> Ints:
    """First cell of each finest group [group]."""
    return np.flatnonzero(np.diff(grid.group, prepend=-1))


def _spans(grid: Grid, held: Bools) -> tuple[Ints, Ints]:
    """Earliest and latest origin of the held cells, per finest group [group]."""
    size = int(grid.group[-1]) + 1
    low, high = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
    np.minimum.at(low, grid.group[held], grid.origin[held])
    np.maximum.at(high, grid.group[held], grid.origin[held])
    return low, high


def _limits(spans: tuple[Ints, Ints], place: Ints, size: int) -> dict[str, Ints]:
    low, high = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
    np.minimum.at(low, place, spans[0])
    np.maximum.at(high, place, spans[1])
    return {"first_origin": low, "last_origin": high}


def _frame(grid: Grid, answers: Answers, keys: Ints, columns: Mapping[str, Floats | Ints]) -> pl.DataFrame:
    """Named columns of one cut; cuts in which the model is held to no cell are left out."""
    series = np.array([*grid.series, None], dtype=object)[keys[1]]
    stretch = np.array([*STRETCHES, None], dtype=object)[keys[2]]
    frame = pl.DataFrame(
        {"horizon": grid.horizons[keys[0]], "series_id": series.tolist(), "stretch": stretch.tolist(), **columns},
        schema_overrides={"series_id": pl.String, "stretch": pl.String},
    )
    return typed(frame.with_columns(pl.lit(answers.model).alias("model"), pl.lit(answers.is_rival).alias("is_rival")))


def typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Score rows as `SCHEMA`: those that are `held` to a cell, instants from microseconds, null for NaN."""
    held = frame.filter(pl.col("held") > 0).with_columns(
        pl.from_epoch(pl.col("first_origin", "last_origin"), time_unit="us").dt.replace_time_zone("UTC"),
        pl.col(*METRICS, "kpi_total", "kpi_mean").fill_nan(None),
    )
    return held.select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())
