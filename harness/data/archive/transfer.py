"""An archive, its raw input and its runs as one file, so that another machine can replay."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from harness.core.errors import DamagedError, SealedError, UserError
from harness.data.archive import Archive, questions
from harness.data.archive.covered import seals_within
from harness.data.archive.provenance import table_names
from harness.data.archive.run_entries import (
    AUDITS,
    CELLS,
    CHANGES,
    FITS,
    RUNS,
    STUDIES,
    STUDY_FILES,
    mapping,
    run_entries,
)
from harness.data.archive.schema import FORMAT
from harness.data.archive.store import Store, insert, query
from harness.data.changes import MANIFEST as LISTED
from harness.data.changes import ChangeFile, manifest_hash
from harness.record import bundle
from harness.record.files import seal_holds, sha256_of, unused_name, write_file
from harness.record.folders import write_folder
from harness.record.home import Home
from harness.record.ledger import refusals, under_seal
from harness.record.registry import forget
from harness.record.runs import MANIFEST, finished_runs, identity_told
from harness.record.studies import ASIDE, STUDY, TRIALS, finished_study, read_study, study_told
from harness.record.verified import HASH_LENGTH
from harness.record.working import exclusively, working

TABLES, RAW = "tables", "raw"
DEPTH = {TABLES: 1, RAW: 1, CHANGES: 2, CELLS: 2, FITS: 2, STUDIES: 2, AUDITS: 2, RUNS: 2}
"""Folders of a file, and how deep its entries lie in them."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """What went into a file, or came out of it.

    Attributes:
        state: the archive's state.
        change_file: hash of its change file.
        rows: rows by table.
        raw: raw files.
        runs: ids of the runs.
        already: the archive was there already; nothing of it was written.
    """

    state: str
    change_file: str
    rows: Mapping[str, int]
    raw: int
    runs: tuple[str, ...]
    already: bool = False


def export_archive(home: Home, path: Path, *, runs: bool = False) -> Transferred:
    """Write the home's archive and its raw input as one file; the same content gives the same bytes.

    Args:
        home: the home folder.
        path: the file; whole or absent, an older one is replaced at the end.
        runs: also all finished runs, with their change files, cells, fits, searches and audits.

    Raises:
        UserError: there is no archive.
        SealedError: the home is under seal; its ledger tells of it.
        DamagedError: something to be written is not what was recorded.
    """
    with working(home):
        with refusals(home, "archive export"):
            _refuse_export_under_seal(home, path)
        return _exported(home, path, runs=runs)


def _exported(home: Home, path: Path, *, runs: bool) -> Transferred:
    archive = Archive.open(home.archive, read_only=True)
    while True:  # until tables and change file are of one state, should another process append meanwhile
        with Store(home.archive, wait=10.0).reading() as connection:
            state = questions.state(connection)
            tables = {name: _table(connection, name) for name in sorted(table_names(connection) - {"meta"})}
        change = archive.export(home.changes)
        if ChangeFile.open(change).state == state:
            break
    chosen = [str(run["run_id"]) for run in finished_runs(home)] if runs else []
    raw = _raw(home)
    facts = {"archive_format": FORMAT, "state": state, "change_file": change.name, "runs": sorted(chosen)}
    rows = {name: frame.height for name, frame in tables.items()}

    def entries() -> Iterator[tuple[str, bytes]]:
        for name, frame in tables.items():
            yield f"{TABLES}/{name}.parquet", _parquet(frame)
        for file in raw:
            yield f"{RAW}/{file.name}", file.read_bytes()
        yield from run_entries(home, sorted(chosen), change.name)

    bundle.write_bundle(path, {**facts, "rows": rows}, entries())
    return Transferred(state, change.name, rows, len(raw), tuple(sorted(chosen)))


def _table(connection: duckdb.DuckDBPyConnection, name: str) -> pl.DataFrame:
    return query(connection, f"SELECT * FROM {name} ORDER BY ALL")  # noqa: S608 - its own name


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _raw(home: Home) -> list[Path]:
    """Raw files by hash, each checked."""
    files = sorted(home.raw.iterdir()) if home.raw.is_dir() else []
    files = [path for path in files if len(path.name.partition(".")[0]) == HASH_LENGTH]
    for path in files:
        if sha256_of(path) != path.name.partition(".")[0]:
            raise DamagedError(
                "a raw file is damaged",
                value=f"raw/{path.name}",
                rule="its content is not what its name promises",
                fix="bring it back from a copy, or ingest its dataset again",
            )
    return files


def import_archive(home: Home, path: Path) -> Transferred:
    """Bring an exported archive into a home folder that has none, or the very same one.

    Everything is read and compared with its hash, and the archive rebuilt beside its place, before anything is put
    where it belongs: a file that is refused leaves the home as it was.

    Args:
        home: the home folder.
        path: a file `export_archive` wrote.

    Raises:
        UserError: the home has an archive with other content, or other trials of a search; or the file holds the
            archive of a home under seal.
        DamagedError: the file is damaged, something else, or does not give the archive it promises.
        SealedError: the home is under seal; its ledger tells of it.
    """
    with exclusively(home):
        return _imported(home, path)


def _imported(home: Home, path: Path) -> Transferred:
    with refusals(home, "archive import"):
        _refuse_under_seal(home, path)
    with bundle.opened(path) as source:
        facts = source.facts
        if facts.get("archive_format") != FORMAT:
            raise DamagedError("an archive of another version", value=path, rule=f"archive format {FORMAT}", fix="")
        for name in source.names:
            _check_entry(path, name, source.read(name))
        already = _refuse_other_content(home, str(facts["state"]))
        _refuse_other_searches(home, path, source)
        home.root.mkdir(parents=True, exist_ok=True)
        if not already:
            _rebuild(home, path, source)
        for name in source.below(RAW):
            _put(home.root / name, source.read(name))
        runs = _bring_runs(home, source)
        forget(home)
        rows = {name: int(str(count)) for name, count in mapping(facts["rows"]).items()}
        return Transferred(
            str(facts["state"]), str(facts["change_file"]), rows, len(source.below(RAW)), tuple(runs), already
        )


def _check_entry(path: Path, name: str, content: bytes) -> None:
    """Refuse an entry that the harness would not have written under this name."""
    kind, _, rest = name.partition("/")
    key, _, file = rest.partition("/")
    fits = DEPTH.get(kind) == len(rest.split("/"))
    if fits and kind == RAW:
        fits = hashlib.sha256(content).hexdigest() == rest.partition(".")[0]
    elif fits and kind == CHANGES and file == LISTED:
        fits = manifest_hash(content) == key
    elif fits and kind == RUNS and file == MANIFEST:
        manifest = json.loads(content)
        fits = seal_holds(manifest) is True and identity_told(manifest) == key
    elif fits and kind == STUDIES:
        fits = file in STUDY_FILES
    if not fits or any(part.startswith(".") for part in rest.split("/")):
        raise DamagedError("this entry belongs to no archive", value=f"{path}: {name}", fix="export it again")


def _refuse_under_seal(home: Home, path: Path) -> None:
    """A file may bring runs and raw input that saw what is sealed, so a home under seal takes none."""
    if under_seal(home):
        raise SealedError(
            "nothing is imported into a home under seal",
            value=path,
            rule="what is sealed comes back by an opening, never in a file",
            fix="import into another home folder (--home DIR, or HARNESS_HOME=DIR)",
        )


def _refuse_export_under_seal(home: Home, path: Path) -> None:
    """An archive that was split by a seal works beside its vault and ledger alone, and those are in no such file."""
    if under_seal(home) or (home.archive.exists() and seals_within(Archive.open(home.archive, read_only=True))):
        raise SealedError(
            "the archive of a home under seal is not exported",
            value=path,
            rule="it works beside its vault and ledger alone: without them no plan, run or ingest would be let in",
            fix="copy the whole home folder (the keys lie outside of it), or export before sealing",
        )


def _refuse_other_content(home: Home, state: str) -> bool:
    """Whether the home already has this very archive."""
    if not home.archive.exists():
        return False
    present = Archive.open(home.archive, read_only=True)
    if present.state() == state:
        return True
    if present.series() or present.batches().height:
        raise UserError(
            "this home has another archive",
            value=f"{home.archive}, state {present.state()}; the file has {state}",
            rule="archives are not mixed: a run belongs to one state",
            fix="import into another home folder (--home DIR, or HARNESS_HOME=DIR)",
        )
    return False


def _refuse_other_searches(home: Home, path: Path, source: bundle.Bundle) -> None:
    """A search that is here must be the file's, or the beginning of it: no record of trials gives way to another."""
    for name in source.below(STUDIES):
        key, file = Path(name).parts[1:]
        if file != TRIALS or not (home.studies / key / TRIALS).exists():
            continue
        with tempfile.TemporaryDirectory(prefix="harness-import-") as folder:
            for one in (STUDY, TRIALS):
                write_file(Path(folder) / key / one, source.read(f"{STUDIES}/{key}/{one}"))
            theirs = read_study(Path(folder), key)
        try:
            mine = study_told(home.studies, key)
            same = mine.begins(theirs) or (theirs.begins(mine) and not mine.problem)
        except (DamagedError, OSError):
            same = not (home.studies / key / TRIALS).read_bytes()
        if not same:
            raise UserError(
                "a search of this home has other trials than the file's",
                value=f"{path}: studies/{key}",
                rule="runs rest on the very trials they were made with, so neither record takes the other's place",
                fix="import into another home folder (--home DIR, or HARNESS_HOME=DIR), or, should the one here be"
                " damaged, move its folder away",
            )


