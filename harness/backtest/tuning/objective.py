"""What one setting is worth: fitted at every inner origin, judged on what became public after it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.splits import Plan, TrainingSet, training_labels
from harness.backtest.tuning.inner import Inner
from harness.core.errors import raise_lack, reason_of
from harness.core.frames import Rows
from harness.core.identity import derive_seed
from harness.core.recipe import Recipe
from harness.core.snapshot import Snapshot
from harness.forecast.catalog import build
from harness.forecast.protocol import Forecaster
from harness.score import losses
from harness.score.point import seasonal_naive_scale

Floats = NDArray[np.float64]
SQUARED = ("rmse", "rmsse")
SCALED = ("mase", "rmsse")
LEAST = 1e-300
"""A loss of exactly zero still has a logarithm."""
ANSWER = ["series_id", "horizon", "period"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one trial.

    Attributes:
        state: `complete`, `pruned` or `failed`.
        value: the objective over all folds done; NaN when failed.
        folds: the objective of each fold alone.
        running: the objective over the folds up to each.
        reason: why it was pruned or failed.
        unanswered: inner rows without an answer, scored with the mean of the fold's training labels.
    """

    state: str
    value: float
    folds: tuple[float, ...] = ()
    running: tuple[float, ...] = ()
    reason: str = ""
    unanswered: int = 0


@dataclass(slots=True)
class Pool:
    """Losses so far, by horizon: their sum and their number."""

    metric: str
    sums: dict[int, float] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, horizon: int, loss: Floats) -> None:
        """Book the losses of some rows of one horizon."""
        self.sums[horizon] = self.sums.get(horizon, 0.0) + float(np.sum(loss))
        self.counts[horizon] = self.counts.get(horizon, 0) + len(loss)

    def value(self) -> float:
        """The geometric mean over horizons of the metric, so that no horizon counts more for being harder."""
        means = [max(self.sums[horizon] / self.counts[horizon], LEAST) for horizon in sorted(self.sums)]
        root = 0.5 if self.metric in SQUARED else 1.0
        return float(np.exp(root * np.mean(np.log(means)))) if means else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """How inner rows are scored: the primary metric, and the size of each series where the metric needs it."""

    metric: str
    scales: Mapping[str, float]

    def losses(self, outcome: Floats, forecast: Floats, series: pl.Series) -> Floats:
        """[row] loss of every inner row."""
        if self.metric == "qlike":
            return losses.quasi_likelihood(outcome**2, forecast**2)
        if self.metric == "smape":
            return losses.symmetric_percentage(outcome, forecast)
        power = 2 if self.metric in SQUARED else 1
        found = losses.squared(outcome, forecast) if power == 2 else losses.absolute(outcome, forecast)
        if self.metric not in SCALED:
            return found
        size: Floats = np.array([self.scales[name] for name in series], dtype=np.float64)
        return found / size**power


def judge_of(inner: Inner, metric: str) -> Judge:
    """The judge of a study; a series is as large as its seasonal-naive error in the labels known at T."""
    plan, matured = inner.plan, inner.matured
    scales = dict.fromkeys(plan.experiment.target.series, 1.0)
    if metric in SCALED and matured:
        place = min(matured)
        some, power = matured[place], 2 if metric in SQUARED else 1
        for row, name in enumerate(plan.experiment.target.series):
            mine = some.series == row
            periods = plan.ends[some.origins[mine], place]
            if len(periods):
                values = np.full(int(np.ptp(periods)) + 1, np.nan)
                values[periods - periods.min()] = _labels(plan, place, some, inner.known)[mine]
                scales[name] = seasonal_naive_scale(values, max(plan.experiment.target.season, 1), power).value or 1.0
    return Judge(metric, scales)


