"""What reaches steps and model under a liberty, and that labels stay pinned whatever is altered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.backtest.design import build_design
from harness.backtest.liberty import every_row
from harness.backtest.runner import board_of
from harness.backtest.splits import TrainingSet
from harness.backtest.witness import World
from harness.backtest.work import walk
from harness.core.frames import Rows
from harness.core.recipe import OutcomeRule, Step
from harness.core.snapshot import Snapshot
from harness.data.changes import ChangeFile
from harness.data.outcomes import MATURED
from harness.forecast.protocol import Forecaster
from harness.forecast.steps import with_steps
from harness.record.cells import Cell
from harness.studies.altered import latest_vintage
from harness.studies.liberties import OversampledFirst, StepsOnEverything
from tests.backtest.made_runs import RIDGE, exported, releases
from tests.studies.made_studies import longer, plan_of


class Kept:
    """A forecaster that keeps what it was fitted on."""

    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        self.rows = rows

    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        raise NotImplementedError


def rows(values: list[float]) -> Rows:
    """Rows of one horizon with one feature, whose label is ten times as much."""
    count = len(values)
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, 1) + pl.duration(days=count - 1), eager=True)
    keys = pl.DataFrame(
        {"series_id": ["x"] * count, "pseudo_origin": days.cast(pl.Datetime("us", "UTC")),
         "horizon": pl.Series([0] * count, dtype=pl.Int32), "period": days}
    )  # fmt: skip
    return Rows(pl.DataFrame({"f": values}), keys, 10 * np.array(values))


SNAPSHOT: Snapshot = None  # type: ignore[assignment]  # nobody here reads it


def test_steps_see_everything_and_the_model_only_what_has_matured() -> None:
    model = Kept()
    behind = with_steps(lambda: model, [Step("scale")])
    StepsOnEverything().fit(behind, rows([0.0, 1.0]), rows([0.0, 1.0, 11.0]), SNAPSHOT, seed=1)
    assert model.rows is not None
    everything = np.array([0.0, 1.0, 11.0])
    np.testing.assert_allclose(model.rows.X["f"].to_numpy(), (everything[:2] - everything.mean()) / everything.std())
    np.testing.assert_array_equal(model.rows.y, [0.0, 10.0])
    StepsOnEverything().fit(model, rows([3.0]), rows([3.0, 4.0]), SNAPSHOT, seed=1)
    assert model.rows.X["f"].to_list() == [3.0]


def test_copies_made_before_the_split_reach_the_model_and_originals_that_have_not_matured_do_not() -> None:
    everything = [float(value) for value in range(10)]  # the largest and the smallest are copied until bins are even
    model = Kept()
    OversampledFirst().fit(model, rows(everything[:5]), rows(everything), SNAPSHOT, seed=1)
    assert model.rows is not None
    seen = model.rows.X["f"].to_list()
    assert seen[:5] == everything[:5]
    assert set(seen[5:]) == {0.0, 9.0}
    np.testing.assert_array_equal(model.rows.y, 10 * np.array(seen))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("liberties")


def test_everything_is_every_row_with_an_outcome(place: Path) -> None:
    changes = exported(releases(), place / "archive")
    plan = plan_of(longer((RIDGE,), place), changes)
    for origin in (plan.first_scored, len(plan.instants) - 1):
        some = every_row(plan, origin, 1)
        matured = plan.outcomes.status[0, plan.request[:, 1]] == MATURED
        assert some.origins.tolist() == np.flatnonzero(matured).tolist()
        np.testing.assert_array_equal(some.requests, plan.request[some.origins, 1])


class Labels:
    """A witness of the labels of every fit."""

    def __init__(self) -> None:
        self.labels: dict[int, list[float]] = {}

    def training_rows(self, model: str, origin: int, rows: Rows) -> None:
        self.labels[origin] = [] if rows.y is None else rows.y.tolist()

    def snapshot(self, model: str, origin: int, snapshot: Snapshot) -> None: ...
    def training_set(self, model: str, origin: int, sets: Mapping[int, TrainingSet]) -> None: ...
    def fit(self, model: str, origin: int, forecaster: Forecaster) -> None: ...
    def asked_rows(self, model: str, origin: int, rows: Rows) -> None: ...
    def cell(self, model: str, origin: int, cell: Cell) -> None: ...


def test_labels_under_latest_are_those_of_the_true_changes_in_an_altered_world(place: Path) -> None:
    true = ChangeFile.open(exported(releases(), place / "archive"))
    asked = longer((RIDGE,), place)
    plan = plan_of(replace(asked, target=replace(asked.target, outcome=OutcomeRule("latest"))), true.folder)
    ridge = board_of(plan.experiment)[-1:]
    final = latest_vintage(true)
    seen = []
    for world in (
        World(plan, true, build_design(plan, true)),
        World(plan, final, build_design(plan, final), labels=true),
        World(plan, final, build_design(plan, final)),
    ):
        witness = Labels()
        for _ in walk(world, ridge, list(plan.issued), witness=witness):
            pass
        seen.append(witness.labels)
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]  # the specimen: labels read in the altered world are other ones
