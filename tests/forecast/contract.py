"""What every forecaster promises, as checks that take a forecaster and raise AssertionError."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from harness.core.frames import ANSWER_SCHEMA, Rows
from harness.core.snapshot import Issue, Snapshot
from harness.core.time import NEVER, micros, period_containing
from harness.core.transform import Transform
from harness.forecast.protocol import Forecaster, Storable
from tests.forecast.made_snapshots import GAP, ORIGIN, asked, made, training, wave

GROWTH = Transform("log_growth", 4)
SOURCE = "bank"
LENGTH = 60
HISTORIES = {
    "healthy": {"a": wave(LENGTH, seed=1), "b": wave(LENGTH, seed=2)},
    "ragged end": {"a": wave(LENGTH, seed=1), "b": [*wave(LENGTH - 3, seed=2), GAP, GAP, GAP]},
    "gaps": {
        "a": [*wave(20, seed=1), GAP, *wave(LENGTH - 21, seed=3)],
        "b": [*wave(LENGTH - 2, seed=2), GAP, 140.0],
    },
    "constant": {"a": [100.0] * LENGTH, "b": [7.25] * LENGTH},
    "nothing known": {"a": [GAP] * 8, "b": [GAP] * 8},
    "no periods": {"a": [], "b": []},
    "one value": {"a": [*[GAP] * 7, 100.0], "b": [*[GAP] * 7, 101.0]},
    "two values": {"a": [*[GAP] * 6, 100.0, 101.0], "b": [*[GAP] * 6, 101.0, 99.0]},
    "five values": {"a": [100.0, 101.0, 99.0, 103.0, 104.0], "b": [9.0, 8.0, 9.0, 9.5, 9.25]},
    "zero and negative": {"a": [*wave(LENGTH - 1, seed=1), 0.0], "b": [*wave(LENGTH - 2, seed=1), -3.0, 5.0]},
    "huge": {"a": [1e-300, 1e300] * (LENGTH // 2), "b": wave(LENGTH, seed=2)},
}


@dataclass(frozen=True)
class Case:
    """A forecaster under test: how one is made, and the target it is for."""

    name: str
    make: Callable[[], Forecaster]
    transform: Transform = GROWTH
    learns: bool = False

    @property
    def horizons(self) -> tuple[int, ...]:
        return (1, 2, 6) if self.transform.is_volatility else (-1, 0, 1, 4)

    def snapshot(self, history: str) -> Snapshot:
        levels = HISTORIES[history]
        frequency = "D" if self.transform.is_volatility else "Q"
        known = made(levels, self.transform, frequency=frequency)
        return replace(known, issues=tuple(_issues(known)))

    def rows(self, snapshot: Snapshot, horizons: Iterable[int] = ()) -> Rows:
        return asked(snapshot, tuple(horizons) or self.horizons, features=3 if self.learns else 0)

    def training(self, snapshot: Snapshot, count: int = 30) -> Rows | None:
        return training(snapshot, self.horizons, count=count) if self.learns else None


def _issues(snapshot: Snapshot) -> Iterable[Issue]:
    """A path per series over the origin's period and the seven after it, carried on from the newest level."""
    panel = snapshot.panels[0]
    start = period_containing(panel.timeline.frequency, ORIGIN.date())
    for row, name in enumerate(panel.ids):
        known = panel.values[row][~np.isnan(panel.values[row])]
        level = known[-1] if len(known) else 1.0
        path = np.full(8, level)
        yield Issue(
            SOURCE, name, micros(ORIGIN) - 1, NEVER, start + np.arange(8), np.full(8, GAP), path,
            panel.first, panel.values[row],
        )  # fmt: skip


def run(case: Case, snapshot: Snapshot, rows: Rows | None = None, learned: Rows | None = None) -> pl.DataFrame:
    forecaster = case.make()
    forecaster.fit(case.training(snapshot) if learned is None else learned, snapshot, seed=11)
    answer = forecaster.predict(rows or case.rows(snapshot), snapshot)
    assert answer.schema == ANSWER_SCHEMA
    return ordered(answer)


def ordered(answer: pl.DataFrame) -> pl.DataFrame:
    return answer.sort("series_id", "horizon", "period", "quantile", nulls_last=True)


def answers_every_row(case: Case, history: str) -> None:
    """Each asked target has exactly one point answer, in the promised columns, finite or null."""
    snapshot = case.snapshot(history)
    answer = run(case, snapshot)
    keys = ["series_id", "horizon", "period"]
    given = answer.filter(pl.col("quantile").is_null()).select(keys)
    assert_frame_equal(given, case.rows(snapshot).keys.select(keys), check_row_order=False)
    assert answer["value"].drop_nulls().is_finite().all()


def answers_a_healthy_history(case: Case) -> None:
    """With plenty of history every target from the origin's period on is answered."""
    snapshot = case.snapshot("healthy")
    answer = run(case, snapshot).filter(pl.col("horizon") >= 0)
    assert answer["value"].null_count() == 0


def continues_a_constant(case: Case) -> None:
    """A constant series has no growth and no volatility (a learner: the label it always saw)."""
    snapshot = case.snapshot("constant")
    learned = case.training(snapshot)
    expected = 0.0
    if learned is not None:
        expected = 3.5
        learned = Rows(learned.X, learned.keys, np.full(len(learned), expected))
    answer = run(case, snapshot, learned=learned)
    assert answer["value"].is_null().all() or np.allclose(answer["value"].drop_nulls(), expected, atol=1e-9)


