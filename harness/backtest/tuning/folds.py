"""The inner walk-forward of a search: where it is fitted, on which rows, and on which it is judged (S17)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from harness.backtest.splits import Integers, Plan, TrainingSet, training_set
from harness.core.frames import UTC_INSTANT
from harness.core.snapshot import Snapshot
from harness.core.time import NEVER
from harness.data.replay import Replay

Sets = dict[int, TrainingSet]


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One inner fit and what it is judged on.

    Attributes:
        origin: index of the inner origin at which models are fitted.
        training: horizon index -> rows whose label was public by that origin.
        asked: horizon index -> rows of that and later inner origins, labelled by the outer origin, not public before.
        known: what was known at the inner origin.
    """

    origin: int
    training: Sets
    asked: Sets
    known: Snapshot

    @property
    def origins(self) -> list[int]:
        """Indices of the origins at which something is asked, ascending."""
        return sorted({int(row) for some in self.asked.values() for row in some.origins})


def outer_rows(plan: Plan, origin: int, known: Snapshot) -> Sets:
    """The matured rows of the outer origin, by horizon index: all that a search may be judged on."""
    return {place: training_set(plan, origin, place, known) for place in range(len(plan.experiment.horizons))}


def inner_origins(plan: Plan, matured: Sets) -> list[int]:
    """Inner origins, ascending: those of matured rows at which one horizon at least had enough to learn from.

    Args:
        plan: the plan.
        matured: rows of the outer origin.
    """
    latest = plan.experiment.target.outcome.kind == "latest"
    public = plan.outcomes.first_public if latest else plan.outcomes.matured_at
    minimum = plan.experiment.training.minimum
    found: set[int] = set()
    for place, some in matured.items():
        if some.periods < minimum:
            continue
        at, periods = public[some.series, some.requests], plan.ends[some.origins, place]
        first = np.sort([at[periods == period].min() for period in np.unique(periods)])
        enough = plan.known[some.origins] >= first[minimum - 1]
        found |= set(some.origins[enough & (first[minimum - 1] != NEVER)].tolist())
    return sorted(found)


def fold_origins(inner: list[int], folds: int) -> list[int]:
    """Inner origins at which models are fitted, evenly spaced; [] = too few for so many folds.

    >>> fold_origins([3, 4, 5, 6, 7, 8], 3), fold_origins([3, 4], 3)
    ([3, 5, 7], [])
    """
    return [inner[place * len(inner) // folds] for place in range(folds)] if len(inner) >= folds else []


def inner_folds(plan: Plan, starts: list[int], matured: Sets, labels: Replay) -> tuple[Fold, ...]:
    """The folds of a search.

    Args:
        plan: the plan.
        starts: inner origins at which models are fitted, ascending.
        matured: rows of the outer origin.
        labels: walks forward over what labels are read in; it is left at the last start.
    """
    folds = []
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(plan.instants)
        labels.advance(plan.instants[start])
        known = labels.snapshot(plan.experiment.target)
        sets = training_at(plan, start, known)
        asked = {place: _between(some, start, end) for place, some in matured.items() if place in sets}
        asked = {place: some for place, some in asked.items() if len(some.origins)}
        folds.append(Fold(start, _apart(plan, {h: sets[h] for h in asked}, asked), asked, known))
    return tuple(fold for fold in folds if fold.asked)


def training_at(plan: Plan, start: int, known: Snapshot) -> Sets:
    """Rows matured by an inner origin, of the horizons with enough of them."""
    sets = outer_rows(plan, start, known)
    return {place: some for place, some in sets.items() if some.periods >= plan.experiment.training.minimum}


def fold_table(plan: Plan, folds: tuple[Fold, ...]) -> pl.DataFrame:
    """Every inner row: fold, side (`training` or `validation`), horizon, pseudo_origin, series_id, period."""
    parts = [
        pl.DataFrame(
            {
                "fold": np.full(len(some.origins), number),
                "inner_origin": [plan.instants[fold.origin]] * len(some.origins),
                "side": [side] * len(some.origins),
                "horizon": np.full(len(some.origins), plan.experiment.horizons[place]),
                "pseudo_origin": [plan.instants[row] for row in some.origins],
                "series_id": [plan.experiment.target.series[one] for one in some.series],
                "period": plan.end_days[some.origins, place].astype("datetime64[D]"),
            },
            schema_overrides={"inner_origin": UTC_INSTANT, "pseudo_origin": UTC_INSTANT, "series_id": pl.String()},
        )
        for number, fold in enumerate(folds)
        for side, sets in (("training", fold.training), ("validation", fold.asked))
        for place, some in sorted(sets.items())
    ]
    return pl.concat(parts) if parts else pl.DataFrame()


def at_origins(sets: Sets, origins: list[int]) -> Sets:
    """The rows of some origins, of the horizons that have any."""
    chosen = {place: _kept(some, np.isin(some.origins, origins)) for place, some in sets.items()}
    return {place: some for place, some in chosen.items() if len(some.origins)}


def _between(some: TrainingSet, start: int, end: int) -> TrainingSet:
    """The rows of origins from `start` on, before `end`."""
    return _kept(some, (some.origins >= start) & (some.origins < end))


def _apart(plan: Plan, training: Sets, asked: Sets) -> Sets:
    """Training rows without the target periods that are judged: all rows of one period stay on one side."""
    judged: Integers = np.unique(
        np.concatenate([plan.ends[some.origins, place] for place, some in asked.items()] or [[]])
    )
    apart = {place: _kept(some, ~np.isin(plan.ends[some.origins, place], judged)) for place, some in training.items()}
    return {place: some for place, some in apart.items() if len(some.origins)}


def _kept(some: TrainingSet, keep: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> TrainingSet:
    return replace(some, origins=some.origins[keep], series=some.series[keep], requests=some.requests[keep])
