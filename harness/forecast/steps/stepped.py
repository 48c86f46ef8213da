"""A forecaster behind steps: per horizon, steps fitted on its matured training rows, then the model on their result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import polars as pl

from harness.core.errors import UserError
from harness.core.frames import ANSWER_SCHEMA, Rows
from harness.core.recipe import Step
from harness.core.snapshot import Snapshot
from harness.forecast.paths import answers
from harness.forecast.protocol import Forecaster, Storable
from harness.forecast.steps.catalog import check_order
from harness.forecast.steps.pipeline import StepPipeline
from harness.forecast.steps.resample import RESAMPLE
from harness.forecast.steps.rows import by_horizon


class Stepped:
    """A forecaster whose feature rows go through steps first.

    Rows of different horizons have different targets, so steps are fitted per horizon, and so is the forecaster: one
    instance of it for each, given that horizon's rows only. Asked rows pass through the parameters fitted at the
    refit origin; nothing is estimated on them.

    Args:
        make: makes the forecaster, unfitted.
        steps: resolved, in order.
        folder: folder of the experiment file, where user classes are looked for first.

    Raises:
        UserError: the steps cannot be followed in this order.
    """

    def __init__(self, make: Callable[[], Forecaster], steps: Sequence[Step], *, folder: str = "") -> None:
        check_order(steps)
        self._make, self._steps, self._folder = make, tuple(steps), folder
        self._columns: tuple[str, ...] = ()
        self._pipelines: dict[int, StepPipeline] = {}
        self._models: dict[int, Forecaster] = {}
        self.warnings: list[str] = []
        """What steps and models complained about, by horizon, one line each."""

    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int, wider: Rows | None = None) -> None:
        """Fit steps and model of every horizon that has rows.

        Args:
            rows: matured training rows.
            snapshot: what is known at the refit origin.
            seed: of the cell.
            wider: rows the steps (not the model) are fitted on instead, for studies of what that would pretend; None
                in every run.

        Raises:
            UserError: there are no rows, they carry no features, or a step cannot take them.
        """
        if rows is None or rows.y is None:
            raise UserError("a model with steps needs training rows", fix="give the model features")
        self._columns, self._pipelines, self._models = tuple(rows.X.columns), {}, {}
        others = {} if wider is None else {horizon: table for horizon, _, table in by_horizon(wider)}
        for horizon, _, table in by_horizon(rows):
            steps, model = self._pipeline(), self._make()
            ready = steps.fit(table, seed=seed, horizon=horizon, wider=others.get(horizon))
            model.fit(ready.as_rows(), snapshot, seed=seed)
            self._pipelines[horizon], self._models[horizon] = steps, model
        self._gather_warnings()

    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        """Answer the asked rows; a horizon without a model abstains, and so does a row that a step cannot take."""
        parts = []
        for horizon, _, table in by_horizon(rows, self._columns) if len(rows) and self._models else ():
            silent = np.ones(len(table), dtype=np.bool_)
            if horizon in self._models:
                ready = self._pipelines[horizon].transform(table)
                silent[ready.parents[:, 0]] = False
                if len(ready):
                    asked = Rows(ready.as_rows().X, ready.keys)
                    parts.append(self._models[horizon].predict(asked, snapshot).select(ANSWER_SCHEMA.names()))
            parts.append(_nothing(table.keys.filter(pl.Series(silent))))
        return pl.concat(parts) if parts else _nothing(rows.keys)

    def fitted_parameters(self) -> dict[str, list[dict[str, object]]]:
        """Horizon -> [step] kind and what it fitted, as JSON values."""
        return {str(horizon): steps.parameters() for horizon, steps in sorted(self._pipelines.items())}

    def fitted_models(self) -> dict[str, Forecaster]:
        """Horizon -> the fitted model behind the steps."""
        return {str(horizon): model for horizon, model in sorted(self._models.items())}

    def _pipeline(self) -> StepPipeline:
        return StepPipeline(self._steps, folder=self._folder)

    def _gather_warnings(self) -> None:
        said: list[str] = []
        for horizon, steps in sorted(self._pipelines.items()):
            said += [f"horizon {horizon}: {line}" for line in steps.warnings]
            said += getattr(self._models[horizon], "warnings", [])
        self.warnings = said


class StorableStepped(Stepped):
    """The same, where steps and forecaster can be written as text."""

    def dump(self) -> str:
        """Parameters of the steps and the forecaster's own text, by horizon."""
        stored = {
            str(horizon): {"steps": self._pipelines[horizon].parameters(), "model": _storable(model).dump()}
            for horizon, model in sorted(self._models.items())
        }
        return json.dumps({"columns": self._columns, "horizons": stored, "warnings": self.warnings}, sort_keys=True)

    def load(self, text: str) -> None:
        """Restore what `dump` wrote."""
        stored = json.loads(text)
        self._columns, self.warnings = tuple(stored["columns"]), stored["warnings"]
        self._pipelines, self._models = {}, {}
        for horizon, saved in stored["horizons"].items():
            steps, model = self._pipeline(), self._make()
            steps.restore(saved["steps"])
            _storable(model).load(saved["model"])
            self._pipelines[int(horizon)], self._models[int(horizon)] = steps, model


def with_steps(make: Callable[[], Forecaster], steps: Iterable[Step], *, folder: str = "") -> Stepped:
    """A forecaster behind steps; storable when the forecaster and every step are.

    Args:
        make: makes the forecaster, unfitted.
        steps: resolved, in order.
        folder: folder of the experiment file.

    Raises:
        UserError: a step or the forecaster cannot be built, or the forecaster splits its training rows itself and
            would find copies of one row on both sides.
    """
    listed, prototype = tuple(steps), make()
    splitting = getattr(prototype, "splits_rows", "")
    if splitting and any(step.kind == RESAMPLE for step in listed):
        raise UserError(
            "a model that splits its training rows itself cannot have them resampled",
            value=splitting,
            rule="copies of one row, and rows of one target period, would be on both sides of the split",
            fix="switch the split off, or leave the resample step out",
        )
    storable = isinstance(prototype, Storable) and StepPipeline(listed, folder=folder).storable
    return (StorableStepped if storable else Stepped)(make, listed, folder=folder)


def _storable(model: Forecaster) -> Storable:
    assert isinstance(model, Storable)  # noqa: S101 - `with_steps` has looked
    return model


def _nothing(keys: pl.DataFrame) -> pl.DataFrame:
    return answers(keys, np.full(keys.height, np.nan))
