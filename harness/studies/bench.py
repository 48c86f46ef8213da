"""A run and the same run in an altered world: one plan, one engine, cells of the altered one in a home of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.backtest.assemble import Results, assemble
from harness.backtest.engine import Engine
from harness.backtest.engines import engine_for
from harness.backtest.liberty import Liberty
from harness.backtest.place import Amend, Board, Place, Progress
from harness.backtest.runner import board_of, cells_of
from harness.backtest.splits import Plan
from harness.core.recipe import Experiment, Recipe
from harness.data.changes import ChangeFile
from harness.data.saving import save_changes
from harness.forecast.catalog import entry_for
from harness.record.cells import Cell
from harness.record.home import Home

Cells = Mapping[str, list[Cell]]


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What is altered; None = as in the faithful run.

    Attributes:
        changes: what was published, and when.
        plan: origins, outcomes and features.
        liberty: how models are fitted.
        amended: what is made of the feature rows.
        pinned: labels under `latest` are those of the true changes, whatever is altered.
    """

    changes: ChangeFile | None = None
    plan: Plan | None = None
    liberty: Liberty | None = None
    amended: Amend | None = None
    pinned: bool = True


class Bench:
    """One experiment on one archive state, and how its cells are computed: faithfully, or in an altered world.

    Attributes:
        plan: the faithful plan, rivals included.
        changes: the true changes.
        board: its recipes with their identities; seeds derive from these in every world, so that a difference is
            never one of seeds.
        computed: cells computed in altered worlds so far.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        home: Home,
        *,
        workers: int | None = None,
        progress: Progress | None = None,
        total: int = 0,
    ) -> None:
        """Nothing is computed yet.

        Args:
            plan: of the experiment with its rivals.
            folder: the change folder.
            home: where faithful cells are found or stored; altered ones never are.
            workers: worker processes; None = as many as cores allow.
            progress: called with (cells done, cells in all) over all altered worlds.
            total: cells in all.
        """
        self.plan, self.folder, self.home = plan, folder, home
        self.changes = ChangeFile.open(folder)
        self.engine: Engine = engine_for(plan.experiment, workers)
        self.board: Board = board_of(plan.experiment)
        self.computed = 0
        self._progress, self._total = progress, total

    def faithful(self, board: Board | None = None) -> dict[str, list[Cell]]:
        """Cells of the faithful run; those it has stored are not computed again.

        Args:
            board: further recipes; None = those of the plan.
        """
        with tempfile.TemporaryDirectory(prefix=".study-", dir=self._root()) as work:
            place = Place(self.folder, self.home, Path(work))
            return cells_of(self.plan, self.board if board is None else board, place, self.engine)[1]

    def elsewhere(self, world: World, names: Collection[str], board: Board | None = None) -> dict[str, list[Cell]]:
        """Cells of some recipes in an altered world.

        Args:
            world: what is altered.
            names: the recipes.
            board: where they are looked up; None = those of the plan.
        """
        chosen = [(recipe, identity) for recipe, identity in board or self.board if recipe.name in names]
        if not chosen:
            return {}
        plan = world.plan or self.plan
        with tempfile.TemporaryDirectory(prefix=".study-", dir=self._root()) as root:
            changes = self.folder if world.changes is None else save_changes(world.changes, Path(root) / "changes")
            pinned = world.changes is not None and world.pinned and plan.experiment.target.outcome.kind == "latest"
            place = Place(
                changes, Home(Path(root)), Path(root) / "work", world.liberty, self.folder if pinned else None,
                world.amended,
            )  # fmt: skip
            cells = cells_of(plan, chosen, place, self.engine, progress=self._step)[1]
        self.computed += len(chosen) * len(plan.issued)
        return cells

    def spare(self, recipes: int) -> None:
        """Some recipes of an altered world turned out not to need computing."""
        self._total -= recipes * len(self.plan.issued)

    def scored(self, cells: Cells, plan: Plan | None = None) -> Results:
        """All tables of cells, on the true outcomes unless another plan pins others."""
        return assemble(plan or self.plan, self.changes, cells, "")

    def _step(self, done: int, _: int) -> None:
        if self._progress is not None:
            self._progress(self.computed + done, max(self._total, self.computed + done))

    def _root(self) -> Path:
        self.home.root.mkdir(parents=True, exist_ok=True)
        return self.home.root


def ours(experiment: Experiment) -> list[Recipe]:
    """The models that read the archive: all but external forecasts."""
    return [recipe for recipe in experiment.models if not recipe.source]


def estimated(recipe: Recipe) -> bool:
    """Whether fitting it takes time: what a price in runs counts."""
    return not recipe.rival and not recipe.source and entry_for(recipe.kind).fitted


def share(experiment: Experiment, names: Collection[str]) -> float:
    """What computing some models again costs, in runs of the experiment."""
    all_of_them = [recipe for recipe in experiment.models if estimated(recipe)]
    if not all_of_them:
        return 1.0 if names else 0.0
    return sum(recipe.name in names for recipe in all_of_them) / len(all_of_them)
