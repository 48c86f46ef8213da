"""What the trials of one study share: inner folds, snapshots and feature rows, each made once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.backtest.design import RowBuilder
from harness.backtest.keys import RecipeIdentity, blocks_of
from harness.backtest.splits import Plan
from harness.backtest.tuning.folds import Fold, Sets, at_origins, fold_origins, inner_folds, inner_origins, outer_rows
from harness.backtest.tuning.space import reachable
from harness.core.frames import Rows
from harness.core.recipe import Recipe
from harness.core.snapshot import Snapshot, newest_periods
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from harness.forecast.catalog import entry_for

if TYPE_CHECKING:  # importing LightGBM takes longer than all the rest of a worker's start
    from harness.forecast.boosting_rows import Bins

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What is tuned on, as `backtest.work.World` has it.

    Attributes:
        plan: the plan.
        changes: the changes.
        design: [origin, series, horizon, feature] frozen rows.
        labels: the changes labels under `latest` are read in; None = `changes`.
    """

    plan: Plan
    changes: ChangeFile
    design: Floats
    labels: ChangeFile | None = None

    def replay(self, identity: RecipeIdentity, *, labels: bool = False) -> Replay:
        """A replay of the model's series that stands before the first change."""
        experiment = self.plan.experiment
        changes = self.labels if labels and self.labels is not None else self.changes
        return Replay(
            changes,
            identity.series,
            latency=experiment.origins.latency,
            exclude_hindsight=experiment.exclude_hindsight,
            sources=identity.sources,
        )


class Inner:
    """The inner walk-forward of one study, up to its outer origin and no further.

    Attributes:
        folds: the folds; () = too few matured inner origins.
        origins: inner origins there were to choose from.
        matured: rows of the outer origin, by horizon index.
        known: what labels are read in at the outer origin.
    """

    def __init__(self, ground: Ground, recipe: Recipe, identity: RecipeIdentity, origin: int) -> None:
        """Choose the folds and build their snapshots.

        Args:
            ground: what is tuned on.
            recipe: the model, with its search.
            identity: its identity.
            origin: index of the outer origin.
        """
        self.ground, self.plan, self.origin = ground, ground.plan, origin
        outer = ground.replay(identity, labels=True)
        outer.advance(self.plan.instants[origin])
        self.known = outer.snapshot(self.plan.experiment.target)
        self.matured: Sets = outer_rows(self.plan, origin, self.known)
        self.origins = inner_origins(self.plan, self.matured)
        wanted = 1 if recipe.search is None else recipe.search.folds
        starts = fold_origins(self.origins, wanted)
        self.folds = inner_folds(self.plan, starts, self.matured, ground.replay(identity, labels=True))
        self._each = not all(by_rows(one) for one in reachable(recipe))
        self._snapshots = dict(self._walk(ground.replay(identity)))
        self._builders: dict[tuple[str, ...], RowBuilder] = {}
        self._training: dict[tuple[int, tuple[str, ...]], Rows] = {}
        self._asked: dict[tuple[int, tuple[str, ...], bool], list[tuple[Rows, Snapshot]]] = {}
        self._bins: dict[tuple[int, tuple[str, ...]], Bins] = {}

    def fitted_on(self, fold: Fold) -> Snapshot:
        """What models are fitted on: the snapshot of the inner origin, its newest periods where the window rolls."""
        rolling = self.plan.experiment.training.rolling
        known = self._snapshots[fold.origin]
        return known if rolling is None else newest_periods(known, rolling)

    def training(self, number: int, recipe: Recipe) -> Rows | None:
        """Training rows of a fold with the features of a recipe; None for a model without features."""
        if not recipe.features:
            return None
        key = (number, recipe.features)
        if key not in self._training:
            fold = self.folds[number]
            rows = self._builder(recipe)
            self._training[key] = rows.training(fold.origin, fold.training, self._snapshots[fold.origin], fold.known)
        return self._training[key]

    def asked(self, number: int, recipe: Recipe) -> list[tuple[Rows, Snapshot]]:
        """Rows to be answered in a fold, labelled, with the snapshots they are answered in.

        A learner from rows is asked once, in the last snapshot, whose target names every series; it reads no value
        there. Others are asked at every origin.
        """
        at_once = by_rows(recipe)
        key = (number, recipe.features, at_once)
        if key not in self._asked:
            fold = self.folds[number]
            groups = [fold.origins] if at_once else [[origin] for origin in fold.origins]
            builder = self._builder(recipe)
            self._asked[key] = [
                (builder.matured(at_origins(fold.asked, group), self.known), self._snapshots[group[-1]])
                for group in groups
            ]
        return self._asked[key]

    def bins(self, number: int, recipe: Recipe) -> Bins:
        """Where LightGBM keeps the binned training rows of a fold."""
        return self._bins.setdefault((number, recipe.features), {})

    def _builder(self, recipe: Recipe) -> RowBuilder:
        if recipe.features not in self._builders:
            blocks = blocks_of(recipe, self.plan.experiment)
            self._builders[recipe.features] = RowBuilder(self.plan, self.ground.design, blocks, self.ground.changes)
        return self._builders[recipe.features]

    def _walk(self, replay: Replay) -> Iterator[tuple[int, Snapshot]]:
        """Snapshots at the inner origins that are fitted at or asked."""
        wanted: set[int] = set()
        for fold in self.folds:
            wanted |= {fold.origin, *(fold.origins if self._each else fold.origins[-1:])}
        for origin in sorted(wanted):
            replay.advance(self.plan.instants[origin])
            yield origin, replay.snapshot(self.plan.experiment.target)


def by_rows(recipe: Recipe) -> bool:
    """Whether a model answers from its rows alone, so that many origins can be asked at once."""
    return entry_for(recipe.kind).needs_rows
