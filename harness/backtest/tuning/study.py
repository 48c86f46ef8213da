"""One search at one outer origin: trials in batches, each recorded as it ends; what is found is a plain recipe."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import polars as pl

from harness.backtest.keys import RecipeIdentity, cell_seed
from harness.backtest.tuning.folds import fold_table
from harness.backtest.tuning.head import study_head
from harness.backtest.tuning.inner import Ground, Inner
from harness.backtest.tuning.journal import Journal
from harness.backtest.tuning.objective import Outcome, evaluate, judge_of
from harness.backtest.tuning.pruning import hopeless
from harness.backtest.tuning.samplers import Drawer, Drawn, quiet
from harness.backtest.tuning.space import chosen, declared, edges
from harness.core.errors import DamagedError
from harness.core.identity import canonical
from harness.core.recipe import Recipe
from harness.core.search import Search, as_value
from harness.record.shelves import Shelf
from harness.record.studies import END, StudyLog, StudyRecord, finished_study, study_log

UNTIMED_TRIALS = 12
"""Trials of a search limited by seconds where no record can say how many there were: an audit's."""
Line = dict[str, object]


@dataclass(frozen=True, slots=True, eq=False)
class Studied:
    """What a search found.

    Attributes:
        recipe: the model with the chosen setting, not to be searched again.
        values: the chosen setting: name in the space -> value.
        best: number of its trial; 0 = the declared defaults.
        trials: every trial, in order, as recorded but without its duration.
        end: why no further trial was made.
        warnings: what a reader should know: nothing was tuned, or a value at the edge of its range.
        inner: every inner row: fold, side, horizon, pseudo_origin, series_id, period; empty when read from a record.
    """

    recipe: Recipe
    values: Mapping[str, object]
    best: int
    trials: tuple[Mapping[str, object], ...]
    end: str
    warnings: tuple[str, ...] = ()
    inner: pl.DataFrame = field(default_factory=pl.DataFrame)


def study(
    ground: Ground,
    recipe: Recipe,
    identity: RecipeIdentity,
    origin: int,
    *,
    store: tuple[Shelf, str] | None = None,
    clock: int | None = None,
) -> Studied:
    """Search at an outer origin, or go on where the record ends, or read what was found.

    Args:
        ground: what is tuned on; nothing published after the outer origin is looked at.
        recipe: the model, with its search.
        identity: its identity.
        origin: index of the outer origin.
        store: shelf of all studies and the key of this one; None = nothing is read or written.
        clock: trials after which the seconds of the budget are taken to be over, as they were in the record that is
            made again; None = the clock is read.

    Raises:
        DamagedError: the record holds another trial than this search draws.
    """
    search = recipe.search
    assert search is not None  # noqa: S101 - callers ask for models with a search only
    finished = finished_study(*store) if store is not None else None
    if finished is not None:
        return _read(recipe, search, finished)
    experiment = ground.plan.experiment
    seed = cell_seed(identity, experiment, ground.plan.instants[origin].isoformat(), "tune")
    inner = Inner(ground, recipe, identity, origin)
    opened: AbstractContextManager[StudyLog | None] = nullcontext()
    if store is not None:
        opened = study_log(*store, study_head(ground, recipe, identity, inner, seed))
    with opened as log, quiet():
        if log is not None and log.record.end:  # another process made it while this one waited
            return _read(recipe, search, log.record)
        untimed = UNTIMED_TRIALS if log is None and clock is None else clock
        return _Search(inner, recipe, search, seed, log, untimed if search.seconds else None).to_the_end()


