"""Check 3: each origin alone in a fresh process, in reverse order, with rows permuted, and out of sight of all data."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import threadpoolctl

from harness.backtest.witness import World
from harness.backtest.work import walk
from harness.core.identity import derive_seed
from harness.core.recipe import Recipe
from harness.core.transform import Floats
from harness.data.declared import Dataset
from harness.forecast.catalog import entry_for
from harness.forecast.user_class import is_user_class
from harness.studies.children import Places, ask_confined, passage_alone
from harness.studies.cleanings import Cleaning, cleanings_of, own_tables, rows_otherwise
from harness.studies.differing import Difference, compare
from harness.studies.drawings import Drawing
from harness.studies.handover import RAISED, Handover
from harness.studies.pipeline import (
    Passage,
    design_for,
    differences,
    evidence,
    grouped,
    otherwise,
    passage,
    place_of,
)
from harness.studies.questions import ANSWER_KEYS, Question, Reply, jittered, permuted, reply
from harness.studies.scramble import Ground, without_frozen
from harness.studies.verdict import Finding

NAME = "isolation"
ALONE, WALKED = "alone in a fresh process", "walking on from its refit, as in a run"
REVERSED, CONFINED = "in reverse order, rows permuted", "out of sight of all data"
ROUNDING = 1e-9
"""Sums taken in another order differ by rounding; larger differences need a reason."""
JITTERS, AMPLIFIED, CHAOS = 3, 1000.0, 0.01
"""Answers to rows moved in their last bits; another order may move an answer so many times as far, and by this share
of it at most."""
LEAST = 1e-6
"""Answers below this are what is left of larger numbers."""


def users_code(recipe: Recipe) -> bool:
    """Whether a model, or a step before it, is a class of the user's."""
    return is_user_class(recipe.kind) or any(is_user_class(step.kind) for step in recipe.steps)


def whose(recipe: Recipe) -> str:
    """The user's class of a model, `module:name`."""
    steps = [step.kind for step in recipe.steps if is_user_class(step.kind)]
    return recipe.kind if is_user_class(recipe.kind) or not steps else steps[0]


def alone(ground: Ground, bases: Sequence[Passage], *, processes: int) -> list[Finding]:
    """Every origin in a process that has seen no other, against what was handed over in sequence."""

    def one(base: Passage) -> list[Finding]:
        found = passage_alone(ground, base.origin)
        differ = differences(without_frozen(base), found)
        return list(evidence(ground.plan, ground.board, NAME, ALONE, differ))

    with ThreadPoolExecutor(max_workers=processes) as pool:
        return [finding for found in pool.map(one, bases) for finding in found]


def walked_on(ground: Ground, bases: Sequence[Passage]) -> tuple[list[Finding], int]:
    """Forecasters that answered every origin from their refit to their next, as in a run, against those asked once.

    Returns:
        The findings, and the cells computed for the model that walked furthest.
    """
    plan, findings, most = ground.plan, list[Finding](), dict[str, int]()
    for base in bases:
        for group in grouped(ground.board, plan, base.origin):
            cadence = min(identity.cadence for _, identity in group)
            if not entry_for(group[0][0].kind).fitted or cadence < 2:
                continue
            since = plan.refit_origin(base.origin, cadence)
            end = min(since + cadence, len(plan.instants)) - 1
            if end == since:
                continue
            design = design_for(plan, ground.changes, group, end)
            once = passage(plan, ground.changes, group, end, design=design)
            most |= {one.name: most.get(one.name, 0) + end - since + 2 for one, _ in group}
            with threadpoolctl.threadpool_limits(1):
                walked = list(walk(World(plan, ground.changes, design), group, list(range(since, end + 1))))
            for index, origin, cell in walked:
                if origin == end:
                    differ = otherwise(once, group[index][0].name, cell, plan)
                    findings += evidence(plan, ground.board, NAME, WALKED, differ)
    return findings, max(most.values(), default=0)


