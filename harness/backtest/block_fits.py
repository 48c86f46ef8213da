"""A refit of a model that is fitted in blocks of series: what all series together tell of it, and the fit of all.

The fit of each block is stored as it is made, so a run that is killed goes on from there; when the last block is
answered they are joined to the fit that one of all series would have stored.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.backtest.history import History
from harness.backtest.keys import RecipeIdentity, cell_seed
from harness.backtest.spent import Spent
from harness.backtest.splits import USED, Plan, in_order, row_fates, target_inputs, too_short
from harness.backtest.witness import Told, World
from harness.core.recipe import Recipe
from harness.core.snapshot import NO_POSITION, Snapshot, target_panel
from harness.data.series_blocks import SeriesBlocks
from harness.forecast.catalog import build
from harness.forecast.protocol import Apart
from harness.record.cells import read_fit, write_fit

PARTS = ".tmp-fit-"
"""Begins the keys under which fits of blocks stand."""
FORGOTTEN = 86_400.0
"""Seconds after which nobody is at work on one any more."""


class TogetherError(Exception):
    """A model raised an error of its own: what it says then depends on what it is given, so it is given all series."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of series, and where their rows are.

    Attributes:
        plans: the plan of each.
        spans: rows of the target's series of each.
        rows: rows of the change file of each; None = it is looked for in the whole file.
    """

    plans: Sequence[Plan]
    spans: Sequence[slice]
    rows: SeriesBlocks | None

    def rows_of(self, number: int) -> NDArray[np.int64] | None:
        """Rows of the change file of one of them; None = not known."""
        return None if self.rows is None else self.rows.rows(number)


@dataclass(frozen=True, slots=True)
class Refit:
    """One refit.

    Attributes:
        recipe, identity: of what.
        origin: index of the refit origin.
        key: of the fit.
        told: what all series tell of it.
        training_rows: index of the horizon -> matured training rows, where there are enough.
    """

    recipe: Recipe
    identity: RecipeIdentity
    origin: int
    key: str
    told: Told
    training_rows: Mapping[int, int]

    def part(self, block: slice) -> str:
        """Key of the fit of a block."""
        return f"{PARTS}{self.key}-{block.start}-{block.stop}"

    def part_stored(self, shelf: Path, blocks: Blocks) -> None:
        """Store the fit of each block where that of all series is stored already.

        Args:
            shelf: where fits stand.
            blocks: the blocks.
        """
        text = read_fit(shelf, self.key)
        if text is None:
            return
        saved, names = json.loads(text), (plan.experiment.target.series for plan in blocks.plans)
        for span, fit in zip(blocks.spans, self._forecaster(blocks).parted(saved["fit"], names), strict=True):
            if read_fit(shelf, self.part(span)) is None:
                write_fit(shelf, self.part(span), json.dumps({**saved, "fit": fit, "warnings": []}, sort_keys=True))

    def facts(self, plan: Plan, shelf: Path, blocks: Blocks) -> dict[str, object]:
        """Facts of the cells, when every block is fitted; the fit of all series is stored, and those of blocks go.

        Args:
            plan: of all series.
            shelf: where fits stand.
            blocks: the blocks.

        Raises:
            TogetherError: the fit of a block is gone.
        """
        rows = {str(place): count for place, count in self.training_rows.items()}
        facts: dict[str, object] = {"fit_key": self.key, "training_rows": rows}
        if not rows:
            return facts
        facts["seed"] = cell_seed(self.identity, plan.experiment, plan.instants[self.origin].isoformat(), "fit")
        stored = read_fit(shelf, self.key)
        if stored is None:
            try:
                stored = json.dumps(self._joined(shelf, blocks), sort_keys=True)
            except TogetherError:
                stored = read_fit(shelf, self.key)  # who was done with the same fit meanwhile took its parts away
                if stored is None:
                    raise
            else:
                write_fit(shelf, self.key, stored)
        record: dict[str, Any] = json.loads(stored)
        noted = [*self._forecaster(blocks).told(str(record["fit"])), *record["warnings"]]
        self.drop(shelf)
        return {**facts, "warnings": noted} if noted else facts

    def drop(self, shelf: Path) -> None:
        """Remove the fits of blocks, of whatever size they were."""
        for folder in shelf.glob(f"{PARTS}{self.key}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _joined(self, shelf: Path, blocks: Blocks) -> dict[str, Any]:
        """What is stored of a fit of all series."""
        seen = set[str]()

        def texts() -> Iterator[str]:
            for span in blocks.spans:
                text = read_fit(shelf, self.part(span))
                if text is None:
                    raise TogetherError
                saved = json.loads(text)
                seen.update(saved["warnings"])
                yield saved["fit"]

        fit = self._forecaster(blocks).joined(texts())
        return {"fit": fit, "warnings": sorted(seen), "setting": ""}

    def _forecaster(self, blocks: Blocks) -> Apart:
        forecaster = build(self.recipe, folder=blocks.plans[0].experiment.folder)
        assert isinstance(forecaster, Apart)  # noqa: S101 - the catalogue says so
        return forecaster


def refit_of(
    world: World, blocks: Blocks, recipe: tuple[Recipe, RecipeIdentity], origin: int, key: str, *, spent: Spent
) -> Refit:
    """A refit, with what all series together say of its training rows.

    Args:
        world: of all series.
        blocks: its blocks.
        recipe: what is fitted, with its identity.
        origin: index of the refit origin.
        key: of the fit.
        spent: where the time is booked.
    """
    model, identity = recipe
    plan, rolling, newest = world.plan, world.plan.experiment.training.rolling, NO_POSITION
    matured: dict[int, Counter[int]] = {place: Counter() for place in range(len(plan.experiment.horizons))}
    for number, one in enumerate(blocks.plans):
        known = None
        if rolling is not None or plan.experiment.target.outcome.kind == "latest":
            mine = of_block(identity, one)
            known = History(world.changes, one, mine, spent, rows=blocks.rows_of(number)).at(origin)
            newest = max(newest, int(target_panel(known).last.max()))
        for place, found in matured.items():
            found.update(_matured(one, origin, place, known))
    kept = {place: sorted(found)[-rolling:] if rolling else list(found) for place, found in matured.items()}
    short = too_short(plan, {place: len(periods) for place, periods in kept.items()})
    rows = {place: sum(matured[place][one] for one in mine) for place, mine in kept.items() if place not in short}
    return Refit(model, identity, origin, key, Told(short, newest if rolling else None), rows)


def of_block(identity: RecipeIdentity, plan: Plan) -> RecipeIdentity:
    """The identity, with the inputs of the series of a block alone."""
    return replace(identity, series=in_order(target_inputs(plan.experiment.target)))


def _matured(plan: Plan, origin: int, horizon: int, known: Snapshot | None) -> dict[int, int]:
    """Matured training rows of each target period, as `training_set` chooses them before a rolling window does."""
    usable = (row_fates(plan, origin, horizon, known) == USED).sum(axis=1)  # [earlier origin]
    periods, place = np.unique(plan.ends[:origin, horizon], return_inverse=True)
    counts = np.zeros(len(periods), dtype=np.int64)
    np.add.at(counts, place, usable)
    return dict(zip(periods[counts > 0].tolist(), counts[counts > 0].tolist(), strict=True))


def sweep(shelf: Path) -> None:
    """Remove fits of blocks that a stopped run left, once the fit of all series is stored.

    Args:
        shelf: where fits stand.
    """
    for folder in shelf.glob(f"{PARTS}*"):
        whole = shelf / folder.name.removeprefix(PARTS).partition("-")[0]
        with suppress(OSError):  # whoever else takes it away
            if whole.is_dir() and time.time() - folder.stat().st_mtime > FORGOTTEN:
                shutil.rmtree(folder, ignore_errors=True)
