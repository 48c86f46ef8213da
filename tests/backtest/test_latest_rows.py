"""Training rows of the latest vintage: the cells a pseudo-origin knew, with the numbers of the refit origin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import numpy as np
import polars as pl
import pytest

from harness.backtest import design
from harness.backtest.data_facts import input_facts, origin_facts, public_shares
from harness.backtest.design import RowBuilder, build_design
from harness.backtest.latest_rows import LatestRows
from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.backtest.splits import Plan, training_set
from harness.core.recipe import Experiment, FeatureBlock, Origins, Schedule, Target, Training
from harness.core.series import Series
from harness.core.snapshot import Snapshot
from harness.core.time import micros
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.firsts import Firsts, first_published
from harness.data.replay import Replay
from harness.experiment.launch import prepare
from harness.forecast.features import Targets
from harness.record.cells import read_cell
from harness.record.home import open_home
from harness.report.facts import ON_LATEST_ROWS
from harness.report.page import render
from harness.report.plan_table import plan_text
from harness.report.run import Run
from harness.report.summary import summary
from tests.backtest.made_runs import AR, END, MINE, RIDGE, TREES, Ran, exported, quarter, releases, run, small
from tests.backtest.plain_latest import ends, restated, stated
from tests.backtest.test_laws import RIVALS, origins_of, scrambled
from tests.backtest.test_resume import assert_same, stopped_and_resumed
from tests.forecast.feature_snapshots import panel
from tests.forecast.plain_features import plain_feature_rows
from tests.paced import paced

ROOT = Path(__file__).parents[2]
LEARNERS = ("ridge", "gbm", "mine")
NOISY = replace(TREES, params=(*TREES.params, ("bagging_fraction", 0.7), ("bagging_freq", 1)))
MODELS = (AR, RIDGE, NOISY, MINE)
FREQUENCIES = {"cpi": "Q", "gdp": "Q", "rate": "M"}
BLOCKS = (
    FeatureBlock("own", transform=Transform("log_growth", 1), latest=(1, 2, 3), rolling_mean=(3,), age=True),
    FeatureBlock("gdp", series="gdp", latest=(1,), lag=(1, 2), rolling_std=(3,), ratio=(2,), age=True),
    FeatureBlock("gap", series="gdp", transform=Transform("spread", other="cpi"), latest=(1,), age=True),
    FeatureBlock("rate", series="rate", latest=(1, 2), difference=(1,), known_ahead=(-4, 0), age=True),
    FeatureBlock("when", calendar=("quarter", "days")),
)


# ---- the definition


def history(seed: int) -> pl.DataFrame:
    """Quarterly and monthly releases at irregular lags, with revisions, withdrawals, lost and early ones."""
    random = Random(seed)
    rows = []
    for name, frequency in FREQUENCIES.items():
        count, usual = (20, random.choice([-20, 25, 50])) if frequency == "Q" else (58, random.choice([-5, 12]))
        days = list(ends(frequency, date(2015, 3, 31), date(2019, 12, 31)))[:count]
        last = datetime(2015, 1, 1, tzinfo=UTC)
        for place, day in enumerate(days):
            at = datetime(day.year, day.month, day.day, 9, tzinfo=UTC) + timedelta(days=usual + random.randint(0, 9))
            at = max(at, last + timedelta(hours=1))
            last = at
            for back in range(min(place + 1, random.randint(1, 4))):
                gone = back > 0 and random.random() < 0.1
                level = None if gone else round(100 + place - back + random.gauss(0, 1), 2)
                rows.append((name, days[place - back], at, level))
    schema = {"series_id": pl.String(), "period": pl.Date(), "published_at": pl.Datetime("us", "UTC"),
              "value": pl.Float64()}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def archived(frame: pl.DataFrame, folder: Path) -> ChangeFile:
    folder.mkdir(parents=True)
    archive = Archive.open(folder / "archive.duckdb")
    for name, frequency in FREQUENCIES.items():
        archive.define(Series(name, frequency, zone="Europe/London"))
    known = datetime(2019, 12, 31, 12, tzinfo=UTC)
    archive.append(frame.filter(pl.col("published_at") <= known), source="made", known_through=known)
    return ChangeFile.open(archive.export(folder / "changes"))


def experiment(latency: timedelta, vintage: str = "latest") -> Experiment:
    return Experiment(
        "made",
        Target(("cpi", "gdp"), Transform("log_growth", 1), season=4),
        Origins(Schedule("month_end"), date(2018, 6, 30), zone="Europe/London", latency=latency),
        (0, 1),
        training=Training(minimum=3),
        features=BLOCKS,
        models=(replace(RIDGE, features=tuple(block.name for block in BLOCKS)),),
        vintage=vintage,  # type: ignore[arg-type]
    )


def walked(plan: Plan, changes: ChangeFile) -> Iterator[tuple[int, Snapshot]]:
    replay = Replay(changes, plan.inputs, latency=plan.experiment.origins.latency)
    for origin in plan.issued:
        replay.advance(plan.instants[origin])
        yield origin, replay.snapshot(plan.experiment.target)


def compared(plan: Plan, changes: ChangeFile, frame: pl.DataFrame, *, flaw: str = "") -> tuple[int, int]:
    """Training rows that equal the definition bit for bit, and all of them."""
    builder = RowBuilder(plan, build_design(plan, changes), BLOCKS, changes)
    told, equal, total = stated(frame), 0, 0
    for origin, known in list(walked(plan, changes))[::4]:
        sets = {place: training_set(plan, origin, place, known) for place in range(len(plan.experiment.horizons))}
        rows = builder.training(origin, sets, known)
        values = rows.X.to_numpy()
        for moment in rows.keys["pseudo_origin"].unique().sort():
            instants = (plan.instants[origin], moment, plan.experiment.origins.latency)
            plain = restated(told, FREQUENCIES, instants, plan.experiment.target, flaw=flaw)
            place = plan.instants.index(moment)
            target = plan.experiment.target.series
            wanted = plain_feature_rows(plain, BLOCKS, Targets(target, plan.experiment.horizons, plan.end_days[place]))
            for row in np.flatnonzero((rows.keys["pseudo_origin"] == moment).to_numpy()):
                key = rows.keys.row(int(row), named=True)
                want = np.array(wanted[target.index(key["series_id"])][plan.experiment.horizons.index(key["horizon"])])
                equal += values[row].tobytes() == want.tobytes()
                total += 1
    return equal, total


@pytest.mark.parametrize(("seed", "latency"), paced([(3, 30), (1, 0), (2, 0)]))
def test_rows_are_those_of_the_definition_bit_for_bit(seed: int, latency: int, tmp_path: Path) -> None:
    frame = history(seed)
    changes = archived(frame, tmp_path / "archive")
    plan = build_plan(experiment(timedelta(hours=latency)), changes)
    equal, total = compared(plan, changes, frame)
    assert equal == total > 100
    for flaw in ("edge", "frozen"):  # the specimens: both mistakes would be seen
        equal, total = compared(plan, changes, frame, flaw=flaw)
        assert equal < total


def test_a_row_by_hand(tmp_path: Path) -> None:
    """Three quarters; the first is revised after the row's origin, the second comes out after it."""
    at = [datetime(2016, month, 10, tzinfo=UTC) for month in (1, 4, 7, 10)]
    frame = pl.DataFrame(
        {
            "series_id": ["cpi"] * 4,
            "period": [quarter(43), quarter(43), quarter(44), quarter(45)],
            "published_at": [at[0], at[2], at[1], at[3]],
            "value": [100.0, 107.0, 102.0, 103.0],
        }
    )
    changes = ChangeFile.open(exported(frame, tmp_path / "archive", known_through=at[3]))
    replay = Replay(changes, ["cpi"])
    replay.advance(at[3])
    target = Target(("cpi",))
    block = FeatureBlock("own", latest=(1, 2), age=True)
    asked = small((RIDGE,), tmp_path, features=(block,), vintage="latest")
    row = at[1] - timedelta(days=1)
    plan = build_plan(with_origin(asked, target), changes)
    plan = replace(plan, instants=(row,), known=np.array([micros(row)]))
    none = np.zeros(1, dtype=np.int64)
    found = LatestRows(plan, (block,), changes).training(none, none, none, replay.snapshot(target))
    # the second quarter stays unknown, the first has the number of July and the date of January
    np.testing.assert_array_equal(found, [[107.0, np.nan, 90.0]])


