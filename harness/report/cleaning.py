"""What an ingest did to a dataset, as text: batches, cleaning steps, assertions, and the rows that were touched."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from harness.core.errors import UserError
from harness.data.archive import Archive
from harness.data.tags import label_of, told_by
from harness.report.text import table

UNCLEAR = (
    "publication stamp(s) name a local time that the clocks of the declared zone skip or have twice: the later reading "
    "is taken. Where the file knows better, write the offset (2024-11-03T01:30:00-04:00) or UTC"
)
SHOWN = 20
"""Rows of each table shown unless all are asked for."""


RESTAMPED = (
    "value(s) were already there under another publication stamp, which their file no longer has: the archive is "
    "append-only, so the old rows stay beside the new. To have the corrected stamps alone, ingest the file into "
    "another home folder (--home DIR, or HARNESS_HOME=DIR), or rename the dataset (its folder and `name`)"
)


def recorded_datasets(archive: Archive) -> set[str]:
    """Names of the datasets of which the archive has a batch or a refusal."""
    sources = archive.batches()["source"].to_list()
    return {one.partition(": ")[0] for one in sources if ": " in one} | set(archive.refusals()["dataset"])


def status_text(archive: Archive, dataset: str) -> str:
    """Batches of a dataset, with its cleaning steps and assertions, and ingests of it that were refused.

    Args:
        archive: where it was ingested.
        dataset: its name.

    Raises:
        UserError: nothing of it was ingested, nor refused.
    """
    batches, refused = _batches(archive, dataset)
    parts = [
        *(
            _taken_in(archive, batches, _superseded(batches))
            if batches.height
            else [f"nothing of {dataset} was ingested"]
        )
    ]
    for batch, label, told in batches.select("batch", "label", "cleaning").rows():
        count = json.loads(told).get("restamped", 0)
        if count:
            parts.append(f"batch {batch}, {label}: {count:,} {RESTAMPED}")
    if refused.height:
        parts.append(_refused_text(archive, refused))
    return "\n\n".join(parts)


def _taken_in(archive: Archive, batches: pl.DataFrame, superseded: Mapping[int, int]) -> list[str]:
    """Every batch; the steps and assertions of those that stand."""
    columns = ("batch", "label", "rows_in", "kept", "duplicates", "set_aside", "known_through", "ingested")
    rows = [
        [str(row[0]), row[1], *(f"{count:,}" for count in row[2:6]), *(_minute(at) for at in row[6:])]
        for row in batches.select(columns).rows()
    ]
    names = ["batch", "source", "rows in", "new", "duplicates", "set aside", "known through", "ingested"]
    parts = [table(names, rows)]
    withdrawn = archive.withdrawals()
    parts += [f"batch {one}: {withdrawn[one]:,} withdrawals" for one in batches["batch"] if one in withdrawn]
    if superseded:
        parts.append(_superseded_text(superseded))
    standing = _standing(batches, superseded)
    step_columns = ("batch", "step", "kind", "rows_in", "rows_out", "touched", "parameters")
    verdict_columns = ("batch", "assertion", "kind", "severity", "verdict", "rows", "failed", "unknown", "parameters")
    for said, wanted, record in (
        ("cleaning steps", step_columns, archive.cleaning()),
        ("assertions", verdict_columns, archive.assertions()),
    ):
        names = [name.replace("_", " ") for name in wanted]
        found = _mine(record, standing).select(wanted).rows()
        parts.append(table(names, [list(map(_shown, row)) for row in found]) if found else f"no {said} declared")
    return parts


def _refused_text(archive: Archive, refused: pl.DataFrame) -> str:
    """Ingests that were refused: when, which file, why, and what was asserted of it."""
    rows = [
        [str(number), f"{at:%Y-%m-%dT%H:%M:%SZ}", _label(source), sha256[:16]]
        for number, at, source, sha256 in refused.select("refusal", "refused", "source", "sha256").rows()
    ]
    parts = ["refused, and not taken in:\n" + table(["refusal", "when", "source", "file hash"], rows)]
    verdicts = archive.refused_assertions().filter(pl.col("refusal").is_in(refused["refusal"].implode()))
    names = ["refusal", "assertion", "kind", "severity", "verdict", "rows", "failed", "unknown"]
    if verdicts.height:
        parts.append(table(names, [list(map(_shown, row)) for row in verdicts.select(names).rows()]))
    reasons = refused.unique("refusal", maintain_order=True).select("refusal", "reason").rows()
    parts += [f"refusal {number}: {reason}" for number, reason in reasons]
    return "\n\n".join(parts)


def failures_text(archive: Archive, dataset: str, *, everything: bool = False) -> str:
    """Rows that failed an assertion, rows that a cleaning step touched, rows not taken, and rows of refused ingests.

    Args:
        archive: where it was ingested.
        dataset: its name.
        everything: show all rows.

    Raises:
        UserError: nothing of it was ingested, nor refused.
    """
    every, refused = _batches(archive, dataset)
    superseded = _superseded(every)
    batches = _standing(every, superseded)
    where = ("line", "series", "period", "published", "before", "after", "reason")
    asked = ("assertion", "severity")
    never = archive.refused_failures().filter(pl.col("refusal").is_in(refused["refusal"].implode()))
    parts = []
    for said, mine, columns in (
        ("failed an assertion", _mine(archive.failures(), batches), (*asked, "batch", *where)),
        ("touched by a cleaning step", _mine(archive.touched(), batches), ("step", "batch", *where)),
        (
            "not taken",
            _mine(archive.set_aside(), batches),
            ("batch", "series_id", "period", "published", "value", "reason"),
        ),
        ("failed an assertion in an ingest that was refused", never, (*asked, "refusal", *where)),
    ):
        if mine.height:
            shown = mine if everything else mine.head(SHOWN)
            rows = [list(map(_shown, row)) for row in shown.select(columns).rows()]
            more = f"; the first {SHOWN} of them, --all shows the rest" if shown.height < mine.height else ""
            parts.append(f"{mine.height} row(s) {said}{more}\n{table(list(columns), rows)}")
    rowless = refused.filter(~pl.col("refusal").is_in(never["refusal"].implode())).unique(
        "refusal", maintain_order=True
    )
    parts += [f"refusal {number}: {reason}" for number, reason in rowless.select("refusal", "reason").rows()]
    parts += [_superseded_text(superseded)] if parts and superseded else []
    return "\n\n".join(parts) or f"{dataset}: no row failed, was touched or was set aside"


def _superseded(batches: pl.DataFrame) -> dict[int, int]:
    """Batches of which the very same file was read again, each with the newest batch of it.

    What one of several sources that share a file says supersedes nothing of another: there the batches are told apart
    by their whole tags, which move with what is asserted.
    """
    files: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in batches.iter_rows(named=True):
        if row["files"]:
            files.setdefault((row["kind"], *_read_as(row["source"]), *row["files"]), []).append(row)
    shared = {key[:3] for key, rows in files.items() if _of_several(rows)}
    found: dict[int, int] = {}
    for key, rows in files.items():
        by_tag = {row["source"]: row["batch"] for row in rows}
        newest = [by_tag[row["source"]] if key[:3] in shared else rows[-1]["batch"] for row in rows]
        found |= {row["batch"]: new for row, new in zip(rows, newest, strict=True) if row["batch"] != new}
    return found


def _read_as(source: str) -> tuple[str, str]:
    """Dataset and file of what a batch is called, and the hash of how the file was read; "" = not told."""
    told = told_by(source, _label(source))
    return _label(source), "" if told is None else told[0]


def _of_several(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether batches of one file, oldest first, are of several sources: one had none of the rows read before it."""
    read = [row["kept"] + row["duplicates"] > 0 for row in rows]
    return any(row["kept"] > 0 and row["duplicates"] == 0 and any(read[:at]) for at, row in enumerate(rows))


