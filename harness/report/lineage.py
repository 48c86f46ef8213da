"""What `harness lineage` prints."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from harness.report.facts import moment_text
from harness.report.text import table
from harness.studies.lineage import Lineage

SHOWN = 24
"""Rows of a table printed at most."""
HISTORY = 8
"""Newest values of a history that are printed."""
LEFT = {"values": 2, "batches": 2, "models": 2, "features": 1, "issue": 2}
HIDDEN = {
    "batches": ("cleaning", "kept", "ingested"),
    "issue": ("series_id",),
    "cleaning": ("place", "hash_before", "hash_after"),
    "assertions": ("place", "hash"),
}
ORIGINS = ("origin", "trained_at", "searched_at", "refit_origin", "first_pseudo_origin", "last_pseudo_origin")
"""Shown as days of the target's zone, as everywhere; other instants in UTC."""
IN_FULL = ("parameters", "setting", "params")
WIDEST = 70
"""Characters of a text that are printed at most, unless it is one of those shown in full."""


def lineage_text(found: Lineage) -> str:
    """Sections of facts, then every table, then the reservations."""
    parts = [f"run {found.run_id}"]
    for name, facts in found.facts.items():
        told = [(key, value) for key, value in facts.items() if value is not None and value != ""]
        width = max((len(key) for key, _ in told), default=0)
        parts.append("\n".join([name, *(f"  {key:<{width}}  {_text(key, value, found.zone)}" for key, value in told)]))
    parts += [_table(name, frame, found.zone) for name, frame in found.tables.items() if frame.height]
    parts += [f"note: {note}" for note in found.notes]
    return "\n\n".join(parts)


def _table(name: str, frame: pl.DataFrame, zone: str) -> str:
    lines = []
    if name == "values":
        history = frame.filter(pl.col("of") == "history")
        if history.height > HISTORY:
            newest = history.sort("series_id", "period").group_by("series_id", maintain_order=True).tail(HISTORY)
            newest = newest.select(frame.columns)  # the key comes first otherwise
            frame = pl.concat([newest, frame.filter(pl.col("of") != "history")])
            lines.append(f"  the {HISTORY} newest of {history.height} values of the history known at the origin")
        keys = frame.columns[1:]
        frame = frame.group_by(keys, maintain_order=True).agg(pl.col("of").unique(maintain_order=True))
        frame = frame.select(*keys, pl.col("of").list.join(", "))
    shown = frame.drop(HIDDEN.get(name, ()), strict=False)
    more = (
        "" if shown.height <= SHOWN else f"\n  and {shown.height - SHOWN} more rows: run.lineage(...).table({name!r})"
    )
    rows = [[_text(key, value, zone) for key, value in row.items()] for row in shown.head(SHOWN).iter_rows(named=True)]
    return "\n".join([name, *lines, table(shown.columns, rows, left=LEFT.get(name, 1), indent="  ") + more])


def _text(name: str, value: object, zone: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return moment_text(value, zone) if name in ORIGINS else value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float):
        return repr(value)
    return str(value) if name in IN_FULL else str(value)[:WIDEST]