def _rebuild(home: Home, path: Path, source: bundle.Bundle) -> None:
    """Fill an archive beside its place, see that it is the one promised, and move it there."""
    place = unused_name(home.root)
    place.mkdir()
    try:
        archive = Archive.open(place / "archive.duckdb")
        with Store(archive.path, wait=10.0).writing() as connection:
            for name in source.below(TABLES):
                _fill(connection, path, Path(name).stem, source.read(name))
        change = archive.export(place / "changes")
        if (archive.state(), change.name) != (source.facts["state"], source.facts["change_file"]):
            raise DamagedError(
                "the file does not give the archive it promises",
                value=f"{path}: change file {change.name[:12]}, promised {str(source.facts['change_file'])[:12]}",
                rule="state and change file must be those exported",
                fix="import it with the version that wrote it",
            )
        if seals_within(archive):
            raise UserError(
                "the file holds the archive of a home under seal",
                value=f"{path}: split by {', '.join(sorted(seals_within(archive)))}",
                rule="it works beside its vault and ledger alone, and they are not in it",
                fix="copy the whole home folder instead, or export from a home that was never sealed",
            )
        home.changes.mkdir(parents=True, exist_ok=True)
        if not (home.changes / change.name).exists():
            change.rename(home.changes / change.name)
        Store(home.archive, wait=10.0).replace(archive.path)
    finally:
        _remove(place)


