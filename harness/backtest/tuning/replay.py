"""Making a recorded search again without its record, and telling where the two differ."""

from __future__ import annotations

import numpy as np
import threadpoolctl

from harness.backtest.design import build_design
from harness.backtest.keys import RecipeIdentity
from harness.backtest.splits import Plan
from harness.backtest.tuning.inner import Ground
from harness.backtest.tuning.study import study
from harness.core.identity import canonical
from harness.core.recipe import Recipe
from harness.core.transform import Floats
from harness.data.changes import ChangeFile
from harness.record.studies import END, StudyRecord


def replayed(
    plan: Plan,
    changes: ChangeFile,
    model: tuple[Recipe, RecipeIdentity],
    origin: int,
    record: StudyRecord,
    *,
    design: Floats | None = None,
) -> list[str]:
    """Search again with as many trials as were recorded, and compare every bit but the durations.

    Args:
        plan: of the run.
        changes: the change file of the run.
        model: the tuned model with its identity.
        origin: index of the origin of the search.
        record: what was recorded.
        design: the frozen feature rows; None = they are built.

    Returns:
        One sentence per difference; [] = the same bits.
    """
    recipe, identity = model
    if design is None:
        empty = np.zeros((len(plan.instants), len(plan.experiment.target.series), len(plan.experiment.horizons), 0))
        design = build_design(plan, changes, last=origin) if recipe.seen_blocks else empty
    with threadpoolctl.threadpool_limits(1):
        made = study(Ground(plan, changes, design), recipe, identity, origin, count=len(record.trials) or None)
    found = []
    for number, line in enumerate(record.trials):
        again = made.trials[number] if number < len(made.trials) else {}
        mine = {name: canonical(value) for name, value in line.items() if name != "seconds"}
        theirs = {name: canonical(value) for name, value in again.items()}
        names = [name for name in mine if mine[name] != theirs.get(name)]
        found += [f"trial {number}: {name} is {theirs.get(name)!r}, recorded {mine[name]!r}" for name in names]
    if len(made.trials) != len(record.trials):
        found.append(f"{len(made.trials)} trials, recorded {len(record.trials)}")
    if record.end and made.best != record.end["best"]:
        found.append(f"the best is trial {made.best}, recorded {record.end['best']} ({record.end[END]})")
    return found