def with_origin(asked: Experiment, target: Target) -> Experiment:
    origins = replace(asked.origins, first=date(2016, 3, 31))
    return replace(asked, target=target, origins=origins, horizons=(0,), training=Training(minimum=1))


def test_first_publications_find_their_session_among_those_known() -> None:
    friday, monday, tuesday, later = date(2024, 5, 3), date(2024, 5, 6), date(2024, 5, 7), date(2024, 5, 8)
    held = panel("B", {"a": [1.0, 2.0], "b": [3.0, 4.0]}, end=tuesday, sessions=[friday, tuesday, later])
    days = np.array([(day - date(1970, 1, 1)).days for day in (friday, monday, tuesday, friday)])
    firsts = Firsts(("0", "a", "b"), np.array([1, 1, 2, 0]), days, np.array([5, 6, 7, 8]))
    never = np.iinfo(np.int64).min
    # the Monday is no session by now, and "0" is in another panel
    assert first_published(held, firsts).tolist() == [[5, never], [never, 7]]


@pytest.mark.slow
def test_rows_of_sessions_never_revised_are_the_frozen_ones_closures_or_not(tmp_path: Path) -> None:
    ready = prepare(ROOT / "experiments" / "sp500_volatility.toml", open_home(tmp_path / "home"))
    held = ChangeFile.open(ready.changes)
    plan = build_plan(ready.experiment, held)
    replay = Replay(held, plan.inputs, latency=plan.experiment.origins.latency)
    last = len(plan.instants) - 1
    replay.advance(plan.instants[last])
    known = replay.snapshot(plan.experiment.target)
    sets, rows = {0: training_set(plan, last, 0, known)}, build_design(plan, held)
    made = []
    for vintage in ("latest", "frozen"):
        chosen = replace(plan, experiment=replace(plan.experiment, vintage=vintage))
        builder = RowBuilder(chosen, rows, plan.experiment.features, held)
        made.append(builder.training(last, sets, known).X.to_numpy())
    assert made[0].shape[0] > 900
    assert made[0].tobytes() == made[1].tobytes()


