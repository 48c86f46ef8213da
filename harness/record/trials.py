"""The searches a run rests on, read from their records: one row per search, and one per trial."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import polars as pl

from harness.core.errors import DamagedError
from harness.core.frames import UTC_INSTANT
from harness.record.home import Home
from harness.record.studies import END, STUDY, VOUCHED, StudyRecord, study_told

TRIALS = pl.Schema(
    {
        "model": pl.String(),
        "origin": UTC_INSTANT,
        "trial": pl.Int32(),
        "batch": pl.Int32(),
        "state": pl.String(),
        "value": pl.Float64(),
        "best": pl.Boolean(),
        "setting": pl.String(),
        "folds": pl.List(pl.Float64()),
        "reason": pl.String(),
        "unanswered": pl.Int32(),
        "seconds": pl.Float64(),
        "study": pl.String(),
    }
)
SEARCHES = pl.Schema(
    {
        "model": pl.String(),
        "origin": UTC_INSTANT,
        "study": pl.String(),
        "sampler": pl.String(),
        "objective": pl.String(),
        "trials": pl.Int32(),
        "complete": pl.Int32(),
        "pruned": pl.Int32(),
        "failed": pl.Int32(),
        "best": pl.Int32(),
        "value": pl.Float64(),
        "setting": pl.String(),
        "ended": pl.String(),
        "seconds": pl.Float64(),
    }
)
Searches = dict[str, dict[str, StudyRecord]]
"""Model -> (origin, ISO text -> record)."""


def searches_of(manifest: Mapping[str, object], home: Home) -> Searches:
    """Model -> (origin -> record) of every search a run rests on.

    Raises:
        DamagedError: a record is missing or is not what was written.
    """
    listed: Any = manifest.get("studies", {})
    return {
        model: {origin: _record(manifest, home, f"{model}, {origin}", key) for origin, key in keys.items()}
        for model, keys in listed.items()
    }


def _record(manifest: Mapping[str, object], home: Home, place: str, key: str) -> StudyRecord:
    """The record of a search, which is the one that the run vouches for."""
    vouched: Any = manifest.get(VOUCHED)
    what, wrong, record = "the record of a search is not the one the run rests on", "", None
    try:
        record = study_told(home.studies, key)
        wrong = record.differing(vouched[key]) if vouched else record.problem
    except (OSError, DamagedError) as error:
        there = isinstance(error, DamagedError) and (home.studies / key / STUDY).exists()
        what = "the record of a search is " + ("damaged" if there else "missing")
        wrong = error.what if isinstance(error, DamagedError) else "there are no trials"
    except (KeyError, TypeError):
        wrong = "the run vouches for no such search"
    if record is not None and not wrong:
        return record
    raise DamagedError(
        what,
        value=f"run {manifest.get('run_id')}, {place}: studies/{key}: {wrong}",
        rule="a run shows the very trials it was made with",
        fix=f"bring studies/{key} back from a copy, or move it away and run"
        f" harness backtest {manifest.get('name') or 'EXPERIMENT'} again: it is made again",
    )


def trials_frame(searches: Searches) -> pl.DataFrame:
    """One row per trial, columns of `TRIALS`."""
    rows = [
        {
            "model": model,
            "origin": record.head["origin"],
            "trial": line["number"],
            **{name: line[name] for name in ("batch", "state", "value", "folds", "reason", "unanswered", "seconds")},
            "best": line["number"] == record.end.get("best"),
            "setting": json.dumps(line["params"], ensure_ascii=False),
            "study": record.key,
        }
        for model, mine in searches.items()
        for record in mine.values()
        for line in record.trials
    ]
    if not rows:
        return pl.DataFrame(schema=TRIALS)
    frame = pl.DataFrame(rows, schema_overrides={"value": pl.Float64(), "folds": pl.List(pl.Float64())})
    return frame.with_columns(pl.col("origin").str.to_datetime(time_unit="us", time_zone="UTC")).select(
        pl.col(name).cast(kind) for name, kind in TRIALS.items()
    )


def searches_frame(searches: Searches) -> pl.DataFrame:
    """One row per search with its best trial, columns of `SEARCHES`."""
    rows = []
    for model, mine in searches.items():
        for record in mine.values():
            head: Any = record.head
            best: Any = record.end.get("best")
            chosen = record.trials[best] if best is not None and record.trials else {}
            states = Counter(line["state"] for line in record.trials)
            rows.append(
                {
                    "model": model,
                    "origin": head["origin"],
                    "study": record.key,
                    "sampler": head["sampler"]["name"],
                    "objective": head["objective"]["metric"],
                    "trials": len(record.trials),
                    **{state: states[state] for state in ("complete", "pruned", "failed")},
                    "best": best,
                    "value": chosen.get("value"),
                    "setting": json.dumps(chosen.get("params"), ensure_ascii=False) if chosen else None,
                    "ended": record.end.get(END),
                    "seconds": sum(float(str(line["seconds"])) for line in record.trials),
                }
            )
    frame = pl.DataFrame(rows, schema={**SEARCHES, "origin": pl.String()}, orient="row")
    return frame.with_columns(pl.col("origin").str.to_datetime(time_unit="us", time_zone="UTC"))
