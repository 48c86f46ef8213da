"""Bins of the first window: the same bits wherever a walk begins, keys that name it, refusals where it moves."""

from dataclasses import replace

import pytest
import threadpoolctl
from polars.testing import assert_frame_equal

from harness.backtest.design import build_rows
from harness.backtest.keys import cell_keys, recipe_identity
from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.backtest.splits import Plan
from harness.backtest.witness import World
from harness.backtest.work import walk
from harness.core.errors import UserError
from harness.core.recipe import OutcomeRule, Recipe, Step
from harness.data.changes import ChangeFile
from harness.record.cells import Cell
from harness.studies.questions import Keeper, reply
from tests.backtest.made_runs import TREES, exported, releases, small

FIRST = replace(TREES, params=tuple(sorted((*TREES.params, ("bins", "first window"), ("max_bin", 4)))))
FRESH = replace(TREES, params=tuple(sorted((*TREES.params, ("max_bin", 4)))))


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, ChangeFile]:
    folder = tmp_path_factory.mktemp("first")
    changes = ChangeFile.open(exported(releases(), folder / "archive"))
    return build_plan(with_rivals(small((FIRST,), folder)), changes), changes


def walked(planned: tuple[Plan, ChangeFile], recipe: Recipe, origins: range) -> dict[int, Cell]:
    plan, changes = planned
    board = [(recipe, recipe_identity(recipe, plan.experiment))]
    world = World(plan, changes, build_rows(plan, changes))
    with threadpoolctl.threadpool_limits(1):
        return {origin: cell for _, origin, cell in walk(world, board, origins)}


def test_a_walk_that_begins_later_has_the_bits_of_a_whole_one(planned: tuple[Plan, ChangeFile]) -> None:
    issued = planned[0].issued
    whole = walked(planned, FIRST, issued)
    part = walked(planned, FIRST, issued[3:])
    fresh = walked(planned, FRESH, issued)
    for origin, cell in part.items():
        assert_frame_equal(cell.frame, whole[origin].frame, check_exact=True)
    assert_frame_equal(fresh[issued[0]].frame, whole[issued[0]].frame, check_exact=True)
    assert any(not fresh[origin].frame.equals(whole[origin].frame, null_equal=True) for origin in issued)


def test_a_key_names_the_first_window_only_where_it_matters(planned: tuple[Plan, ChangeFile]) -> None:
    plan, changes = planned
    later = replace(plan, first_issued=plan.first_issued + 1, first_scored=plan.first_scored + 1)
    keys = [
        [
            cell_keys(recipe_identity(recipe, plan.experiment), one, changes, [plan.issued[-1]], "cell")
            for one in (plan, later)
        ]
        for recipe in (FIRST, FRESH)
    ]
    assert keys[0][0] != keys[0][1]
    assert keys[1][0] == keys[1][1]


def test_it_is_refused_where_the_window_or_its_rows_move(planned: tuple[Plan, ChangeFile]) -> None:
    experiment = planned[0].experiment
    latest = replace(experiment, target=replace(experiment.target, outcome=OutcomeRule("latest")))
    stepped = replace(FIRST, steps=(Step("standardise"),))
    for recipe, asked, why in (
        (FIRST, latest, "labels of the latest vintage"),
        (FIRST, replace(experiment, vintage="latest"), "rows of the latest vintage"),
        (stepped, experiment, "steps make other features"),
    ):
        with pytest.raises(UserError, match=why):
            recipe_identity(recipe, asked)
    assert recipe_identity(replace(FRESH, steps=stepped.steps), latest)


@pytest.mark.slow
def test_an_audit_that_asks_again_gets_the_same_answers(planned: tuple[Plan, ChangeFile]) -> None:
    plan, changes = planned
    kept = Keeper(plan, recipes={FIRST.name: FIRST})
    world = World(plan, changes, build_rows(plan, changes))
    for _ in walk(world, [(FIRST, recipe_identity(FIRST, plan.experiment))], plan.issued[1:4], witness=kept):
        pass
    assert len(kept.questions) == 3
    for question in kept.questions:
        assert_frame_equal(reply(question, plan.experiment.folder).frame, question.answer, check_exact=True)
    fresh = [reply(replace(question, bins=None), plan.experiment.folder).frame for question in kept.questions]
    assert any(not one.equals(question.answer) for one, question in zip(fresh, kept.questions, strict=True))