def order_does_not_matter(case: Case) -> None:
    """Permuted training rows, permuted questions and permuted series of the panel give the same bits."""
    snapshot = case.snapshot("healthy")
    rows, learned = case.rows(snapshot), case.training(snapshot)
    shuffled = np.random.default_rng(3).permutation
    mixed = taken(learned, shuffled(len(learned))) if learned is not None else None
    expected = run(case, snapshot, rows, learned)
    assert_frame_equal(run(case, snapshot, taken(rows, shuffled(len(rows))), mixed), expected, check_exact=True)
    panel = snapshot.panels[0]
    flipped = replace(
        panel,
        ids=panel.ids[::-1],
        values=panel.values[::-1],
        published=panel.published[::-1],
        vintage=panel.vintage[::-1],
    )
    assert_frame_equal(run(case, replace(snapshot, panels=(flipped,)), rows, learned), expected, check_exact=True)


def taken(rows: Rows, order: np.ndarray) -> Rows:
    places = pl.Series(order)
    table = rows.X[places] if rows.X.width else rows.X
    return Rows(table, rows.keys[places], None if rows.y is None else rows.y[order])


def inputs_stay(case: Case) -> None:
    """Neither the snapshot nor the rows are written to."""
    snapshot = case.snapshot("gaps")
    rows, learned = case.rows(snapshot), case.training(snapshot)
    panel = snapshot.panels[0]
    arrays = [panel.values, panel.published, panel.vintage, *(issue.values for issue in snapshot.issues)]
    if learned is not None and learned.y is not None:
        arrays.append(learned.y)
    before = [array.copy() for array in arrays]
    tables = [table.clone() for table in (rows.X, rows.keys)]
    for array in arrays:
        array.flags.writeable = False
    try:
        run(case, snapshot, rows, learned)
    except ValueError as error:
        raise AssertionError("an input array was written to") from error
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    for table, copy in zip((rows.X, rows.keys), tables, strict=True):
        assert_frame_equal(table, copy)


def same_seed_same_bits(case: Case) -> None:
    snapshot = case.snapshot("healthy")
    assert_frame_equal(run(case, snapshot), run(case, snapshot), check_exact=True)


def a_stored_fit_has_the_same_bits(case: Case) -> None:
    """What `dump` writes is text, and a forecaster that loads it answers with the same bits, at a later origin too."""
    snapshot = case.snapshot("healthy")
    later = case.snapshot("gaps")
    fitted, restored = case.make(), case.make()
    fitted.fit(case.training(snapshot), snapshot, seed=11)
    if not isinstance(fitted, Storable):
        return
    assert isinstance(restored, Storable)
    text = fitted.dump()
    json.loads(text)
    restored.load(text)
    for known in (snapshot, later):
        rows = case.rows(known)
        expected = ordered(fitted.predict(rows, known))
        assert_frame_equal(ordered(restored.predict(rows, known)), expected, check_exact=True)
    assert restored.dump() == text


def missing_features_are_bearable(case: Case) -> None:
    """Missing features in training and in questions give finite answers or none."""
    snapshot = case.snapshot("healthy")
    rows, learned = case.rows(snapshot), case.training(snapshot)
    if learned is None:
        return
    nothing = pl.lit(GAP)
    everywhere = learned.X.with_columns(nothing.alias(learned.X.columns[0]))
    here_and_there = everywhere.with_columns(
        pl.when(pl.int_range(pl.len()) % 3 == 0)
        .then(None)
        .otherwise(pl.col(learned.X.columns[1]))
        .alias("own.latest_2")
    )
    forecaster = case.make()
    forecaster.fit(Rows(here_and_there, learned.keys, learned.y), snapshot, seed=11)
    for table in (rows.X, rows.X.with_columns(nothing.alias(name) for name in rows.X.columns)):
        answer = forecaster.predict(Rows(table, rows.keys), snapshot)
        assert answer["value"].drop_nulls().is_finite().all()


def few_training_rows_are_bearable(case: Case) -> None:
    snapshot = case.snapshot("healthy")
    if not case.learns:
        return
    for count in (0, 1, 2, 5):
        answer = run(case, snapshot, learned=case.training(snapshot, count))
        assert answer["value"].drop_nulls().is_finite().all()
        assert answer.height >= len(case.rows(snapshot))


def questions_do_not_touch_each_other(case: Case) -> None:
    """All at once give the bits of one series and horizon at a time (scikit-learn's sums may differ in the last)."""
    snapshot = case.snapshot("ragged end")
    learned = case.training(snapshot)
    together = run(case, snapshot, learned=learned)
    rows = case.rows(snapshot)
    for name, horizon in itertools.product(("a", "b"), case.horizons):
        chosen = (rows.keys["series_id"] == name) & (rows.keys["horizon"] == horizon)
        one = Rows(rows.X.filter(chosen) if rows.X.width else rows.X, rows.keys.filter(chosen))
        alone = run(case, snapshot, one, learned)
        same = together.filter((pl.col("series_id") == name) & (pl.col("horizon") == horizon))
        assert_frame_equal(alone, same, check_exact=not case.name.startswith("sklearn"), rel_tol=1e-12)


PROMISES = (
    answers_a_healthy_history,
    continues_a_constant,
    order_does_not_matter,
    inputs_stay,
    same_seed_same_bits,
    a_stored_fit_has_the_same_bits,
    missing_features_are_bearable,
    few_training_rows_are_bearable,
    questions_do_not_touch_each_other,
)
