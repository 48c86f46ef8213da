"""Memberships: who belonged to a universe on a day, by what had been announced, and what a snapshot may show."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import DataError, UnknownNameError
from harness.core.recipe import Target
from harness.core.time import micros
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.prefixes import prefix_digests
from harness.data.replay import Replay
from harness.data.universe import universe_of
from tests.data.price_samples import closes, day, market, members, night, stock

NAMES = ("alpha", "beta", "gamma")
BIG = Target(NAMES, Transform("log_return", 1), universe="big")


def exported(archive: Archive) -> ChangeFile:
    return ChangeFile.open(archive.export(archive.path.parent / "changes"))


def of(archive: Archive, number: int, known: int | None = None) -> set[str]:
    at = micros(night(number if known is None else known))
    return set(universe_of(exported(archive), "big").members(day(number), at))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return market(tmp_path, {name: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0] for name in NAMES})


def test_a_member_is_one_from_its_first_to_its_last_day_once_announced(archive: Archive) -> None:
    archive.append_members(members(("alpha", 1, 3, 0), ("beta", 2, None, 4)), source="index")
    assert [of(archive, number) for number in range(6)] == [
        set(), {"alpha"}, {"alpha"}, {"alpha"}, {"beta"}, {"beta"}
    ]  # fmt: skip


def test_a_later_announcement_replaces_the_last_day(archive: Archive) -> None:
    archive.append_members(members(("alpha", 0, None, 0), ("alpha", 0, 2, 4)), source="index")
    assert of(archive, 3) == {"alpha"}  # nobody had said by then that it had left
    assert of(archive, 3, known=4) == set()
    assert of(archive, 2, known=4) == {"alpha"}


def test_a_series_may_leave_and_come_back(archive: Archive) -> None:
    archive.append_members(members(("alpha", 0, 1, 0), ("alpha", 4, None, 2)), source="index")
    assert [bool(of(archive, number)) for number in range(6)] == [True, True, False, False, True, True]


def _forwards(row: tuple[str, int, int | None, int]) -> tuple[str, int, int | None, int]:
    name, first, last, at = row
    return name, first, None if last is None else max(first, last), at


stints = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 4), st.none() | st.integers(0, 5), st.integers(0, 5)).map(
        _forwards
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda row: (row[0], row[1], row[3]),
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stints")


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(rows=stints)
def test_membership_agrees_with_the_plain_definition(
    scratch: Path, rows: list[tuple[str, int, int | None, int]]
) -> None:
    archive = market(Path(mkdtemp(dir=scratch)), {name: [1.0] * 6 for name in NAMES})
    archive.append_members(members(*rows), source="index")
    changes = exported(archive)
    for known in range(6):
        newest = {(name, first): last for name, first, last, at in sorted(rows, key=lambda row: row[3]) if at <= known}
        for number in range(6):
            plain = {
                name for (name, first), last in newest.items() if first <= number and (last is None or number <= last)
            }
            assert universe_of(changes, "big").members(day(number), micros(night(known))) == plain
        replay = Replay(changes, NAMES)
        replay.advance(night(known))
        snapshot = replay.snapshot(BIG)
        told = {name for name, _, _, at in rows if at <= known}
        assert snapshot.target is not None
        assert set(snapshot.target.series) == set(snapshot.series) == told
        assert {name for panel in snapshot.panels for name in panel.ids} == told
        # and the values are those of the plain as-of question about these series
        asked = archive.as_of(night(known), sorted(told)).frame() if told else snapshot.frame()
        assert snapshot.frame().equals(asked)


def test_a_series_that_is_announced_later_is_in_no_earlier_snapshot(archive: Archive) -> None:
    archive.append_members(members(("beta", 0, None, 0), ("alpha", 3, None, 2)), source="index")
    replay = Replay(exported(archive), NAMES)
    replay.advance(night(1))
    early = replay.snapshot(BIG)
    with pytest.raises(UnknownNameError):
        early.panel("alpha")
    assert early.frame()["series_id"].unique().to_list() == ["beta"]
    replay.advance(night(2))
    late = replay.snapshot(BIG, copy=False)
    assert late.target is not None
    assert late.target.series == ("beta", "alpha")  # in order of announcement: a newcomer moves nobody


def test_a_newcomer_with_a_longer_history_does_not_widen_the_panel_of_the_others(tmp_path: Path) -> None:
    archive = market(tmp_path, {"beta": [1.0, 2.0, 3.0]})
    archive.define(stock("alpha"))
    archive.append(closes({"alpha": [9.0] * 5}, first=-2), source="exchange", known_through=night(2))
    archive.append_members(members(("beta", 0, None, 0), ("alpha", 2, None, 2)), source="index")
    replay = Replay(exported(archive), ["alpha", "beta"])
    replay.advance(night(1))
    target = Target(("alpha", "beta"), universe="big")
    assert replay.snapshot(target).panel("beta").values.shape == (1, 2)
    assert shape_without_universe(exported(archive)) == (2, 4)


def shape_without_universe(changes: ChangeFile) -> tuple[int, ...]:
    replay = Replay(changes, ["alpha", "beta"])
    replay.advance(night(1))
    return replay.snapshot(Target(("alpha", "beta"))).panel("beta").values.shape


def test_the_same_members_a_second_time_change_nothing_and_two_ends_at_once_are_refused(archive: Archive) -> None:
    given_rows = members(("alpha", 1, None, 0))
    assert archive.append_members(given_rows, source="index").kept == 1
    state = archive.state()
    assert archive.append_members(given_rows.to_pandas(), source="index").batch == 0
    with pytest.raises(DataError, match="contradict"):
        archive.append_members(members(("alpha", 1, 5, 0)), source="index")
    with pytest.raises(DataError, match="ends before it begins"):
        archive.append_members(members(("alpha", 4, 2, 1)), source="index")
    assert archive.state() == state
    assert archive.universes() == {"big": ("alpha",)}


def test_the_last_day_may_be_left_out_and_a_date_is_the_end_of_its_day(archive: Archive) -> None:
    frame = pl.DataFrame({"universe": ["big"], "series_id": ["alpha"], "from": [day(1)], "announced_at": [day(0)]})
    archive.append_members(frame, source="index")
    assert of(archive, 5) == {"alpha"}
    assert exported(archive).members["announced"].to_list() == [micros(night(0))]
    assert night(0) - timedelta(days=1) == night(-1)


def test_an_unknown_universe_is_refused_with_those_there_are(archive: Archive) -> None:
    archive.append_members(members(("alpha", 1, None, 0)), source="index")
    with pytest.raises(UnknownNameError, match="big"):
        universe_of(exported(archive), "bigg")


def test_members_move_the_identity_of_their_own_universe_from_their_announcement_on(archive: Archive) -> None:
    instants = [micros(night(number)) for number in range(4)]
    archive.append_members(members(("alpha", 0, None, 0)), source="index")
    before = exported(archive)
    archive.append_members(members(("beta", 1, None, 2)), source="index")
    archive.append_members(members(("beta", 1, None, 0), universe="small"), source="index")
    after = exported(archive)
    both = [prefix_digests(one, NAMES, [], instants, universe="big") for one in (before, after)]
    assert [one == other for one, other in zip(*both, strict=True)] == [True, True, False, False]
    none = [prefix_digests(one, NAMES, [], instants) for one in (before, after)]
    assert none[0] == none[1]
