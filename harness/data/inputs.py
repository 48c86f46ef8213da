"""The tables of a dataset as ingest takes them: names put right or hashed, and what the archive calls each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.core.errors import UserError
from harness.core.identity import digest
from harness.data.by_parts import readable_in_parts
from harness.data.cleaning.hashing import kept_copy, key_print, recognised
from harness.data.cleaning.notes import Notes
from harness.data.cleaning.steps import Deidentify
from harness.data.cleaning.words import named
from harness.data.declared import Announcements, Dataset, Source
from harness.data.tables import RawTable, read_file, read_packaged, sha256_of, unparsed
from harness.data.tags import tag_of, told_by
from harness.record.files import whole_file, write_file

READING = 1
"""Moves when the same files would be read differently: what was ingested before is then read again."""
GO_ON = (
    "undo the change to keep what is ingested; to go on with it, rename the dataset (its folder and `name`), or begin "
    "another home folder (--home DIR, or HARNESS_HOME=DIR)"
)


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """The tables of one source and the name under which the archive records them.

    Attributes:
        source: its declaration.
        table: names made plain or hashed.
        listed: its publications.
        label: dataset and file.
        tag: what the archive calls its batch: by how it is read, what the files hold, and both with the assertions.
        kept: the table as `raw/` keeps it.
        given: hash of the file as it was given, where what is kept of it has hashes instead of names; else "".
        notes: where the cleaning record was begun.
    """

    source: Source
    table: RawTable
    listed: RawTable | None
    label: str
    tag: str
    kept: RawTable
    given: str
    notes: Notes

    @property
    def originals(self) -> dict[str, str]:
        """The hash of the file as it was given, by its name, where `raw/` keeps another."""
        return {self.kept.label: self.given} if self.given else {}


class Alteration(Protocol):
    """Changes tables after they were read, before anything is made of them: so an audit asks what came from where."""

    def observations(self, dataset: Dataset, source: Source, table: RawTable) -> RawTable:
        """A source's table of values."""
        ...

    def publications(self, dataset: Dataset, source: Source, table: RawTable) -> RawTable:
        """A source's list of publications."""
        ...

    def announcements(self, dataset: Dataset, declared: Announcements, table: RawTable) -> RawTable:
        """A table of price events or of members."""
        ...

    def forecasts(self, dataset: Dataset, table: RawTable) -> RawTable:
        """The table of external forecasts."""
        ...


def read_input(dataset: Dataset, source: Source, alter: Alteration | None = None, *, rows: bool = True) -> Input:
    """Read the tables of a source and take its steps on names.

    Args:
        dataset: its declarations.
        source: one of its sources.
        alter: what changes the tables; None = nothing.
        rows: whether any is needed; False = only what the batch is called: where names stay as they are, the bytes of a
            file tell that, however large it is.

    Raises:
        DataError: a file that cannot be read, or whose names cannot be hashed in place.
        UserError: the key of a keyed hash is not set.
    """
    plain = not rows and alter is None and not source.reader and not source.treatment.stage("names")
    table = unparsed(dataset.folder / source.file) if plain else None
    if table is None and alter is None:
        table = readable_in_parts(dataset, source)
    if table is None:
        path, ragged = dataset.folder / source.file, bool(source.treatment.stage("table"))
        table = read_packaged(source.reader) if source.reader else read_file(path, source.text, ragged=ragged)
    listed = read_file(dataset.folder / source.publications, source.text) if source.publications else None
    given, steps, notes = table, source.treatment.stage("names"), Notes()
    if any(isinstance(step, Deidentify) for step in steps):
        table = kept_copy(recognised(table), steps, source.text)
    kept, original = table, "" if table.content == given.content else sha256_of(given)
    table = named(table, steps, notes)
    if alter is not None:
        table = alter.observations(dataset, source, table)
        listed = None if listed is None else alter.publications(dataset, source, listed)
    declared = [dataset.declared(bare) for bare in source.series]
    hashes = [sha256_of(one) for one in (table, listed) if one is not None]
    treatment, keys = source.treatment, _keys(source)
    changing = [treatment.changing, keys] if treatment.changing else []
    asked = [treatment.changing, keys, [(one.kind, one) for one in treatment.assertions]] if treatment else []
    content = digest("ingest", READING, dataset.name, source, declared, dataset.in_file, hashes, *asked)
    reading = digest(source.layout, source.columns, source.stamp, source.coverage, source.zone, source.text, *changing)
    label = f"{dataset.name}: {source.label}"
    tag = tag_of(label, content, reading, digest(hashes))
    return Input(source, table, listed, label, tag, kept, original, notes)


def _keys(source: Source) -> list[str]:
    """What tells the keys of keyed hashes from others: another key makes other names."""
    return [key_print(step.key_env) for step in source.treatment.steps if isinstance(step, Deidentify)]


def raw_hashes(*tables: RawTable | None) -> dict[str, str]:
    """Content hash of the tables a batch is made of, by name."""
    return {one.label: sha256_of(one) for one in tables if one is not None}


def keep_raw(table: RawTable, raw_dir: Path) -> None:
    """Keep the bytes of a table under their hash."""
    path = raw_dir / f"{sha256_of(table)}{table.suffix}"
    if path.exists():
        return
    if table.unread is None:
        write_file(path, table.content)
        return
    with table.unread.open("rb") as given, whole_file(path) as kept:
        shutil.copyfileobj(given, kept)


def refuse_reread(
    inputs: Sequence[Input], recorded: Mapping[str, Collection[str]], keyed: Callable[[str], str] = str
) -> None:
    """Refuse to read the very same file in another way (columns, stamp, null texts): the old values would stay.

    Args:
        inputs: what is to be taken in.
        recorded: batches by name, each with the hashes its files had before their names were hashed.
        keyed: what may stand there for such a hash.
    """
    for one in inputs:
        mine = {one.given, keyed(one.given)} if one.given else set()
        now = {told for other in inputs if (told := told_by(other.tag, one.label))}
        readings, files = {reading for reading, _ in now}, {file for _, file in now if file}
        known = [(told, hashes) for tag, hashes in recorded.items() if (told := told_by(tag, one.label))]
        if any(
            (file in files or not mine.isdisjoint(hashes)) and reading not in readings
            for (reading, file), hashes in known
        ):
            raise UserError(
                "this file was ingested under another description",
                value=one.label,
                rule="its layout, columns, stamp, coverage, zone, text form, cleaning steps and what is set aside may "
                "not change under the values read",
                fix=GO_ON,
            )
