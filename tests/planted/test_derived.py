"""Wrong truths and wrong rows that move with nothing later: found by deriving them a second time, by plain means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, time
from functools import partial
from typing import Any

import numpy as np
import pytest

import harness.backtest.target_windows as windows_room
import harness.data.outcomes as outcomes_room
import harness.forecast.features as features_room
from harness.backtest.design import build_design
from harness.core.recipe import Experiment, OutcomeRule
from harness.core.time import NEVER
from harness.data.changes import ChangeFile
from harness.studies.facts import facts
from harness.studies.pinned import outcomes
from harness.studies.scramble import Ground, scramble
from harness.studies.verdict import Check
from tests.planted.leaks import DESIGN, OUTCOMES, PLANNING, Patch, around, final_growth, firsts
from tests.planted.world import MONTHLY_BLOCKS, World, made, monthly


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory.mktemp("world"))


def counted_by_changes(patch: Patch) -> None:
    """The second release is the second number that was different."""

    def leak(honest: Any, asked: Any, ends: np.ndarray) -> Any:
        due, first, assumed, captured = honest(asked, ends)
        changes: ChangeFile = asked.changes
        for row, name in enumerate(asked.stated[0].ids):
            code = changes.code_of(name)
            told = [changes.published[(changes.code == code) & (changes.period == one)] for one in ends]
            due[:, row] = [at[1] if len(at) > 1 else NEVER for at in told]
        return due, first, assumed, captured

    around(patch, outcomes_room, "_instants", leak)


def across_vintages(patch: Patch) -> None:
    """Growth from the first release of one month to the first release of the next: base years may lie between."""

    def leak(honest: Any, asked: Any, windows: Any, due: np.ndarray) -> Any:
        value, *marks = honest(asked, windows, due)
        for row, name in enumerate(asked.target.series):
            growth = final_growth(firsts(asked.changes), name)
            mixed = np.array([growth.get(end, np.nan) for end in windows.ends.tolist()])
            value[:, row] = np.where(np.isnan(value[:, row]), np.nan, mixed)
        return value, *marks

    around(patch, outcomes_room, "_evaluated", leak)


def days_in_utc(patch: Patch) -> None:
    """An evening in New York is the next day in UTC: at a month's or a year's end, the next period."""
    patch.setattr(windows_room, "local_day", lambda instant, _: instant.astimezone(UTC).date())


def rows_of_a_snapshot(patch: Patch) -> None:
    """Lag k is the k-th last column of the panel, however late a series is."""

    def leaky(source: Any, positions: np.ndarray) -> np.ndarray:
        values = source.panel.values[source.rows]
        growth = 100 * np.diff(np.log(values), axis=1)
        count = min(len(positions), growth.shape[1])
        out = np.full((len(source.rows), len(positions)), np.nan)
        out[:, :count] = growth[:, ::-1][:, :count]
        return out

    patch.setattr(features_room, "values_at", leaky)


@dataclass(frozen=True, slots=True)
class Derived:
    """A leak or a wrong truth: the check that must find it, where, and in which column."""

    name: str
    rule: str
    check: str
    stage: str
    place: str
    column: str
    plant: Callable[[Patch], None]
    asked: Callable[[], Experiment] = monthly


def second_release() -> Experiment:
    asked = monthly()
    return replace(asked, target=replace(asked.target, outcome=OutcomeRule("release", 2)))


DERIVED = (
    Derived("releases are counted by changes", "S8", "outcomes", "outcomes", OUTCOMES, "value", counted_by_changes,
            second_release),
    Derived("growth mixes base years", "law 5", "outcomes", "outcomes", OUTCOMES, "value", across_vintages),
    Derived("days are counted in UTC", "S1", "outcomes", "outcomes", PLANNING, "target period", days_in_utc,
            partial(monthly, at=time(21))),
    Derived("a lag counts columns of the snapshot", "law 1", "facts", "design", DESIGN, "own.lag_1",
            rows_of_a_snapshot, partial(monthly, features=MONTHLY_BLOCKS[:1], models=())),
)  # fmt: skip


def derived(ground: Ground, check: str) -> Check:
    if check == "outcomes":
        return outcomes(ground.plan, ground.changes)
    return facts(ground.plan, ground.changes, build_design(ground.plan, ground.changes))


@pytest.mark.parametrize("one", DERIVED, ids=lambda one: one.name)
def test_what_is_wrong_at_every_origin_alike_is_found_by_deriving_it_again(
    world: World, one: Derived, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert derived(world.ground(one.asked()), one.check).verdict == "pass"
    one.plant(monkeypatch)
    check = derived(world.ground(one.asked()), one.check)
    assert (check.name, check.verdict) == (one.check, "fail")
    wanted = (one.place, one.column)
    evidence = [finding for finding in check.findings if (finding.place, finding.column) == wanted]
    assert evidence
    assert evidence[0].stage == one.stage
    assert evidence[0].series_id.startswith("made/")
    assert evidence[0].expected != evidence[0].found


def test_a_lag_that_counts_columns_of_the_snapshot_moves_with_nothing_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_of_a_snapshot(monkeypatch)
    ground = world.ground(monthly(), "ridge")
    assert scramble(ground, ground.plan.first_scored, kinds=("removed", "noise")).findings == []
