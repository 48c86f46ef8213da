"""What the cells of a run are computed from, where they are stored, and who is told how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.backtest.keys import RecipeIdentity
from harness.backtest.liberty import Liberty
from harness.backtest.splits import Plan
from harness.core.recipe import Recipe
from harness.core.transform import Floats
from harness.data.changes import ChangeFile
from harness.record.shelves import Shelves

Progress = Callable[[int, int], None]
"""Called with (cells done, cells in all)."""
Board = Sequence[tuple[Recipe, RecipeIdentity]]
"""The recipes to answer, with the identities their seeds and keys derive from."""
Amend = Callable[[Plan, ChangeFile, Floats], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """What cells are computed from and where they are stored; liberty to clocks are for studies alone.

    A key knows the change file, the plan and the recipe, not what a study altered besides: cells of an altered world
    belong into a home of their own.

    Attributes:
        changes: folder of the change file; or the open change file, for tasks that run in this process.
        shelves: where cells, fits and searches are stored: a home folder, or shelves that encrypt.
        work: folder for scratch files; None = nothing but cells, fits and searches is written.
        liberty: how models are fitted unfaithfully.
        labels: change folder in which labels under `latest` are read; None = `changes`.
        amended: what is made of the frozen feature rows before anyone sees them.
        clocks: key of a search limited by seconds -> trials after which these were over; its clock is not read.
        memory: GB there may be in use; None = `HARNESS_MEMORY`, else what is free. No key and no bit depends on it.
    """

    changes: Path | ChangeFile
    shelves: Shelves
    work: Path | None
    liberty: Liberty | None = None
    labels: Path | None = None
    amended: Amend | None = None
    clocks: Mapping[str, int] = field(default_factory=dict)
    memory: float | None = None
