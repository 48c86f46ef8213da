"""Generate a panel, the same every time, and stream it to Parquet in bounded memory.

    python experiments/benchmarks/panels.py C /tmp/c.parquet [--series 1000] [--periods 60] [--revisions 10]

Columns series_id, period, published_at, value. Values are positive: a level of each series' own with trend, season
and noise, to three places. A month is published 10 days after its end, a day 12 hours after. Rows are in order of
series and period; those of a panel with revisions (the k-th comes k - 1 months later) in order of publication. Series
number n is the same whatever the number of series.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from terms import DAILY, PANELS, Panel, panel_of

BLOCK = 1_000
"""Series drawn together."""
FIRST_MONTH = np.datetime64("2000-01", "M")
LAG = {"M": np.timedelta64(10, "D"), "D": np.timedelta64(12, "h")}
SCHEMA = pa.schema(
    {
        "series_id": pa.string(),
        "period": pa.date32(),
        "published_at": pa.timestamp("us", tz="UTC"),
        "value": pa.float64(),
    }
)
Floats = NDArray[np.float64]


def main(arguments: list[str]) -> None:
    """Write one panel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("panel", choices=sorted(PANELS))
    parser.add_argument("file", type=Path)
    for name in ("series", "periods", "revisions"):
        parser.add_argument(f"--{name}", type=int, default=0)
    options = parser.parse_args(arguments)
    panel = panel_of(options.panel, series=options.series, periods=options.periods, revisions=options.revisions)
    print(f"{write(panel, options.file):,} rows, {options.file.stat().st_size / 2**20:.0f} MB")


def write(panel: Panel, file: Path) -> int:
    """Stream a panel to a file, which appears when it is whole; returns the number of rows."""
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    rows = 0
    with pq.ParquetWriter(unfinished, SCHEMA, compression="zstd") as out:
        for table in revised(panel) if panel.revisions > 1 else by_series(panel):
            out.write_table(table)
            rows += table.num_rows
    with unfinished.open("rb+") as written:
        os.fsync(written.fileno())
    unfinished.replace(file)
    return rows


def ends(panel: Panel, count: int) -> NDArray[np.datetime64]:
    """Last days of the first periods."""
    if panel.frequency == DAILY:
        return np.datetime64(panel.since, "D") + np.arange(count)
    return (FIRST_MONTH + np.arange(1, count + 1)).astype("datetime64[D]") - 1


def published(panel: Panel, count: int) -> NDArray[np.datetime64]:
    """When each of the first periods is first published: the lag after the end of its last day."""
    return (ends(panel, count) + 1).astype("datetime64[us]") + LAG[panel.frequency]


def snapshot_origins(panel: Panel, count: int) -> list[datetime]:
    """Instants from the first publication to the last, evenly spaced."""
    instants = published(panel, panel.periods + panel.revisions - 1)
    low, high = instants[0].astype(np.int64), instants[-1].astype(np.int64)
    micros = np.linspace(low, high, count).round().astype(np.int64)
    return [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(one)) for one in micros]


def ids(first: int, count: int) -> list[str]:
    """Ids of consecutive series."""
    return [f"s{number:07d}" for number in range(first, first + count)]


def names(first: int, count: int) -> pa.Array:
    """The same as a column."""
    return pa.array(ids(first, count))


def drawn(panel: Panel, block: int) -> Floats:
    """Values of a block of series: [series, period]."""
    noise = np.random.default_rng([7, block])
    level = np.exp(noise.uniform(3.0, 7.0, (BLOCK, 1)))
    trend, depth = noise.normal(0.0, 0.2, (BLOCK, 1)), noise.uniform(0.0, 0.3, (BLOCK, 1))
    phase = noise.integers(0, panel.season, (BLOCK, 1))
    time = np.arange(panel.periods)[np.newaxis, :]
    season = depth * np.sin(2.0 * np.pi * (time + phase) / panel.season)
    wander = noise.normal(0.0, 0.02, (BLOCK, panel.periods)).cumsum(axis=1)
    apart = noise.normal(0.0, 0.05, (BLOCK, panel.periods))
    made = level * np.exp(trend * time / panel.periods + season + wander + apart)
    count = min(BLOCK, panel.series - block * BLOCK)
    return np.maximum(np.round(made[:count], 3), 0.001)


def by_series(panel: Panel) -> Iterator[pa.Table]:
    """A panel without revisions, block by block."""
    period, instant = ends(panel, panel.periods), published(panel, panel.periods)
    for block in range(-(-panel.series // BLOCK)):
        values = drawn(panel, block)
        ids = names(block * BLOCK, len(values)).take(pa.array(np.repeat(np.arange(len(values)), panel.periods)))
        yield table(ids, np.tile(period, len(values)), np.tile(instant, len(values)), values.ravel())


def revised(panel: Panel) -> Iterator[pa.Table]:
    """A panel with revisions: month after month, what is published then of every series."""
    values = np.concatenate([drawn(panel, block) for block in range(-(-panel.series // BLOCK))])
    every, count = names(0, panel.series), panel.periods + panel.revisions - 1
    period, instant = ends(panel, panel.periods), published(panel, count)
    for now in range(count):
        about = np.arange(max(0, now - panel.revisions + 1), min(now + 1, panel.periods))
        noise = np.random.default_rng([11, now])
        stated = values[:, about] * (1.0 + noise.normal(0.0, 0.01, (panel.series, len(about))))
        ids = every.take(pa.array(np.repeat(np.arange(panel.series), len(about))))
        when = np.full(stated.size, instant[now])
        yield table(ids, np.tile(period[about], panel.series), when, np.maximum(np.round(stated, 3), 0.001).ravel())


def table(ids: pa.Array, period: NDArray[np.datetime64], when: NDArray[np.datetime64], value: Floats) -> pa.Table:
    """Rows in the columns of every panel."""
    stamps = pa.array(when.astype("datetime64[us]")).cast(pa.timestamp("us", tz="UTC"))
    return pa.Table.from_arrays([ids, pa.array(period), stamps, pa.array(value)], schema=SCHEMA)


if __name__ == "__main__":
    main(sys.argv[1:])
