"""A leak planted in the harness's own source is found by the check it belongs to, with its place and both numbers."""

from __future__ import annotations

import re

import pytest

from harness.studies.pipeline import passage
from harness.studies.scramble import HOW, Scrambled, scramble
from harness.studies.verdict import Finding
from tests.planted.specimens import SPECIMENS, Specimen
from tests.planted.world import World, made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory.mktemp("world"))


def scrambled(world: World, specimen: Specimen) -> Scrambled:
    """Around an origin at which every model is fitted anew."""
    ground = world.ground(specimen.asked(), *specimen.models)
    plan = ground.plan
    middle = plan.refit_origin((plan.first_scored + len(plan.instants)) // 2, 2)
    origin = middle if specimen.origin is None else plan.first_scored + specimen.origin
    base = passage(plan, ground.changes, ground.board, origin, later=plan)
    answers = [one.table for group in base.groups for one in group if one.stage == "forecast"]
    assert not any((table["status"] == "failed").any() for table in answers), "the patch breaks the model instead"
    return scramble(ground, origin, number=int(specimen.drop), base=base, kinds=(specimen.kind,))


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda one: one.name)
def test_a_planted_leak_is_found_where_it_is(world: World, specimen: Specimen, monkeypatch: pytest.MonkeyPatch) -> None:
    specimen.plant(monkeypatch)
    found = scrambled(world, specimen)
    assert not found.refused
    first: Finding = found.findings[0]
    assert first.how.startswith(HOW[specimen.kind])
    assert (first.stage, first.place) == (specimen.stage, specimen.place)
    for pattern, text in (
        (specimen.series, first.series_id),
        (specimen.row, first.row),
        (specimen.column, first.column),
    ):
        assert re.match(pattern, text), (first, pattern)
    assert first.expected != first.found
    assert "" not in (first.expected, first.found)
    assert first.origin is not None
