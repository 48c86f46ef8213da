"""A batch as a call received it, packed for the vault: at the opening it is entered as it would have been."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Self

import polars as pl

from harness.data.archive import Archive, BatchReport
from harness.data.batch import Coverage
from harness.data.cleaning.notes import Treated

BATCH = "batch"
"""Kind of such a part of a vault."""
VALUES, FORECASTS, EVENTS, MEMBERS = "values", "forecasts", "events", "members"
HEAD, FRAME, PUBLICATIONS, ASIDE, UNCAPTURED, TREATED = (
    "head.json", "frame", "publications", "aside", "uncaptured", "treated-",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """One call of an `Archive.append...`, with the whole frame that was given, rows before the cut included.

    Attributes:
        kind: `values`, `forecasts`, `events` or `members`.
        frame: as given.
        at: microseconds UTC at which it was entered; what is dated later was set aside then.
        source, coverage, known_through, publications, treated, raw, label, record_empty: as given.
    """

    kind: str
    frame: pl.DataFrame
    at: int
    source: str | None = None
    coverage: Coverage = "rows"
    known_through: datetime | date | None = None
    publications: pl.DataFrame | None = None
    treated: Treated | None = None
    raw: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    record_empty: bool = False

    def packed(self) -> bytes:
        """All of it as bytes (a zip of JSON and Parquet)."""
        frames = {FRAME: self.frame}
        if self.publications is not None:
            frames[PUBLICATIONS] = self.publications
        if self.treated is not None:
            frames |= {f"{TREATED}{name}": frame for name, frame in self.treated.tables.items()}
            frames |= {ASIDE: self.treated.aside, UNCAPTURED: self.treated.uncaptured}
        through = self.known_through
        head = {
            "kind": self.kind,
            "at": self.at,
            "source": self.source,
            "coverage": self.coverage,
            "known_through": None if through is None else through.isoformat(),
            "a_day": not isinstance(through, datetime),
            "raw": dict(self.raw),
            "label": self.label,
            "record_empty": self.record_empty,
            "originals": {} if self.treated is None else dict(self.treated.originals),
        }
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as packed:
            packed.writestr(HEAD, json.dumps(head))
            for name, frame in frames.items():
                content = io.BytesIO()
                frame.write_parquet(content)
                packed.writestr(name, content.getvalue())
        return buffer.getvalue()

    @classmethod
    def unpacked(cls, content: bytes) -> Self:
        """What `packed` made bytes of."""
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            head = json.loads(packed.read(HEAD))
            frames = {
                name: pl.read_parquet(io.BytesIO(packed.read(name))) for name in packed.namelist() if name != HEAD
            }
        tables = {name.removeprefix(TREATED): frame for name, frame in frames.items() if name.startswith(TREATED)}
        through = head["known_through"]
        read = date.fromisoformat if head["a_day"] else datetime.fromisoformat
        return cls(
            head["kind"],
            frames[FRAME],
            head["at"],
            head["source"],
            head["coverage"],
            None if through is None else read(through),
            frames.get(PUBLICATIONS),
            Treated(tables, frames[ASIDE], frames[UNCAPTURED], head["originals"]) if ASIDE in frames else None,
            head["raw"],
            head["label"],
            head.get("record_empty", False),  # older vaults have no such word
        )

    def enter(self, archive: Archive) -> BatchReport:
        """Append it to an archive, at the instant it was received."""
        clocked = archive.at(self.at)
        if self.kind == FORECASTS:
            return clocked.append_forecasts(
                self.frame, source=self.source, raw=self.raw, label=self.label, treated=self.treated
            )
        if self.kind == EVENTS:
            return clocked.append_events(self.frame, source=self.source or "", raw=self.raw, treated=self.treated)
        if self.kind == MEMBERS:
            return clocked.append_members(self.frame, source=self.source or "", raw=self.raw, treated=self.treated)
        return clocked.append(
            self.frame,
            source=self.source or "",
            coverage=self.coverage,
            known_through=self.known_through,
            publications=self.publications,
            treated=self.treated,
            raw=self.raw,
            record_empty=self.record_empty,
        )
