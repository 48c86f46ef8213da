"""How a leak is planted: a function of the harness is replaced wherever it is used, in every world alike."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.data.changes import ChangeFile

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]
DESIGN, SPLITS, PLANNING = "harness.backtest.design", "harness.backtest.splits", "harness.backtest.planning"
REPLAY, INGEST, OUTCOMES = "harness.data.replay", "harness.data.ingest", "harness.data.outcomes"
STEPS, BOOSTING = "harness.forecast.steps", "harness.forecast.boosting"


def everywhere(patch: Patch, original: object, leaky: object) -> None:
    """Put a function in the place of another wherever the harness has it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("harness."):
            for key, value in list(vars(module).items()):
                if value is original:
                    patch.setattr(module, key, leaky)


def final_values(changes: ChangeFile, series_id: str) -> dict[int, float]:
    """The newest value of every period, whenever it came out."""
    mine = changes.code == changes.codes[series_id]
    return dict(zip(changes.period[mine].tolist(), changes.value[mine].tolist(), strict=True))


def firsts(changes: ChangeFile) -> ChangeFile:
    """The first statement of every period alone."""
    _, rows = np.unique(np.stack([changes.code, changes.period]), axis=1, return_index=True)
    names = ("code", "period", "published", "value", "vintage", "availability")
    return replace(changes, **{name: getattr(changes, name)[np.sort(rows)] for name in names})


def final_growth(changes: ChangeFile, series_id: str) -> dict[int, float]:
    """Growth in the final history, of the periods that have it."""
    level = final_values(changes, series_id)
    return {at: 100 * float(np.log(level[at] / level[at - 1])) for at in sorted(level) if at - 1 in level and
            level[at] * level[at - 1] > 0}  # fmt: skip


def around(patch: Patch, owner: Any, name: str, leak: Callable[..., Any]) -> None:
    """Put `leak(honest, ...)` in the place of a function or method."""
    honest = getattr(owner, name)

    def leaky(*args: Any, **more: Any) -> Any:
        return leak(honest, *args, **more)

    patch.setattr(owner, name, leaky)
