"""Tables of all runs together, each row with the run and the experiment it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl

from harness.core.errors import FEW, MissingTableError, listed
from harness.record.home import Home
from harness.record.registry import effort_rows
from harness.record.runs import RunFiles, finished_runs, list_runs, read_table, stores
from harness.record.trials import Searches, searches_frame, searches_of, trials_frame

NAMES = {
    "forecasts": "forecasts",
    "errors": "errors",
    "scores": "scores",
    "common_sample": "common_sample",
    "leaderboards": "leaderboard",
    "against_rivals": "against_rivals",
    "run_inputs": "inputs",
    "run_origins": "origins",
    "statuses": "statuses",
}
"""Views over the tables of runs: name of the view, and of the table."""
UNSTORED = "of very many series forecasts stay in their cells: harness export RUN --to FOLDER writes them as tables"
OWN = {"run_id": "run_id", "experiment": "name"}
EFFORT = pl.Schema(
    {
        "what": pl.String(),
        "series": pl.String(),
        "fingerprint": pl.String(),
        "model": pl.String(),
        "how": pl.String(),
        "origin": pl.String(),
        "trials": pl.Int64(),
        "identity": pl.String(),
        "run_id": pl.String(),
    }
)
RUNS = pl.Schema(
    {
        "run_id": pl.String(),
        "experiment": pl.String(),
        "status": pl.String(),
        "started_at": pl.String(),
        "finished_at": pl.String(),
        "question": pl.String(),
        "change_file": pl.String(),
        "archive_state": pl.String(),
        "code_version": pl.String(),
        "code_hash": pl.String(),
        "machine": pl.String(),
        "seconds": pl.Float64(),
        "peak_memory_bytes": pl.Int64(),
        "cells": pl.Int64(),
    }
)


def run_views(home: Home) -> Mapping[str, Callable[[], pl.DataFrame]]:
    """Every table of all finished runs by name, read (and checked against its hash) when it is called."""

    def reader(table: str) -> Callable[[], pl.DataFrame]:
        return lambda: _all(home, table)

    return {
        "runs": lambda: _runs(home),
        **{view: reader(table) for view, table in NAMES.items()},
        "searches": lambda: _searched(home, searches_frame),
        "trials": lambda: _searched(home, trials_frame),
        "effort": lambda: _effort(home),
    }


def _searched(home: Home, frame: Callable[[Searches], pl.DataFrame]) -> pl.DataFrame:
    """A table of the searches of all finished runs; a search that two runs rest on is in it twice."""
    parts = []
    for manifest in finished_runs(home) or [{}]:
        own = (pl.lit(str(manifest.get(key)), pl.String()).alias(name) for name, key in OWN.items())
        parts.append(frame(searches_of(manifest, home)).select(*own, pl.all()))
    return pl.concat(parts)


def _effort(home: Home) -> pl.DataFrame:
    frame = pl.DataFrame(list(effort_rows(home)), schema=EFFORT, orient="row")
    return frame.with_columns(pl.col("origin").str.to_datetime(time_unit="us", time_zone="UTC"))


def _all(home: Home, table: str) -> pl.DataFrame:
    parts = []
    without = left_out(home, table)
    for manifest in finished_runs(home):
        run_id = str(manifest["run_id"])
        if run_id not in without:
            frame = read_table(RunFiles(run_id, home.runs / run_id), table).drop("run_id", strict=False)
            own = (pl.lit(run_id).alias("run_id"), pl.lit(str(manifest.get("name"))).alias("experiment"))
            parts.append(frame.select(*own, pl.all()))
    if without and not parts:
        raise MissingTableError(f"no run stores the table {table}", value=listed(without, FEW), rule=UNSTORED)
    return pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame(schema={"run_id": pl.String()})


def left_out(home: Home, table: str) -> list[str]:
    """Finished runs that store no such table; of very many series no forecast has a row.

    Args:
        home: the home folder.
        table: its name.
    """
    return [str(one["run_id"]) for one in finished_runs(home) if not stores(one, table)]


def _runs(home: Home) -> pl.DataFrame:
    rows = []
    for manifest in list_runs(home):
        archive, code, platform, measured, experiment, cells = (
            _mapping(manifest.get(name)) for name in ("archive", "code", "platform", "measured", "experiment", "cells")
        )
        rows.append(
            {
                "run_id": manifest.get("run_id"),
                "experiment": manifest.get("name"),
                **{name: manifest.get(name) for name in ("status", "started_at", "finished_at")},
                "question": experiment.get("question"),
                "change_file": archive.get("change_file"),
                "archive_state": archive.get("state"),
                "code_version": code.get("version"),
                "code_hash": code.get("hash"),
                "machine": platform.get("machine"),
                "seconds": sum(float(str(one)) for one in _mapping(measured.get("seconds")).values()),
                "peak_memory_bytes": measured.get("peak_memory_bytes"),
                "cells": sum(len(keys) for keys in cells.values() if isinstance(keys, list)),
            }
        )
    return pl.DataFrame(rows, schema=RUNS)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
