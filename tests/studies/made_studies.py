"""The made archive with more scored origins, its plan, and a look-ahead that can be planted in its feature rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.backtest.design import build_design
from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.backtest.splits import Plan
from harness.core.recipe import Experiment, Recipe
from harness.data.changes import ChangeFile
from harness.forecast.features import feature_names
from tests.backtest.made_runs import quarter, small

Floats = NDArray[np.float64]


def longer(models: tuple[Recipe, ...], folder: Path, **more: object) -> Experiment:
    """The made experiment, scored from the third year on instead of the last two."""
    asked = small(models, folder, **more)
    return replace(asked, origins=replace(asked.origins, first=quarter(11)))


def plan_of(asked: Experiment, changes: Path) -> Plan:
    """The plan with the rivals, as the studies take it."""
    return build_plan(with_rivals(asked), ChangeFile.open(changes))


def revealing(column: str) -> Callable[[Plan, ChangeFile], Floats]:
    """A `build_design` in which one column is the outcome of the row's own target period."""

    def build(plan: Plan, changes: ChangeFile, file: Path | None = None) -> Floats:
        design = build_design(plan, changes)
        outcome = plan.outcomes.value[:, plan.request].transpose(1, 0, 2)  # [origin, series, horizon]
        place = feature_names(plan.experiment.features).index(column)
        design[..., place] = np.where(np.isnan(outcome), design[..., place], outcome)
        if file is not None:
            np.save(file, design)
        return design

    return build
