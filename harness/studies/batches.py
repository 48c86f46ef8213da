"""Which batches and raw files published values came in, and what cleaning recorded of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from harness.core.frames import UTC_INSTANT
from harness.core.time import NEVER, instant, micros
from harness.data.archive import Archive
from harness.record.home import Home
from harness.studies.made_of import Published
from harness.studies.recorded import Recorded

VALUES = pl.Schema(
    {
        "of": pl.String(),
        "series_id": pl.String(),
        "period": pl.Date(),
        "value": pl.Float64(),
        "published_at": UTC_INSTANT,
        "availability": pl.String(),
        "value_known_at": UTC_INSTANT,
        "batch": pl.Int32(),
    }
)
BATCHES = pl.Schema(
    {
        "batch": pl.Int32(),
        "kind": pl.String(),
        "source": pl.String(),
        "sha256": pl.String(),
        "rows_in": pl.Int64(),
        "kept": pl.Int64(),
        "set_aside": pl.Int64(),
        "ingested": pl.String(),
        "raw_file": pl.String(),
        "raw_sha256": pl.String(),
        "raw_kept": pl.Boolean(),
        "cleaning": pl.String(),
    }
)


def known_batches(home: Home, archive: Archive | None, values: Sequence[Published]) -> dict[tuple[str, int, int], int]:
    """The batch of every published value, by (series, period, instant); empty where the archive is not here."""
    there = _here(home, archive)
    cells = {(one.series_id, one.ordinal, one.stated.published) for one in values}
    return {} if there is None else there.batches_of_cells(sorted(cells))


def issue_batches(home: Home, archive: Archive | None, issue: pl.DataFrame) -> set[int]:
    """The batch of every published value, by (series, period, instant); empty where the archive is not here."""
    there = _here(home, archive)
    if there is None or not issue.height:
        return set()
    row = issue.row(0, named=True)
    return set(there.batches_of_issue(row["source"], row["series_id"], micros(row["issued_at"])))


def values_table(values: Sequence[Published], batches: Mapping[tuple[str, int, int], int]) -> pl.DataFrame:
    """The published values that were used, with their batches."""

    def moment(at: int) -> datetime | None:
        return None if at == NEVER else instant(at)

    rows = [
        (
            one.of,
            one.series_id,
            one.period,
            one.stated.value,
            instant(one.stated.published),
            one.availability,
            moment(one.stated.vintage),
            batches.get((one.series_id, one.ordinal, one.stated.published)),
        )
        for one in values
    ]
    return pl.DataFrame(rows, schema=VALUES, orient="row")


def batches_table(run: Recorded, home: Home, used: set[int] | None) -> pl.DataFrame:
    """Recorded batches (None = all of the run's), one row per raw file; a batch of none has one row without."""
    recorded = run.manifest.get("batches")
    kept = {path.name.partition(".")[0] for path in home.raw.iterdir()} if home.raw.is_dir() else set()
    rows = []
    for batch in recorded if isinstance(recorded, list) else []:
        if used is not None and batch["batch"] not in used:
            continue
        for raw in batch["raw"] or [{"name": None, "sha256": None}]:
            here = None if raw["sha256"] is None else raw["sha256"] in kept
            own = {name: batch.get(name) for name in BATCHES.names()}
            rows.append({**own, "raw_file": raw["name"], "raw_sha256": raw["sha256"], "raw_kept": here})
    return pl.DataFrame(rows, schema=BATCHES)


def cleaned_of(home: Home, archive: Archive | None, batches: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """What cleaning recorded of these batches."""
    there = _here(home, archive)
    return {} if there is None else there.cleaning_of(batches["batch"].unique().to_list())


def of_values(
    cleaned: Mapping[str, pl.DataFrame], values: pl.DataFrame, issue: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """What cleaning recorded of the cells that were used: rows of their periods, and the steps and assertions of these.

    A step that rewrote words of the file, wherever they stood, is kept without the words.

    Args:
        cleaned: `cleaning`, `touched`, `assertions`, `failures` of whole batches.
        values: series_id and period of the published values that were used.
        issue: the same of an external's path.
    """
    cells = pl.concat([frame.select("series_id", pl.col("period").cast(pl.String)) for frame in (values, issue)])
    cells = cells.unique().rename({"series_id": "series"})
    found = dict(cleaned)
    for rows, heads, name in (("touched", "cleaning", "step"), ("failures", "assertions", "assertion")):
        if rows not in found or heads not in found:
            continue
        everywhere = found[rows].filter(pl.col("series").fill_null("") == "")
        found[rows] = found[rows].join(cells, on=["series", "period"], how="semi", maintain_order="left")
        named = pl.concat([frame.select("batch", name) for frame in (found[rows], everywhere)])
        found[heads] = found[heads].join(named, on=["batch", name], how="semi", maintain_order="left")
    return found


def _here(home: Home, archive: Archive | None) -> Archive | None:
    """The archive, where it is there; newer batches in it do no harm: a value is found by its own instant."""
    if archive is None and home.archive.exists():
        archive = Archive.open(home.archive, read_only=True)
    return archive
