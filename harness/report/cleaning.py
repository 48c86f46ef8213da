"""What an ingest did to a dataset, as text: batches, cleaning steps, assertions, and the rows that were touched."""

from __future__ import annotations

import polars as pl

from harness.core.errors import UserError
from harness.data.archive import Archive
from harness.report.text import table

SHOWN = 20
"""Rows of each table shown unless all are asked for."""


def status_text(archive: Archive, dataset: str) -> str:
    """Batches of a dataset, with its cleaning steps and assertions.

    Args:
        archive: where it was ingested.
        dataset: its name.

    Raises:
        UserError: nothing of it was ingested.
    """
    batches = _batches(archive, dataset)
    rows = [
        [*map(str, row[:2]), *(f"{count:,}" for count in row[2:6]), row[6].isoformat()[:16] if row[6] else "-"]
        for row in batches.select(
            "batch", pl.col("source").str.split(" [").list.first(), "rows_in", "kept", "duplicates", "set_aside",
            "known_through",
        ).rows()
    ]  # fmt: skip
    parts = [table(["batch", "source", "rows in", "new", "duplicates", "set aside", "known through"], rows)]
    steps = _mine(archive.cleaning(), batches).select("batch", "step", "kind", "rows_in", "rows_out", "touched").rows()
    asked = _mine(archive.assertions(), batches)
    verdicts = asked.select("batch", "assertion", "kind", "severity", "verdict", "rows", "failed", "unknown").rows()
    for said, names, found in (
        ("cleaning steps", ["batch", "step", "kind", "rows in", "rows out", "touched"], steps),
        ("assertions", ["batch", "assertion", "kind", "severity", "verdict", "rows", "failed", "unknown"], verdicts),
    ):
        parts.append(table(names, [list(map(_shown, row)) for row in found]) if found else f"no {said} declared")
    return "\n\n".join(parts)


def failures_text(archive: Archive, dataset: str, *, everything: bool = False) -> str:
    """Rows that failed an assertion, rows that a cleaning step touched, and rows the archive did not take.

    Args:
        archive: where it was ingested.
        dataset: its name.
        everything: show all rows.

    Raises:
        UserError: nothing of it was ingested.
    """
    batches = _batches(archive, dataset)
    where = ("batch", "line", "series", "period", "published", "before", "after", "reason")
    parts = []
    for said, frame, columns in (
        ("failed an assertion", archive.failures(), ("assertion", "severity", *where)),
        ("touched by a cleaning step", archive.touched(), ("step", *where)),
        ("not taken", archive.set_aside(), ("batch", "series_id", "period", "published", "value", "reason")),
    ):
        mine = _mine(frame, batches)
        if mine.height:
            shown = mine if everything else mine.head(SHOWN)
            rows = [list(map(_shown, row)) for row in shown.select(columns).rows()]
            more = f"; the first {SHOWN} of them, --all shows the rest" if shown.height < mine.height else ""
            parts.append(f"{mine.height} row(s) {said}{more}\n{table(list(columns), rows)}")
    return "\n\n".join(parts) or f"{dataset}: no row failed, was touched or was set aside"


def _batches(archive: Archive, dataset: str) -> pl.DataFrame:
    found = archive.batches().filter(pl.col("source").str.starts_with(f"{dataset}: "))
    if not found.height:
        raise UserError("nothing of this dataset was ingested", value=dataset, fix=f"harness ingest {dataset}")
    return found


def _mine(frame: pl.DataFrame, batches: pl.DataFrame) -> pl.DataFrame:
    return frame.join(batches.select("batch"), on="batch", how="semi", maintain_order="left")


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)