def evaluate(
    inner: Inner, recipe: Recipe, judge: Judge, seed: int, hopeless: Callable[[Sequence[float]], str]
) -> Outcome:
    """Fit and judge one setting fold by fold.

    Args:
        inner: folds, snapshots and rows.
        recipe: with the setting in it.
        judge: scores inner rows.
        seed: of the study; every trial is fitted with the same ones, so that only the settings differ.
        hopeless: told the running objective after every fold; why the trial is not worth going on, or "".
    """
    whole = Pool(judge.metric)
    folds, running = list[float](), list[float]()
    unanswered = 0
    for number in range(len(inner.folds)):
        try:
            alone = Pool(judge.metric)
            unanswered += _fold(inner, number, recipe, judge, (alone, whole), derive_seed(seed, "fold", number))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a setting a model refuses is a failed trial, recorded
            raise_lack(error)
            reason = f"fold {number}: {reason_of(error)}"[:300]
            return Outcome("failed", float("nan"), tuple(folds), tuple(running), reason, unanswered)
        folds.append(alone.value())
        running.append(whole.value())
        if not np.isfinite(running[-1]):
            reason = f"fold {number}: the objective is not a finite number"
            return Outcome("failed", float("nan"), tuple(folds[:-1]), tuple(running[:-1]), reason, unanswered)
        why = hopeless(running) if number + 1 < len(inner.folds) else ""
        if why:
            return Outcome("pruned", running[-1], tuple(folds), tuple(running), why, unanswered)
    return Outcome("complete", running[-1], tuple(folds), tuple(running), "", unanswered)


def _fold(inner: Inner, number: int, recipe: Recipe, judge: Judge, pools: tuple[Pool, Pool], seed: int) -> int:
    """Fit at one inner origin and book the losses; rows without an answer."""
    plan = inner.plan
    fold, rows = inner.folds[number], inner.training(number, recipe)
    forecaster = build(recipe, folder=plan.experiment.folder)
    if recipe.kind == "lightgbm":
        _share_bins(forecaster, inner, number, recipe)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        forecaster.fit(rows, inner.fitted_on(fold), seed=seed)
        parts = [_answered(forecaster, asked, known) for asked, known in inner.asked(number, recipe)]
    table = pl.concat(parts)
    silent = table["value"].null_count()
    if silent == table.height:
        raise ValueError("no inner row was answered")
    usual = _usual(inner, number)
    filled = table.with_columns(pl.col("value").fill_null(pl.col("horizon").replace_strict(usual, default=0.0)))
    for (horizon,), part in filled.group_by("horizon", maintain_order=True):
        loss = judge.losses(part["outcome"].to_numpy(), part["value"].to_numpy(), part["series_id"])
        for pool in pools:
            pool.add(int(str(horizon)), loss)
    return silent


def _share_bins(forecaster: Forecaster, inner: Inner, number: int, recipe: Recipe) -> None:
    from harness.forecast.boosting import LightGBM  # noqa: PLC0415 - heavy, and only this kind needs it

    if isinstance(forecaster, LightGBM):  # and not behind steps, which make rows of their own
        forecaster.bins = inner.bins(number, recipe)


def _answered(forecaster: Forecaster, asked: Rows, known: Snapshot) -> pl.DataFrame:
    """series_id, horizon, outcome, value (null = no answer) of the asked rows that have an outcome."""
    answers = forecaster.predict(Rows(asked.X, asked.keys), known)
    points = answers.filter(pl.col("quantile").is_null()).select(*ANSWER, pl.col("value").cast(pl.Float64))
    outcome = pl.Series("outcome", asked.y, dtype=pl.Float64())
    table = asked.keys.with_columns(outcome).join(points, on=ANSWER, how="left", maintain_order="left")
    finite = pl.when(pl.col("value").is_finite()).then("value")
    return table.filter(pl.col("outcome").is_not_nan()).select("series_id", "horizon", "outcome", finite.alias("value"))


def _usual(inner: Inner, number: int) -> dict[int, float]:
    """Horizon -> mean training label of a fold."""
    fold, steps = inner.folds[number], inner.plan.experiment.horizons
    labels = {place: _labels(inner.plan, place, some, fold.known) for place, some in fold.training.items()}
    return {steps[place]: float(np.nanmean(mine)) for place, mine in labels.items() if len(mine)}


def _labels(plan: Plan, place: int, some: TrainingSet, known: Snapshot) -> Floats:
    """[row] labels of one horizon as they are known in a snapshot."""
    return training_labels(plan, (some.origins, some.series, np.full(len(some.origins), place)), known)
