"""What is read again without alteration says exactly what the archive says; what is altered differs later only."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from harness.core.time import NEVER
from harness.data.changes import ChangeFile
from harness.record.home import Home
from harness.studies.differing import compare
from harness.studies.raw_world import Later, datasets_of, read_again, told_by
from tests.backtest.made_releases import history
from tests.paced import paced
from tests.planted.world import World, made
from tests.planted.world import quarterly as asked

END = 2**62


def same(one: ChangeFile, other: ChangeFile, *, cut: int = END) -> bool:
    names = one.ids
    sides = zip(told_by(one, names, cut, by_vintage=True), told_by(other, names, cut, by_vintage=True), strict=True)
    return all(compare(mine, theirs) is None for mine, theirs in sides)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory.mktemp("world"))


@pytest.mark.slow
@pytest.mark.parametrize("number", paced(range(4)))
def test_appended_series_are_stated_again_as_they_were(tmp_path: Path, number: int) -> None:
    random = Random(f"again {number}")
    frequency = ("Q", "M", "W-WED", "M")[number]
    told = history(random, frequency, "America/New_York", 3)  # some with rows, some complete, some with lost releases
    changes = told.changes(tmp_path / "first")
    again = read_again([], changes.ids, changes, Home(tmp_path / "again"), None)
    assert same(changes, again)
    assert {name: changes.series[name] for name in changes.ids} == again.series


def test_a_dataset_is_read_again_as_it_was(world: World, tmp_path: Path) -> None:
    datasets = datasets_of(("made",), str(world.folder))
    assert same(world.changes, read_again(datasets, [], world.changes, Home(tmp_path), None))


@pytest.mark.parametrize("drop", [False, True])
def test_altered_input_is_the_same_up_to_the_cut_and_another_after_it(world: World, tmp_path: Path, drop: bool) -> None:
    plan = world.ground(asked()).plan
    cut = int(plan.known[plan.first_scored + 1])
    datasets = datasets_of(("made",), str(world.folder))
    altered = read_again(datasets, [], world.changes, Home(tmp_path), Later(cut, 5, drop))
    assert same(world.changes, altered, cut=cut)
    later = [changes.published > cut for changes in (world.changes, altered)]
    assert later[0].sum() > 50
    if drop:
        assert not later[1].any()
    else:
        values = {round(value, 6) for value in world.changes.value[later[0]].tolist()}
        assert not values & {round(value, 6) for value in altered.value[later[1]].tolist()}


@pytest.mark.slow
@pytest.mark.parametrize("drop", [False, True])
def test_appended_series_are_altered_after_the_cut_only(tmp_path: Path, drop: bool) -> None:
    changes = history(Random("altered"), "M", "Europe/London", 3).changes(tmp_path / "first")
    cut = int(sorted(changes.published.tolist())[len(changes.published) // 2])
    altered = read_again([], changes.ids, changes, Home(tmp_path / "again"), Later(cut, 3, drop))
    assert same(changes, altered, cut=cut)
    assert not same(changes, altered)
    assert (altered.published > cut).any() != drop
    assert NEVER not in altered.published
