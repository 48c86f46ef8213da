"""Liberties taken when a model is fitted: steps that saw everything, copies made before rows were split by time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from harness.core.frames import Rows
from harness.core.identity import derive_seed
from harness.core.snapshot import Snapshot
from harness.forecast.protocol import Forecaster
from harness.forecast.steps.resample import Resample
from harness.forecast.steps.rows import by_horizon
from harness.forecast.steps.stepped import Stepped


@dataclass(frozen=True, slots=True)
class StepsOnEverything:
    """The steps of a model are fitted on all rows of the experiment, the model behind them on the matured ones."""

    def fit(self, forecaster: Forecaster, matured: Rows, everything: Rows, known: Snapshot, *, seed: int) -> None:
        """As `backtest.liberty.Liberty`; a model without steps is fitted faithfully."""
        if isinstance(forecaster, Stepped):
            forecaster.fit(matured, known, seed=seed, wider=everything)
        else:
            forecaster.fit(matured, known, seed=seed)


@dataclass(frozen=True, slots=True)
class OversampledFirst:
    """All rows are over-sampled together; then the originals are split by time and the copies are all trained on."""

    def fit(self, forecaster: Forecaster, matured: Rows, everything: Rows, known: Snapshot, *, seed: int) -> None:
        """As `backtest.liberty.Liberty`."""
        copies = []
        for horizon, _, table in by_horizon(everything):
            made = Resample().resample(table, seed=derive_seed(seed, "before the split", horizon))
            copies.append(made.taken(np.flatnonzero(made.made)).as_rows())
        forecaster.fit(_together([matured, *copies]), known, seed=seed)


def _together(parts: list[Rows]) -> Rows:
    return Rows(
        pl.concat([part.X.cast(pl.Float64) for part in parts]),
        pl.concat([part.keys for part in parts]),
        np.concatenate([part.y for part in parts if part.y is not None]),
    )
