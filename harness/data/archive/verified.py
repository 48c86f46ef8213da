"""The archive and its change files: readable to the last block, and saying what they said when they were exported."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb

from harness.core.errors import DamagedError, UserError
from harness.data.archive import Archive
from harness.data.archive.provenance import RAW_FILES, table_names
from harness.data.archive.store import Store, later_table
from harness.data.archive.sums import Kept, Sums, kept_sums, sums_file, sums_of
from harness.data.changes import FORMAT, MANIFEST, manifest_hash
from harness.record.files import read_json, sha256_of
from harness.record.home import Home
from harness.record.runs import MANIFEST as RUN
from harness.record.seals import seals_of
from harness.record.verified import Checked

NAME = "archive.duckdb"


def change_folders(home: Home) -> Iterator[Checked]:
    """Change files: the folder is named by its manifest, the manifest lists the hash of every file."""
    folders = sorted(home.changes.iterdir()) if home.changes.is_dir() else []
    for folder in (path for path in folders if not path.name.startswith(".")):
        place = f"changes/{folder.name}"
        try:
            text = (folder / MANIFEST).read_bytes()
        except OSError:
            yield Checked(f"{place}/{MANIFEST}", problem="it is gone")
            continue
        if manifest_hash(text) != folder.name:
            yield Checked(f"{place}/{MANIFEST}", problem="it is not the one the folder is named after")
            continue
        yield Checked(f"{place}/{MANIFEST}", 1)
        for name, promised in json.loads(text)["files"].items():
            there = (folder / name).is_file()
            same = there and sha256_of(folder / name) == promised
            said = "" if same else "its content is not what the manifest lists" if there else "it is gone"
            yield Checked(f"{place}/{name}", int(same), problem=said)


def archive_file(home: Home) -> Iterator[Checked]:
    """The archive: every block in use is read, its raw input is there, and it still exports what it exported."""
    if not home.archive.exists():
        yield Checked(NAME, note="there is none")
        return
    try:
        archive = Archive.open(home.archive, read_only=True)
        with Store(home.archive, wait=10.0).reading() as connection:
            for name in sorted(table_names(connection)):
                for _ in connection.sql(f"SELECT * FROM {name}").to_arrow_reader():  # noqa: S608 - its own name
                    pass
            raw = later_table(connection, "raw_files", RAW_FILES)
            present, kept = sums_of(connection), _kept(home)
        yield Checked(NAME, 1)
        yield from _same_rows(home, present, kept)
        yield from _raw_there(home, raw.rows())
        yield from _exports_the_same(home, archive)
    except (DamagedError, duckdb.Error, ValueError, TypeError, KeyError, OverflowError) as error:
        said = f"{error.what}: {error.rule}" if isinstance(error, UserError) else str(error).splitlines()[0]
        yield Checked(NAME, problem=said)


def _kept(home: Home) -> Kept | Checked | None:
    try:
        return kept_sums(home.archive)
    except (DamagedError, KeyError, ValueError, TypeError):
        return Checked(sums_file(home.archive).name, problem="it was changed after it was written")


def _same_rows(home: Home, present: Sums, kept: Kept | Checked | None) -> Iterator[Checked]:
    """Every row of every table is there as the last write left it, and no other."""
    place = sums_file(home.archive).name
    if isinstance(kept, Checked):
        yield kept
    elif kept is None:
        if present.keys() - {"meta"}:
            yield Checked(place, problem="it is gone, or of an earlier version: no rows are checked")
    elif kept.engine != duckdb.__version__:
        yield Checked(place, note=f"made with DuckDB {kept.engine}, so the rows are not compared before the next write")
    else:
        yield Checked(place, 1)
        for table in kept.differing(present):
            was, now = kept.tables.get(table, (0,))[0], present.get(table, (0,))[0]
            said = f"rows of table {table} were changed ({was} when last written, {now} now)"
            yield Checked(NAME, problem=said)
    if isinstance(kept, Kept) and kept.altered:
        which = "unknown tables" if "*" in kept.altered else ", ".join(kept.altered)
        yield Checked(NAME, problem=f"something other than the harness changed {which} before a later ingest")


def _raw_there(home: Home, rows: list[tuple[int, str, str]]) -> Iterator[Checked]:
    kept = {path.name.partition(".")[0] for path in home.raw.iterdir()} if home.raw.is_dir() else set()
    kept |= {sha256 for seal in seals_of(home) for sha256 in seal.raw}  # encrypted, in its vault
    for batch, name, sha256 in rows:
        if sha256 not in kept:
            yield Checked(f"raw/{sha256}", problem=f"the raw input {name} of batch {batch} is gone")


def _exports_the_same(home: Home, archive: Archive) -> Iterator[Checked]:
    """An archive of a state that was exported before must give the same change file, hash for hash."""
    state, before = archive.state(), []
    for manifest in sorted(home.changes.glob(f"*/{MANIFEST}")):
        if manifest_hash(manifest.read_bytes()) == manifest.parent.name:
            told = json.loads(manifest.read_bytes())
            if (told["format"], told["state"]) == (FORMAT, state):
                before.append(manifest.parent.name)
    before += [name for name in _of_runs(home, state) if name not in before]
    if not before:
        yield Checked(NAME, note="its present state was never exported, so only checksums vouch for its values")
        return
    with tempfile.TemporaryDirectory(prefix="harness-verify-") as folder:
        again = archive.export(Path(folder)).name
    for name in before:
        if name != again:
            said = f"its values are not those exported to changes/{name[:12]} from the same batches"
            yield Checked(NAME, problem=said)


def _of_runs(home: Home, state: str) -> list[str]:
    """Change files that runs on this state of the archive name, whether or not they are still there."""
    found = set()
    for path in home.runs.glob(f"*/{RUN}") if home.runs.is_dir() else ():
        with suppress(DamagedError):
            told = read_json(path).get("archive")
            if isinstance(told, dict) and told.get("state") == state and told.get("change_file"):
                found.add(str(told["change_file"]))
    return sorted(found)
