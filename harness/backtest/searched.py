"""Which searches a run rests on, whether they are on record, and what its manifest keeps of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.backtest.keys import RecipeIdentity, cell_keys
from harness.backtest.splits import Plan
from harness.core.identity import canonical
from harness.core.recipe import Recipe
from harness.data.changes import ChangeFile
from harness.record.cells import Cell
from harness.record.shelves import Shelves
from harness.record.studies import StudyRecord, finished_study, read_study

Board = Sequence[tuple[Recipe, RecipeIdentity]]


def study_keys(plan: Plan, changes: ChangeFile, board: Board) -> dict[str, dict[int, str]]:
    """Model -> (index of the origin of a search -> key of its record), of the models that are tuned."""
    found: dict[str, dict[int, str]] = {}
    for recipe, identity in board:
        if identity.retune:
            origins = sorted({plan.refit_origin(origin, identity.retune) for origin in plan.issued})
            keys = cell_keys(identity, plan, changes, origins, "study")
            found[recipe.name] = dict(zip(origins, keys, strict=True))
    return found


def on_record(
    plan: Plan, identity: RecipeIdentity, shelves: Shelves, keys: Mapping[int, str], cells: list[Cell | None]
) -> list[Cell | None]:
    """The cells whose search is on record; nothing that was tuned off the record is used (law 9)."""
    there = {origin: finished_study(shelves.studies, key) for origin, key in keys.items()}
    return [
        cell if _made_with(cell, there.get(plan.refit_origin(origin, identity.retune))) else None
        for origin, cell in zip(plan.issued, cells, strict=True)
    ]


def _made_with(cell: Cell | None, record: StudyRecord | None) -> bool:
    """Whether a cell was made with the setting that a search on record found."""
    if cell is None or record is None:
        return False
    told = cell.facts.get("tuned")
    if not isinstance(told, Mapping):  # nothing was fitted, so no setting was used
        return True
    best = int(str(record.end["best"]))
    setting = record.trials[best]["params"] if record.trials else {}
    return (told.get("trials"), told.get("best")) == (len(record.trials), best) and canonical(
        told.get("setting")
    ) == canonical(setting)


def vouched(searches: Mapping[str, Mapping[int, str]], shelves: Shelves) -> dict[str, dict[str, object]]:
    """Key of a search -> its number of trials, why it ended, and hashes over all of it.

    Args:
        searches: model -> (index of the origin of a search -> key).
        shelves: where they are recorded.
    """
    keys = sorted({key for mine in searches.values() for key in mine.values()})
    return {key: read_study(shelves.studies, key).vouched() for key in keys}
