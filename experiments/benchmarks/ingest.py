"""Take a large panel in from Parquet: declare, append, export, open; and what is asked of all its series at once.

    python experiments/benchmarks/ingest.py [--series 100000] [--periods 120] [--revisions 0]

Prints seconds by the clock and on the processor (which other work on the machine distorts less), and peak memory. With
`--revisions 50 --series 2000 --periods 200` the panel has 20 million changes.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from harness.backtest.effort import fingerprints_of
from harness.core.series import Series
from harness.core.time import MICROS_PER_DAY, micros, period_ends
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.past import beginnings
from harness.data.prefixes import prefix_digests
from harness.record import clock

FIRST_MONTH = 1990 * 12
LIKE = Series("any", "M")


def main(arguments: list[str]) -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--periods", type=int, default=120)
    parser.add_argument("--revisions", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), series=options.series, periods=options.periods, revisions=options.revisions)


def run(folder: Path, *, series: int, periods: int, revisions: int) -> ChangeFile:
    """Write the panel, take it in and ask for it; print seconds and peak memory of each stage."""
    file = folder / "panel.parquet"
    made_up(series, periods, max(1, revisions)).write_parquet(file)
    print(f"{series:,} series x {periods} periods x {max(1, revisions)} values each, {file.stat().st_size >> 20} MB")
    archive = Archive.open(folder / "archive.duckdb")
    with timed("define"):
        archive.define_many([name_of(number) for number in range(series)], like=LIKE)
    with timed("read the file and append"):
        report = archive.append(pl.read_parquet(file), source="benchmark")
    print(f"{report.rows_in:,} rows in, {report.changes:,} changes")
    with timed("export the change file"):
        place = archive.export(folder / "changes")
    with timed("open it, checksums compared"):
        changes = ChangeFile.open(place)
    with timed("where each series begins"):
        beginnings(changes)
    with timed("fingerprint of each series"):
        fingerprints_of(changes, changes.ids)
    last = changes.published[-1]
    instants = [int(last) - MICROS_PER_DAY * 30 * back for back in range(11, -1, -1)]
    with timed("what 12 origins knew, as cells are keyed"):
        prefix_digests(changes, changes.ids, (), instants)
    return changes


def name_of(number: int) -> str:
    """A stored id."""
    return f"bench/{number:07d}"


def made_up(series: int, periods: int, vintages: int) -> pl.DataFrame:
    """Rows of monthly series, each month published after 20 days and revised month after month."""
    ends = period_ends(LIKE.parsed, np.arange(FIRST_MONTH, FIRST_MONTH + periods))
    days = ends.astype(np.int64)[:, None] + 20 + 30 * np.arange(vintages)
    stamps = pl.Series(np.tile(days.ravel() * MICROS_PER_DAY, series)).cast(pl.Datetime("us", "UTC"))
    late = stamps.max()
    if not isinstance(late, datetime) or micros(late) > clock.now():
        sys.exit("too many periods or revisions: the last would be published later than now")
    size = series * periods * vintages
    return pl.DataFrame(
        {
            "series_id": pl.Series(map(name_of, range(series))).gather(
                np.repeat(np.arange(series), periods * vintages)
            ),
            "period": pl.Series(np.tile(np.repeat(ends.astype("datetime64[D]"), vintages), series)),
            "published_at": stamps,
            "value": np.random.default_rng(7).normal(100.0, 5.0, size),
        }
    )


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Print the seconds a stage took, by the clock and on the processor, and the peak memory after it."""
    clock, processor = time.perf_counter(), time.process_time()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    spent = f"{time.perf_counter() - clock:8.2f} s ({time.process_time() - processor:.2f} s on the processor)"
    print(f"{stage:<42}{spent}, peak {peak:.0f} MB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
