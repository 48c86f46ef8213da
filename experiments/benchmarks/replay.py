"""Append millions of change rows, then walk origins by replay, against one DuckDB query per origin.

    python experiments/benchmarks/replay.py [--rows 5000000] [--origins 200] [--queries 10]

Prints seconds per stage and peak memory. Queries are timed on `--queries` of the origins and scaled to all of them.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from harness.core.series import Series
from harness.core.time import period_ends
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.replay import Replay

FIRST_MONTH = 1990 * 12
MONTHS = 250
KNOWN_THROUGH = datetime(2026, 1, 1, tzinfo=UTC)


def main(arguments: list[str]) -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--origins", type=int, default=200)
    parser.add_argument("--queries", type=int, default=10)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), rows=options.rows, origins=options.origins, queries=options.queries)


def run(folder: Path, *, rows: int, origins: int, queries: int) -> None:
    """Append, export, walk and query; print seconds and peak memory of each stage."""
    vintages = 10
    count = max(1, rows // (MONTHS * vintages))
    archive = Archive.open(folder / "archive.duckdb")
    with timed(f"define {count} series"):
        archive.define(*(Series(f"bench/{number:05d}", "M", decimals=3) for number in range(count)))
    frame = made_up(count, vintages)
    with timed(f"append {frame.height} rows"):
        report = archive.append(frame, source="benchmark", known_through=KNOWN_THROUGH)
    print(f"{report.changes} change rows")
    del frame
    with timed("export the change file"):
        place = archive.export(folder / "changes")
    with timed("open it, checksums compared"):
        changes = ChangeFile.open(place)
    step = timedelta(days=MONTHS * 30 // origins)
    dates = [datetime(1990, 3, 1, tzinfo=UTC) + step * number for number in range(origins)]
    with timed(f"walk {origins} origins by replay, views"):
        replay = Replay(changes, changes.ids)
        known = [walked(replay, date, copy=False) for date in dates]
    with timed(f"walk {origins} origins by replay, copies"):
        replay = Replay(changes, changes.ids)
        for date in dates:
            walked(replay, date, copy=True)
    chosen = sorted({round(place) for place in np.linspace(0, origins - 1, queries)})
    started = time.perf_counter()
    for place_of in chosen:
        snapshot = archive.as_of(dates[place_of])
        found = sum(int((~np.isnan(panel.values)).sum()) for panel in snapshot.panels)
        if found != known[place_of]:
            sys.exit(f"replay and query differ at {dates[place_of]}: {known[place_of]} and {found} values")
    each = (time.perf_counter() - started) / len(chosen)
    print(f"{'one DuckDB query per origin':<42}{each * origins:8.2f} s  ({each:.3f} s each, {len(chosen)} timed)")


def made_up(count: int, vintages: int) -> pl.DataFrame:
    """Rows of monthly series, each month published after some days and then revised month after month."""
    noise = np.random.default_rng(7)
    months = np.arange(FIRST_MONTH, FIRST_MONTH + MONTHS)
    ends = period_ends(Series("m", "M").parsed, months)
    size = count * MONTHS * vintages
    series = np.repeat(np.arange(count), MONTHS * vintages)
    period = np.tile(np.repeat(np.arange(MONTHS), vintages), count)
    vintage = np.tile(np.arange(vintages), count * MONTHS)
    published = ends[period] + (20 + 30 * vintage + series % 10).astype("timedelta64[D]")
    names = pl.Series([f"bench/{number:05d}" for number in range(count)])
    return pl.DataFrame(
        {
            "series_id": names.gather(series),
            "period": ends[period],
            "published_at": pl.Series(published.astype("datetime64[us]")).dt.replace_time_zone("UTC"),
            "value": noise.normal(size=size).cumsum(),
        }
    )


def walked(replay: Replay, date: datetime, *, copy: bool) -> int:
    """Known values at one origin."""
    replay.advance(date)
    snapshot = replay.snapshot(copy=copy)
    if copy:
        return 0
    return sum(int((~np.isnan(panel.values)).sum()) for panel in snapshot.panels)


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Print the seconds a stage took, by the clock and on the processor, and the peak memory after it."""
    clock, processor = time.perf_counter(), time.process_time()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    spent = f"{time.perf_counter() - clock:8.2f} s ({time.process_time() - processor:.2f} s on the processor)"
    print(f"{stage:<42}{spent}, peak {peak:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
