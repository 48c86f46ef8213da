"""An experiment that ships, from its files to its page, in a home folder without anything: what a first run costs.

    python experiments/benchmarks/shipped.py [--experiment uk_inflation] [--repeats 3] [--workers 2] [--write]

Ingest, backtest, the same once more (all of it is found), the leaderboard and the page. A process of its own each time.
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
LOADED = ("harness.data.archive", "harness.data.ingest", "harness.experiment.launch", "harness.report.run")


def main(arguments: list[str]) -> int:
    """Measure it and print the table; 1 where it failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="uk_inflation", help="its name, or its file")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parsed(parser, arguments)
    if options.once:
        once(options)
        return 0
    runs = list[Watched]()
    for _ in range(options.repeats):
        command = [sys.executable, __file__, "--once", "--experiment", options.experiment]
        command += ["--workers", str(options.workers)]
        runs.append(watch(command, timeout=3600.0, memory=16.0 * 2**30, environment={"PYTHONPATH": str(ROOT)}))
        print(runs[-1], file=sys.stderr, flush=True)
    name = Path(options.experiment).stem
    found = row(name, runs)
    table = jobs_table([found])
    print(table)
    kept(
        options,
        name,
        f"The experiment `{name}` from its files to its page, nothing found ready",
        table,
    )
    return int(bool(found.failure))


def once(options: argparse.Namespace) -> None:
    """One first run."""
    for name in LOADED:
        import_module(name)
    named = ROOT / "experiments" / f"{options.experiment}.toml"
    asked = hs.load_experiment(named if named.exists() else options.experiment)
    with tempfile.TemporaryDirectory() as folder:
        report = Report()
        with report.stage("ingest and backtest"):
            run = hs.backtest(asked, workers=options.workers, home=folder)
        with report.stage("again"):
            run = hs.backtest(asked, workers=options.workers, home=folder)
        with report.stage("leaderboard"):
            run.leaderboard()
        with report.stage("page"):
            run.report(Path(folder) / "page.html")
    report.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
