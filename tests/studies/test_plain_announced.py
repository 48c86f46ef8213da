"""The plain prices and memberships of the audit are those of the package, instant by instant."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.recipe import Prices, Target
from harness.core.time import EPOCH, micros
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from harness.data.universe import universe_of
from harness.studies.near_origin import all_arrivals, stale_inputs
from harness.studies.plain_cells import looked_at, plain_series, standing
from harness.studies.plain_members import PlainMembers, is_member
from harness.studies.plain_prices import adjusted, delisted, factors
from tests.data.price_samples import day, market, members, night
from tests.data.test_prices import histories
from tests.data.test_universe import stints
from tests.planted.made_market import exported, ground_of, question, stock_exchange, with_history, with_members

Made = tuple[list[float | None], list[tuple[str, str, int, float, int]]]


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> ChangeFile:
    return exported(
        market(tmp_path_factory.mktemp("some"), {name: [1.0] for name in ("acme", "alpha", "beta", "gamma")})
    )


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> ChangeFile:
    return exported(stock_exchange(tmp_path_factory.mktemp("exchange") / "archive"))


def plainly(changes: ChangeFile, name: str, at: int, prices: Prices) -> dict[int, float]:
    one = plain_series(changes, [name])[name]
    counting = factors(one, at, prices)
    known = {period: standing(one, period, at) for period in one.stated}
    return {period: adjusted(said.value, period, counting) for period, said in known.items() if said is not None}


@settings(max_examples=25, deadline=None)
@given(made=histories(), prices=st.sampled_from(["price", "total"]))
def test_plain_prices_are_those_of_the_snapshot(some: ChangeFile, made: Made, prices: Any) -> None:
    quoted, told = made
    changes = with_history(some, quoted, told)
    replay = Replay(changes, ["acme"])
    for number in range(len(quoted) + 1):
        replay.advance(night(number))
        frame = replay.snapshot(Target(("acme",), prices=prices)).frame()
        found = {(when - EPOCH).days: value for when, value in frame.select("period", "value").rows()}
        assert found == pytest.approx(plainly(changes, "acme", micros(night(number)), prices), rel=1e-12)


def test_a_plain_price_does_not_know_a_split_before_it_is_announced(changes: ChangeFile) -> None:
    before, after = (plainly(changes, "delta", micros(night(number)), "price") for number in (51, 52))
    first = min(before)
    assert after[first] == before[first] / 2


@settings(max_examples=25, deadline=None)
@given(rows=stints)
def test_plain_members_are_those_of_the_universe(
    some: ChangeFile, rows: list[tuple[str, int, int | None, int]]
) -> None:
    names = ("alpha", "beta", "gamma")
    changes = with_members(some, rows)
    universe = universe_of(changes, "big")
    for known in range(6):
        target = SimpleNamespace(series=names, universe="big")
        origins = SimpleNamespace(zone="UTC", latency=night(1) - night(1))
        plan: Any = SimpleNamespace(experiment=SimpleNamespace(target=target, origins=origins), instants=[night(known)])
        plain = PlainMembers(plan, changes)
        mine = {name for place, name in enumerate(names) if plain.asked(0, place)}
        assert mine == universe.members(day(known), micros(night(known)))
        assert plain.announced(0) == set(universe.announced_by(micros(night(known))))


def test_a_later_end_of_a_membership_is_not_known_before_it_is_announced(changes: ChangeFile) -> None:
    plain = PlainMembers(ground_of(changes, question()).plan, changes)
    told = plain._told["beta"]
    assert is_member(told, "beta", day(55), micros(night(49)))
    assert not is_member(told, "beta", day(55), micros(night(50)))


def test_an_end_is_known_from_its_announcement_and_its_value_may_be_to_come(changes: ChangeFile) -> None:
    data = plain_series(changes, ["bought", "fails"])
    ex = {name: (day(number) - EPOCH).days for name, number in (("bought", 59), ("fails", 65))}
    assert [delisted(data["bought"], micros(night(number))) for number in (55, 56)] == [None, (ex["bought"], True)]
    assert delisted(data["fails"], micros(night(64))) == (ex["fails"], False)


def test_series_with_events_are_looked_at_as_well(changes: ChangeFile) -> None:
    plan = ground_of(changes, question()).plan
    target, data = plan.experiment.target, plain_series(changes, plan.inputs)
    assert [target.series[row] for row in looked_at(target, data, 2)] == ["aaron", "alpha", "fails"]
    quiet = {name: type(one)(one.series, one.stated) for name, one in data.items()}
    assert [target.series[row] for row in looked_at(target, quiet, 2)] == ["aaron", "fails"]


def test_a_series_that_left_or_ended_is_not_stale_and_one_that_fell_silent_is(tmp_path: Path) -> None:
    archive = stock_exchange(tmp_path / "honest")
    honest = exported(archive)
    silent = range(1, 56)
    more = market(tmp_path / "honest", {"silent": [float(value) for value in silent]}, known_through=75)
    more.append_members(members(("silent", 0, None, 0)), source="index")
    for changes, stale in ((honest, []), (exported(more), ["silent"])):
        plan = ground_of(changes, question()).plan
        data = plain_series(changes, plan.inputs)
        arrived = all_arrivals(data, plan.inputs)
        table, found = stale_inputs(plan, data, PlainMembers(plan, changes), arrived)
        assert [one.series_id for one in found] == stale
        assert table.filter(series_id="bought")["stale"].to_list() == [0]
