"""Other worlds announce other things after the cut and nothing else before it; raw tables are altered as told by it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.backtest.planning import build_plan
from harness.core.recipe import Target
from harness.core.time import micros
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.dataset import load_dataset
from harness.data.declared import Announcements, TextForm
from harness.data.replay import Replay
from harness.record.home import Home
from harness.studies.announced_again import altered, announced_by
from harness.studies.other_announcements import other_later
from harness.studies.pipeline import board_of, passage
from harness.studies.raw_world import Later, read_again, told_by
from harness.studies.worlds import Kind, other_world
from tests.data.price_samples import day, events, market, members, night
from tests.data.test_prices import histories
from tests.paced import paced
from tests.planted.made_market import DAYS, exported, ground_of, in_files, question, stock_exchange, with_history

CUT = "2020-02-22"
Made = tuple[list[float | None], list[tuple[str, str, int, float, int]]]


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> ChangeFile:
    return exported(stock_exchange(tmp_path_factory.mktemp("exchange") / "archive"))


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> ChangeFile:
    return exported(market(tmp_path_factory.mktemp("acme"), {"acme": [1.0]}))


def told(changes: ChangeFile, cut: int) -> list[pl.DataFrame]:
    return [one.table for one in announced_by(changes, changes.ids, cut)]


# ---- other worlds


@pytest.mark.parametrize("kind", ["removed", "noise", "restamped"])
def test_what_was_announced_by_the_cut_stays_and_what_came_later_is_another(changes: ChangeFile, kind: Kind) -> None:
    plan = ground_of(changes, question()).plan
    origin = next(row for row, one in enumerate(plan.instants) if one.isoformat().startswith(CUT))
    cut, end = int(plan.known[origin]), int(plan.until) * 2
    world = other_world(plan, changes, origin, kind, 1)
    for before, after in zip(told(changes, cut), told(world.changes, cut), strict=True):
        assert before.equals(after)
        assert before.height > 0
    for before, after in zip(told(changes, end), told(world.changes, end), strict=True):
        assert not before.equals(after)
    announced = world.changes.events.announced
    assert (np.diff(announced) >= 0).all()
    assert world.changes.members["announced"].is_sorted()
    later = int((changes.published > cut).sum()) + int((changes.publications.published > cut).sum())
    assert world.touched == later + 4 + 2  # events and memberships


def test_members_of_another_world_are_derived_anew_for_the_same_series(changes: ChangeFile) -> None:
    plan = ground_of(changes, question()).plan
    origin = next(row for row, one in enumerate(plan.instants) if one.isoformat().startswith(CUT))
    world = other_world(plan, changes, origin, "removed", 1).plan
    assert world.members.series == plan.members.series
    assert (world.members.member[: origin + 1] == plan.members.member[: origin + 1]).all()
    assert world.members.names(len(plan.instants) - 1) != plan.members.names(len(plan.instants) - 1)
    assert "aaron" not in world.members.order  # nobody has announced it there, and nobody minds
    assert not world.members.member[:, plan.members.series.index("aaron")].any()


def test_without_a_universe_nothing_is_handed_over_about_members(tmp_path: Path) -> None:
    archive = market(tmp_path, {"alpha": [10.0 + number % 7 for number in range(DAYS)]}, known_through=DAYS)
    changes = exported(archive)
    plan = build_plan(question(target=Target(("alpha",), question().target.transform)), changes)
    world = other_world(plan, changes, plan.first_scored, "noise", 1)
    assert world.plan.members is plan.members
    found = passage(plan, changes, board_of(plan.experiment)[:1], plan.first_scored)
    assert not {one.stage for one in found.groups[0]} & {"members", "target"}


@settings(max_examples=20, deadline=None)
@given(made=histories(), cut=st.integers(-1, 11), seed=st.integers(0, 99))
def test_other_events_are_possible_ones_at_every_instant(acme: ChangeFile, made: Made, cut: int, seed: int) -> None:
    prices, given_events = made
    changes = with_history(acme, prices, given_events)
    at = micros(night(cut))
    later, random = changes.published > at, np.random.default_rng(seed)
    world = other_later(changes, later, at, random)
    sides = [Replay(one, ["acme"]) for one in (changes, world)]
    for number in range(len(prices) + 1):
        snapshots = []
        for replay in sides:
            replay.advance(night(number))
            snapshots.append(replay.snapshot(Target(("acme",), prices="total")).frame())  # raises where impossible
        if number <= cut:
            assert snapshots[0].equals(snapshots[1])


# ---- raw tables


FORM = TextForm(decimal_mark=",", date_format="%d.%m.%Y")
COLUMNS = (("series", "ticker"), ("kind", "what"), ("ex_date", "ex"), ("value", "amount"), ("announced_at", "told"))
TABLE = pl.DataFrame(
    {
        "ticker": ["a", "a", "b", "b"],
        "what": ["split", "split", "dividend", "delisting"],
        "ex": ["03.01.2020", "04.02.2020", "05.02.2020", "06.02.2020"],
        "amount": ["2,0", "3,0", "0,5", None],
        "told": ["01.01.2020", "01.02.2020", "01.02.2020", "05.02.2020"],
    }
)
LATE = np.array([False, True, True, True])


def test_later_rows_of_a_table_are_left_out_or_say_something_else() -> None:
    declared = Announcements("events.csv", COLUMNS, "", FORM)
    assert altered(declared, TABLE, LATE, 1, drop=True).equals(TABLE.head(1))
    assert altered(declared, TABLE, ~LATE & LATE, 1, drop=False).equals(TABLE)
    found = altered(declared, TABLE, LATE, 1, drop=False)
    assert found.head(1).equals(TABLE.head(1))
    assert found["told"].equals(TABLE["told"])
    assert (found["ex"] == TABLE["ex"]).to_list() == [True, False, False, True]  # a delisting may have been told before
    assert found["amount"][3] is None
    numbers = found["amount"].str.replace(",", ".").cast(pl.Float64)
    assert (numbers.drop_nulls() > 0).all()
    assert (found["amount"] == TABLE["amount"]).to_list()[:3] == [True, False, False]


def test_native_columns_keep_their_types() -> None:
    columns = (("series", "s"), ("universe", "u"), ("from", "from"), ("to", "to"), ("announced_at", "at"))
    days = [date(2020, 1, number) for number in (1, 2, 3)]
    table = pl.DataFrame(
        {"s": ["a", "b", "c"], "u": "big", "from": days, "to": [date(2020, 6, 1), None, None], "at": days}
    )
    found = altered(Announcements("members.parquet", columns), table, np.array([False, True, True]), 3, drop=False)
    assert found.schema == table.schema
    assert found.head(1).equals(table.head(1))
    assert not found.tail(2).select("s", "from", "to").equals(table.tail(2).select("s", "from", "to"))
    assert found.filter(pl.col("to") < pl.col("from")).is_empty()


def both(changes: ChangeFile, cut: int) -> list[pl.DataFrame]:
    return [one.table for one in told_by(changes, changes.ids, cut, by_vintage=True)]


@pytest.mark.slow
@pytest.mark.parametrize("drop", paced([True, False]))
def test_what_came_by_files_and_otherwise_is_announced_again(tmp_path: Path, drop: bool) -> None:
    in_files(tmp_path)
    archive = Archive.open(tmp_path / "archive.duckdb")
    more = events(("shares/beta", "split", 30, 2.0, 28), ("shares/beta", "dividend", 66, 1.0, 64))
    archive.append_events(more, source="by hand")
    archive.append_members(members(("shares/beta", 70, None, 66), ("shares/beta", 5, None, 4)), source="by hand")
    changes = exported(archive)
    dataset = load_dataset(tmp_path / "datasets" / "shares")
    end, cut = micros(night(DAYS)), micros(night(58))
    plain = read_again([dataset], (), changes, Home(tmp_path / "plain"), None)
    assert all(one.equals(other) for one, other in zip(both(changes, end), both(plain, end), strict=True))
    other = read_again([dataset], (), changes, Home(tmp_path / "other"), Later(cut, 7, drop))
    assert all(one.equals(two) for one, two in zip(both(changes, cut), both(other, cut), strict=True))
    assert all(not one.equals(two) for one, two in zip(told(changes, end), told(other, end), strict=True))


@pytest.mark.slow
def test_series_of_no_dataset_are_read_again_with_their_final_values_once(changes: ChangeFile, tmp_path: Path) -> None:
    plain = read_again((), changes.ids, changes, Home(tmp_path), None)
    end = micros(night(DAYS))
    assert all(one.equals(other) for one, other in zip(both(changes, end), both(plain, end), strict=True))
    final = plain.value[(plain.code == plain.code_of("bought")) & (plain.period == (day(59) - date(1970, 1, 1)).days)]
    assert final.tolist() == [44.0]
