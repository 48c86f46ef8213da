"""What one forecaster was given at one origin, kept so that it can be asked again elsewhere and in another order."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
import threadpoolctl

from harness.backtest.keys import cell_seed, recipe_identity
from harness.backtest.splits import TrainingSet
from harness.backtest.tuning.study import Studied
from harness.core.frames import ANSWER_SCHEMA, Rows
from harness.core.recipe import Recipe
from harness.core.snapshot import Snapshot
from harness.forecast.catalog import build, entry_for
from harness.forecast.protocol import Forecaster
from harness.record.cells import Cell
from harness.studies.handover import Trace

ANSWER_KEYS = ("series_id", "horizon", "quantile")


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Everything one forecaster is handed at one origin.

    Attributes:
        origin: index of the origin.
        recipe: the model.
        seed: of its fit.
        rows: matured training rows; None for a model without features.
        fitted_on: the snapshot of the refit origin; None when nothing is fitted.
        asked: the rows to be forecast.
        snapshot: the snapshot of the origin.
        answer: what it said: series_id, horizon, quantile, value.
        failure: why it did not, as the cell has it; "" when it did.
    """

    origin: int
    recipe: Recipe
    seed: int
    rows: Rows | None
    fitted_on: Snapshot | None
    asked: Rows
    snapshot: Snapshot
    answer: pl.DataFrame
    failure: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """A forecaster's answer to a question: its frame, and the failure where there is none."""

    frame: pl.DataFrame
    failure: str = ""


@dataclass(slots=True)
class Keeper(Trace):
    """A witness that also keeps what it takes to ask every forecaster again."""

    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    _tuned: dict[str, Recipe] = field(default_factory=dict)
    _fitted_on: dict[str, Snapshot] = field(default_factory=dict)
    _refit: dict[str, int] = field(default_factory=dict)
    _rows: dict[str, Rows] = field(default_factory=dict)
    _asked: dict[str, Rows] = field(default_factory=dict)
    _now: dict[str, Snapshot] = field(default_factory=dict)

    def snapshot(self, model: str, origin: int, snapshot: Snapshot) -> None:
        """Keep it as the newest the model was given."""
        Trace.snapshot(self, model, origin, snapshot)
        self._now[model] = snapshot

    def study(self, model: str, origin: int, studied: Studied) -> None:
        """What is asked again is the model as it was chosen."""
        Trace.study(self, model, origin, studied)
        self._tuned[model] = studied.recipe

    def training_set(self, model: str, origin: int, sets: Mapping[int, TrainingSet]) -> None:
        """A refit begins: what is known now is what it is fitted on."""
        Trace.training_set(self, model, origin, sets)
        self._fitted_on[model], self._refit[model] = self._now[model], origin

    def training_rows(self, model: str, origin: int, rows: Rows) -> None:
        """Keep them."""
        Trace.training_rows(self, model, origin, rows)
        self._rows[model] = rows

    def asked_rows(self, model: str, origin: int, rows: Rows) -> None:
        """Keep them."""
        Trace.asked_rows(self, model, origin, rows)
        self._asked[model] = rows

    def cell(self, model: str, origin: int, cell: Cell) -> None:
        """The question is complete with its answer."""
        Trace.cell(self, model, origin, cell)
        asked, recipe = self._asked.get(model), self.recipes[model]
        if asked is None or not len(asked):
            return
        mine = cell.frame.join(asked.keys.select("series_id", "horizon"), on=["series_id", "horizon"], how="semi")
        failed = mine.filter(pl.col("status") == "failed")["reason"].unique().to_list()
        self.questions.append(
            Question(
                origin,
                self._tuned.get(model, recipe),
                self._seed(recipe, origin),
                self._rows.get(model),
                self._fitted_on.get(model),
                asked,
                self._now[model],
                mine.select(*ANSWER_KEYS, "value"),
                str(failed[0]) if failed else "",
            )
        )

    def _seed(self, recipe: Recipe, origin: int) -> int:
        experiment = self.plan.experiment
        refit = self._refit.get(recipe.name, origin)
        return cell_seed(recipe_identity(recipe, experiment), experiment, self.plan.instants[refit].isoformat(), "fit")


def reply(question: Question, folder: str) -> Reply:
    """Ask again.

    Args:
        question: what the forecaster is handed.
        folder: where users' modules are looked for.
    """
    try:
        with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            forecaster = build(question.recipe, folder=folder)
            if question.fitted_on is not None and entry_for(question.recipe.kind).fitted:
                forecaster.fit(question.rows, question.fitted_on, seed=question.seed)
            answers = _answers(forecaster, question)
    except (KeyboardInterrupt, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a failure is an answer to be compared
        nothing = pl.DataFrame(schema={name: ANSWER_SCHEMA[name] for name in (*ANSWER_KEYS, "value")})
        return Reply(nothing, f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])
    return Reply(answers)


def _answers(forecaster: Forecaster, question: Question) -> pl.DataFrame:
    found = forecaster.predict(question.asked, question.snapshot).select(ANSWER_SCHEMA.names()).cast(ANSWER_SCHEMA)
    asked = question.asked.keys.select("series_id", "horizon")
    order = asked.unique(maintain_order=True).with_row_index("place")
    placed = found.join(order, on=["series_id", "horizon"], how="left").sort("place", "quantile", nulls_last=False)
    return placed.select(*ANSWER_KEYS, "value")


def permuted(question: Question, seed: int) -> Question:
    """The same question with training rows and asked rows in another order."""
    random = np.random.default_rng(seed)
    rows = None if question.rows is None else _shuffled(question.rows, random)
    return replace(question, rows=rows, asked=_shuffled(question.asked, random))


def _shuffled(rows: Rows, random: np.random.Generator) -> Rows:
    order = random.permutation(len(rows))
    chosen = pl.Series(order, dtype=pl.Int64)
    return Rows(
        rows.X[chosen] if rows.X.width else rows.X, rows.keys[chosen], None if rows.y is None else rows.y[order]
    )
