"""What a walk goes through, and who may watch what one part of the pipeline hands to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.backtest.liberty import Liberty
from harness.backtest.splits import Plan, TrainingSet
from harness.core.frames import Rows
from harness.core.snapshot import Snapshot
from harness.data.changes import ChangeFile
from harness.forecast.protocol import Forecaster
from harness.record.cells import Cell
from harness.record.shelves import Shelf

if TYPE_CHECKING:
    from harness.backtest.tuning.study import Studied


class Witness(Protocol):
    """Is shown what each part of the pipeline hands to the next, in the order of work; it may not change it."""

    def snapshot(self, model: str, origin: int, snapshot: Snapshot) -> None:
        """What was known at an origin, as the model is given it."""
        ...

    def study(self, model: str, origin: int, studied: Studied) -> None:
        """What a search at an origin drew, how each trial did on which inner rows, and what it chose."""
        ...

    def training_set(self, model: str, origin: int, sets: Mapping[int, TrainingSet]) -> None:
        """The matured rows chosen at a refit origin, by horizon index."""
        ...

    def training_rows(self, model: str, origin: int, rows: Rows) -> None:
        """Those rows with their labels, as they reach steps and model."""
        ...

    def fit(self, model: str, origin: int, forecaster: Forecaster) -> None:
        """The fitted model, its steps included."""
        ...

    def asked_rows(self, model: str, origin: int, rows: Rows) -> None:
        """The rows to be forecast."""
        ...

    def cell(self, model: str, origin: int, cell: Cell) -> None:
        """The answer, with its statuses and reasons."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """What all series of a target tell of a refit together.

    Attributes:
        short: index of the horizon -> why there is too little to learn from.
        newest: position of the newest known period of any of them, from which a rolling window is counted; None = it is
            not asked for.
    """

    short: Mapping[int, str]
    newest: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What a walk goes through: the plan, the changes it replays and the frozen feature rows.

    Attributes:
        plan: the plan.
        changes: the changes.
        design: [origin, series, horizon, feature] frozen rows; None when no model needs any.
        fits: where fits are stored and found again; None = nowhere, every fit is made.
        studies: where searches are recorded and found again; None = nowhere, every search is made.
        liberty: how a study has models fitted unfaithfully; None in every run.
        labels: the changes labels under `latest` are read in, where a study walks through altered ones; None = those
            walked through.
        clocks: key of a search limited by seconds -> trials after which they are taken to be over; where one is missing
            the clock is read.
        rows: rows of the changes that hold those of the plan's inputs, where they are known already; None = they are
            looked for.
        told: refit origin -> what all series tell of it, where the plan is of some of them; None = the plan's own do.
    """

    plan: Plan
    changes: ChangeFile
    design: NDArray[np.float64] | None = None
    fits: Shelf | None = None
    liberty: Liberty | None = None
    labels: ChangeFile | None = None
    studies: Shelf | None = None
    clocks: Mapping[str, int] = field(default_factory=dict)
    rows: NDArray[np.int64] | None = None
    told: Mapping[int, Told] | None = None
