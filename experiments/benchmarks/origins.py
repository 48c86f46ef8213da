"""Many origins on one daily series of 20 years: the rivals, an autoregression, and LightGBM fitted again once a month.

    python experiments/benchmarks/origins.py [--counts 500 1000 2000] [--repeats 1] [--workers 2] [--write]

Prints seconds by the clock and on the processor at each count, and of these what an origin and a further origin cost; a
process of its own for each, whose start counts (so the cost of a further origin says whether it is flat). The last
origins of the series are issued, so that the training windows of all counts end on the same day.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from alone import kept, parsed
from ours import backtested, experiment
from panels import write
from terms import BOOSTING, LAGS, MEANS, TREES, Report, panel_of
from watched import Watched, watch

import harness as hs

DAYS = 20 * 365
SINCE = "2005-01-01"
"""First day: the last one must have passed, or the archive would not know it."""
MONTH = 21
"""Origins between two fits."""
HORIZONS = 1


def main(arguments: list[str]) -> None:
    """Measure each count in a process of its own and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[500, 1_000, 2_000])
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--once", type=int, default=0, help=argparse.SUPPRESS)
    options = parsed(parser, arguments)
    if options.once:
        once(options)
        return
    found: dict[int, list[Watched]] = {count: [] for count in options.counts}
    for _ in range(options.repeats):
        for count in options.counts:
            asked = ["--days", options.days, "--workers", options.workers, "--once", count]
            command = [sys.executable, __file__, *map(str, asked)]
            path = {"PYTHONPATH": str(Path(__file__).parents[2])}
            done = watch(command, timeout=3600.0, memory=16.0 * 2**30, environment=path)
            if done.failure:
                sys.exit(done.failure)
            print(f"{count} origins: {done}", file=sys.stderr, flush=True)
            found[count].append(done)
    print(table(found))
    kept(
        options,
        "origins",
        f"A daily series of {options.days:,} days, rivals at every origin, AR and LightGBM fitted every {MONTH}",
        table(found),
    )


def once(options: argparse.Namespace) -> None:
    """One run, from the file to the leaderboard."""
    panel = replace(panel_of("A", series=1, periods=options.days), since=SINCE)
    trees = (("n_estimators", TREES), *BOOSTING.items())
    models = (
        hs.Recipe("ar", "autoregression", params=(("max_lags", 4),), refit_every=MONTH, functional="mean"),
        hs.Recipe(
            "gbm", "lightgbm", params=tuple(sorted(trees)), features=("own",), refit_every=MONTH, functional="mean"
        ),
    )
    block = hs.FeatureBlock("own", latest=LAGS[panel.frequency], rolling_mean=MEANS[panel.frequency])
    asked = experiment(panel, options.once, HORIZONS, models=models, features=(block,))
    with tempfile.TemporaryDirectory() as folder:
        options.file = Path(folder) / "panel.parquet"
        write(panel, options.file)
        report = Report()
        backtested(asked, panel, options, Path(folder), report)
    report.close()


def table(found: dict[int, list[Watched]]) -> str:
    """The figures in Markdown."""
    lines = [
        "| origins | seconds | on the processor | ms per origin | ms per further origin | peak memory |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    figures = [
        (
            count,
            statistics.median(sum(run.seconds.values()) for run in runs),
            statistics.median(run.processor for run in runs),
            max(run.peak for run in runs),
        )
        for count, runs in found.items()
    ]
    for less, (count, seconds, processor, peak) in pairwise([None, *figures]):
        further = "" if less is None else f"{1e3 * (processor - less[2]) / (count - less[0]):.1f}"
        spent = f"{seconds:.2f} | {processor:.2f} | {1e3 * processor / count:.1f} | {further}"
        lines.append(f"| {count:,} | {spent} | {peak / 2**20:,.0f} MB |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
