"""Few fits of many series, estimated part by part: the series of one fit by all workers, instead of a fit by each.

Models of single series alone can be fitted so (`catalog.answers_alone`). The parts are joined to the fit of all series,
which whoever answers then finds stored, with the bits it would have had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.backtest.block_fits import Blocks, Refit, TogetherError, refit_of
from harness.backtest.blocks import can_be_cut, restricted, spans
from harness.backtest.keys import RecipeIdentity
from harness.backtest.spent import Spent
from harness.backtest.task import Part, Task
from harness.backtest.witness import World
from harness.core.recipe import Recipe
from harness.forecast.catalog import entry_for
from harness.record.cells import read_fit

FEWEST = 16
"""Series of a part at least."""
SPREAD = 3
"""Tasks that each worker finds to do, so that none waits long for the last one."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A fit whose parts are to be estimated.

    Attributes:
        refit: the fit.
        blocks: its parts.
    """

    refit: Refit
    blocks: Blocks

    def tasks(self) -> Iterator[Task]:
        """One for each part."""
        recipe = (self.refit.recipe, self.refit.identity)
        for span in self.blocks.spans:
            key = {(0, self.refit.origin): self.refit.part(span)}
            yield Task((recipe,), (), ((),), key, part=Part(span, self.refit.told))

    def join(self, world: World, shelf: Path) -> None:
        """Store the fit of all series; where the model broke for a part, it is left to be made of all at once."""
        try:
            self.refit.facts(world.plan, shelf, self.blocks)
        except TogetherError:
            self.refit.drop(shelf)


def shared_fits(world: World, shelf: Path, tasks: Sequence[Task], slots: int, block: int) -> list[Shared]:
    """Fits that are too few for the workers, each with its parts; none of those that are stored already.

    Args:
        world: of all series.
        shelf: where fits stand.
        tasks: what is to be answered.
        slots: tasks that run at once.
        block: series of a part at most; 0 = any number.
    """
    found: list[Shared] = []
    for (recipe, identity), keys in _lacking(world, shelf, tasks):
        count = len(world.plan.experiment.target.series)
        parts = min(-(-SPREAD * slots // len(keys)), count // FEWEST)
        if parts < 2:
            continue
        cuts = [*spans(count, min(-(-count // parts), block or count))]
        several = Blocks([restricted(world.plan, rows) for rows in cuts], cuts, None)
        whole = Blocks([world.plan], [slice(0, count)], None)
        for origin, key in sorted(keys.items()):
            refit = refit_of(world, whole, (recipe, identity), origin, key, spent=Spent())
            if refit.training_rows:
                found.append(Shared(refit, several))
    return found


def _lacking(
    world: World, shelf: Path, tasks: Sequence[Task]
) -> Iterator[tuple[tuple[Recipe, RecipeIdentity], Mapping[int, str]]]:
    """Models of single series, each with the refit origins and keys of its fits that are not stored."""
    fits: dict[str, dict[int, str]] = {}
    models: dict[str, tuple[Recipe, RecipeIdentity]] = {}
    for task in tasks:
        for recipe, identity in task.recipes:
            if entry_for(recipe.kind).fitted and can_be_cut(world.plan, [recipe], shelf):
                models[recipe.name] = recipe, identity
                fits.setdefault(recipe.name, {}).update({origin: key for (_, origin), key in task.fit_keys.items()})
    for name, keys in fits.items():
        lacking = {origin: key for origin, key in keys.items() if read_fit(shelf, key) is None}
        if lacking:
            yield models[name], lacking
