"""Which search a tuned forecast rests on: its record, the trial that was chosen, and the recipe that came of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from harness.backtest.tuning.space import chosen
from harness.core.errors import DamagedError
from harness.core.frames import UTC_INSTANT
from harness.core.recipe import Recipe
from harness.core.search import as_value
from harness.record.home import Home
from harness.record.studies import CHAIN, END, VOUCHED, StudyRecord, read_study
from harness.studies.recorded import Recorded, part

GONE = "gone"
SEARCHES = pl.Schema(
    {
        "model": pl.String(),
        "searched_at": UTC_INSTANT,
        "study": pl.String(),
        "record": pl.String(),
        "trials": pl.Int32(),
        "best": pl.Int32(),
        "value": pl.Float64(),
        "setting": pl.String(),
    }
)
"""Columns of `searches`: whether the record is as the run kept it; `value` is the objective of the trial `best`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a search chose for a model.

    Attributes:
        recipe: the model that was fitted: with the chosen kind, features, steps and parameters where it was tuned.
        facts: study key, trial, setting, sampler, trials by state, objective; {} = the model is not tuned.
    """

    recipe: Recipe
    facts: Mapping[str, object] = field(default_factory=dict)


def choice(run: Recorded, home: Home, recipe: Recipe, searched_at: datetime, told: Mapping[str, object]) -> Choice:
    """The recipe a search chose, as the cell says, else as the record of the search does.

    Args:
        run: the run.
        home: where its searches are recorded.
        recipe: the model as declared, with its search.
        searched_at: origin of the search.
        told: what the cell keeps of it (`tuned`); {} = the cell is gone.
    """
    if recipe.search is None:
        return Choice(recipe)
    key = str(part(run.part("studies"), recipe.name).get(searched_at.isoformat(), ""))
    state, record = recorded_search(run, home, key)
    end = {} if record is None else record.end
    best = told.get("best", end.get("best"))
    line: Mapping[str, object] = {}
    if record is not None and isinstance(best, int) and best < len(record.trials):
        line = record.trials[best]
    setting = part(told, "setting") if told else part(line, "params")
    facts: dict[str, object] = {"study": key, "record": state, "searched_at": searched_at}
    if record is not None:
        facts |= dict(_facts(record, line))
    made = chosen(recipe, {name: as_value(value) for name, value in setting.items()})
    facts |= {
        "trial": _trial(best, len(setting)),
        "setting": json.dumps(setting, ensure_ascii=False),
        "kind": made.kind,
        "features": ", ".join(made.features),
        "params": json.dumps(dict(made.params), default=str, ensure_ascii=False),
    }
    return Choice(made, facts)


def recorded_search(run: Recorded, home: Home, key: str) -> tuple[str, StudyRecord | None]:
    """Whether the record of a search is what the run kept of it, and the record; None = it cannot be read."""
    if not key or not (home.studies / key).is_dir():
        return GONE, None
    try:
        record = read_study(home.studies, key)
    except (OSError, DamagedError):
        return "damaged", None
    kept = part(run.part(VOUCHED), key).get(CHAIN)
    return ("as recorded" if kept in (None, record.chain) else "NOT the one recorded"), record


def searches(run: Recorded, home: Home) -> pl.DataFrame:
    """Every search a run rests on, one row each; columns of `SEARCHES`."""
    rows = []
    for model, keys in run.part("studies").items():
        for origin, key in (keys if isinstance(keys, dict) else {}).items():
            state, record = recorded_search(run, home, str(key))
            told: tuple[object, ...] = (None, None, None, None)
            if record is not None:
                best = record.end.get("best")
                line = record.trials[best] if isinstance(best, int) and record.trials else {}
                told = (len(record.trials), best, line.get("value"), json.dumps(line.get("params"), ensure_ascii=False))
            rows.append((model, datetime.fromisoformat(str(origin)), key, state, *told))
    return pl.DataFrame(rows, schema=SEARCHES, orient="row")


def _facts(record: StudyRecord, line: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    head, states = record.head, Counter(str(one["state"]) for one in record.trials)
    yield "sampler", part(head, "sampler").get("name")
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    yield "trials", f"{len(record.trials)} ({told})" if told else "0"
    yield "ended", record.end.get(END)
    yield "objective", part(head, "objective").get("metric")
    yield "value", line.get("value")
    if record.trials:
        yield "value_of_defaults", record.trials[0].get("value")


def _trial(best: object, drawn: int) -> object:
    return f"{best} (the declared defaults)" if best == 0 or not drawn else best
