"""A key holds the schedule up to its origin, and nothing of what comes after."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.backtest.keys import cell_keys, recipe_identity
from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.backtest.splits import Plan
from harness.data.changes import ChangeFile
from tests.backtest.made_runs import AR, exported, releases, small


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> ChangeFile:
    return ChangeFile.open(exported(releases(), tmp_path_factory.mktemp("keys")))


@pytest.fixture(scope="module")
def plan(changes: ChangeFile, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return build_plan(with_rivals(small((AR,), tmp_path_factory.mktemp("experiment"))), changes)


def keys_of(plan: Plan, changes: ChangeFile, origins: list[int]) -> dict[int, str]:
    identity = recipe_identity(AR, plan.experiment)
    return dict(zip(origins, cell_keys(identity, plan, changes, origins, "cell"), strict=True))


def test_a_key_is_the_same_whatever_other_origins_are_asked_for(plan: Plan, changes: ChangeFile) -> None:
    every = keys_of(plan, changes, list(plan.issued))
    assert len(set(every.values())) == len(every) > 4
    for some in (list(plan.issued)[::2], list(plan.issued)[-1:]):
        assert keys_of(plan, changes, some) == {origin: every[origin] for origin in some}


@pytest.mark.parametrize("part", ["known", "starts", "ends"])
def test_another_schedule_moves_the_keys_from_there_on_and_none_before(
    part: str, plan: Plan, changes: ChangeFile
) -> None:
    origins = list(plan.issued)
    place = origins[len(origins) // 2]
    table = getattr(plan, part).copy()
    table[place] += 1
    before, after = keys_of(plan, changes, origins), keys_of(replace(plan, **{part: table}), changes, origins)
    later = [origin for origin in origins if origin > place]
    assert [origin for origin in origins if before[origin] != after[origin] and origin != place] == later
    pseudo = getattr(plan, part).copy()
    pseudo[0] += 1
    moved = keys_of(replace(plan, **{part: pseudo}), changes, origins)
    assert not set(moved.values()) & set(before.values())
