"""The change folder of an open archive: what its tables hold, sorted and coded as the change file wants it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from harness.core.time import NEVER
from harness.data.archive import questions
from harness.data.archive.announcing import event_rows, final_values, member_rows
from harness.data.archive.store import query
from harness.data.changes import FORMAT, MANIFEST, ChangeFile, manifest_hash
from harness.data.declaration import Catalogue, series_to_text
from harness.data.saving import hold_changes, write_changes

CHANGES = f"""
SELECT code, period::BIGINT AS period, published, coalesce(value, 'nan'::DOUBLE) AS value, availability,
       coalesce(vintage, {NEVER}) AS vintage
FROM changes
"""  # noqa: S608 - a number of ours
# a publication once missed and captured later is no longer missing
PUBLICATIONS = """
SELECT DISTINCT code, published, first::BIGINT AS first, last::BIGINT AS last, complete, captured, countable
FROM publications p
WHERE captured OR NOT EXISTS (
    SELECT 1 FROM publications q WHERE q.code = p.code AND q.published = p.published AND q.captured)
"""
FORECASTS = "SELECT source, code, issued, cutoff, period, quantile, value, conditioning, backfilled FROM forecasts_in"


def export_changes(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, folder: Path) -> Path:
    """Write the change folder of an open archive, or find the one already written for its state."""
    state = questions.state(connection)
    for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
        text = manifest.read_bytes()
        if manifest_hash(text) != manifest.parent.name:
            continue
        # a folder of an earlier form is left alone, and the state written once more in the present one
        if (json.loads(text)["format"], json.loads(text)["state"]) == (FORMAT, state):
            return manifest.parent
    return write_changes(folder, dict(_tables(connection, catalogue)), state=state)


def hold_changes_of(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> ChangeFile:
    """The change file of an open archive, held in memory alone."""
    return hold_changes(dict(_tables(connection, catalogue)), state=questions.state(connection))


def _tables(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> list[tuple[str, Mapping[str, pl.Series]]]:
    # codes of the file follow the order of the stored ids, so that sorting by code is sorting by id
    ids = sorted(catalogue.codes)
    rank = np.zeros(max(catalogue.series, default=-1) + 1, dtype=np.int32)
    for place, name in enumerate(ids):
        rank[catalogue.codes[name]] = place

    def read(text: str, order: tuple[str, ...], more: pl.DataFrame | None = None) -> dict[str, pl.Series]:
        frame = query(connection, text)
        return coded(
            frame if more is None else pl.concat([frame, more.select(frame.columns).cast(frame.schema)]), order
        )

    def coded(frame: pl.DataFrame, order: tuple[str, ...]) -> dict[str, pl.Series]:
        codes = pl.Series("code", rank[frame["code"].to_numpy()])
        return frame.with_columns(codes).sort(order).to_dict()

    known, finals = questions.known(connection), final_values(connection, catalogue)
    stated = finals.select(
        "code", "published", pl.col("period").alias("first"), pl.col("period").alias("last"),
        complete=pl.lit(value=False), captured=pl.lit(value=True), countable=pl.lit(value=True),
    )  # fmt: skip
    series = {
        "code": pl.Series(range(len(ids)), dtype=pl.Int32),
        "id": pl.Series(ids, dtype=pl.String),
        "spec": pl.Series([series_to_text(catalogue.series[catalogue.codes[name]]) for name in ids], dtype=pl.String),
        "known_through": pl.Series([known.get(catalogue.codes[name], NEVER) for name in ids], dtype=pl.Int64),
    }
    return [
        ("series", series),
        ("changes", read(CHANGES, ("published", "code", "period"), finals)),
        (
            "publications",
            read(PUBLICATIONS, ("published", "code", "first", "last", "complete", "countable", "captured"), stated),
        ),
        ("forecasts", read(FORECASTS, ("issued", "source", "code", "period", "quantile"))),
        ("events", coded(event_rows(connection, catalogue), ("announced", "code", "ex", "kind"))),
        ("members", coded(member_rows(connection), ("announced", "universe", "code", "first"))),
    ]
