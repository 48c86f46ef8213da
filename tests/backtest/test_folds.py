"""The inner walk-forward: what is trained on was public at its inner origin, what is judged on was not (S17)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.backtest.keys import recipe_identity
from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.backtest.splits import Plan
from harness.backtest.tuning.folds import fold_origins, fold_table
from harness.backtest.tuning.inner import Ground, Inner
from harness.core.recipe import OutcomeRule, Target, Training
from harness.core.search import Domain, Search
from harness.core.transform import Transform
from harness.data.changes import ChangeFile
from tests.backtest.made_runs import TREES, exported, releases, small

ORIGIN = 22


def inner(place: Path, frame: pl.DataFrame, **more: object) -> tuple[Plan, Inner]:
    """The inner walk-forward of a tuned model at one origin."""
    model = replace(TREES, search=Search((Domain("num_leaves", "int", 2, 8),), folds=3))
    changes = ChangeFile.open(exported(frame, place / "archive"))
    plan = build_plan(with_rivals(replace(small((model,), place), **more)), changes)  # type: ignore[arg-type]
    recipe = next(one for one in plan.experiment.models if one.search is not None)
    shape = (len(plan.instants), len(plan.experiment.target.series), 2, 4)
    ground = Ground(plan, changes, np.zeros(shape))
    return plan, Inner(ground, recipe, recipe_identity(recipe, plan.experiment), ORIGIN)


def staggered() -> pl.DataFrame:
    """The second series comes out three months after the first."""
    late = pl.col("series_id") == "gdp"
    moved = pl.when(late).then(pl.col("published_at") + timedelta(days=95)).otherwise("published_at")
    return releases().with_columns(moved.alias("published_at"))


PANEL = Target(("cpi", "gdp"), Transform("log_growth", 1), season=4)


@pytest.mark.parametrize("rule", [OutcomeRule(), OutcomeRule("release", 2), OutcomeRule("latest", 0)])
@pytest.mark.parametrize("training", [Training(minimum=5), Training(minimum=5, rolling=12)])
def test_labels_were_public_at_the_inner_origin_where_trained_on_and_not_where_judged(
    tmp_path: Path, rule: OutcomeRule, training: Training
) -> None:
    target = Target(("cpi",), Transform("log_growth", 1), rule, season=4)
    plan, found = inner(tmp_path, releases(), target=target, training=training)
    assert len(found.folds) == 3
    public = plan.outcomes.first_public if rule.kind == "latest" else plan.outcomes.matured_at
    for fold in found.folds:
        for some in fold.training.values():
            assert (public[some.series, some.requests] <= plan.known[fold.origin]).all()
        for some in fold.asked.values():
            at = public[some.series, some.requests]
            assert (at > plan.known[some.origins]).all()
            assert (at > plan.known[fold.origin]).all()
            assert (at <= plan.known[ORIGIN]).all()
            assert (some.origins >= fold.origin).all()
    judged = [(int(row), place) for fold in found.folds for place, some in fold.asked.items() for row in some.origins]
    assert len(judged) == len(set(judged))  # every inner row is judged once


def test_rows_of_one_target_period_stay_on_one_side(tmp_path: Path) -> None:
    # at an inner origin the first series' last quarter is a label already, the second one's still to be answered
    plan, found = inner(tmp_path, staggered(), target=PANEL, horizons=(-1, 0))
    table = fold_table(plan, found.folds)
    assert set(table["side"]) == {"training", "validation"}
    for _, fold in table.group_by("fold"):
        sides = [set(fold.filter(pl.col("side") == side)["period"]) for side in ("training", "validation")]
        assert not sides[0] & sides[1]


def test_folds_are_even_stretches_of_inner_origins() -> None:
    assert fold_origins(list(range(10, 22)), 4) == [10, 13, 16, 19]
    assert fold_origins([1, 2], 3) == []


def test_nothing_at_or_after_the_outer_origin_is_an_inner_origin(tmp_path: Path) -> None:
    _, found = inner(tmp_path, releases())
    assert max(found.origins) < ORIGIN
    assert all(max(fold.origins) < ORIGIN for fold in found.folds)
