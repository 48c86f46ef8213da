"""What an engine itself costs: seconds until the first task is answered, milliseconds for each task that does nothing.

    python experiments/benchmarks/engines.py [--tasks 400] [--repeats 3] [--write]

Engines that are not installed are left out. A task is a stretch of cells: per cell it costs at most that.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
from alone import kept, parsed

import harness as hs
from harness.backtest.engine import Engine, InProcess
from harness.backtest.engines import Where, engine_for
from harness.backtest.planning import build_plan
from harness.backtest.runner import board_of, with_rivals
from harness.backtest.task import Context, Task
from harness.core.recipe import Experiment, Origins, Schedule, Target
from harness.core.transform import Transform
from harness.data.changes import ChangeFile
from harness.record.home import Home
from harness.record.platform import available_cores

PERIODS = 120


def exported(folder: Path) -> Path:
    """A change folder with one monthly series."""
    archive = hs.Archive.open(folder / "archive.duckdb")
    archive.define(hs.Series("cpi", "M", zone="UTC"))
    ends = [date(2010 + (number + 1) // 12, (number + 1) % 12 + 1, 1) - timedelta(days=1) for number in range(PERIODS)]
    at = [datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=20) for day in ends]
    archive.append(
        pl.DataFrame(
            {"series_id": "cpi", "period": ends, "published_at": at, "value": [100.0 + n for n in range(PERIODS)]}
        ),
        source="made",
    )
    return archive.export(folder / "changes")


def shared(changes: Path, folder: Path) -> tuple[Context, Task]:
    """What workers share, and a task that answers no origin."""
    asked = Experiment(
        "empty",
        Target(("cpi",), Transform("level"), season=12),
        Origins(Schedule("month_end"), date(2015, 1, 31)),
        (1,),
    )
    plan = build_plan(with_rivals(asked), ChangeFile.open(changes))
    home = Home(folder / "home")
    return Context(plan, changes, None, home, work=home.root / "work"), Task((board_of(plan.experiment)[0],), (), ((),))


def timed(engine: Engine, context: Context, tasks: Sequence[Task]) -> tuple[float, float]:
    """Seconds until the first answer, and milliseconds for each one after it."""
    start = time.perf_counter()
    seen = [time.perf_counter() for _ in engine.run(context, tasks)]
    return seen[0] - start, 1000 * (seen[-1] - seen[0]) / max(1, len(seen) - 1)


def engines(context: Context, count: int, store: str) -> dict[str, Engine]:
    """The engines that are installed, those of several processes with so many workers."""
    experiment = context.plan.experiment
    found: dict[str, Engine] = {"in process": InProcess()}
    asked = {"local": Where(), "ray": Where("ray"), "dask": Where("dask")}
    asked |= {f"{name}, store": Where(name, store=store) for name in ("ray", "dask")}
    for name, where in asked.items():
        try:
            found[name] = engine_for(experiment, count, where)
        except hs.UserError as error:
            print(f"{name} is left out: {error}")
    return found


def main(arguments: list[str]) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=400, help="empty tasks (default: 400)")
    parser.add_argument("--repeats", type=int, default=3, help="repeats, of which the median counts (default: 3)")
    parser.add_argument("--workers", type=int, default=available_cores(), help="of each engine (default: the cores)")
    args = parsed(parser, arguments)
    with tempfile.TemporaryDirectory(prefix="harness-engines-") as folder:
        context, task = shared(exported(Path(folder)), Path(folder))
        found: dict[str, list[tuple[float, float]]] = {}
        for _ in range(args.repeats):
            for name, engine in engines(context, args.workers, f"{folder}/store").items():
                found.setdefault(name, []).append(timed(engine, context, [task] * args.tasks))
    print(f"{args.tasks} empty tasks, {args.workers} workers, medians of {args.repeats}")
    print(table(found))
    kept(
        args,
        "engines",
        f"{args.tasks} empty tasks: until the first is answered, and for each one after it",
        table(found),
    )


def table(found: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Medians of seconds and milliseconds by engine, in Markdown."""
    lines = ["| engine | start (s) | per task (ms) |", "|---|--:|--:|"]
    for name, times in found.items():
        start, each = (statistics.median(column) for column in zip(*times, strict=True))
        lines.append(f"| {name} | {start:.2f} | {each:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
