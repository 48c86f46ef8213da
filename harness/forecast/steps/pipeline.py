"""Steps in order, for the rows of one horizon: fitted once on its training rows, then applied and never refitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from harness.core.errors import UserError
from harness.core.identity import derive_seed
from harness.core.recipe import Step
from harness.forecast.steps.catalog import build_step
from harness.forecast.steps.protocol import ColumnStep
from harness.forecast.steps.resample import Resample
from harness.forecast.steps.rows import StepRows


class StepPipeline:
    """The steps of one model and one horizon.

    Args:
        steps: resolved, in order.
        folder: folder of the experiment file, where user classes are looked for first.

    Raises:
        UserError: no such step, or parameters it does not take.
    """

    def __init__(self, steps: Sequence[Step], *, folder: str = "") -> None:
        self._kinds = [step.kind for step in steps]
        self._steps = [build_step(step, folder=folder) for step in steps]

    @property
    def storable(self) -> bool:
        """Whether `parameters` restores every step."""
        return all(step.storable for step in self._steps)

    @property
    def warnings(self) -> list[str]:
        """What the steps complained about when they were fitted."""
        return [f"step {kind}: {line}" for kind, step in self._named() for line in step.warnings]

    def fit(self, rows: StepRows, *, seed: int, horizon: int, wider: StepRows | None = None) -> StepRows:
        """Fit every step on what the steps before it made of the training rows.

        Args:
            rows: matured training rows of one horizon in canonical order (`by_horizon`), with labels.
            seed: of the cell; a step's own derives from it, its place in the list and the horizon.
            horizon: the horizon.
            wider: rows that are fitted on instead, going the same way; None in every run.

        Returns:
            The rows to train on, resampled ones included.

        Raises:
            UserError: a step meets a missing value it cannot take, or fails.
        """
        for place, (kind, step) in enumerate(self._named()):
            if not step.takes_missing and np.isnan(rows.X).any():
                column = rows.columns[int(np.flatnonzero(np.isnan(rows.X).any(axis=0))[0])]
                raise UserError(
                    f"step {kind} takes no missing values",
                    value=f"column {column}, horizon {horizon}",
                    fix='put { kind = "impute" } before it',
                )
            own = derive_seed(seed, place, horizon)
            if wider is not None and not step.takes_missing:
                wider = _whole(wider)
            if isinstance(step, Resample):
                wider = None if wider is None else step.resample(wider, seed=own)
                rows = step.resample(rows, seed=own)
            else:
                step.fit(rows if wider is None else wider, seed=own)
                wider = None if wider is None else step.transform(wider)
                rows = step.transform(rows)
        return rows

    def transform(self, rows: StepRows) -> StepRows:
        """Asked rows through the fitted steps; resampling steps are passed by.

        A row with a missing value that a step cannot take is left out; `parents` says which rows came through.
        """
        for step in self._steps:
            if isinstance(step, Resample):
                continue
            if not step.takes_missing:
                rows = _whole(rows)
            if len(rows):
                rows = step.transform(rows)
        return rows

    def parameters(self) -> list[dict[str, object]]:
        """[step] kind and everything it estimated, as JSON values: what an audit compares."""
        return [{"kind": kind, **step.parameters()} for kind, step in self._named()]

    def restore(self, parameters: object) -> None:
        """Take over what `parameters` gave."""
        for step, saved in zip(self._steps, cast("list[Mapping[str, object]]", parameters), strict=True):
            step.restore({name: value for name, value in saved.items() if name != "kind"})

    def _named(self) -> list[tuple[str, ColumnStep | Resample]]:
        return list(zip(self._kinds, self._steps, strict=True))


def _whole(rows: StepRows) -> StepRows:
    """The rows without a missing value."""
    return rows.taken(np.flatnonzero(~np.isnan(rows.X).any(axis=1)))
