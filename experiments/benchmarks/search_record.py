"""What the search record costs: milliseconds a trial on a trivial objective, beside Optuna's own storages."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from harness.backtest.tuning.journal import Journal
from harness.backtest.tuning.objective import Outcome
from harness.backtest.tuning.samplers import Drawer, quiet
from harness.core.search import Domain, Search
from harness.record.studies import StudyLog, study_log

SPACE = tuple(Domain(name, "float", -1.0, 1.0, default=0.5) for name in ("a", "b", "c", "d", "e", "f", "g", "h"))
SLOW = 0.2
"""Seconds of the trial against which the overhead is told."""


def loss(values: dict[str, object]) -> float:
    """A trivial objective."""
    return sum(float(str(value)) ** 2 for value in values.values())


def ours(folder: Path | None, trials: int) -> None:
    """Draw, tell and (with a folder) record and export every trial, as a study does."""
    search = Search(SPACE, trials=trials, sampler="random")
    drawer = Drawer(search, 1)
    if folder is None:
        _trials(drawer, search, None, Journal(None, ""))
        return
    with study_log(folder, "bench", {"format": 1}) as log:
        _trials(drawer, search, log, Journal(log.journal, "bench"))


def _trials(drawer: Drawer, search: Search, log: StudyLog | None, journal: Journal) -> None:
    number = 0
    while number < (search.trials or 0):
        values = {one.name: one.default for one in search.space}
        batch = [drawer.defaults(values)] if number == 0 else drawer.batch(number, search.batch)
        outcomes = []
        for drawn in batch:
            value = loss(drawn.values)
            outcomes.append(Outcome("complete", value, (value,) * 3, (value,) * 3))
            if log is not None:
                line = {"number": drawn.number, "batch": 0, "state": "complete", "params": drawn.values}
                log.append({**line, "folds": [value] * 3, "running": [value] * 3, "value": value, "reason": ""})
        for drawn, outcome in zip(batch, outcomes, strict=True):
            drawer.tell(drawn, outcome)
        journal.add([drawn.frozen(outcome) for drawn, outcome in zip(batch, outcomes, strict=True)])
        number += len(batch)


def theirs(storage: Callable[[], JournalStorage] | None, trials: int) -> None:
    """The same through Optuna's own loop."""
    study = optuna.create_study(
        storage=None if storage is None else storage(), sampler=optuna.samplers.RandomSampler(seed=1)
    )
    for _ in range(trials):
        trial = study.ask()
        value = loss({one.name: trial.suggest_float(one.name, one.low, one.high) for one in SPACE})
        for fold in range(3):
            trial.report(value, fold)
        study.tell(trial, value)


def timed(work: Callable[[], None], trials: int, repeats: int) -> float:
    """Median milliseconds a trial."""
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        spent.append((time.perf_counter() - start) / trials * 1000)
    return median(spent)


def main() -> None:
    """Print milliseconds a trial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--folder", type=Path, default=None, help="where records are written (default: a temporary one)"
    )
    asked = parser.parse_args()
    trials, repeats = asked.trials, asked.repeats
    with tempfile.TemporaryDirectory(dir=asked.folder) as name, quiet():
        counter = iter(range(10**6))

        def fresh() -> Path:
            return Path(name) / str(next(counter))

        bare = timed(lambda: ours(None, trials), trials, repeats)
        recorded = timed(lambda: ours(fresh(), trials), trials, repeats)
        memory = timed(lambda: theirs(None, trials), trials, repeats)
        journal = timed(
            lambda: theirs(lambda: JournalStorage(JournalFileBackend(str(fresh()))), trials), trials, repeats
        )
    print(f"{trials} trials of 8 parameters and 3 folds on a trivial objective, median of {repeats}, in ms a trial")
    print(f"  this record, durable, and its export to Optuna's journal  {recorded:6.2f}")
    print(f"    of which drawing and telling without a record           {bare:6.2f}")
    print(f"  Optuna in memory                                          {memory:6.2f}")
    print(f"  Optuna's journal storage                                  {journal:6.2f}")
    added = recorded - bare
    print(f"the record adds {added:.2f} ms a trial: {added / (10 * SLOW):.2f} % of a trial of {SLOW} s")


if __name__ == "__main__":
    main()
