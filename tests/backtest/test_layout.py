"""Features kept once give the rows of the plain design, to the bit; only origins that no row can use are left out."""

import resource
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.backtest.design import RowBuilder, build_design, build_rows, places
from harness.backtest.layout import compact, number_type, usable
from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.backtest.splits import Plan, training_set
from harness.backtest.table_file import let_go, new_table
from harness.core.errors import FullDiskError
from harness.core.recipe import Experiment, FeatureBlock, Origins, Recipe, Schedule, Target, Training
from harness.core.series import Series
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.replay import Replay

FLOAT32 = Recipe("gbm", "lightgbm", (("float32", True),), ("own",))
OWN = FeatureBlock("own", latest=(1, 2), rolling_mean=(2,), calendar=("month", "quarter"), known_ahead=(-4, -8))
OTHER = FeatureBlock("other", "rate", latest=(1,), age=True)


@pytest.fixture(scope="module", params=[False, True], ids=["once", "revised"])
def planned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, ChangeFile]:
    """Quarterly series whose schedule is every month, asked at one quarter's end."""
    folder = tmp_path_factory.mktemp("layout")
    archive = Archive.open(folder / "archive.duckdb")
    noise = np.random.default_rng(3)
    known = datetime(2020, 2, 1, tzinfo=UTC)
    for name, frequency, every in (("b", "Q", "3mo"), ("a", "Q", "3mo"), ("rate", "M", "1mo")):
        archive.define(Series(name, frequency))
        starts = pl.date_range(date(2010, 1, 1), date(2019, 12, 1), every, eager=True)
        periods = starts.dt.offset_by(every).dt.offset_by("-1d")
        values = noise.normal(size=len(periods)) + 9.0
        stated = pl.DataFrame({"series_id": [name] * len(periods), "period": periods, "value": values})
        stated = stated.with_columns(published_at=pl.col("period").dt.offset_by("20d"))
        if request.param and name == "rate":
            stated = pl.concat([stated, stated[50:51].with_columns(published_at=pl.date(2015, 1, 1), value=1.5)])
        archive.append(stated.filter(pl.col("published_at") < known.date()), source="made", known_through=known)
    changes = ChangeFile.open(archive.export(folder / "changes"))
    experiment = Experiment(
        name="kept",
        target=Target(("b", "a")),
        origins=Origins(Schedule("month_end"), first=date(2019, 6, 30), last=date(2019, 6, 30), zone="UTC"),
        horizons=(1, 0),
        training=Training(minimum=2),
        features=(OTHER, OWN),
    )
    return build_plan(with_rivals(experiment), changes), changes


def builders(planned: tuple[Plan, ChangeFile]) -> tuple[RowBuilder, RowBuilder]:
    plan, changes = planned
    return (
        RowBuilder(plan, build_design(plan, changes), (OWN, OTHER), changes),
        RowBuilder(plan, build_rows(plan, changes), (OWN, OTHER), changes),
    )


def test_rows_kept_once_are_those_of_the_plain_design(planned: tuple[Plan, ChangeFile]) -> None:
    plan, changes = planned
    walk = Replay(changes, plan.inputs)
    plain, kept = builders(planned)
    for origin in plan.issued:
        walk.advance(plan.instants[origin])
        snapshot = walk.snapshot(plan.experiment.target)
        sets = {place: training_set(plan, origin, place, snapshot) for place in range(2)}
        series, horizons = np.divmod(np.arange(4), 2)
        pairs = [(one.training(origin, sets, snapshot), one.asked(origin, series, horizons)) for one in (plain, kept)]
        assert len(pairs[0][0]) > 0
        for expected, given in zip(*pairs, strict=True):
            assert given.keys.equals(expected.keys)
            assert given.X.equals(expected.X)
            assert not given.X.select(pl.all().is_nan().all()).row(0)[0]


def test_a_feature_that_all_horizons_share_is_stored_once_and_other_phases_not_at_all(
    planned: tuple[Plan, ChangeFile],
) -> None:
    plan, changes = planned
    layout = compact(plan)
    assert layout.width == 5 + 2 * 4
    assert (layout.columns[0, :5] == layout.columns[1, :5]).all()
    stored = usable(plan)
    assert build_rows(plan, changes).shape[1] == stored.sum() < len(plan.instants) / 2
    assert set(plan.phase[stored]) == set(plan.phase[plan.first_issued :]) < set(plan.phase)


def test_a_row_of_an_origin_that_is_not_stored_is_refused(planned: tuple[Plan, ChangeFile]) -> None:
    plan, _ = planned
    other = int(np.flatnonzero(plan.phase != plan.phase[-1])[-1])
    with pytest.raises(IndexError, match="not stored"):
        builders(planned)[1].asked(other, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))


def test_single_precision_is_stored_only_where_every_reader_asks_for_it(planned: tuple[Plan, ChangeFile]) -> None:
    plan, changes = planned
    double = replace(FLOAT32, name="other", params=())
    alone, beside = (replace(plan.experiment, models=models) for models in ((FLOAT32,), (FLOAT32, double)))
    assert (number_type(alone), number_type(beside)) == (np.float32, np.float64)
    short = build_rows(replace(plan, experiment=alone), changes)
    assert short.dtype == np.float32
    np.testing.assert_array_equal(short, build_rows(plan, changes).astype(np.float32))


def test_a_table_in_a_file_holds_the_numbers_of_one_in_memory(planned: tuple[Plan, ChangeFile], tmp_path: Path) -> None:
    plan, changes = planned
    file = tmp_path / "design.npy"
    filled, expected = build_rows(plan, changes, file), build_rows(plan, changes)
    let_go(filled)
    for found in (filled, np.load(file), np.load(file, mmap_mode="r")):
        let_go(found)
        np.testing.assert_array_equal(found, expected)
    none = replace(plan, experiment=replace(plan.experiment, features=()))
    assert build_rows(none, changes, file).shape == np.load(file).shape


def test_a_table_that_the_disk_has_no_room_for_is_an_error_at_once(tmp_path: Path) -> None:
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, most[1]))
    try:
        with pytest.raises(FullDiskError, match="no room"):
            new_table(tmp_path / "design.npy", (1 << 10, 1 << 10), np.float64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)


@pytest.mark.parametrize(("series", "origins"), [(1, 127), (1, 128), (1, 129), (2, 128), (3, 85), (1, 32_768)])
@pytest.mark.parametrize("by_origin", [True, False])
def test_cells_of_rows_are_those_of_wide_numbers(series: int, origins: int, by_origin: bool) -> None:
    at, of = np.repeat(np.arange(origins), series), np.tile(np.arange(series), origins)
    apart = (series, 1) if by_origin else (1, origins)
    found = places(np.arange(origins), apart, series * origins, at, of)
    assert found.astype(np.int64).tolist() == (at * apart[0] + of * apart[1]).tolist()
    with pytest.raises(IndexError, match="not stored"):
        places(np.full(origins, -1), apart, series * origins, at, of)
