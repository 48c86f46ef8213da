"""Give each source its cleaning steps and assertions: those of the whole dataset first, then its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.core.reading import Table
from harness.data.assertions.reading import read_assertions
from harness.data.assertions.rules import Assertion, Identity
from harness.data.cleaning.hashing import hashed_columns
from harness.data.cleaning.reading import read_steps
from harness.data.cleaning.steps import (
    STAGES,
    Deduplicate,
    Deidentify,
    Fill,
    Map,
    Outliers,
    Rename,
    Scale,
    Step,
    kind_of,
    stage_of,
)
from harness.data.dataset_sources import array_of
from harness.data.declared import Source
from harness.data.treatment import Treatment


def treated(top: Table, sources: Sequence[Source], folder: Path) -> tuple[Source, ...]:
    """Sources with their treatments.

    Args:
        top: the whole file.
        sources: as read from [[source]], in order.
        folder: the dataset's folder.
    """
    everything = tuple(dict.fromkeys(name for source in sources for name in source.series))
    steps = read_steps(array_of(top, "clean"), everything, folder)
    assertions = read_assertions(array_of(top, "assert"), everything)
    for one in assertions:
        if isinstance(one.check, Identity) and not any(set(one.series) <= set(source.series) for source in sources):
            top.problems.add(f"assert {one.name!r}", "its series come from different sources", hint="put them in one")
    tables = array_of(top, "source")
    done = tuple(_one(table, source, steps, assertions, folder) for table, source in zip(tables, sources, strict=True))
    for table, source in zip(tables, done, strict=True):
        _check_hashed(table, source, done)
    return done


def _check_hashed(table: Table, source: Source, others: Sequence[Source]) -> None:
    """Note where a name would be kept in clear although a step de-identifies it."""
    columns = [column for column, _ in hashed_columns(source.treatment.steps)]
    hidden = set(columns)
    for column in sorted({column for column in columns if columns.count(column) > 1}):
        table.bad("clean", f"{column!r} is de-identified twice", hint="once is enough")
    in_file: dict[str, str] = {}
    for step in source.treatment.steps:
        if isinstance(step, Rename):
            in_file |= {new: in_file.get(old, old) for old, new in step.columns}
        elif isinstance(step, Map) and in_file.get(step.column, step.column) in hidden:
            table.bad(
                "clean",
                f"{step.name!r} maps names that are de-identified after it, and would put them on record",
                hint="de-identify first, and map the hashes",
            )
        elif isinstance(step, Deidentify):
            hidden -= {in_file.get(column, column) for column in step.columns}
    if columns and source.reader:
        table.bad("clean", "deidentify goes with a file; what a package ships is public", hint="drop the step")
    for other in others:
        if other.file == source.file and {column for column, _ in hashed_columns(other.treatment.steps)} - set(columns):
            table.bad(
                "clean",
                f"another source de-identifies columns of {source.file}, which this one would keep in clear",
                hint="declare the step for all sources: [[clean]]",
            )


def _one(
    table: Table, source: Source, steps: tuple[Step, ...], assertions: tuple[Assertion, ...], folder: Path
) -> Source:
    own = read_steps(array_of(table, "clean"), source.series, folder)
    mine = [narrowed for step in steps if (narrowed := _of_source(step, source)) is not None]
    ordered = sorted((*mine, *own), key=lambda step: STAGES.index(stage_of(step)))
    asked = [kept for one in assertions if (kept := _asked_of(one, source)) is not None]
    asked += read_assertions(array_of(table, "assert"), source.series)
    for kind, names in (("clean", [step.name for step in ordered]), ("assert", [one.name for one in asked])):
        for name in sorted({name for name in names if names.count(name) > 1}):
            table.bad(kind, f"{name!r} is also the name of one for all sources", hint="give it another name")
    for step in ordered:
        if isinstance(step, Fill) and source.coverage != "rows":
            table.bad("coverage", f'{kind_of(step)} {step.name!r} makes rows of its own, and goes with "rows" only')
    return replace(source, treatment=Treatment(tuple(ordered), tuple(asked)))


def _of_source(step: Step, source: Source) -> Step | None:
    """A step for all sources as one source takes it; None when it has none of its series."""
    if not isinstance(step, Scale | Deduplicate | Fill | Outliers):
        return step
    series = tuple(name for name in step.series if name in source.series)
    return replace(step, series=series) if series else None


def _asked_of(one: Assertion, source: Source) -> Assertion | None:
    """An assertion for all sources as it is asked of one; None when it has none of its series."""
    if isinstance(one.check, Identity):
        return one if set(one.series) <= set(source.series) else None
    series = tuple(name for name in one.series if name in source.series)
    return replace(one, series=series) if series else None
