"""What a cluster's workers get and give back: the run by checksum, one order per task, the files it made."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness.backtest.engines.store import Store
from harness.backtest.spent import Spent
from harness.backtest.splits import Plan
from harness.backtest.task import Context, Task
from harness.core.errors import UserError
from harness.core.identity import digest
from harness.core.recipe import Recipe
from harness.record.files import write_file
from harness.record.folders import read_whole, write_folder
from harness.record.home import Home
from harness.record.platform import COMPUTES, code_hash, installed_packages, numeric_platform
from harness.record.shelves import Shelves
from harness.record.studies import finished_study

SHELVES = ("studies", "fits", "cells")
"""In the order in which they are stored: a cell that is there has its fit and its search."""
CODE_BYTES = 20_000_000
Parcel = tuple[tuple[str, str, tuple[tuple[str, bytes], ...]], ...]
"""Files from shelves: (shelf, key, (name, content) ...) ...; a tuple, as it crosses machines."""


@dataclass(frozen=True, slots=True)
class Maker:
    """What equal bits depend on.

    Attributes:
        code: hash of the package's code.
        packages: hash of the installed packages.
        platform: of the numeric platform, what moves bits, named.
    """

    code: str
    packages: str
    platform: tuple[tuple[str, str], ...]

    def differing(self, other: Maker) -> list[str]:
        """In what another one differs, in words."""
        said = [f"{name} {getattr(other, name)}, driver {getattr(self, name)}" for name in ("code", "packages")
                if getattr(self, name) != getattr(other, name)]  # fmt: skip
        theirs = dict(other.platform)
        return said + [f"{name} {theirs.get(name)}, driver {mine}" for name, mine in self.platform
                       if theirs.get(name) != mine]  # fmt: skip


def this_maker() -> Maker:
    """What this process computes with."""
    platform = numeric_platform()
    named = tuple((name, str(platform[name])) for name in COMPUTES)
    return Maker(code_hash(), digest(installed_packages()), named)


@dataclass(frozen=True, slots=True)
class Goods:
    """A run, as every worker gets it: a few hundred bytes, the rest is fetched by checksum.

    Attributes:
        context: SHA-256 of the pickled `Context`.
        folder: where it lies, seen by all workers; "" = in the store.
        store: URL of the store; "" = workers see the home folder.
        design: SHA-256 of the frozen feature rows in the store; "" = none are needed, or workers see them.
        changes: hash of the change file in the store.
        code: SHA-256 of the user's own files, zipped, in the store; "" = none.
        maker: what the driver computes with.
    """

    context: str
    folder: str
    store: str
    design: str
    changes: str
    code: str
    maker: Maker


@dataclass(frozen=True, slots=True)
class Order:
    """One task for a worker, with what is stored of it already (where the worker does not see the home folder)."""

    task: Task
    given: Parcel = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an order.

    Attributes:
        spent: what it cost.
        made: what the driver has to store; () = the worker did.
        refused: why nothing came; None = something did.
    """

    spent: Spent
    made: Parcel = ()
    refused: UserError | None = None


def goods_of(context: Context, store: str) -> Goods:
    """Put down what all workers of a run need.

    Args:
        context: what they share.
        store: URL of the store; "" = they see the home folder.

    Raises:
        UserError: the store cannot be written, or the user's own files are too many.
        ValueError: the run is no plain backtest in a home folder.
    """
    changes, altered = context.changes, context.liberty is not None or context.labels is not None
    if altered or context.work is None or not (isinstance(changes, Path) and isinstance(context.shelves, Home)):
        message = "a cluster runs plain backtests in a home folder alone"
        raise ValueError(message)
    content = pickle.dumps(context, protocol=pickle.HIGHEST_PROTOCOL)
    name = hashlib.sha256(content).hexdigest()
    if not store:
        write_file(context.work / name, content)
        return Goods(name, str(context.work), "", "", "", "", this_maker())
    files = Store(store)
    design = files.put(context.design) if isinstance(context.design, Path) else ""
    code = _code_of(context.plan)
    return Goods(
        files.put(content),
        "",
        store,
        design,
        files.put_changes(changes),
        files.put(code) if code else "",
        this_maker(),
    )


