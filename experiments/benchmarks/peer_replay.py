"""What was known at many origins, one DuckDB query or pandas join per origin, over the same changes.

    .venv-bench/bin/python experiments/benchmarks/peer_replay.py intervals R file.parquet [--origins 200] [--queries 10]

The changes are first loaded into a table of integer columns in order of release, which is not counted. `--queries` of
the origins are asked, spread evenly, and the seconds scaled to all of them (0 = every one is asked). The last line
printed is the job's report.

    window      the newest change of each cell published by the origin, by a window function
    newest      the same by an aggregate: the value at the largest instant
    intervals   every change is first given the instant up to which it is valid; a query is then a filter
    asof        cells joined with their newest change by an ASOF join
    merge_asof  the same by pandas, from a frame of the same columns in order of release
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from panels import snapshot_origins
from terms import PANELS, SNAPSHOTS, Report, panel_of

LOAD = """
CREATE TABLE changes AS SELECT substr(series_id, 2)::INTEGER AS code,
    (year(period) * 12 + month(period))::INTEGER AS period, epoch_us(published_at) AS published, value
FROM read_parquet($file) ORDER BY published, code, period
"""
INTERVALS = """
CREATE TABLE valid AS SELECT code, period, published, value,
    coalesce(lead(published) OVER (PARTITION BY code, period ORDER BY published), 9223372036854775807) AS until
FROM changes ORDER BY published
"""
CELLS = "CREATE TABLE cells AS SELECT DISTINCT code, period FROM changes"
QUERIES = {
    "window": """
SELECT code, period, value FROM changes WHERE published <= $at
QUALIFY row_number() OVER (PARTITION BY code, period ORDER BY published DESC) = 1
""",
    "newest": """
SELECT code, period, arg_max(value, published) AS value FROM changes WHERE published <= $at GROUP BY code, period
""",
    "intervals": "SELECT code, period, value FROM valid WHERE published <= $at AND until > $at",
    "asof": """
SELECT c.code, c.period, v.value FROM (SELECT code, period, $at AS at FROM cells) c
ASOF JOIN changes v ON c.code = v.code AND c.period = v.period AND c.at >= v.published
""",
}
PANDAS = "merge_asof"
PREPARED = {"window": None, "newest": None, "intervals": INTERVALS, "asof": CELLS, PANDAS: CELLS}


def main(arguments: list[str]) -> None:
    """Run one way of asking and print its report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=sorted(PREPARED))
    parser.add_argument("panel", choices=sorted(PANELS))
    parser.add_argument("file", type=Path)
    for name in ("series", "periods", "revisions", "queries"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--origins", type=int, default=SNAPSHOTS)
    parser.add_argument("--workers", type=int, default=2, help="threads")
    options = parser.parse_args(arguments)
    panel = panel_of(options.panel, series=options.series, periods=options.periods, revisions=options.revisions)
    report = Report()
    connection = duckdb.connect(config={"threads": options.workers})
    connection.execute(LOAD, {"file": str(options.file)})
    loaded = connection.execute("FROM changes ORDER BY published").df() if options.way == PANDAS else None
    if PREPARED[options.way]:
        with report.stage("prepare"):
            connection.execute(PREPARED[options.way])
    cells = connection.execute("FROM cells").df() if options.way == PANDAS else None
    origins = snapshot_origins(panel, options.origins)
    asked = np.unique(np.linspace(0, len(origins) - 1, options.queries or len(origins)).round().astype(int))
    known, total = 0, 0.0
    for place in asked:
        at = round(origins[place].timestamp() * 1e6)
        with report.stage("replay"):
            if loaded is None:
                rows = connection.execute(QUERIES[options.way], {"at": at}).fetchnumpy()
            else:
                rows = newest(loaded, cells, at)
            found = matrix(rows, panel.series)
        known += int((~np.isnan(found)).sum())
        total += float(np.nansum(found))
    report.seconds["replay"] *= len(origins) / len(asked)
    report.check = {"asked": float(len(asked)), "known": float(known), "total": total}
    report.close()


def newest(changes: pd.DataFrame, cells: pd.DataFrame, at: int) -> pd.DataFrame:
    """The newest change of each cell published by an instant; NaN where there is none yet."""
    asked = cells.assign(at=np.int64(at))
    return pd.merge_asof(asked, changes, left_on="at", right_on="published", by=["code", "period"])


def matrix(rows: Mapping[str, np.ndarray] | pd.DataFrame, series: int) -> np.ndarray:
    """[series, period], NaN where nothing is known: what features are made of."""
    periods = np.asarray(rows["period"])
    if not len(periods):
        return np.full((series, 0), np.nan)
    first = int(periods.min())
    found = np.full((series, int(periods.max()) - first + 1), np.nan)
    found[np.asarray(rows["code"]), periods - first] = np.asarray(rows["value"])
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