def reversed_and_permuted(ground: Ground, questions: Sequence[Question]) -> list[Finding]:
    """Forecasters of the harness, asked again from the last origin to the first with rows in another order."""
    found = []
    for question in _last_first(questions):
        again = reply(_permuted(question), ground.plan.experiment.folder)
        found += _judged(ground, question, again, REVERSED, rounding=ROUNDING)
    return found


def _last_first(questions: Sequence[Question]) -> list[Question]:
    return sorted(questions, key=lambda one: -one.origin)


def _permuted(question: Question) -> Question:
    return permuted(question, derive_seed(NAME, question.origin, question.recipe.name))


def confined(
    ground: Ground, questions: Sequence[Question], places: Places, *, known: Collection[str] = ()
) -> tuple[str, list[Finding]]:
    """Users' classes in a child that sees nothing but their code, from the last origin to the first, rows permuted.

    Where that gives other answers, the same questions are asked in their own order of rows, to tell which of the two
    it was.

    Args:
        ground: plan, archive view and models.
        questions: what users' classes were asked.
        places: what is hidden.
        known: models that answer otherwise in a process of their own, so that no other answer need be explained.

    Returns:
        How the child was confined ("" = it could not be), and the findings.
    """
    asked = _last_first(questions)
    how, replies, touched = ask_confined([_permuted(one) for one in asked], places)
    findings = [_denied(ground, one, text) for one, texts in zip(asked, touched, strict=True) for text in texts[:3]]
    differ = [
        (question, again, found)
        for question, again in zip(asked, replies, strict=True)
        if question.recipe.name not in known
        and (found := _judged(ground, question, again, CONFINED, rounding=ROUNDING))
    ]
    if differ:
        plain = [question for question, _, _ in differ]
        moved = [jittered(question, number) for question in plain for number in range(JITTERS)]
        replies = ask_confined([*plain, *moved], places)[1]
        for number, (question, other, found) in enumerate(differ):
            again = replies[number]
            still = _judged(ground, question, again, CONFINED, rounding=0.0)
            near = replies[len(differ) + number * JITTERS : len(differ) + (number + 1) * JITTERS]
            if still or not _rounding_alone(again, other, near):
                findings += still or [replace(one, how=REVERSED) for one in found]
    return how, findings


def drawn_confined(ground: Ground, drawings: Sequence[Drawing], places: Places) -> tuple[str, list[Finding]]:
    """Users' space functions in a child that sees nothing but their code, from the last search to the first.

    Args:
        ground: plan, archive view and models.
        drawings: what they drew, and what came of it.
        places: what is hidden.

    Returns:
        How the child was confined ("" = it could not be), and the findings.
    """
    asked = 2 * sorted(drawings, key=lambda one: -one.origin)  # twice: what remembers draws otherwise then
    how, replies, touched = ask_confined(asked, places)
    findings = []
    for one, again, texts in zip(asked, replies, touched, strict=True):
        place = "" if one.recipe.search is None else one.recipe.search.function
        where = (NAME, CONFINED, ground.plan.instants[one.origin], "search", place, one.recipe.name)
        findings += [Finding(*where, expected="nothing is read", found=text) for text in texts[:3]]
        if again.failure:
            findings.append(Finding(*where, expected="the trials it drew before", found=again.failure))
    return how, findings


def cleaned_confined(datasets: Sequence[Dataset], places: Places) -> tuple[list[str], list[Finding]]:
    """Cleaning functions in a child that sees nothing but their code and tables of their own, not the raw files.

    Args:
        datasets: whose files are cleaned again.
        places: what is hidden.

    Returns:
        How each child was confined ("" = it could not be), and the findings.

    Raises:
        UserError: files that cannot be read again.
    """
    ways, findings = list[str](), list[Finding]()
    for dataset in datasets:
        asked, folder = cleanings_of(dataset), str(dataset.folder)
        if asked:
            hidden = (*places.datasets, places.folder)
            there = Places(places.home, hidden, folder, own_tables(dataset, Path(places.home)))
            how, replies, touched = ask_confined(asked, there)
            ways.append(how)
            for one, again, texts in zip(asked, replies, touched, strict=True):
                findings += _uncleaned(one, again, texts)
    return ways, findings


