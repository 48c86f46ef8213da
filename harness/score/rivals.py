"""Every model against every naive rival on the same cells: ratio of the headline metric, and the one-sided test."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from harness.score.aggregate import primary_losses, primary_values
from harness.score.grid import Answers, Bools, Floats, Grid, Ints
from harness.score.significance import DieboldMariano, bandwidth, loss_difference_test, panel_loss_difference
from harness.score.spec import ScoreSpec

MINIMUM_ORIGINS: Final = 10
ORIGINS_PER_OVERLAP: Final = 5
"""Origins a verdict needs per overlapping origin (L + 1): with that many, the nominal 5 % test rejects a true null in
at most about 10 % of simulated samples with moving-average errors of order L, for L up to 11 (tests/score)."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One model against one rival at one horizon, both on the cells the model is held to.

    Attributes:
        horizon: target periods ahead.
        model: the model tested.
        rival: the naive rival.
        metric: name of the primary metric.
        n: cells compared.
        n_origins: distinct origins among them, the observations of the test.
        value: the model's primary metric on these cells.
        rival_value: the rival's primary metric on these cells.
        ratio: value / rival_value; below 1 the model was better.
        dm_statistic: Diebold-Mariano statistic, negative when the model was better.
        p_value: one-sided, of "the model is better than the rival".
        bandwidth: L of SEMANTICS 27.
        autocorrelation_beyond: largest absolute autocorrelation of the loss difference at lags L + 1 to L + 4.
        autocorrelation_band: 2 / sqrt(n_origins).
        fallback: what was done instead of the plain test, or why there is none.
    """

    horizon: int
    model: str
    rival: str
    metric: str
    n: int
    n_origins: int
    value: float | None
    rival_value: float | None
    ratio: float | None
    dm_statistic: float | None
    p_value: float | None
    bandwidth: int
    autocorrelation_beyond: float | None
    autocorrelation_band: float | None
    fallback: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Meeting:
    """The cells of one comparison, reduced to what it is made of.

    Attributes:
        n: cells compared.
        n_origins: distinct origins among them.
        value, rival_value: the primary metric of both; NaN where it is not defined.
        bandwidth: L of SEMANTICS 27.
        difference: mean loss difference per origin at which both losses are defined; None if a loss is infinite.
    """

    n: int
    n_origins: int
    value: float
    rival_value: float
    bandwidth: int
    difference: Floats | None


SCHEMA: Final[dict[str, Any]] = {
    "horizon": pl.Int32,
    "model": pl.String,
    "rival": pl.String,
    "metric": pl.String,
    "n": pl.Int64,
    "n_origins": pl.Int64,
    "value": pl.Float64,
    "rival_value": pl.Float64,
    "ratio": pl.Float64,
    "dm_statistic": pl.Float64,
    "p_value": pl.Float64,
    "bandwidth": pl.Int64,
    "autocorrelation_beyond": pl.Float64,
    "autocorrelation_band": pl.Float64,
    "fallback": pl.String,
}


def compare_all(grid: Grid, models: tuple[Answers, ...], spec: ScoreSpec) -> tuple[Comparison, ...]:
    """Compare each model with each rival but itself, per horizon, on headline errors (references substituted).

    Args:
        grid: the planned grid.
        models: answers of every model, rivals included.
        spec: primary metric, transform span and latency.

    Returns:
        Comparisons ordered by horizon, model and rival; horizons at which the model is held to no cell are absent.

    Source:
        SEMANTICS 24 (an external and its rivals on the external's span), 27 and 28.
    """
    losses = {model.model: primary_losses(grid, model, spec) for model in models}
    found: list[Comparison] = []
    for model in models:
        for rival in models:
            if rival.is_rival and rival.model != model.model:
                found += _compare(grid, model, rival, spec, losses)
    return tuple(sorted(found, key=lambda pair: (pair.horizon, pair.model, pair.rival)))


def comparison_frame(comparisons: tuple[Comparison, ...]) -> pl.DataFrame:
    """The comparisons as a table, columns as the fields of `Comparison`."""
    return pl.DataFrame([asdict(pair) for pair in comparisons], schema=SCHEMA, orient="row")


def _compare(
    grid: Grid, model: Answers, rival: Answers, spec: ScoreSpec, losses: dict[str, Floats]
) -> Iterator[Comparison]:
    sample = grid.scorable & model.in_span
    values = primary_values(grid, losses[model.model], spec, sample)
    rival_values = primary_values(grid, losses[rival.model], spec, sample)
    for place, horizon in enumerate(grid.horizons):
        cells = sample & (grid.horizon == place)
        if not (model.in_span & (grid.horizon == place)).any():
            continue
        meeting = Meeting(
            n=int(cells.sum()),
            n_origins=int(np.unique(grid.origin[cells]).size),
            value=float(values[place]),
            rival_value=float(rival_values[place]),
            bandwidth=bandwidth_of(grid, cells, spec),
            difference=_difference(grid, cells, losses[model.model], losses[rival.model]),
        )
        yield compared(int(horizon), model.model, rival.model, spec, meeting)


def compared(horizon: int, model: str, rival: str, spec: ScoreSpec, meeting: Meeting) -> Comparison:
    """The comparison that follows from what is known of the cells of both."""
    value, rival_value = _number(meeting.value), _number(meeting.rival_value)
    test, why_not = _test(meeting)
    return Comparison(
        horizon=horizon,
        model=model,
        rival=rival,
        metric=spec.primary,
        n=meeting.n,
        n_origins=meeting.n_origins,
        value=value,
        rival_value=rival_value,
        ratio=None if value is None or not rival_value else value / rival_value,
        dm_statistic=_number(test.statistic) if test else None,
        p_value=_number(test.p_value) if test else None,
        bandwidth=meeting.bandwidth,
        autocorrelation_beyond=test.autocorrelation_beyond if test else None,
        autocorrelation_band=test.autocorrelation_band if test else None,
        fallback=test.fallback if test else why_not,
    )


def bandwidth_of(grid: Grid, cells: Bools, spec: ScoreSpec) -> int:
    """L of the cells: an origin's outcome is public when its last series' is, plus the latency."""
    origins, place = np.unique(grid.origin[cells], return_inverse=True)
    public = np.full(origins.size, np.iinfo(np.int64).min)
    np.maximum.at(public, place, grid.published[cells])
    return overlap_of(origins, public, spec)


def overlap_of(origins: Ints, public: Ints, spec: ScoreSpec) -> int:
    """L of distinct origins and the instants at which the last outcome of each was public, in microseconds."""
    return bandwidth(origins, public + round(spec.latency.total_seconds() * 1_000_000), spec.span)


def _difference(grid: Grid, cells: Bools, loss: Floats, rival_loss: Floats) -> Floats | None:
    defined = cells & ~np.isnan(loss) & ~np.isnan(rival_loss)
    if np.isinf(loss[defined]).any() or np.isinf(rival_loss[defined]).any():
        return None
    return panel_loss_difference(grid.origin[defined], loss[defined], rival_loss[defined])[1]


def _test(meeting: Meeting) -> tuple[DieboldMariano | None, str | None]:
    """The one-sided test, or why there is none."""
    overlap, difference = meeting.bandwidth, meeting.difference
    if difference is None:
        return None, "no test: a loss is infinite (a variance forecast that is not positive)"
    if difference.size < overlap + 2:
        return None, f"no test: {difference.size} origins with a bandwidth of {overlap}"
    return loss_difference_test(difference, horizon=overlap + 1, alternative="less"), None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
