"""Check 3: each origin alone in a fresh process, in reverse order, with rows permuted, and out of sight of all data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import polars as pl

from harness.core.identity import derive_seed
from harness.core.recipe import Recipe
from harness.forecast.user_class import is_user_class
from harness.studies.children import Places, ask_confined, passage_alone
from harness.studies.handover import Difference, Handover, compare
from harness.studies.pipeline import Passage, differences, evidence, place_of
from harness.studies.questions import ANSWER_KEYS, Question, Reply, permuted, reply
from harness.studies.scramble import Ground, without_frozen
from harness.studies.verdict import Finding

NAME = "isolation"
ALONE, REVERSED, CONFINED = "alone in a fresh process", "in reverse order, rows permuted", "out of sight of all data"
ROUNDING = 1e-9
"""Sums taken in another order differ by rounding; larger differences do not come from it."""


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
        (question, found)
        for question, again in zip(asked, replies, strict=True)
        if question.recipe.name not in known
        and (found := _judged(ground, question, again, CONFINED, rounding=ROUNDING))
    ]
    if differ:
        plain = ask_confined([question for question, _ in differ], places)[1]
        for (question, found), again in zip(differ, plain, strict=True):
            still = _judged(ground, question, again, CONFINED, rounding=0.0)
            findings += still or [replace(one, how=REVERSED) for one in found]
    return how, findings


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
    if again.failure or question.failure:
        same = question.failure.partition(": ")[2] == again.failure
        said = question.failure or "an answer", again.failure or "an answer"
        return None if same else Difference("", "", "value", *said, 1)
    mine, theirs = (one.sort(ANSWER_KEYS, nulls_last=False) for one in (question.answer, again.frame))
    if rounding and mine.select(ANSWER_KEYS).equals(theirs.select(ANSWER_KEYS)):
        one, other = (side["value"].fill_null(float("nan")).to_numpy() for side in (mine, theirs))
        if np.isclose(one, other, rtol=rounding, atol=0.0, equal_nan=True).all():
            return None
    sides = (Handover("forecast", question.recipe.name, question.origin, ANSWER_KEYS, one) for one in (mine, theirs))
    return compare(*sides)
