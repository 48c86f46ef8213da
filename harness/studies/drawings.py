"""What a user's space function drew in one search, kept so that it can be made to draw again elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

import polars as pl

from harness.backtest.tuning.samplers import Drawer, Drawn, quiet
from harness.backtest.tuning.space import chosen, declared
from harness.backtest.tuning.study import outcome_of
from harness.core.errors import UserError, reason_of
from harness.core.identity import canonical
from harness.core.recipe import Recipe
from harness.studies.cleanings import Cleaning, call_again
from harness.studies.questions import ANSWER_KEYS, Question, Reply, reply


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """One search whose space is a function.

    Attributes:
        origin: index of the outer origin.
        recipe: the model, with its search.
        seed: of the search.
        trials: what was drawn and what came of it, in order.
    """

    origin: int
    recipe: Recipe
    seed: int
    trials: tuple[Mapping[str, object], ...]


def answered(asked: Question | Drawing | Cleaning, folder: str) -> Reply:
    """Ask a forecaster, a space function or a cleaning function again.

    Args:
        asked: what it is handed; a function is told the recorded outcome of every trial, so that no data are needed.
        folder: where users' modules are looked for.
    """
    if isinstance(asked, Question):
        return reply(asked, folder)
    if isinstance(asked, Cleaning):
        return call_again(asked, folder)
    nothing = pl.DataFrame(schema=dict.fromkeys((*ANSWER_KEYS, "value"), pl.String()))
    return Reply(nothing, next(_otherwise(asked, folder), ""))


def _otherwise(drawing: Drawing, folder: str) -> Iterator[str]:
    """Trials drawn otherwise than recorded, the first of them first."""
    search = drawing.recipe.search
    assert search is not None  # noqa: S101 - only searches are kept
    with quiet():
        try:
            drawer = Drawer(search, drawing.seed, folder)
        except UserError as error:
            yield reason_of(error)
            return
        for batch, group in groupby(drawing.trials, lambda line: line["batch"]):
            lines = list(group)
            first = int(str(lines[0]["number"]))
            again = drawer.batch(first, len(lines)) if batch else [drawer.defaults(declared(search))]
            for drawn, line in zip(again, lines, strict=True):
                mine, theirs = (_told(drawing.recipe, drawn)), _recorded(line)
                if mine != theirs:
                    yield f"trial {line['number']}: {mine} instead of {theirs}"[:300]
                drawer.tell(drawn, outcome_of(line))


def _told(recipe: Recipe, drawn: Drawn) -> str:
    failure = drawn.failure
    if not failure:
        try:
            chosen(recipe, drawn.values)
        except ValueError as error:
            failure = f"space: {reason_of(error)}"
    return _text(drawn.values, failure)


def _recorded(line: Mapping[str, object]) -> str:
    reason = str(line["reason"])
    return _text(line["params"], reason if reason.startswith("space: ") else "")


def _text(values: object, failure: str) -> str:
    """A setting, and the kind of a failure without its words, which may hold a clock's."""
    kind = ":".join(failure.split(":")[:2])
    return json.dumps(canonical(values), sort_keys=True) + (f" ({kind})" if kind else "")