def orders_of(context: Context, tasks: Sequence[Task], store: str, slots: int) -> Iterator[Order]:
    """The tasks as orders, cut finer where there are fewer than two for each slot.

    Args:
        context: what workers share.
        tasks: the tasks.
        store: URL of the store; "" = workers see what is stored.
        slots: tasks that run at once.
    """
    pieces = -(-2 * slots // max(1, len(tasks)))
    for task in tasks:
        for part in cut(context.plan, task, pieces):
            yield Order(part, taken(context.shelves, _keys_of(context.plan, part)) if store else ())


def cut(plan: Plan, task: Task, pieces: int) -> Iterator[Task]:
    """A task as at most so many, none of which shares a fit or a search with another."""
    stretch = 1 if task.recipes[0][0].rival else task.recipes[0][1].stretch
    blocks: dict[int, list[int]] = {}
    for place, origin in enumerate(task.origins):
        blocks.setdefault((origin - plan.first_issued) // stretch, []).append(place)
    groups = list(blocks.values())
    if pieces < 2 or len(groups) < 2:
        yield task
        return
    per = -(-len(groups) // pieces)
    for start in range(0, len(groups), per):
        places = [place for group in groups[start : start + per] for place in group]
        yield replace(
            task,
            origins=tuple(task.origins[place] for place in places),
            keys=tuple(tuple(mine[place] for place in places) for mine in task.keys),
        )


def taken(shelves: Shelves, keys: Sequence[tuple[str, str]]) -> Parcel:
    """What shelves of a home folder have under some keys (shelf, key)."""
    found = []
    for shelf, key in keys:
        folder = getattr(shelves, shelf) / key
        if folder.is_dir():
            found.append((shelf, key, read_whole(folder, partial(_contents, folder))))
    return tuple(found)


def _contents(folder: Path) -> tuple[tuple[str, bytes], ...]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".tmp-"))
    return tuple((path.name, path.read_bytes()) for path in files)


def put_back(home: Home, parcel: Parcel) -> None:
    """Store what a worker made, searches and fits before cells; a search that is over stays as it is."""
    for shelf in SHELVES:
        for name, key, files in parcel:
            place = getattr(home, shelf) / key
            if name == shelf and not (shelf == "studies" and finished_study(home.studies, key)):
                write_folder(place, dict(files))


def _keys_of(plan: Plan, task: Task) -> list[tuple[str, str]]:
    """Fits and searches that the origins of a task rest on."""
    keys = []
    for number, (_, identity) in enumerate(task.recipes):
        refits = sorted({plan.refit_origin(origin, identity.cadence) for origin in task.origins})
        keys += [("fits", task.fit_keys[number, at]) for at in refits if (number, at) in task.fit_keys]
        if identity.retune:
            tuned = sorted({plan.refit_origin(at, identity.retune) for at in refits})
            keys += [("studies", task.study_keys[number, at]) for at in tuned if (number, at) in task.study_keys]
    return keys


def _code_of(plan: Plan) -> bytes:
    """The Python files beside the experiment file, zipped, when a recipe names one of them; b"" = none does."""
    folder = Path(plan.experiment.folder)
    if not plan.experiment.folder or not any(map(_names_code, plan.experiment.models)):
        return b""
    found = sorted(path for path in folder.rglob("*.py") if not _hidden(path.relative_to(folder)))
    if sum(path.stat().st_size for path in found) > CODE_BYTES:
        raise UserError(
            "too many Python files beside the experiment file",
            value=folder,
            rule=f"with a store they travel to the workers, {CODE_BYTES // 1_000_000} MB at most",
            fix="move the experiment file and its modules into a folder of their own",
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as whole:
        for path in found:
            named = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            whole.writestr(named, path.read_bytes())
    return buffer.getvalue()


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "__")) and part != "__init__.py" for part in path.parts)


def _names_code(recipe: Recipe) -> bool:
    """Whether a recipe names a class or function of the user's own files."""
    search = recipe.search
    own = [recipe.code, *(step.code for step in recipe.steps), *([search.code] if search else [])]
    return any(own) or any(map(_names_code, search.candidates if search else ()))