def _superseded_text(superseded: Mapping[int, int]) -> str:
    told = ", ".join(f"{old} by {new}" for old, new in superseded.items())
    return (
        f"superseded, as the same file was read again: batch {told}; its values stay, what was said of it is left out"
    )


def _standing(batches: pl.DataFrame, superseded: Mapping[int, int]) -> pl.DataFrame:
    return batches.filter(~pl.col("batch").is_in(list(superseded)))


def _minute(at: datetime | None) -> str:
    return "-" if at is None else at.isoformat()[:16]


def _label(source: str) -> str:
    return label_of(source) or source


def _batches(archive: Archive, dataset: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Batches and refusals of a dataset; `label` says what each batch came from, `files` the hashes of its files."""
    facts: list[dict[str, Any]] = archive.provenance()[1]
    aside = dict(archive.set_aside().group_by("batch").agg("series_id").rows())
    told = [
        {"batch": one["batch"], "label": label, "files": [raw["sha256"] for raw in one["raw"]]}
        for one in facts
        if (label := _of_dataset(one, aside.get(one["batch"], []), dataset))
    ]
    mine = pl.DataFrame(told, schema={"batch": pl.Int32, "label": pl.String, "files": pl.List(pl.String)})
    found = archive.batches().join(mine, on="batch", maintain_order="left")
    refused = archive.refusals().filter(pl.col("dataset") == dataset)
    if not found.height and not refused.height:
        raise UserError("nothing of this dataset was ingested", value=dataset, fix=f"harness ingest {dataset}")
    return found, refused


def _of_dataset(fact: Mapping[str, Any], aside: Sequence[str], dataset: str) -> str:
    """What a batch of a dataset came from; "" = it is none of its own.

    A batch is called by its dataset and file; forecasts, of which nothing is asserted, by their issuers. `aside` are
    series of which it set rows aside.
    """
    if fact["source"].startswith(f"{dataset}: "):
        return _label(fact["source"])
    if fact["kind"] != "forecasts" or not any(one.startswith(f"{dataset}/") for one in (*fact["series"], *aside)):
        return ""
    files = ", ".join(one["name"] for one in fact["raw"])
    return f"{dataset}: {files}" if files else fact["source"]


def _mine(frame: pl.DataFrame, batches: pl.DataFrame) -> pl.DataFrame:
    return frame.join(batches.select("batch"), on="batch", how="semi", maintain_order="left")


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)
