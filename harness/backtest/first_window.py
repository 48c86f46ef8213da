"""The bins of a model's first training window: made anew wherever a walk begins, so the bits are those of one walk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from harness.backtest.design import RowBuilder
from harness.backtest.splits import Plan, training_set
from harness.core.errors import UserError
from harness.core.frames import Rows
from harness.core.recipe import Experiment, Recipe
from harness.core.snapshot import Snapshot
from harness.forecast.protocol import Forecaster

FIRST = "first window"


class FirstWindow(Protocol):
    """What a forecaster keeps of its first window; `seen` = the window was looked at."""

    seen: bool


@runtime_checkable
class Binning(Protocol):
    """A forecaster whose fits can share the bins of the first window."""

    first_window: object

    def bin_rows(self, rows: Rows, snapshot: Snapshot, *, seed: int) -> None:
        """Bin the rows of the first window, as its fit would, without learning from them."""
        ...


def asks_for_it(recipe: Recipe) -> bool:
    """Whether a model bins every fit's rows as those of its first refit origin."""
    return recipe.kind == "lightgbm" and dict(recipe.params).get("bins") == FIRST


def check_first_window(recipe: Recipe, experiment: Experiment) -> None:
    """Refuse what would make the first window another one than that of a walk from the beginning.

    Raises:
        UserError: a search, steps, a universe, labels or rows of the latest vintage.
    """
    if not asks_for_it(recipe):
        return
    against = {
        "a search chooses how rows are binned": recipe.search is not None,
        "steps make other features at every refit": bool(recipe.steps),
        "the members of a universe, and with them the series' codes, are announced later": bool(
            experiment.target.universe
        ),
        "labels of the latest vintage are read at each refit": experiment.target.outcome.kind == "latest",
        "rows of the latest vintage are made at each refit": experiment.vintage == "latest",
    }
    found = [why for why, there in against.items() if there]
    if found:
        raise UserError(
            f"{recipe.name}: the first window cannot give its bins to later fits",
            value=f'bins = "{FIRST}"',
            rule="; ".join(found),
            fix='leave out bins (= "every fit")',
        )


def hand_on(
    forecaster: Forecaster, held: object, *, first: bool, rows_of: Callable[[], Rows | None], known: Snapshot, seed: int
) -> object:
    """Give a forecaster the bins of the first window, before it is fitted.

    Args:
        forecaster: about to be fitted.
        held: what the last one left; None = nothing yet.
        first: whether it is about to be fitted on the first window itself.
        rows_of: makes the training rows of the first window; None = it has too few.
        known: its target names the series.
        seed: the seed of the first window's fit.

    Returns:
        What the next one is to be given; None = the forecaster knows no first window.
    """
    own: FirstWindow | None = getattr(forecaster, "first_window", None)
    if own is None or not isinstance(forecaster, Binning):
        return None
    if held is not None and getattr(held, "seen", False):
        forecaster.first_window = held
    elif not first:
        rows = rows_of()
        if rows is not None:
            forecaster.bin_rows(rows, known, seed=seed)
        own.seen = True
    return forecaster.first_window


def first_rows(plan: Plan, rows: RowBuilder, known: Snapshot) -> Rows | None:
    """Training rows of the first refit origin, of horizons that have enough; None = none has."""
    steps = range(len(plan.experiment.horizons))
    sets = {place: training_set(plan, plan.first_issued, place, known) for place in steps}
    enough = {place: some for place, some in sets.items() if some.periods >= plan.experiment.training.minimum}
    return rows.training(plan.first_issued, enough, known) if enough else None
