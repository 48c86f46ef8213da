"""An experiment that ships, from its files to its page: what a first run costs, and the same once more.

    python experiments/benchmarks/shipped.py [--experiment uk_inflation] [--repeats 3] [--workers 2] [--write]

Ingest, backtest, leaderboard and page, first in a home folder without anything, then in the same one, where all is
found. Each is a process of its own, so neither finds anything ready but what is on the disk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from alone import jobs_table, kept, parsed, row
from terms import Report
from watched import Watched, watch

import harness as hs

ROOT = Path(__file__).parents[2]
TIMES = ("nothing found ready", "all of it found")
LOADED = ("harness.data.archive", "harness.data.ingest", "harness.experiment.launch", "harness.report.run")


def main(arguments: list[str]) -> int:
    """Measure it and print the table; 1 where it failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="uk_inflation", help="its name, or its file")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--once", type=Path, metavar="HOME", help=argparse.SUPPRESS)
    options = parsed(parser, arguments)
    if options.once:
        once(options)
        return 0
    name = Path(options.experiment).stem
    runs: dict[str, list[Watched]] = {f"{name}, {time}": [] for time in TIMES}
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as home:
            for told in runs.values():
                told.append(watched(options, home))
                print(told[-1], file=sys.stderr, flush=True)
    rows = [row(time, told) for time, told in runs.items()]
    table = jobs_table(rows)
    print(table)
    kept(options, name, f"The experiment `{name}` from its files to its page, {' and '.join(TIMES)}", table)
    return int(any(one.failure for one in rows))


def watched(options: argparse.Namespace, home: str) -> Watched:
    """One run in a home folder, in a process of its own."""
    command = [sys.executable, __file__, "--once", home, "--experiment", options.experiment]
    command += ["--workers", str(options.workers)]
    return watch(command, timeout=3600.0, memory=16.0 * 2**30, environment={"PYTHONPATH": str(ROOT)})


def once(options: argparse.Namespace) -> None:
    """One run in a home folder."""
    for name in LOADED:
        import_module(name)
    named = ROOT / "experiments" / f"{options.experiment}.toml"
    asked = hs.load_experiment(named if named.exists() else options.experiment)
    report = Report()
    with report.stage("ingest and backtest"):
        run = hs.backtest(asked, workers=options.workers, home=options.once)
    with report.stage("leaderboard"):
        run.leaderboard()
    with report.stage("page"):
        run.report(options.once / "page.html")
    report.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
