"""The change file: every change in order of publication, memory-mapped or held in memory, checked before use."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from harness.core.errors import DamagedError, UnknownNameError
from harness.core.names import Names
from harness.core.series import Series
from harness.core.time import NEVER
from harness.core.transform import Floats
from harness.data.declaration import Declarations
from harness.record.arrow import numbers, whole, words
from harness.record.files import sha256_of

FORMAT = 3
MANIFEST = "manifest.json"
PUBLISHED = ("published", "code", "first", "last", "complete", "captured", "countable")
"""Columns of publications as they stand in the file, and are hashed."""
FILES = {
    "changes": "changes.arrow",
    "publications": "publications.arrow",
    "forecasts": "forecasts_in.arrow",
    "series": "series.arrow",
    "events": "events.arrow",
    "members": "members.arrow",
}
MANY = 1 << 20
"""Changes from which on a file does not stay in memory whole."""
_checked: set[tuple[str, tuple[int, ...]]] = set()

Codes = NDArray[np.int32]
Micros = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PublicationRows:
    """Publications in order of time; arrays of equal length.

    Attributes:
        code: series code (place of the id among the sorted ids).
        published: microseconds UTC.
        first, last: ordinals of the first and last period covered.
        complete: whether cells left out of the span are withdrawn.
        captured: whether its values are at hand.
        countable: whether releases may be counted by it.
    """

    code: Codes
    published: Micros
    first: Micros
    last: Micros
    complete: Flags
    captured: Flags
    countable: Flags

    @classmethod
    def of_each(cls, code: Codes, published: Micros, period: Micros) -> Self:
        """A publication of each change by itself, over the very arrays of the changes."""
        no, yes = (np.broadcast_to(np.bool_(flag), len(code)) for flag in (False, True))
        return cls(code, published, first=period, last=period, complete=no, captured=yes, countable=yes)


@dataclass(frozen=True, slots=True, eq=False)
class EventRows:
    """Price events in order of their announcement; arrays of equal length.

    Attributes:
        code: series code.
        ex: ordinal of the first period whose level is after the event.
        announced: microseconds UTC.
        kind: index into `data.announced.EVENT_KINDS`.
        value: new shares per old share, cash per old share, or final value per share (NaN = unknown).
    """

    code: Codes
    ex: Micros
    announced: Micros
    kind: NDArray[np.int8]
    value: Floats


@dataclass(frozen=True, slots=True, eq=False)
class ChangeFile:
    """All changes of an archive state, sorted by (published, series id, period); arrays are read-only.

    Attributes:
        place: the folder it lies in; None = it is held in memory alone.
        hash: hash of its content, the same in a folder and in memory.
        state: identity of the archive state it was exported from (`Archive.state`).
        ids: stored ids, ascending; a code is a place in it.
        series: declarations by stored id.
        known_through: microseconds UTC up to which each series with values is known.
        code, period, published, value, vintage, availability: [change] series code, period ordinal, microseconds UTC,
            value (NaN = withdrawn), microseconds of the number's own vintage (NEVER = hindsight), and 0 observed,
            1 rule, 2 assumed.
        publications: every publication; where each change is one by itself the file holds no rows of them.
        forecasts: external forecasts: source, code, issued, cutoff, period, quantile, value, conditioning, backfilled.
        events: price events; a delisting's final value is also a change (and a publication) of its ex-date.
        members: memberships by announcement: universe, code, first, last (epoch days; NEVER = open), announced.
    """

    place: Path | None
    hash: str
    state: str
    ids: tuple[str, ...]
    series: Mapping[str, Series]
    known_through: dict[str, int]
    code: Codes
    period: Micros
    published: Micros
    value: Floats
    vintage: Micros
    availability: NDArray[np.int8]
    publications: PublicationRows
    forecasts: pl.DataFrame
    events: EventRows
    members: pl.DataFrame
    codes: dict[str, int] = field(repr=False)

    @property
    def folder(self) -> Path:
        """Where it lies.

        Raises:
            ValueError: it is held in memory alone; whoever needs a folder may not be handed what was decrypted.
        """
        if self.place is None:
            message = "this change file is held in memory alone and has no folder"
            raise ValueError(message)
        return self.place

    @classmethod
    def open(cls, folder: str | Path, *, verify: bool = True) -> Self:
        """Map a change folder.

        Args:
            folder: the folder, named by the hash of its manifest.
            verify: compare every file with its checksum (once per process and file).

        Raises:
            DamagedError: a file is missing or does not have the content its checksum promises.
        """
        place = Path(folder)
        manifest = _check(place, whole=verify)
        identity = [_seen(place / name) for name in FILES.values()]
        for known, changes in _newest:
            if known == identity and isinstance(changes, cls):
                return changes
        try:
            tables = {name: columns_at(place / file) for name, file in FILES.items()}
        except (OSError, pa.ArrowException) as error:
            raise _damaged(place, str(error)) from error
        opened = cls._of(tables, place, place.name, str(manifest["state"]))
        _newest[:] = [(identity, opened)]
        return opened

    @classmethod
    def from_memory(cls, files: Mapping[str, pa.Buffer], manifest: bytes) -> Self:
        """Hold in memory what would be the files of a change folder; nothing touches the disk.

        Args:
            files: Arrow IPC by table (`FILES`).
            manifest: text of the manifest; its hash is the hash of the change file.
        """
        tables = {name: columns_in(pa.BufferReader(files[name])) for name in FILES}
        return cls._of(tables, None, manifest_hash(manifest), str(json.loads(manifest)["state"]))

    @classmethod
    def _of(cls, tables: Mapping[str, Mapping[str, Any]], place: Path | None, name: str, state: str) -> Self:
        series, changes = tables["series"], tables["changes"]
        publications, forecasts = tables["publications"], tables["forecasts"]
        events, members = tables["events"], tables["members"]
        ids = Names(series["id"].to_pylist())
        code, period, published = (_array(changes[column]) for column in ("code", "period", "published"))
        if publications:
            told = PublicationRows(**{name: _array(column) for name, column in publications.items()})
        else:
            told = PublicationRows.of_each(code, published, period)
        known = zip(ids, series["known_through"].to_pylist(), strict=True)
        return cls(
            place=place,
            hash=name,
            state=state,
            ids=ids,
            series=Declarations.of(ids, pl.Series(ids, dtype=pl.String), words(series["spec"])),
            known_through={name: at for name, at in known if at != NEVER},
            code=code,
            period=period,
            published=published,
            value=_array(changes["value"]),
            vintage=_array(changes["vintage"]),
            availability=_array(changes["availability"]),
            publications=told,
            forecasts=pl.DataFrame(pa.table(dict(forecasts))).with_columns(pl.col("backfilled").cast(pl.Boolean)),
            events=EventRows(**{name: _array(column) for name, column in events.items()}),
            members=pl.DataFrame(pa.table(dict(members))),
            codes=ids.places,
        )

    def code_of(self, series_id: str) -> int:
        """Code of a stored id.

        Raises:
            UnknownNameError: no such series.
        """
        if series_id not in self.codes:
            raise UnknownNameError("series", series_id, self.ids)
        return self.codes[series_id]

    def codes_of(self, series_ids: Iterable[str]) -> NDArray[np.int64]:
        """Codes of some stored ids.

        Raises:
            UnknownNameError: no such series.
        """
        names = tuple(series_ids)
        first = self.codes.get(names[0], 0) if names else 0
        if self.ids[first : first + len(names)] == names:  # neighbours, as all together are
            return np.arange(first, first + len(names), dtype=np.int64)
        try:
            return np.array([self.codes[name] for name in names], dtype=np.int64)
        except KeyError:
            return np.array([self.code_of(name) for name in names], dtype=np.int64)

    def publications_of(self, series_id: str) -> PublicationRows:
        """Publications of one series, in order of time."""
        rows = np.flatnonzero(self.publications.code == self.code_of(series_id))
        names = PublicationRows.__dataclass_fields__
        return PublicationRows(**{name: getattr(self.publications, name)[rows] for name in names})


def open_changes(changes: str | Path | ChangeFile, *, verify: bool = True) -> ChangeFile:
    """A change folder, mapped as by `ChangeFile.open`; a change file that is open already, as it is."""
    return changes if isinstance(changes, ChangeFile) else ChangeFile.open(changes, verify=verify)


_newest: list[tuple[list[tuple[str, tuple[int, ...]]], ChangeFile]] = []
"""The change file opened last: a run opens the same one again and again, and to map it costs a moment per series."""


def manifest_hash(text: bytes) -> str:
    """The name of the folder that a manifest belongs to."""
    return hashlib.sha256(text).hexdigest()


def _check(folder: Path, *, whole: bool) -> dict[str, Any]:
    """The manifest of a change folder that is what it promises."""
    try:
        text = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise _damaged(folder, f"{MANIFEST} cannot be read") from error
    if manifest_hash(text) != folder.name:
        raise _damaged(folder, f"{MANIFEST} is not the one the folder is named after")
    manifest: dict[str, Any] = json.loads(text)
    if manifest["format"] != FORMAT:
        raise _damaged(folder, f"format {manifest['format']}, needed {FORMAT}")
    for name, promised in manifest["files"].items():
        try:
            seen = _seen(folder / name)
        except OSError as error:
            raise _damaged(folder, f"{name} is missing") from error
        if whole and seen not in _checked:
            if sha256_of(folder / name) != promised:
                raise _damaged(folder, f"{name} does not have the promised checksum")
            _checked.add(seen)
    return manifest


def note_checked(folder: Path, statuses: Mapping[str, os.stat_result]) -> None:
    """Remember files of a change folder that this process has just read against the checksums of its manifest.

    Args:
        folder: the change folder.
        statuses: what each file was when it was read; one that differs from it now is checked when it is opened.
    """
    _checked.update(_seen(folder / name, status) for name, status in statuses.items())


def _seen(file: Path, status: os.stat_result | None = None) -> tuple[str, tuple[int, ...]]:
    """What tells a file from one that was written since."""
    status = file.stat() if status is None else status
    return str(file.resolve()), (status.st_size, status.st_mtime_ns, status.st_ino)


def _damaged(folder: Path, why: str) -> DamagedError:
    return DamagedError(
        "the change file is damaged", value=folder, rule=why, fix="delete the folder; it is rebuilt from the archive"
    )


def columns_at(path: Path) -> dict[str, Any]:
    """The columns of a table of a change folder, over the mapped file."""
    return columns_in(pa.memory_map(str(path)))


def columns_in(source: Any) -> dict[str, Any]:
    """The columns of a table of a change file, over the memory that it lies in."""
    table = pa.ipc.open_file(source).read_all()
    return {column: whole(table[column]) for column in table.column_names}


def _array(column: Any) -> NDArray[Any]:
    out = numbers(column)
    if out.dtype == np.uint8:
        out = out.view(np.bool_)
    out.flags.writeable = False
    return out