# ---- whole runs


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("latest")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


@pytest.fixture(scope="module")
def asked(place: Path) -> Experiment:
    storing = replace(MINE, name="storing", kind="own_models:Storing")
    made = small((*MODELS, storing), place, vintage="latest")
    return replace(made, origins=replace(made.origins, first=quarter(21)))


@pytest.fixture(scope="module")
def latest(asked: Experiment, changes: Path, place: Path) -> Ran:
    return run(asked, changes, place / "latest")


@pytest.fixture(scope="module")
def frozen(asked: Experiment, changes: Path, place: Path) -> Ran:
    return run(replace(asked, vintage="frozen"), changes, place / "latest")  # one home: nothing is taken for the other


@pytest.mark.slow
def test_revisions_move_what_learns_from_rows_and_nothing_else(latest: Ran, frozen: Ran) -> None:
    assert latest.of(*RIVALS, "ar").equals(frozen.of(*RIVALS, "ar"))
    for model in ("ridge", "gbm"):
        assert not latest.of(model).equals(frozen.of(model)), model


@pytest.mark.slow
def test_without_revisions_both_are_the_same_bits(asked: Experiment, tmp_path: Path) -> None:
    final = releases().sort("published_at", maintain_order=True).unique(["series_id", "period"], keep="first")
    changes = exported(final, tmp_path / "archive")
    one, two = (run(replace(asked, vintage=word), changes, tmp_path / word) for word in ("latest", "frozen"))
    assert one.of(*LEARNERS, "storing", "ar").equals(two.of(*LEARNERS, "storing", "ar"))
    assert one.of("ridge")["value"].null_count() == 0


