"""What cleaning functions of a dataset were handed and made of it, kept so that they can be called again elsewhere."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from harness.core.errors import UserError, raise_lack
from harness.data.cleaning.functions import call
from harness.data.cleaning.notes import Notes
from harness.data.cleaning.steps import Function
from harness.data.declared import Dataset
from harness.data.inputs import read_input
from harness.data.observations import observe
from harness.studies.questions import Reply

OWN_TABLES = 16_000_000
"""Bytes of a dataset folder's other files, the smallest first, that its functions may read as tables of their own."""
ROUNDING = 1e-9
"""Sums that another number of threads takes differ by rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Cleaning:
    """One call of a function.

    Attributes:
        source: dataset and file.
        function: `module:name`.
        given: the frame it was handed.
        made: what it made of it.
    """

    source: str
    function: str
    given: pl.DataFrame
    made: pl.DataFrame


@dataclass(slots=True)
class Keeping(Notes):
    """A cleaning record that also keeps what it takes to call every function again."""

    calls: list[tuple[str, pl.DataFrame, pl.DataFrame]] = field(default_factory=list)

    def handed(self, function: str, given: pl.DataFrame, made: pl.DataFrame) -> None:
        """Keep it."""
        self.calls.append((function, given, made))


def cleanings_of(dataset: Dataset) -> list[Cleaning]:
    """Every call of a function when the files of a dataset are cleaned as they are now.

    Raises:
        UserError: the files cannot be read again.
    """
    out = []
    for source in dataset.sources:
        if any(isinstance(step, Function) for step in source.treatment.steps):
            one, kept = read_input(dataset, source), Keeping()
            observe(dataset, source, one.table, one.listed, kept, refusing=False)
            out += [Cleaning(one.label, *told) for told in kept.calls]
    return out


def call_again(asked: Cleaning, folder: str) -> Reply:
    """Call a function again; why it failed is told without the values it was handed.

    Args:
        asked: the call.
        folder: where its module is looked for.
    """
    try:
        return Reply(call(asked.function, Path(folder), asked.given))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a failure is an answer to be compared
        raise_lack(error)
        return Reply(asked.made.clear(), _reason(error, folder))


def _reason(error: BaseException, folder: str) -> str:
    """Of a file that cannot be read its name, beside the code as it is written there."""
    first = error.__cause__ or error
    if isinstance(first, OSError):
        said = " ".join(str(first).replace(f"{folder}{os.sep}", "").split())
        return f"{type(first).__name__}: {said}"[:300]
    return first.what if isinstance(first, UserError) else type(first).__name__


def rows_otherwise(one: pl.DataFrame, other: pl.DataFrame) -> int:
    """How many rows of two frames that a function made of the same are not the same, in whatever order they come."""
    if one.height != other.height:
        return abs(one.height - other.height)
    # by what is exact first: floats may differ by rounding
    order = sorted(one.columns, key=lambda name: (name != "row", one[name].dtype.is_float()))
    one, other = (side.sort(order) for side in (one, other))
    differs = np.zeros(one.height, dtype=bool)
    for name in one.columns:
        if one[name].dtype.is_float():
            mine, theirs = (side[name].fill_null(float("nan")).to_numpy() for side in (one, other))
            differs |= ~np.isclose(mine, theirs, rtol=ROUNDING, atol=0.0, equal_nan=True)
        else:
            differs |= one[name].ne_missing(other[name]).to_numpy()
    return int(differs.sum())


def own_tables(dataset: Dataset, home: Path) -> tuple[str, ...]:
    """Small files in a dataset's folder that are neither declared nor the copy of a declared one, nor in the home."""
    listed = [dataset.folder / one.publications for one in dataset.sources if one.publications]
    declared = [path for path in (*dataset.files, *listed) if path.is_file()]
    sizes = sorted((path.stat().st_size, str(path)) for path in _files(dataset.folder, home.resolve()))
    out, room = list[str](), OWN_TABLES
    for size, path in sizes:
        if size <= room and not any(filecmp.cmp(path, other, shallow=False) for other in declared):
            room -= size
            out.append(path)
    return tuple(out)


def _files(folder: Path, home: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        passed = (one for one in folders if one[0] != "." and one != "__pycache__")
        folders[:] = [one for one in passed if Path(place, one).resolve() != home]
        found = (Path(place, name) for name in files if not name.endswith(".py"))  # these are copied anyway
        readable = (path for path in found if path.is_file() and os.access(path, os.R_OK))
        yield from (path for path in readable if home not in path.resolve().parents)