class _Search:
    """A search under way."""

    def __init__(
        self, inner: Inner, recipe: Recipe, search: Search, seed: int, log: StudyLog | None, clock: int | None
    ) -> None:
        self.inner, self.recipe, self.search, self.seed, self.log = inner, recipe, search, seed, log
        self.clock = clock
        self.judge = judge_of(inner, search.objective)
        recorded = () if log is None else log.record.trials
        self.recorded = {int(str(line["number"])): line for line in recorded}
        self.lines: list[Line] = []
        self.earlier: list[tuple[float, ...]] = []

    def to_the_end(self) -> Studied:
        """Make batch after batch until the budget is spent."""
        end = "too few matured inner origins" if not self.inner.folds else ""
        drawer = Drawer(self.search, self.seed, self.inner.plan.experiment.folder)
        journal = Journal(None if self.log is None else self.log.journal, self.log.key if self.log else "")
        number = 0
        while not end:
            batch = self._draw(drawer, number)
            if not batch:
                end = "every setting was tried"
                break
            outcomes = [self._made(drawn) for drawn in batch]
            for drawn, outcome in zip(batch, outcomes, strict=True):
                drawer.tell(drawn, outcome)
            journal.add(drawn.frozen(outcome) for drawn, outcome in zip(batch, outcomes, strict=True))
            self.earlier += [outcome.running for outcome in outcomes]
            number += len(batch)
            end = self._over(number)
        return self._ended(end)

    def _draw(self, drawer: Drawer, number: int) -> list[Drawn]:
        if number == 0:
            return [drawer.defaults(declared(self.search))]
        limits = [limit - number for limit in (self.search.trials, self.clock) if limit]
        return drawer.batch(number, min([self.search.batch, *limits]))

    def _made(self, drawn: Drawn) -> Outcome:
        """The outcome of a trial: from the record, else made now and recorded."""
        known = self.recorded.get(drawn.number)
        if known is not None:
            if canonical(known["params"]) != canonical(drawn.values):
                raise DamagedError(
                    "the record of a search holds another trial than it draws",
                    value=f"trial {drawn.number}: {json.dumps(known['params'])}",
                    rule="drawing again from the same seed and the same outcomes gives the same trials",
                    fix="delete the folder of the study and run the experiment again",
                )
            self.lines.append(dict(known))
            return outcome_of(known)
        start = time.perf_counter()
        outcome = self._evaluated(drawn)
        line = _line(drawn, outcome, self._batch(drawn.number), time.perf_counter() - start, self.search)
        if self.log is not None:
            self.log.append(line)
        self.lines.append(line)
        return outcome

    def _batch(self, number: int) -> int:
        return 0 if number == 0 else 1 + (number - 1) // self.search.batch

    def _evaluated(self, drawn: Drawn) -> Outcome:
        if drawn.failure:
            return Outcome("failed", float("nan"), reason=drawn.failure)
        try:
            setting = chosen(self.recipe, drawn.values)
        except (ValueError, IndexError, StopIteration) as error:
            return Outcome("failed", float("nan"), reason=f"space: {type(error).__name__}: {error}"[:300])
        earlier = list(self.earlier)
        return evaluate(
            self.inner, setting, self.judge, self.seed, lambda running: hopeless(self.search.pruner, earlier, running)
        )

    def _over(self, number: int) -> str:
        """Why the search ends after the last batch; "" = it goes on."""
        search = self.search
        if search.trials is not None and number >= search.trials:
            return f"{search.trials} trials"
        if search.seconds is not None and self._time_is_up(number, search.seconds):
            return seconds_told(search)
        if search.patience and number - 1 - best_of(self.lines) >= search.patience:
            return f"{search.patience} trials without an improvement"
        return ""

    def _time_is_up(self, number: int, seconds: float) -> bool:
        if self.clock is None:
            return sum(float(str(line["seconds"])) for line in self.lines) >= seconds
        return number >= self.clock

    def _ended(self, end: str) -> Studied:
        best = best_of(self.lines)
        if self.log is not None:
            self.log.append({END: end, "trials": len(self.lines), "best": best})
        made = _studied(self.recipe, self.search, self.lines, best, end, len(self.inner.origins))
        return Studied(
            made.recipe,
            made.values,
            best,
            made.trials,
            end,
            made.warnings,
            fold_table(self.inner.plan, self.inner.folds),
        )


def seconds_told(search: Search) -> str:
    """How a record says that the seconds of a budget were over."""
    return f"{search.seconds:g} seconds"


def best_of(lines: list[Line]) -> int:
    """Number of the complete trial with the smallest objective, the first of equals; 0 when there is none."""
    complete = [(float(str(line["value"])), int(str(line["number"]))) for line in lines if line["state"] == "complete"]
    return min(complete)[1] if complete else 0


def outcome_of(line: Mapping[str, object]) -> Outcome:
    """The outcome a record holds."""
    value = line["value"]
    folds, running = (tuple(map(float, _list(line[name]))) for name in ("folds", "running"))
    return Outcome(
        str(line["state"]),
        float("nan") if value is None else float(str(value)),
        folds,
        running,
        str(line["reason"]),
        int(str(line["unanswered"])),
    )


def _line(drawn: Drawn, outcome: Outcome, batch: int, seconds: float, search: Search) -> Line:
    line: Line = {
        "number": drawn.number,
        "batch": batch,
        "state": outcome.state,
        "params": drawn.values,
        "folds": outcome.folds,
        "running": outcome.running,
        "value": None if outcome.state == "failed" else outcome.value,
        "reason": outcome.reason,
        "unanswered": outcome.unanswered,
        "seconds": round(seconds, 6),
    }
    if search.function:  # its space is known by what was drawn only
        line["distributions"] = {name: repr(one) for name, one in sorted(drawn.distributions.items())}
    return line


def _read(recipe: Recipe, search: Search, record: StudyRecord) -> Studied:
    lines = [dict(line) for line in record.trials]
    best, origins = int(str(record.end["best"])), int(str(record.head["inner_origins"]))
    return _studied(recipe, search, lines, best, str(record.end[END]), origins)


def _studied(recipe: Recipe, search: Search, lines: list[Line], best: int, end: str, origins: int) -> Studied:
    """What lines of trials come to, recorded or made just now."""
    values = {str(name): as_value(value) for name, value in _mapping(lines[best]["params"]).items()} if lines else {}
    warnings = list(edges(search.space, values))
    if not lines:
        warnings = [
            f"not tuned, the declared defaults were fitted: {origins} matured inner origins, {search.folds} folds"
        ]
    elif all(line["state"] == "failed" for line in lines):
        warnings = [f"not tuned, the declared defaults were fitted: every trial failed ({lines[0]['reason']})"]
    trials = tuple({name: value for name, value in line.items() if name != "seconds"} for line in lines)
    return Studied(chosen(recipe, values), values, best, trials, end, tuple(warnings))


def _list(value: object) -> list[float]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
