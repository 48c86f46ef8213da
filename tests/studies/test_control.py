"""The control: a leak planted on purpose is caught, and an audit whose machinery is broken fails by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.studies import control as controls
from harness.studies import pipeline
from harness.studies.checks import Work, control_check
from harness.studies.children import Places
from harness.studies.scramble import HOW, Ground
from harness.studies.verdict import Check
from tests.paced import paced
from tests.planted.world import World, made, monthly, quarterly


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory.mktemp("world"))


def checked(ground: Ground, origin: int) -> Check:
    (check,) = control_check(Work(ground, [origin], 1, Places("", (), ""), Path(), lambda _: None))
    return check


@pytest.mark.parametrize("asked", paced([quarterly, monthly]))
def test_a_leak_planted_on_purpose_is_caught_in_every_way_of_scrambling(world: World, asked: object) -> None:
    ground = world.ground(asked(), "last_value", "ridge")  # type: ignore[operator]
    check = checked(ground, ground.plan.first_scored)
    assert (check.verdict, check.findings) == ("pass", ())
    table = check.tables[0][1]
    assert set(table["how"]) == set(HOW.values())
    assert table.filter(~table["caught"].fill_null(value=True)).is_empty()
    caught = table.filter(table["caught"])
    assert (caught["expected"] != caught["found"]).all()


@pytest.mark.slow
def test_an_audit_that_finds_nothing_fails_by_its_control(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "first_differences", lambda *_: iter(()))
    ground = world.ground(monthly(), "last_value")
    check = checked(ground, ground.plan.first_scored)
    assert check.verdict == "fail"
    assert {finding.found for finding in check.findings} == {"the same bits"}


@pytest.mark.slow
def test_worlds_that_alter_nothing_fail_by_the_control(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = controls.other_world

    def unaltered(plan: object, changes: object, *rest: object) -> object:
        made_other = honest(plan, changes, *rest)  # type: ignore[arg-type]
        return type(made_other)(changes, plan, made_other.touched)  # type: ignore[arg-type]

    monkeypatch.setattr(controls, "other_world", unaltered)
    ground = world.ground(monthly(), "last_value")
    assert checked(ground, ground.plan.first_scored).verdict == "fail"


def test_where_nothing_comes_later_the_control_is_not_shown(world: World, tmp_path: Path) -> None:
    ground = world.ground(quarterly(), "last_value")
    check = checked(ground, len(ground.plan.instants) - 1)
    assert check.verdict == "not shown"