def _uncleaned(asked: Cleaning, again: Reply, touched: Sequence[str]) -> list[Finding]:
    """Findings where a function reads for itself, or makes something else of the same table; values are not told."""
    said = [f"reads for itself: {text}" for text in touched[:3]]
    rows = 0 if again.failure else rows_otherwise(asked.made, again.frame)
    if again.failure:
        said.append(f"reads for itself: {again.failure}")
    elif rows:
        said.append(f"reads for itself, or makes another table of the same each time: {rows} other rows")
    expected = "what it made in the ingest, of its table alone"
    return [
        Finding(NAME, CONFINED, None, "cleaning", asked.function, row=asked.source, expected=expected, found=one,
                cells=max(rows, 1))
        for one in said
    ]  # fmt: skip


def _rounding_alone(plain: Reply, other: Reply, near: Sequence[Reply]) -> bool:
    """Whether an answer is as far from that to the same rows in another order as rounding takes it.

    How far that is, is told by the answers to rows that differ in their last bits; an ill-conditioned model amplifies
    them.
    """
    values = [_values(one) for one in (plain, other, *near)]
    if (
        any(_kind(one.failure) != _kind(plain.failure) for one in (other, *near))
        or len({len(one) for one in values}) > 1
    ):
        return False
    own, far, *moved = values
    same = all(np.array_equal(np.isnan(own), np.isnan(one)) for one in (far, *moved))
    scale = max(float(np.nanmax(np.abs(own), initial=0.0)), LEAST)
    reach = max(float(np.nanmax(np.abs(one - own), initial=0.0)) for one in moved)
    allowed = min(AMPLIFIED * reach, CHAOS * scale) + ROUNDING * scale
    return same and float(np.nanmax(np.abs(far - own), initial=0.0)) <= allowed


def _values(answered: Reply) -> Floats:
    ordered = answered.frame.sort(ANSWER_KEYS, nulls_last=False)["value"]
    values: Floats = ordered.fill_null(float("nan")).to_numpy()
    return values


def _denied(ground: Ground, question: Question, text: str) -> Finding:
    return Finding(
        NAME,
        CONFINED,
        ground.plan.instants[question.origin],
        "forecast",
        whose(question.recipe),
        question.recipe.name,
        expected="nothing but rows and snapshot is read",
        found=text,
    )


def _judged(ground: Ground, question: Question, again: Reply, how: str, *, rounding: float) -> list[Finding]:
    """Findings where an answer is not what it was; sums taken in another order may differ by `rounding`."""
    difference = _difference(question, again, rounding)
    if difference is None:
        return []
    recipe = question.recipe
    place = whose(recipe) if users_code(recipe) else place_of(Handover("forecast", "", 0, (), pl.DataFrame()), recipe)
    moment = ground.plan.instants[question.origin]
    return [
        Finding(
            NAME, how, moment, "forecast", place, recipe.name, difference.series_id, difference.row, "value",
            difference.expected, difference.found, difference.cells,
        )
    ]  # fmt: skip


def _difference(question: Question, again: Reply, rounding: float) -> Difference | None:
    if _kind(again.failure) != _kind(question.failure):
        said = question.failure or "an answer", again.failure or "an answer"
        return Difference("", "", "value", *said, 1)
    mine, theirs = (one.sort(ANSWER_KEYS, nulls_last=False) for one in (question.answer, again.frame))
    if rounding and mine.select(ANSWER_KEYS).equals(theirs.select(ANSWER_KEYS)):
        one, other = (side["value"].fill_null(float("nan")).to_numpy() for side in (mine, theirs))
        if np.isclose(one, other, rtol=rounding, atol=0.0, equal_nan=True).all():
            return None
    sides = (Handover("forecast", question.recipe.name, question.origin, ANSWER_KEYS, one) for one in (mine, theirs))
    return compare(*sides)


def _kind(failure: str) -> str:
    """A failure without its words, which may hold a clock's or a memory's numbers."""
    return re.sub(RAISED, r"\1", failure)