def _fill(connection: duckdb.DuckDBPyConnection, path: Path, name: str, content: bytes) -> None:
    """Put the rows of one table into an archive that has the table, with the very same columns."""
    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DamagedError(
            "a table cannot be read", value=f"{path}: {name}", rule=str(error), fix="export it again"
        ) from error
    there = table_names(connection) - {"meta"}
    columns = query(connection, f"SELECT * FROM {name} LIMIT 0").columns if name in there else []  # noqa: S608 - checked
    if sorted(columns) != sorted(frame.columns):
        raise DamagedError(
            "this archive was written by another version",
            value=f"{path}: table {name} with {', '.join(frame.columns)}",
            rule=f"here it has {', '.join(columns) or 'no such table'}",
            fix="import it with the version that wrote it",
        )
    insert(connection, name, frame)


def _bring_runs(home: Home, source: bundle.Bundle) -> list[str]:
    """Put cells, fits, searches, audits and, last, runs where they belong; what is whole there is left alone."""
    folders: dict[str, dict[str, bytes]] = {}
    for kind in (CHANGES, CELLS, FITS, STUDIES, AUDITS, RUNS):
        for name in source.below(kind):
            folder, _, file = name.rpartition("/")
            folders.setdefault(folder, {})[file] = source.read(name)
    for folder, files in folders.items():
        kind, _, key = folder.partition("/")
        unfinished = kind == STUDIES and _shorter(home, key, files)
        if unfinished or not (home.root / folder).exists():
            aside = (home.root / folder).glob(f"*.{ASIDE}-*") if kind == STUDIES else ()
            files |= {one.name: one.read_bytes() for one in aside}
            write_folder(home.root / folder, files, keeping=not unfinished)
    return sorted(folder.partition("/")[2] for folder in folders if folder.startswith(f"{RUNS}/"))


def _shorter(home: Home, key: str, files: Mapping[str, bytes]) -> bool:
    """Whether the record of a search that is here has fewer lines than the one that came."""
    path = home.studies / key / TRIALS
    here = path.read_bytes().count(b"\n") if path.exists() else 0
    return finished_study(home.studies, key) is None and here < files.get(TRIALS, b"").count(b"\n")


def _put(path: Path, content: bytes) -> None:
    if not path.exists():
        write_file(path, content)


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
