"""What one forecaster was given at one origin, kept so that it can be asked again elsewhere and in another order."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
import threadpoolctl

from harness.backtest.answers import checked_rows
from harness.backtest.keys import cell_seed, recipe_identity
from harness.backtest.splits import TrainingSet
from harness.backtest.tuning.study import Studied
from harness.core.errors import raise_lack
from harness.core.frames import Rows
from harness.core.recipe import Recipe
from harness.core.snapshot import Snapshot, newest_periods
from harness.core.transform import Floats
from harness.forecast.catalog import build, entry_for
from harness.forecast.protocol import Forecaster
from harness.record.cells import CELL_SCHEMA, Cell
from harness.record.panel_cells import ASKED, STATUSES
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
        fitted_on: the snapshot of the refit origin (rolling: its newest periods); None when nothing is fitted.
        asked: the rows to be forecast.
        snapshot: the snapshot of the origin.
        answer: what it said: series_id, horizon, quantile, value.
        failure: why it did not, as the cell has it; "" when it did.
        bins: of the first training window, where the model's fits share them.
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
    bins: object = None


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
    drawings: list[tuple[int, Recipe, int, tuple[Mapping[str, object], ...]]] = field(default_factory=list)
    _tuned: dict[str, Recipe] = field(default_factory=dict)
    _fitted_on: dict[str, Snapshot] = field(default_factory=dict)
    _refit: dict[str, int] = field(default_factory=dict)
    _rows: dict[str, Rows] = field(default_factory=dict)
    _asked: dict[str, Rows] = field(default_factory=dict)
    _now: dict[str, Snapshot] = field(default_factory=dict)
    _bins: dict[str, object] = field(default_factory=dict)

    def snapshot(self, model: str, origin: int, snapshot: Snapshot) -> None:
        """Keep it as the newest the model was given."""
        Trace.snapshot(self, model, origin, snapshot)
        self._now[model] = snapshot

    def study(self, model: str, origin: int, studied: Studied) -> None:
        """What is asked again is the model as it was chosen, and a function that drew its settings."""
        Trace.study(self, model, origin, studied)
        self._tuned[model] = studied.recipe
        recipe, experiment = self.recipes[model], self.plan.experiment
        if recipe.search is not None and recipe.search.function:
            moment = self.plan.instants[origin].isoformat()
            seed = cell_seed(recipe_identity(recipe, experiment), experiment, moment, "tune")
            self.drawings.append((origin, recipe, seed, studied.trials))

    def training_set(self, model: str, origin: int, sets: Mapping[int, TrainingSet]) -> None:
        """A refit begins: what is known now is what it is fitted on."""
        Trace.training_set(self, model, origin, sets)
        rolling = self.plan.experiment.training.rolling
        known = self._now[model]
        self._fitted_on[model] = known if rolling is None else newest_periods(known, rolling)
        self._refit[model] = origin

    def training_rows(self, model: str, origin: int, rows: Rows) -> None:
        """Keep them."""
        Trace.training_rows(self, model, origin, rows)
        self._rows[model] = rows

    def fit(self, model: str, origin: int, forecaster: Forecaster) -> None:
        """Keep the bins that it shares with other fits."""
        Trace.fit(self, model, origin, forecaster)
        self._bins[model] = getattr(forecaster, "first_window", None)

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
                failure_of(mine),
                self._bins.get(model),
            )
        )

    def _seed(self, recipe: Recipe, origin: int) -> int:
        experiment = self.plan.experiment
        refit = self._refit.get(recipe.name, origin)
        return cell_seed(recipe_identity(recipe, experiment), experiment, self.plan.instants[refit].isoformat(), "fit")


def reply(question: Question, folder: str) -> Reply:
    """Ask again, and judge the answer as a cell's is judged.

    Args:
        question: what the forecaster is handed.
        folder: where users' modules are looked for.
    """
    asked = question.asked.keys.select("series_id", "horizon", "period").unique(maintain_order=True)
    blank = pl.DataFrame(
        {name: asked[name] if name in asked.columns else [None] * asked.height for name in CELL_SCHEMA}
    )
    blank = blank.cast(CELL_SCHEMA).with_columns(status=pl.lit(STATUSES[ASKED]))
    answers, failure, stage = None, "", "fit"
    try:
        with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            forecaster = build(question.recipe, folder=folder)
            if question.bins is not None:
                forecaster.first_window = question.bins  # type: ignore[attr-defined]
            if question.fitted_on is not None and entry_for(question.recipe.kind).fitted:
                forecaster.fit(question.rows, question.fitted_on, seed=question.seed)
            stage = "predict"
            answers = forecaster.predict(question.asked, question.snapshot)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a failure is an answer to be compared
        raise_lack(error)
        failure = f"{stage}: {type(error).__name__}: {' '.join(str(error).split())}"[:300]
    frame = checked_rows(blank, answers, failure=failure)
    return Reply(frame.select(*ANSWER_KEYS, "value"), failure_of(frame))


def failure_of(cell: pl.DataFrame) -> str:
    """Why a cell's rows failed; "" = none did."""
    failed = cell.filter(pl.col("status") == "failed")["reason"].unique().sort().to_list()
    return str(failed[0]) if failed else ""


def jittered(question: Question, seed: int) -> Question:
    """The same question with every number of the training rows moved in its last bits."""
    if question.rows is None:
        return question
    random = np.random.default_rng(seed)

    def moved(values: Floats) -> Floats:
        out: Floats = values * (1.0 + random.integers(-2, 3, values.shape) * np.finfo(np.float64).eps)
        return out

    rows = question.rows
    columns = [pl.Series(name, moved(rows.X[name].cast(pl.Float64).to_numpy())) for name in rows.X.columns]
    X = rows.X.with_columns(columns) if columns else rows.X
    return replace(question, rows=Rows(X, rows.keys, None if rows.y is None else moved(rows.y)))


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
