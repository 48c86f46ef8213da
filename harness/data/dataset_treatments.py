"""Give each source its cleaning steps and assertions: those of the whole dataset first, then its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.core.reading import Table
from harness.data.assertions.reading import read_assertions
from harness.data.assertions.rules import Assertion, Identity
from harness.data.cleaning.reading import read_steps
from harness.data.cleaning.steps import STAGES, Deduplicate, Fill, Outliers, Scale, Step, kind_of, stage_of
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
    return tuple(
        _one(table, source, steps, assertions, folder)
        for table, source in zip(array_of(top, "source"), sources, strict=True)
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
