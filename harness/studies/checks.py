"""The default checks of an audit, each run over the sampled origins and summed up in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import loky
import polars as pl

from harness.backtest.design import build_design
from harness.backtest.engine import ONE_THREAD
from harness.backtest.keys import cell_keys
from harness.backtest.splits import Plan
from harness.core.time import local_day
from harness.data.adjusted import looks_adjusted
from harness.data.changes import ChangeFile
from harness.record.cells import read_cell
from harness.studies import control as controls
from harness.studies import isolation
from harness.studies.children import Places
from harness.studies.facts import facts
from harness.studies.inner_rows import handed_over, tuning
from harness.studies.pinned import outcomes
from harness.studies.pipeline import Board, Passage, design_for, evidence, otherwise, passage
from harness.studies.raw_dates import dates_that_differ
from harness.studies.raw_world import datasets_of
from harness.studies.scramble import HOW, RAW, Ground, Scrambled, frozen, said, scramble
from harness.studies.verdict import FAILED, NOT_SHOWN, PASSED, Check, Finding

Say = Callable[[str], None]


@dataclass(slots=True)
class Work:
    """An audit under way.

    Attributes:
        ground: plan, archive view and models.
        origins: indices of the sampled origins, ascending.
        workers: worker processes.
        places: what users' classes may not see.
        cells: where the cells of runs are stored.
        say: told in words what is being done.
        bases: the true hand-overs at the sampled origins.
    """

    ground: Ground
    origins: list[int]
    workers: int
    places: Places
    cells: Path
    say: Say
    bases: list[Passage] = field(default_factory=list)


def scramble_check(work: Work) -> Iterator[Check]:
    """Run the pipeline at every sampled origin, then in every other world around it."""
    ground = work.ground
    last = len(ground.plan.instants) - 1
    design = design_for(ground.plan, ground.changes, ground.board, last)
    later = ground.plan if frozen(ground.plan) else None
    for origin in work.origins:
        work.say(f"origin {ground.plan.instants[origin].isoformat()}: every hand-over")
        work.bases.append(
            passage(ground.plan, ground.changes, ground.board, origin, later=later, design=design, keep=True)
        )
    results: list[Scrambled] = []
    for number, found in enumerate(_scrambled(work), 1):
        results.append(found)
        work.say(f"scramble: {number} of {len(work.origins)} origins")
    results.sort(key=lambda one: one.origin)
    findings = tuple(finding for one in results for finding in one.findings)
    refused = tuple(
        Finding("scramble", HOW[how], ground.plan.instants[one.origin], found=reason)
        for one in results
        for how, reason in one.refused.items()
    )
    nothing = not any(sum(one.touched.values()) for one in results)
    silent = tuple(_silent(work))
    stored, compared = _stored(work)
    told = compared["cells"].sum()
    findings += stored + tuple(_dates(ground))
    verdict = FAILED if findings else NOT_SHOWN if nothing or refused or silent else PASSED
    cells = len(work.bases) + sum(one.cells for one in results)
    sentence = said(results, ground.plan)
    sentence += f"; {_differs(findings)}" + ("; the raw batches could not be read again" if refused else "")
    sentence += f"; {told} stored cells of the run are {'those' if not stored else 'NOT all those'}" if told else ""
    if silent:
        names = ", ".join(one.model for one in silent)
        sentence += f"; {names} failed at every sampled origin, so of its forecasts nothing is shown"
    yield Check(
        "scramble",
        verdict,
        sentence,
        findings + refused + silent,
        (("scramble", _touched(results, ground.plan)), ("stored_cells", compared)),
        cells,
    )


def _dates(ground: Ground) -> Iterator[Finding]:
    """Every date of the archive, at whatever origin it would tell."""
    if ground.again is not None:
        experiment = ground.plan.experiment
        yield from dates_that_differ(datasets_of(experiment.datasets, experiment.folder), ground.again, "scramble")


def _stored(work: Work) -> tuple[tuple[Finding, ...], pl.DataFrame]:
    """Stored cells of the run at the sampled origins against what was handed over here; how many there are by model."""
    ground, findings = work.ground, list[Finding]()
    count = {recipe.name: 0 for recipe, _ in ground.board}
    for base in work.bases:
        for recipe, identity in ground.board:
            key = cell_keys(identity, ground.plan, ground.changes, [base.origin], "cell")[0]
            cell = read_cell(work.cells, key)
            if cell is not None:
                count[recipe.name] += 1
                found = otherwise(base, recipe.name, cell, ground.plan)
                findings += evidence(ground.plan, ground.board, "scramble", "stored cell of the run", found)
    asked = [len(work.bases)] * len(count)
    return tuple(findings), pl.DataFrame(
        {"model": list(count), "cells": list(count.values()), "origins": asked},
        schema={"model": pl.String(), "cells": pl.Int64(), "origins": pl.Int64()},
    )


def _silent(work: Work) -> Iterator[Finding]:
    """Models that fail wherever they are asked: the same bits in every world, and nothing shown by it."""
    answered: dict[str, bool] = {}
    failed: dict[str, tuple[int, str]] = {}
    for base in work.bases:
        for one in (one for group in base.groups for one in group if one.stage == "forecast"):
            reasons = one.table.filter(pl.col("status") == "failed")["reason"].to_list()
            answered[one.model] = answered.get(one.model, False) or "ok" in one.table["status"].to_list()
            if reasons:
                failed.setdefault(one.model, (one.origin, str(reasons[0])))
    for model, (origin, reason) in failed.items():
        if not answered[model]:
            moment = work.ground.plan.instants[origin]
            yield Finding("scramble", "", moment, "forecast", model=model, expected="an answer", found=reason)


def _differs(findings: Sequence[Finding]) -> str:
    if not findings:
        return "every hand-over is the same, bit for bit"
    first = findings[0]
    where = ", ".join(part for part in (first.stage, first.series_id, first.row, first.column) if part)
    return f"{len(findings)} hand-overs moved, the first at {first.place} ({where})"


def _touched(results: Sequence[Scrambled], plan: Plan) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "origin": [plan.instants[one.origin] for one in results],
            **{name: [one.touched.get(kind, 0) for one in results] for kind, name in _COLUMNS.items()},
            "differences": [len(one.findings) for one in results],
        }
    )


_COLUMNS = {
    "removed": "removed",
    "noise": "noise",
    "restamped": "restamped",
    "outcomes": "outcomes",
    RAW: "raw_batches",
}


def _scrambled(work: Work) -> Iterator[Scrambled]:
    """Every sampled origin, in this process or in workers; the findings are the same."""
    ground = work.ground
    workers = work.workers
    again = None if ground.again is None else ground.again.folder
    bare = [replace(base, questions=(), drawings=()) for base in work.bases]
    if workers < 2 or len(bare) < 2:
        for number, base in enumerate(bare):
            yield scramble(ground, base.origin, number=number, base=base)
        return
    executor = loky.ProcessPoolExecutor(max_workers=min(workers, len(bare)), env={**ONE_THREAD, "HARNESS_WORKER": "1"})
    try:
        asked = [
            executor.submit(
                _scramble_in_worker, ground.plan, (ground.changes.folder, again), ground.board, number, base
            )
            for number, base in enumerate(bare)
        ]
        for one in asked:
            yield one.result()
    finally:
        executor.shutdown(wait=True, kill_workers=True)


def _scramble_in_worker(
    plan: Plan, folders: tuple[Path, Path | None], board: Board, number: int, base: Passage
) -> Scrambled:
    changes, again = (None if folder is None else ChangeFile.open(folder, verify=False) for folder in folders)
    assert changes is not None  # noqa: S101 - only the second may be missing
    ground = Ground(plan, changes, board, again)
    return scramble(ground, base.origin, number=number, base=base)


def control_check(work: Work) -> Iterator[Check]:
    """Plant a leak and see it caught."""
    ground = work.ground
    work.say("control: a leak planted on purpose")
    origin = controls.control_origin(ground.plan, ground.changes, work.origins)
    if origin is None:
        why = "the target is published less than three times after every sampled origin, so no leak can be planted"
        yield Check("control", NOT_SHOWN, why)
        return
    planted = controls.control(ground, origin, work.origins)
    missed = tuple(one.finding for one in planted if one.caught is False)
    unplanted = [one for one in planted if one.caught is None]
    caught = sum(one.caught is True for one in planted)
    verdict = FAILED if missed or not caught else PASSED
    day = local_day(ground.plan.instants[origin], ground.plan.experiment.origins.zone)
    sentence = (
        f"a lag shortened by one release and labels matured early, planted at {day}:"
        f" caught {caught} times of {caught + len(missed)}"
        + "".join(f"; {one.how}: not planted ({one.finding.found})" for one in unplanted)
    )
    table = pl.DataFrame(
        {
            "how": [one.how for one in planted],
            "judged": [one.judged for one in planted],
            "caught": [one.caught for one in planted],
            "expected": [one.finding.expected for one in planted],
            "found": [one.finding.found for one in planted],
        }
    )
    yield Check("control", verdict, sentence, missed, (("control", table),))


def isolation_check(work: Work) -> Iterator[Check]:
    """Ask every model again: alone, in another order, out of sight of all data."""
    ground = work.ground
    work.say("isolation: every origin in a fresh process")
    findings = isolation.alone(ground, work.bases, processes=work.workers)
    work.say("isolation: walking on between refits")
    walked, cells = isolation.walked_on(ground, work.bases)
    findings += walked
    questions = [question for base in work.bases for question in base.questions]
    theirs = [question for question in questions if isolation.users_code(question.recipe)]
    ours = [question for question in questions if not isolation.users_code(question.recipe)]
    work.say("isolation: in reverse order, rows permuted")
    findings += isolation.reversed_and_permuted(ground, ours)
    ways = list[str]()
    if theirs:
        work.say("isolation: your classes out of sight of all data")
        known = {finding.model for finding in findings}
        how, found = isolation.confined(ground, theirs, work.places, known=known)
        ways.append(how)
        findings += found
    drawings = [drawing for base in work.bases for drawing in base.drawings]
    if drawings:
        work.say("isolation: your space functions out of sight of all data")
        how, found = isolation.drawn_confined(ground, drawings, work.places)
        ways.append(how)
        findings += found
    if ground.again is not None:  # files that cannot be read again are told by the scramble
        experiment = ground.plan.experiment
        cleaned, found = isolation.cleaned_confined(datasets_of(experiment.datasets, experiment.folder), work.places)
        ways += cleaned
        findings += found
    verdict = FAILED if findings else NOT_SHOWN if "" in ways else PASSED
    count = 2 * len(work.bases) + cells
    yield Check("isolation", verdict, _isolated(findings, ways), tuple(findings), cells=count)


def _isolated(findings: Sequence[Finding], ways_confined: Sequence[str]) -> str:
    ways = "alone in fresh processes, walking on from the refit, in reverse order and with rows permuted"
    told = ", ".join(sorted(set(ways_confined)))
    confined = f", your classes and functions out of sight of all data ({told})" if told else ""
    if "" in ways_confined:
        confined = (
            "; your classes and functions could not be confined here (neither Landlock nor a mount namespace), so it is"
            " not shown that they read nothing else"
        )
    if not findings:
        return f"{ways}{confined}: the same answers"
    first = findings[0]
    return (
        f"{ways}{confined}: {len(findings)} other answers or denied accesses, the first at {first.place}: {first.found}"
    )


def facts_check(work: Work) -> Iterator[Check]:
    """Outcomes, labels and rows derived a second time by plain means, and what is odd about the data."""
    ground = work.ground
    work.say("outcomes and labels a second time, by plain means")
    yield outcomes(ground.plan, ground.changes)
    found = tuning(ground.plan, ground.changes, handed_over(group for base in work.bases for group in base.groups))
    if found is not None:
        yield found
    work.say("facts: rows a second time, and what is odd about the data")
    yield facts(ground.plan, ground.changes, build_design(ground.plan, ground.changes), more=[_hindsight_adjusted])


def _hindsight_adjusted(changes: ChangeFile, series_id: str) -> str:
    signs = looks_adjusted(changes, series_id)
    return f"looks adjusted with hindsight: {signs}" if signs else ""
