"""Leaks by what is announced about series beside their values: survivors, and prices adjusted for later events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness.backtest.membership as membership_room
import harness.data.prices as prices_room
import harness.data.replay as replay_room
from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.core.errors import UnknownNameError
from harness.core.recipe import Target
from harness.data.adjusted import looks_adjusted
from harness.data.changes import ChangeFile
from harness.experiment.models import completed
from harness.studies.control import control
from harness.studies.pipeline import board_of
from harness.studies.scramble import Ground, scramble
from tests.backtest.test_universe_runs import RETURN, STINTS, asked, exchange, exported, walk
from tests.data.price_samples import events, market
from tests.planted.leaks import Patch, around

pytestmark = pytest.mark.slow

LAST = int(np.iinfo(np.int64).max)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exchange")


@pytest.fixture(scope="module")
def changes(place: Path) -> ChangeFile:
    backdated = ("aaron", 20, None, 58)  # the index history says later that it was a member all along
    archive = exchange(place / "archive", "aaron", stints=[*STINTS, backdated])
    told = [("alpha", "split", 30, 2.0, 25), ("beta", "dividend", 54, 1.0, 44), ("alpha", "split", 55, 3.0, 53)]
    archive.append_events(events(*told), source="company")  # type: ignore[arg-type]
    return ChangeFile.open(exported(archive))


def grounded(place: Path, changes: ChangeFile, **target: object) -> Ground:
    wanted = Target((), RETURN, universe="big", **target)  # type: ignore[arg-type]
    plan = build_plan(with_rivals(completed(asked(place, target=wanted))), changes)
    board = tuple(one for one in board_of(plan.experiment) if one[0].name in ("last_value", "ridge"))
    return Ground(plan, changes, board)


@pytest.mark.parametrize("prices", [pytest.param("price", marks=pytest.mark.slow), "total"])
def test_honest_universes_pass_and_their_announcements_are_scrambled(
    place: Path, changes: ChangeFile, prices: str
) -> None:
    ground = grounded(place, changes, prices=prices)
    first = ground.plan.first_scored
    for number, origin in enumerate((first, len(ground.plan.instants) - 1)):
        found = scramble(ground, origin, number=number)
        assert (found.findings, found.refused) == ([], {})
    assert all(one.caught is not False for one in control(ground, first))


def adjusted_with_hindsight(patch: Patch) -> None:
    """Prices are those of the newest vintage of an adjusted close: every event ever announced is in them."""

    def leak(honest: Any, raw: Any, ordinals: Any, told: Any, known_at: int, prices: Any) -> Any:
        return honest(np.asarray(raw), ordinals, replace(told, ex=np.minimum(told.ex, ordinals[-1])), LAST, prices)

    around(patch, prices_room, "adjusted", leak)


def survivors(patch: Patch) -> None:
    """The snapshot holds whoever is a member in the end."""
    honest = replay_room.as_announced
    patch.setattr(
        replay_room,
        "as_announced",
        lambda snapshot, universe: replace(
            honest(replace(snapshot, known_at=LAST), universe), known_at=snapshot.known_at
        ),
    )


def asked_of_survivors(patch: Patch) -> None:
    """Who is asked on a day is told by what was announced at any time."""
    honest = membership_room.universe_of

    class Hindsight:
        def __init__(self, universe: Any) -> None:
            self.universe = universe

        def __getattr__(self, name: str) -> Any:
            return getattr(self.universe, name)

        def members(self, day: Any, known_at: int) -> Any:
            return self.universe.members(day, LAST)

    patch.setattr(membership_room, "universe_of", lambda *given: Hindsight(honest(*given)))


Leak = tuple[str, Callable[[Patch], None], str, tuple[str, ...], str]
"""Name, patch, way of scrambling, stages at which it may show first, module."""
LEAKS: tuple[Leak, ...] = (
    (
        "a close is adjusted for splits to come",
        adjusted_with_hindsight,
        "removed",
        ("snapshot",),
        "harness.data.replay",
    ),
    (
        "a snapshot holds the survivors",
        survivors,
        "removed",
        ("snapshot", "target", "declarations"),
        "harness.data.replay",
    ),
)


@pytest.mark.parametrize("leak", LEAKS, ids=[one[0] for one in LEAKS])
def test_what_is_announced_later_moves_nothing_unless_it_leaks(
    place: Path, changes: ChangeFile, leak: Leak, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plant, kind, stages, module = leak
    plant(monkeypatch)
    ground = grounded(place, changes)
    found = [
        finding
        for origin in range(ground.plan.first_issued, ground.plan.first_issued + 3)
        for finding in scramble(ground, origin, kinds=(kind,)).findings
    ]
    assert found
    assert found[0].stage in stages
    assert found[0].place.startswith(module)
    assert found[0].expected != found[0].found


def test_asking_survivors_ends_at_the_snapshot_which_does_not_hold_them(
    place: Path, changes: ChangeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_of_survivors(monkeypatch)
    ground = grounded(place, changes)
    with pytest.raises(UnknownNameError, match="aaron"):
        scramble(ground, ground.plan.first_scored, kinds=("removed",))


def test_a_close_adjusted_with_hindsight_is_warned_of_by_its_name_and_by_its_ticks(tmp_path: Path) -> None:
    raw = [value or 0.0 for value in walk("alpha", 90)]
    old = [value / 7 for value in raw[:60]]
    made = ChangeFile.open(exported(market(tmp_path, {"adj_close": raw, "plain": raw, "scaled": [*old, *raw[60:]]})))
    assert looks_adjusted(made, "plain") == ""
    assert "name" in looks_adjusted(made, "adj_close")
    assert "off the tick grid" in looks_adjusted(made, "scaled")
