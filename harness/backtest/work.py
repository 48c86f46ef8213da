"""How a worker answers: walk forward over a stretch of origins, fit at refit origins, forecast.

What one part of the pipeline hands to the next can be witnessed; a run has no witness.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.answers import Asked, blank_cell, checked_answers, failed, filled
from harness.backtest.design import RowBuilder
from harness.backtest.first_window import first_rows, hand_on
from harness.backtest.heard import heard
from harness.backtest.history import History
from harness.backtest.keys import RecipeIdentity, blocks_of, cell_seed
from harness.backtest.liberty import every_row
from harness.backtest.spent import Spent
from harness.backtest.splits import TrainingSet, too_short, training_set
from harness.backtest.tuning.inner import Ground
from harness.backtest.witness import Witness, World
from harness.core.errors import raise_lack
from harness.core.identity import canonical, digest
from harness.core.recipe import Recipe
from harness.core.snapshot import Snapshot, newest_periods, target_panel
from harness.data.mapped import let_go
from harness.forecast.baselines import Naive
from harness.forecast.catalog import build, entry_for, learns_from_rows_alone
from harness.forecast.paths import ask_grid
from harness.forecast.protocol import Forecaster, Storable, Timed
from harness.record.cells import Cell, read_fit, write_fit
from harness.record.panel_cells import ASKED, PanelAnswers

if TYPE_CHECKING:
    from harness.backtest.tuning.study import Studied

MANY = 1 << 17
"""Changes from which on a mapped file is let go of before a fit."""
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
NOTHING = np.empty(0, dtype=np.int64)
NO_ROWS = TrainingSet(NOTHING, NOTHING, NOTHING, 0)
"""Stands for the rows of a model that learns from none, where it is told elsewhere how many there are."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Keys of what a walk stores: (index of the recipe, origin) -> key.

    Attributes:
        fits: of fits.
        studies: of searches.
    """

    fits: Mapping[tuple[int, int], str] = field(default_factory=dict)
    studies: Mapping[tuple[int, int], str] = field(default_factory=dict)


def walk(
    world: World,
    recipes: Sequence[tuple[Recipe, RecipeIdentity]],
    origins: Sequence[int],
    *,
    spent: Spent | None = None,
    stored: Stored | None = None,
    witness: Witness | None = None,
    pool: Executor | None = None,
) -> Iterator[tuple[int, int, Cell]]:
    """Walk forward over some origins and answer each, recipe after recipe; the caller pins the thread pools.

    Args:
        world: what is walked through.
        recipes: recipes that share their inputs, with their identities.
        origins: indices of the origins, ascending.
        spent: where the time is booked.
        stored: keys under which fits and searches are stored; None = none is.
        witness: is shown every hand-over.
        pool: threads in which naive rivals answer side by side; None = one after the other.

    Yields:
        Index of the recipe, of the origin, and the cell.
    """
    spent = Spent() if spent is None else spent
    stored = Stored() if stored is None else stored
    pool = pool if witness is None and all(recipe.rival for recipe, _ in recipes) else None
    first = recipes[0][1]
    # the naive rivals look at what is known and keep nothing of it: they are shown the matrices themselves
    views = witness is None and all(recipe.rival or learns_from_rows_alone(recipe) for recipe, _ in recipes)
    # none of them asks for dates, unless members of a universe are told by them
    dated = not views or bool(world.plan.experiment.target.universe)
    history = History(world.changes, world.plan, first, spent, copy=not views, dated=dated, rows=world.rows)
    labels = history if world.labels is None else History(world.labels, world.plan, first, spent)
    walks = [_Walk(world, recipe, identity, spent, witness) for recipe, identity in recipes]
    outlined = views and all(_reads_rows_alone(world, recipe) for recipe, _ in recipes)
    for origin in origins:
        for index, one in enumerate(walks):
            refit = one.due(origin)
            if refit is not None:
                known = history.outline(refit) if outlined else history.at(refit)
                one.tune(refit, {at: key for (mine, at), key in stored.studies.items() if mine == index})
                seen = known if labels is history else labels.at(refit)
                one.refit(refit, known, stored.fits.get((index, refit), ""), seen)
        if pool is None:
            for index, one in enumerate(walks):
                yield index, origin, one.answer(origin, history.at(origin))
            continue
        snapshot = history.at(origin)
        target_panel(snapshot)  # once for all of them
        for index, cell in enumerate(pool.map(lambda one, at=origin, known=snapshot: one.answer(at, known), walks)):
            yield index, origin, cell


def fit_alone(world: World, recipe: Recipe, identity: RecipeIdentity, origin: int, key: str, spent: Spent) -> None:
    """Fit at one refit origin and store it, unless it is stored already; nothing is answered. What fails is not stored.

    Args:
        world: what is known.
        recipe: what is fitted, without a search.
        identity: of the recipe.
        origin: index of the refit origin.
        key: under which the fit is stored.
        spent: where the time is booked.
    """
    known = History(world.changes, world.plan, identity, spent, rows=world.rows).at(origin)
    _Walk(world, recipe, identity, spent, None).refit(origin, known, key, known)


def _reads_rows_alone(world: World, recipe: Recipe) -> bool:
    """Whether nothing about a fit of a recipe, its labels and its rows included, is read in the snapshot."""
    experiment = world.plan.experiment
    of_latest = experiment.target.outcome.kind == "latest" or experiment.vintage == "latest"
    told = world.liberty is None and world.labels is None and not experiment.target.universe
    return learns_from_rows_alone(recipe) and told and not of_latest and experiment.training.rolling is None


class _Walk:
    """One recipe walking forward: its forecaster, what it was fitted at, and why it may not answer."""

    def __init__(
        self,
        world: World,
        recipe: Recipe,
        identity: RecipeIdentity,
        spent: Spent,
        witness: Witness | None,
    ) -> None:
        self.identity, self.spent, self.witness = identity, spent, witness
        self.plan, self.fits, self.liberty, self.studies = world.plan, world.fits, world.liberty, world.studies
        self.clocks, self.told = world.clocks, world.told
        self.fitted = entry_for(recipe.kind).fitted or recipe.search is not None
        experiment = self.plan.experiment
        empty = (len(self.plan.instants), len(experiment.target.series), len(experiment.horizons), 0)
        design = np.zeros(empty) if world.design is None else world.design
        self.ground = Ground(self.plan, world.changes, design, world.labels)
        self.declared, self.tuned_at = recipe, -1
        self.studied: Studied | None = None
        self._take(recipe)
        self.forecaster: Forecaster | None = None
        self.fitted_at = -1
        self.failure = ""
        self.short: dict[int, str] = {}
        self.facts: dict[str, object] = {}
        self.bins: object = None

    def _take(self, recipe: Recipe) -> None:
        """Go on with a recipe: the declared one, or the one a search chose."""
        self.recipe, self.needs_rows = recipe, bool(recipe.features)
        blocks = blocks_of(recipe, self.plan.experiment)
        self.rows = RowBuilder(self.plan, self.ground.design, blocks, self.ground.changes)

    def tune(self, refit: int, keys: Mapping[int, str]) -> None:
        """Search before a refit, where the last search no longer holds; the fit is then that of a plain recipe."""
        if self.declared.search is None:
            return
        origin = self.plan.refit_origin(refit, self.identity.retune)
        if origin == self.tuned_at:
            return
        from harness.backtest.tuning.study import study  # noqa: PLC0415 - only a search needs Optuna

        start = time.perf_counter()
        key = keys.get(origin, "")
        store = (self.studies, key) if self.studies is not None and key else None
        self.studied = study(self.ground, self.declared, self.identity, origin, store=store, clock=self.clocks.get(key))
        self.tuned_at = origin
        self._take(self.studied.recipe)
        self.spent.add(self.declared.name, "tune", start)
        if self.witness is not None:
            self.witness.study(self.declared.name, origin, self.studied)

    def due(self, origin: int) -> int | None:
        """The refit origin to fit at before answering `origin`; None = the present fit still holds."""
        if not self.fitted:
            return origin if self.fitted_at < 0 else None
        refit = self.plan.refit_origin(origin, self.identity.cadence)
        return None if refit == self.fitted_at else refit

    def refit(self, origin: int, snapshot: Snapshot, fit_key: str, labels: Snapshot) -> None:
        """Fit at a refit origin, or load the stored text of that very fit; labels under `latest` are in `labels`."""
        self.fitted_at, self.failure, self.forecaster = origin, "", None
        if not self.fitted:  # nothing is estimated, and no cell may remember where the walk began
            self.forecaster = build(self.recipe, folder=self.plan.experiment.folder)
            return
        start = time.perf_counter()
        let_go(self.ground.changes, at_least=MANY)
        steps = range(len(self.plan.experiment.horizons))
        sets = {
            place: training_set(self.plan, origin, place, labels) if self.told is None else NO_ROWS for place in steps
        }
        periods = {place: some.periods for place, some in sets.items()}
        self.short = dict(too_short(self.plan, periods) if self.told is None else self.told[origin].short)
        enough = {place: some for place, some in sets.items() if place not in self.short}
        self.facts = {"fit_key": fit_key, "training_rows": {str(h): len(s.origins) for h, s in enough.items()}}
        if self.studied is not None:
            self.facts["tuned"] = _tuning_facts(self.studied, self.plan.instants[self.tuned_at].isoformat())
            self.facts["warnings"] = list(self.studied.warnings)
        if self.witness is not None:
            self.witness.snapshot(self.recipe.name, origin, snapshot)
            self.witness.training_set(self.recipe.name, origin, sets)
        del sets
        if enough:
            self._fit(origin, (snapshot, labels), enough, fit_key)
        self.spent.add(self.recipe.name, "fit", start)

    def _fit(
        self, origin: int, snapshots: tuple[Snapshot, Snapshot], sets: dict[int, TrainingSet], fit_key: str
    ) -> None:
        experiment = self.plan.experiment
        seed = cell_seed(self.identity, experiment, self.plan.instants[origin].isoformat(), "fit")
        self.facts["seed"] = seed
        forecaster = build(self.recipe, folder=experiment.folder)
        fits = self.fits if fit_key and isinstance(forecaster, Storable) else None
        stored = None if fits is None else read_fit(fits, fit_key)
        saved = None if stored is None else json.loads(stored)
        record = ""
        try:
            if saved is not None and saved.get("setting") == self._setting() and isinstance(forecaster, Storable):
                forecaster.load(saved["fit"])
                seen = saved["warnings"]
            else:
                seen = self._estimate(forecaster, origin, snapshots, sets)
                if fits is not None and isinstance(forecaster, Storable):
                    told = {"fit": forecaster.dump(), "warnings": seen, "setting": self._setting()}
                    record = json.dumps(told, sort_keys=True)
            tuned = () if self.studied is None else self.studied.warnings
            noted = [*tuned, *getattr(forecaster, "warnings", ()), *seen]
            if noted:
                self.facts["warnings"] = noted
            self.forecaster = forecaster
            if self.witness is not None:
                self.witness.fit(self.recipe.name, origin, forecaster)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model raises becomes a visible failed row
            raise_lack(error)
            self.failure = _reason("fit", error)
            return
        if fits is not None and record:
            write_fit(fits, fit_key, record)

    def _setting(self) -> str:
        """Identity of the chosen setting: a search limited by seconds may choose otherwise when it is made again."""
        return "" if self.studied is None else digest(self.studied.values)

    def _estimate(
        self, forecaster: Forecaster, origin: int, snapshots: tuple[Snapshot, Snapshot], sets: dict[int, TrainingSet]
    ) -> list[str]:
        """Fit on the matured rows and the snapshot (rolling: its newest periods); what Python warned of.

        The rows of a large panel take as much as what is learned from them, so nothing holds on to them: the sets are
        emptied, and who fits may let go of what it is handed.
        """
        snapshot, labels = snapshots
        rows = self.rows.training(origin, sets, snapshot, labels) if self.needs_rows else None
        places = list(sets)
        sets.clear()
        if self.witness is not None and rows is not None:
            self.witness.training_rows(self.recipe.name, origin, rows)
        rolling = self.plan.experiment.training.rolling
        newest = None if self.told is None else self.told[origin].newest
        known = snapshot if rolling is None else newest_periods(snapshot, rolling, newest)
        with heard() as caught:
            seed = int(str(self.facts["seed"]))
            self._hand_on_bins(forecaster, origin, known)
            if isinstance(forecaster, Timed):
                forecaster.time_within = partial(self.spent.within, self.recipe.name, "fit")
            if self.liberty is None or rows is None:
                handed, rows = [rows], None
                forecaster.fit(handed.pop(), known, seed=seed)
            else:
                everything = self.rows.realised({place: every_row(self.plan, origin, place) for place in places})
                self.liberty.fit(forecaster, rows, everything, known, seed=seed)
        return sorted({f"{item.category.__name__}: {item.message}"[:200] for item in caught})

    def _hand_on_bins(self, forecaster: Forecaster, origin: int, known: Snapshot) -> None:
        plan, first = self.plan, self.plan.first_issued
        seed = cell_seed(self.identity, plan.experiment, plan.instants[first].isoformat(), "fit")
        own = origin == first and self.liberty is None
        self.bins = hand_on(
            forecaster, self.bins, first=own, rows_of=lambda: first_rows(plan, self.rows, known), known=known, seed=seed
        )

    def answer(self, origin: int, snapshot: Snapshot) -> Cell:
        """The cell of one origin: every asked row with a status, never a hole."""
        start = time.perf_counter()
        if self.witness is not None:
            self.witness.snapshot(self.recipe.name, origin, snapshot)
        asked = Asked(self.plan, origin, snapshot, self.recipe)
        blank = blank_cell(asked, self.short)
        wanted = blank.status == ASKED
        given = self._predict(origin, snapshot, asked, blank, wanted) if wanted.any() else blank
        self.spent.add(self.recipe.name, "predict", start)
        cell = Cell(given, dict(self.facts))
        if self.witness is not None:
            self.witness.cell(self.recipe.name, origin, cell)
        return cell

    def _predict(
        self, origin: int, snapshot: Snapshot, asked: Asked, blank: PanelAnswers, wanted: Flags
    ) -> PanelAnswers | pl.DataFrame:
        if self.forecaster is None:
            return failed(blank, self.failure or "the model was not fitted")
        trained_at = self.plan.instants[self.fitted_at] if self.fitted else None
        try:
            if isinstance(self.forecaster, Naive) and self.witness is None:
                grid = self.forecaster.grid(ask_grid(snapshot, asked.names, blank.periods))
                return filled(blank, grid, trained_at)
            series, horizons = np.nonzero(wanted)
            rows = self.rows.asked(origin, asked.rows[series], horizons)
            if self.witness is not None:
                self.witness.asked_rows(self.recipe.name, origin, rows)
            with heard():
                answers = self.forecaster.predict(rows, snapshot)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model raises becomes a visible failed row
            raise_lack(error)
            return failed(blank, _reason("predict", error))
        return checked_answers(blank, answers, trained_at=trained_at)


def _tuning_facts(studied: Studied, origin: str) -> dict[str, object]:
    return {
        "origin": origin,
        "trials": len(studied.trials),
        "best": studied.best,
        "setting": canonical(studied.values),
        "ended": studied.end,
    }


def _reason(stage: str, error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{stage}: {type(error).__name__}: {text}"[:300]
