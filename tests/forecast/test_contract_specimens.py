"""The promises of `contract` bite: a forecaster that breaks one is caught by its check."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from harness.core.frames import Rows
from harness.core.snapshot import Snapshot
from tests.forecast.contract import (
    HISTORIES,
    PROMISES,
    Case,
    a_stored_fit_has_the_same_bits,
    answers_a_healthy_history,
    answers_every_row,
    continues_a_constant,
    few_training_rows_are_bearable,
    inputs_stay,
    missing_features_are_bearable,
    order_does_not_matter,
    questions_do_not_touch_each_other,
    same_seed_same_bits,
)


class Sound:
    """A forecaster that breaks nothing; each specimen changes one thing."""

    def __init__(self) -> None:
        self.level = 0.0

    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        if rows is not None and rows.y is not None and len(rows):
            self.level = float(np.sort(rows.y)[len(rows) // 2])

    def value(self, rows: Rows, snapshot: Snapshot) -> object:
        return np.full(len(rows), self.level)

    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        values = pl.Series("value", self.value(rows, snapshot), dtype=pl.Float64)
        frame = rows.keys.select("series_id", "horizon", "period")
        return frame.with_columns(pl.lit(None, dtype=pl.Float64).alias("quantile"), values)

    def dump(self) -> str:
        return json.dumps(self.level)

    def load(self, text: str) -> None:
        self.level = json.loads(text)


class Infinite(Sound):
    def value(self, rows: Rows, snapshot: Snapshot) -> object:
        return np.full(len(rows), np.inf)


class NotANumber(Sound):
    def value(self, rows: Rows, snapshot: Snapshot) -> object:
        return np.full(len(rows), np.nan)


class DropsARow(Sound):
    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        return super().predict(rows, snapshot).head(len(rows) - 1)


class AnswersTwice(Sound):
    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        return pl.concat([super().predict(rows, snapshot)] * 2)


class ForgetsTheQuantile(Sound):
    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        return super().predict(rows, snapshot).drop("quantile")


class NeedsAHistory(Sound):
    def value(self, rows: Rows, snapshot: Snapshot) -> object:
        history = snapshot.history("a")
        return np.full(len(rows), history.values[-1] - history.values[-2])


class CrashesOnNothing(Sound):
    def value(self, rows: Rows, snapshot: Snapshot) -> object:
        return np.full(len(rows), snapshot.panels[0].values[0, -1])


class TripsOverGaps(Sound):
    def value(self, rows: Rows, snapshot: Snapshot) -> object:
        return np.full(len(rows), snapshot.panels[0].values.mean())


class NeverAnswers(Sound):
    def value(self, rows: Rows, snapshot: Snapshot) -> object:
        return [None] * len(rows)


class InventsGrowth(Sound):
    def value(self, rows: Rows, snapshot: Snapshot) -> object:
        return np.full(len(rows), self.level + 1.0)


class CountsRows(Sound):
    def value(self, rows: Rows, snapshot: Snapshot) -> object:
        return np.arange(len(rows), dtype=np.float64)


class ReadsTheFirstSeries(Sound):
    def value(self, rows: Rows, snapshot: Snapshot) -> object:
        return np.full(len(rows), snapshot.panels[0].values[0, -1])


class LearnsFromTheFirstRow(Sound):
    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        self.level = float(rows.y[0]) if rows is not None and rows.y is not None and len(rows) else 0.0


class WritesIntoTheSnapshot(Sound):
    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        np.nan_to_num(snapshot.panels[0].values, copy=False)


class CentresTheLabels(Sound):
    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        if rows is not None and rows.y is not None:
            rows.y.sort()


class IgnoresItsSeed(Sound):
    def value(self, rows: Rows, snapshot: Snapshot) -> object:
        return np.full(len(rows), np.random.default_rng().normal())


class StoresRounded(Sound):
    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        self.level = 1.0 / 3.0

    def dump(self) -> str:
        return json.dumps(round(self.level, 6))


class StoresNothing(Sound):
    def load(self, text: str) -> None:
        self.level = 0.0


class AnswersMissingWithMissing(Sound):
    def value(self, rows: Rows, snapshot: Snapshot) -> object:
        return rows.X.sum_horizontal(ignore_nulls=False)


class NeedsRows(Sound):
    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        assert rows is not None
        assert rows.y is not None
        self.level = float(rows.y[0])


class AveragesTheQuestions(Sound):
    def value(self, rows: Rows, snapshot: Snapshot) -> object:
        return np.full(len(rows), float(rows.keys["horizon"].cast(pl.Float64).mean() or 0.0))  # type: ignore[arg-type]


def on(history: str) -> Callable[[Case], None]:
    return lambda case: answers_every_row(case, history)


SPECIMENS = [
    (Infinite, on("healthy")),
    (NotANumber, on("healthy")),
    (DropsARow, on("healthy")),
    (AnswersTwice, on("healthy")),
    (ForgetsTheQuantile, on("healthy")),
    (CrashesOnNothing, on("no periods")),
    (NeedsAHistory, on("one value")),
    (TripsOverGaps, on("gaps")),
    (NeverAnswers, answers_a_healthy_history),
    (InventsGrowth, continues_a_constant),
    (CountsRows, order_does_not_matter),
    (ReadsTheFirstSeries, order_does_not_matter),
    (LearnsFromTheFirstRow, order_does_not_matter),
    (WritesIntoTheSnapshot, inputs_stay),
    (CentresTheLabels, inputs_stay),
    (IgnoresItsSeed, same_seed_same_bits),
    (StoresRounded, a_stored_fit_has_the_same_bits),
    (StoresNothing, a_stored_fit_has_the_same_bits),
    (AnswersMissingWithMissing, missing_features_are_bearable),
    (NeedsRows, few_training_rows_are_bearable),
    (AveragesTheQuestions, questions_do_not_touch_each_other),
]


@pytest.mark.parametrize(("specimen", "promise"), SPECIMENS, ids=lambda one: getattr(one, "__name__", ""))
def test_a_broken_promise_is_caught(specimen: type[Sound], promise: Callable[[Case], None]) -> None:
    with pytest.raises((AssertionError, IndexError)):
        promise(Case(specimen.__name__, specimen, learns=True))


def test_the_sound_specimen_passes() -> None:
    sound = Case("sound", Sound, learns=True)
    for history in HISTORIES:
        answers_every_row(sound, history)
    for promise in PROMISES:
        promise(sound)


def test_every_promise_has_a_specimen_that_breaks_it() -> None:
    assert set(PROMISES) <= {promise for _, promise in SPECIMENS}