def test_cells_and_fits_have_keys_of_their_own_and_seeds_in_common(latest: Ran, frozen: Ran) -> None:
    home = latest.files.folder.parents[1]
    for model, mine in latest.keys.items():
        other = frozen.keys[model]
        learns = model in (*LEARNERS, "storing")
        assert (not set(mine) & set(other)) if learns else mine == other, model
        facts = [[read_cell(home / "cells", key).facts for key in keys] for keys in (mine, other)]  # type: ignore[union-attr]
        assert [one.get("seed") for one in facts[0]] == [one.get("seed") for one in facts[1]]
        if learns:
            assert not {one["fit_key"] for one in facts[0]} & {one["fit_key"] for one in facts[1]}
            assert [one["training_rows"] for one in facts[0]] == [one["training_rows"] for one in facts[1]]


@pytest.mark.parametrize("place_of_cut", [1, 3])
@pytest.mark.slow
def test_nothing_published_after_an_origin_moves_it(
    place_of_cut: int, latest: Ran, asked: Experiment, tmp_path: Path
) -> None:
    cut = origins_of(latest)[place_of_cut]
    other = run(asked, exported(scrambled(releases(), cut, seed=3), tmp_path / "archive"), tmp_path / "home")
    until, after = pl.col("origin") <= cut, pl.col("origin") > cut
    assert other.of(*LEARNERS).filter(until).equals(latest.of(*LEARNERS).filter(until))
    assert not other.of("ridge").filter(after).equals(latest.of("ridge").filter(after))


def test_a_planted_look_at_the_last_vintage_is_caught_by_that_comparison(
    asked: Experiment, changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Leaking(LatestRows):
        def training(self, origins, series, horizons, snapshot):
            replay = Replay(self._changes, snapshot.series)
            replay.advance(END)
            return super().training(origins, series, horizons, replay.snapshot(snapshot.target))

    monkeypatch.setattr(design, "LatestRows", Leaking)
    only = replace(asked, models=(RIDGE,))
    leaky = run(only, changes, tmp_path / "one")
    cut = origins_of(leaky)[2]
    other = run(only, exported(scrambled(releases(), cut, seed=3), tmp_path / "archive"), tmp_path / "two")
    until = pl.col("origin") <= cut
    assert not other.of("ridge").filter(until).equals(leaky.of("ridge").filter(until))


@pytest.mark.slow
def test_two_workers_and_a_resumed_run_end_with_the_same_bits(
    asked: Experiment, changes: Path, latest: Ran, tmp_path: Path
) -> None:
    home = tmp_path / "whole"
    whole = run(asked, changes, home)
    assert whole.of(*LEARNERS).equals(latest.of(*LEARNERS))
    assert_same(run(asked, changes, tmp_path / "two", workers=2), whole)
    stopped, resumed = stopped_and_resumed(asked, changes, tmp_path / "stopped", 60)
    assert stopped
    assert_same(resumed, whole)


@pytest.mark.slow
def test_the_mark_stands_in_every_face_of_such_a_run_and_of_no_other(
    latest: Ran, frozen: Ran, asked: Experiment, changes: Path
) -> None:
    models = ["ridge", "gbm", "mine", "storing"]
    named = f"{', '.join(models)}: {ON_LATEST_ROWS}"
    assert "not what a model would have seen on the day" in named
    for ran, marked in ((latest, True), (frozen, False)):
        found = Run(ran.files.run_id, ran.files.folder.parents[1])
        assert found.manifest["facts"]["vintage"] == ("latest" if marked else "frozen")  # type: ignore[index]
        assert found.manifest["facts"]["on_latest_rows"] == (models if marked else [])  # type: ignore[index]
        for text in (summary(found), render(found)):
            assert (named in text) == marked
            assert (ON_LATEST_ROWS in text) == marked
    held = ChangeFile.open(changes)
    plan = build_plan(with_rivals(asked), held)
    tables = (input_facts(plan, held), origin_facts(plan, held), public_shares(plan, held))
    assert named in plan_text(plan.experiment, *tables)
    assert ON_LATEST_ROWS not in plan_text(replace(plan.experiment, vintage="frozen"), *tables)
    assert ON_LATEST_ROWS not in plan_text(replace(plan.experiment, models=(AR,)), *tables)
