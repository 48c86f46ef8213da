"""Build the frozen training rows of a panel over more and more origins, and show that the time grows in proportion.

    python experiments/benchmarks/rows.py [--series 1000] [--origins 500] [--repeats 3]

Weekly series with a lag and revisions go through the public path: archive, change file, replay, features. The same data
serve for a quarter, a half and all of the origins. Every build runs in a process of its own that does nothing else; the
table has the median of their seconds, by the clock and on the processor, and their peak memory. The exponent is the
slope of a line through the logarithms of processor seconds, which busy neighbours disturb less (1 = in proportion).
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from harness.backtest.design import build_design
from harness.backtest.planning import build_plan
from harness.backtest.splits import Plan
from harness.core.recipe import Experiment, FeatureBlock, Origins, Schedule, Target
from harness.core.series import Series
from harness.core.time import period_containing, period_ends
from harness.core.transform import Floats, Transform
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.forecast.features import feature_names

FREQUENCY = "W-FRI"
FIRST_WEEK = date(1995, 1, 6)
LAG = timedelta(days=5, hours=12)
"""From the end of a week to its first release; revisions follow one and four weeks later."""
REVISIONS = (0, 7, 28)
SHARED = ("rates", "stress", "activity")
TARGET = 13
"""Weeks scored at the end; all other origins are pseudo-origins."""
BLOCKS = (
    FeatureBlock("own", transform=Transform("log_growth", 1), latest=(1, 2, 3, 4), rolling_mean=(4, 13),
                 rolling_std=(13,), rolling_min=(13,), rolling_max=(13,), age=True),
    FeatureBlock("year", transform=Transform("log_growth", 52), latest=(1,), difference=(4,)),
    FeatureBlock("level", lag=(2,), log_growth=(4, 26), ratio=(4, 13)),
    *(FeatureBlock(name, series=name, latest=(1, 2), rolling_mean=(4,), difference=(1,)) for name in SHARED),
    FeatureBlock("when", calendar=("week",)),
)  # fmt: skip
"""Thirty columns: of each series itself, and of three inputs that all of them share."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one size cost.

    Attributes:
        origins: number of origins.
        seconds, processor: median of the repeats, by the clock and on the processor.
        peak: peak memory of the process in bytes, of the worst repeat.
    """

    origins: int
    seconds: float
    processor: float
    peak: int


def main(arguments: list[str]) -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--origins", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        changes = exported(Path(folder), series=options.series, weeks=options.origins)
        plan = planned(ChangeFile.open(changes), options.series, options.origins)
        sizes = (options.origins // 4, options.origins // 2, options.origins)
        found = [measured(plan, changes, origins, options.repeats) for origins in sizes]
    print(table(found, options.series))


def made_up(series: int, weeks: int) -> pl.DataFrame:
    """Releases of weekly levels and three shared inputs: late, and revised twice; the same every time.

    Every tenth series begins halfway.
    """
    noise = np.random.default_rng(11)
    names = [f"bench/{number:04d}" for number in range(series)] + list(SHARED)
    size, vintages = (len(names), weeks, len(REVISIONS)), np.array(REVISIONS, dtype="timedelta64[D]")
    levels = 100.0 * np.exp(noise.normal(0.001, 0.02, size[:2]).cumsum(axis=1))
    stated = np.round(levels[:, :, np.newaxis] * (1.0 + noise.normal(0.0, 0.002, size)), 3)
    parsed = Series("w", FREQUENCY).parsed
    ends = period_ends(parsed, period_containing(parsed, FIRST_WEEK) + np.arange(weeks))
    published = ends.astype("datetime64[us]")[:, np.newaxis] + np.timedelta64(LAG) + vintages
    late = np.isin(np.arange(len(names)) % 10, 9)[:, np.newaxis] & (np.arange(weeks) < weeks // 2)
    known = ~np.repeat(late.ravel(), len(REVISIONS))
    return pl.DataFrame(
        {
            "series_id": pl.Series(names).gather(np.repeat(np.arange(len(names)), weeks * len(REVISIONS))),
            "period": np.broadcast_to(ends[:, np.newaxis], size).ravel(),
            "published_at": pl.Series(np.broadcast_to(published, size).ravel()).dt.replace_time_zone("UTC"),
            "value": stated.ravel(),
        }
    ).filter(pl.lit(pl.Series(known)) & (pl.col("published_at") <= known_through(weeks)))


def exported(folder: Path, *, series: int, weeks: int) -> Path:
    """The change folder of an archive that holds those releases."""
    frame = made_up(series, weeks)
    archive = Archive.open(folder / "archive.duckdb")
    archive.define(*(Series(name, FREQUENCY, decimals=3) for name in frame["series_id"].unique().sort()))
    archive.append(frame, source="benchmark", known_through=known_through(weeks))
    return archive.export(folder / "changes")


def known_through(weeks: int) -> datetime:
    """When the last origin is over: a week after the last period, whose first release is then out."""
    last = FIRST_WEEK + timedelta(weeks=weeks, days=1)
    return datetime(last.year, last.month, last.day, tzinfo=UTC)


def planned(changes: ChangeFile, series: int, weeks: int) -> Plan:
    """The plan of a weekly panel forecast, one origin per week since the first release."""
    last = FIRST_WEEK + timedelta(weeks=weeks)
    experiment = Experiment(
        "rows",
        Target(tuple(f"bench/{number:04d}" for number in range(series)), Transform("log_growth", 1)),
        Origins(Schedule("weekday", weekday=4), last - timedelta(weeks=TARGET), last),
        (1,),
        features=BLOCKS,
    )
    return build_plan(experiment, changes)


def rows_of(plan: Plan, changes: ChangeFile, origins: int) -> Floats:
    """Rows of the first origins of a plan: [origin, series, horizon, feature]."""
    return build_design(replace(plan, instants=plan.instants[:origins]), changes)


def measured(plan: Plan, changes: Path, origins: int, repeats: int) -> Measured:
    """What building the rows of the first origins costs, each time in a new process."""
    apart = multiprocessing.get_context("spawn")
    runs = []
    for _ in range(repeats):
        with ProcessPoolExecutor(1, mp_context=apart) as process:
            runs.append(process.submit(once, plan, changes, origins).result())
    clock, processor, peaks = zip(*runs, strict=True)
    return Measured(origins, float(np.median(clock)), float(np.median(processor)), max(peaks))


def once(plan: Plan, changes: Path, origins: int) -> tuple[float, float, int]:
    """Seconds by the clock and on the processor, and peak memory (bytes, of the whole process) of one build."""
    clock, processor = time.perf_counter(), time.process_time()
    rows_of(plan, ChangeFile.open(changes, verify=False), origins)
    return time.perf_counter() - clock, time.process_time() - processor, peak_memory()


def peak_memory() -> int:
    """Most bytes this process ever held; where /proc has it, without what a child inherits from its parent's count."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def exponent(found: list[Measured]) -> float:
    """Slope of the least-squares line through log processor seconds over log origins."""
    seconds = np.log([one.processor for one in found])
    return float(np.polyfit(np.log([one.origins for one in found]), seconds, 1)[0])


def table(found: list[Measured], series: int) -> str:
    """The figures in Markdown."""
    lines = [
        f"Training rows of {series} series, {len(feature_names(BLOCKS))} features, one horizon",
        "",
        "| origins | rows | seconds | on the processor | ms per further origin | peak memory |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for one, less in zip(found, [None, *found], strict=False):
        further = "" if less is None else f"{1e3 * (one.processor - less.processor) / (one.origins - less.origins):.1f}"
        spent = f"{one.seconds:.2f} | {one.processor:.2f} | {further}"
        lines.append(f"| {one.origins} | {one.origins * series:,} | {spent} | {one.peak / 2**20:.0f} MB |")
    return "\n".join([*lines, "", f"Seconds on the processor grow with origins to the power of {exponent(found):.2f}."])


if __name__ == "__main__":
    main(sys.argv[1:])
