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
from harness.data.archive.store import query
from harness.data.changes import MANIFEST, manifest_hash
from harness.data.declaration import Catalogue, series_to_text
from harness.data.saving import write_changes

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
        if manifest_hash(text) == manifest.parent.name and json.loads(text)["state"] == state:
            return manifest.parent
    return write_changes(folder, dict(_tables(connection, catalogue)), state=state)


def _tables(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> list[tuple[str, Mapping[str, pl.Series]]]:
    # codes of the file follow the order of the stored ids, so that sorting by code is sorting by id
    ids = sorted(catalogue.codes)
    rank = np.zeros(max(catalogue.series, default=-1) + 1, dtype=np.int32)
    for place, name in enumerate(ids):
        rank[catalogue.codes[name]] = place

    def read(text: str, order: tuple[str, ...]) -> dict[str, pl.Series]:
        frame = query(connection, text)
        codes = pl.Series("code", rank[frame["code"].to_numpy()])
        return frame.with_columns(codes).sort(order).to_dict()

    known = questions.known(connection)
    series = {
        "code": pl.Series(range(len(ids)), dtype=pl.Int32),
        "id": pl.Series(ids, dtype=pl.String),
        "spec": pl.Series([series_to_text(catalogue.series[catalogue.codes[name]]) for name in ids], dtype=pl.String),
        "known_through": pl.Series([known.get(catalogue.codes[name], NEVER) for name in ids], dtype=pl.Int64),
    }
    return [
        ("series", series),
        ("changes", read(CHANGES, ("published", "code", "period"))),
        (
            "publications",
            read(PUBLICATIONS, ("published", "code", "first", "last", "complete", "countable", "captured")),
        ),
        ("forecasts", read(FORECASTS, ("issued", "source", "code", "period", "quantile"))),
    ]
