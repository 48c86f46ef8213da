"""Every record under a home folder against the hash it was written with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import DamagedError
from harness.record import audits
from harness.record.cells import stored_checksum
from harness.record.files import json_bytes, read_json, seal_holds, sha256_of
from harness.record.home import Home
from harness.record.runs import CODE_DIFF, MANIFEST, identity_told
from harness.record.studies import ASIDE, CHAIN, JOURNAL, STUDY, TRIALS, VOUCHED, StudyRecord, study_told

HASH_LENGTH = 64
UNSEALED = "carries no digest of its own: written by an earlier version, or the digest was taken out"
NOT_OWN = ("report.html",)
"""Files of a run that are made from it and may be written at any time."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found about one file or folder.

    Attributes:
        place: its path below the home folder.
        files: files that were read and are as written.
        problem: what is wrong, "" = nothing.
        note: what could not be told, "" = nothing.
    """

    place: str
    files: int = 0
    problem: str = ""
    note: str = ""


def raw_files(home: Home) -> Iterator[Checked]:
    """Raw input: a file is named by the hash of its content."""
    for path in _inside(home.raw):
        place = f"raw/{path.name}"
        if len(path.name.partition(".")[0]) != HASH_LENGTH:
            yield Checked(place, note="not named by a hash, so not the harness's")
        elif sha256_of(path) != path.name.partition(".")[0]:
            yield Checked(place, problem="its content is not what its name promises")
        else:
            yield Checked(place, 1)


def cells(home: Home) -> Iterator[Checked]:
    """Cells: content and facts against their checksum, under their own key."""
    yield from _keyed(home.cells, "cells", fit=False)


def fits(home: Home) -> Iterator[Checked]:
    """Fits: content against its checksum, under its own key."""
    yield from _keyed(home.fits, "fits", fit=True)


def _keyed(folder: Path, name: str, *, fit: bool) -> Iterator[Checked]:
    for path in _inside(folder):
        try:
            stored_checksum(folder, path.name, fit=fit)
        except DamagedError as error:
            yield Checked(f"{name}/{path.name}", problem=f"{error.what}: {error.value}")
        else:
            yield Checked(f"{name}/{path.name}", 2)


def runs(home: Home) -> Iterator[Checked]:
    """Runs: the manifest against its digest and its run id, every table and cell against the manifest."""
    for path in _inside(home.runs):
        place = f"runs/{path.name}"
        try:
            manifest = read_json(path / MANIFEST)
        except DamagedError as error:
            yield Checked(f"{place}/{MANIFEST}", problem=error.what)
            continue
        yield from _manifest(path, manifest, place)
        if manifest.get("status") == "complete":
            yield from _listed(path, manifest, place)
            yield from _cells_of(home, manifest, place)
            yield from _searches_of(home, manifest, place)


def _manifest(path: Path, manifest: Mapping[str, object], place: str) -> Iterator[Checked]:
    holds = seal_holds(manifest)
    if holds is None:
        yield Checked(f"{place}/{MANIFEST}", problem=UNSEALED)
    elif not holds or (path / MANIFEST).read_bytes() != json_bytes(manifest):
        yield Checked(f"{place}/{MANIFEST}", problem="its digest does not hold: it was changed after it was written")
    elif manifest.get("run_id") != path.name:
        yield Checked(f"{place}/{MANIFEST}", problem=f"it belongs to run {manifest.get('run_id')}")
    elif manifest.get("status") != "complete":
        yield Checked(f"{place}/{MANIFEST}", 1, note="the run is not finished")
    elif identity_told(manifest) != path.name:
        said = "the run id does not follow from its experiment, archive state, code and packages"
        yield Checked(f"{place}/{MANIFEST}", problem=said)
    else:
        yield Checked(f"{place}/{MANIFEST}", 1)


def _listed(path: Path, manifest: Mapping[str, object], place: str) -> Iterator[Checked]:
    """Files of a folder against the hashes its record lists."""
    hashes = manifest.get("files")
    known = hashes if isinstance(hashes, dict) else {}
    for name, promised in known.items():
        if not (path / name).is_file():
            yield Checked(f"{place}/{name}", problem="it is gone")
        elif sha256_of(path / name) != promised:
            yield Checked(f"{place}/{name}", problem="it is not what the record lists")
        else:
            yield Checked(f"{place}/{name}", 1)
    for other in _inside(path):
        if other.name not in known and other.name not in (MANIFEST, audits.RECORD, *NOT_OWN):
            if other.name == CODE_DIFF or other.suffix == ".parquet":
                yield Checked(f"{place}/{other.name}", problem="the record does not list it")
            else:
                yield Checked(f"{place}/{other.name}", note="the record does not list it")


def _cells_of(home: Home, manifest: Mapping[str, object], place: str) -> Iterator[Checked]:
    """Cells a run names against the checksums it recorded; cells may be deleted, not changed."""
    keys, checksums = manifest.get("cells"), manifest.get("cell_checksums")
    if not isinstance(keys, dict) or not isinstance(checksums, dict):
        yield Checked(place, note="it recorded no checksums of its cells")
        return
    gone = 0
    for model, mine in keys.items():
        for key, promised in zip(mine, checksums.get(model, []), strict=False):
            try:
                found = stored_checksum(home.cells, key)
            except DamagedError:  # said under cells/
                continue
            gone += found is None
            if found is not None and found != promised:
                yield Checked(f"cells/{key}", problem=f"not the cell that run {place[5:]} recorded for {model}")
    if gone:
        yield Checked(place, note=f"{gone} of its cells are gone (they come back with harness backtest)")


def _searches_of(home: Home, manifest: Mapping[str, object], place: str) -> Iterator[Checked]:
    """Searches a run rests on against what it kept of them: none may be shorter, or another, than it was."""
    used, vouched = manifest.get("studies"), manifest.get(VOUCHED)
    keys = sorted({key for mine in used.values() for key in mine.values()}) if isinstance(used, dict) else []
    if keys and not isinstance(vouched, dict):
        yield Checked(place, note="it kept no number of trials of its searches: written by an earlier version")
        return
    for key in keys:
        kept = vouched.get(key) if isinstance(vouched, dict) else None
        promised = kept if isinstance(kept, dict) else {}
        try:
            record = study_told(home.studies, key)
        except (DamagedError, OSError):
            said = f"the search that run {place[5:]} rests on is gone, {promised.get('trials')} trials"
            yield Checked(f"studies/{key}", problem=said)
            continue
        wrong = record.differing(promised)
        if wrong:
            yield Checked(f"studies/{key}", problem=f"not the search that run {place[5:]} rests on: {wrong}")
        elif record.chain != promised.get(CHAIN):
            said = f"the search of run {place[5:]} with other durations: it was made again since"
            yield Checked(f"studies/{key}", note=said)


def audit_records(home: Home) -> Iterator[Checked]:
    """Audits: the record against its digest, its tables against the record."""
    for path in _inside(home.audits):
        place = f"audits/{path.name}"
        try:
            record = read_json(path / audits.RECORD)
        except DamagedError as error:
            yield Checked(f"{place}/{audits.RECORD}", problem=error.what)
            continue
        yield _sealed(f"{place}/{audits.RECORD}", path / audits.RECORD, record)
        yield from _listed(path, record, place)


def studies(home: Home) -> Iterator[Checked]:
    """Searches, used by a run or not: every trial is a line that carries a hash of the head and of all before it."""
    for path in _inside(home.studies):
        place = f"studies/{path.name}"
        try:
            head = read_json(path / STUDY)
            record = study_told(home.studies, path.name)
        except DamagedError as error:
            yield Checked(f"{place}/{STUDY}", problem=error.what)
            continue
        except OSError:
            yield Checked(f"{place}/{TRIALS}", problem="it is gone")
            continue
        if (path / STUDY).read_bytes() != json_bytes(head):
            yield Checked(f"{place}/{STUDY}", problem="it was changed after it was written")
        yield _chain(path, record, place)
        aside = sum(f".{ASIDE}-" in one.name for one in path.iterdir())
        if aside:
            yield Checked(
                place, note=f"{aside} files of an earlier record, damaged or of another search, are kept aside"
            )
    copies = len(list(home.studies.glob(f"*/{JOURNAL}"))) if home.studies.is_dir() else 0
    if copies:
        said = f"{copies} copies for optuna-dashboard, not compared: {TRIALS} is the record"
        yield Checked(f"studies/*/{JOURNAL}", note=said)


def _sealed(place: str, path: Path, record: Mapping[str, object]) -> Checked:
    holds = seal_holds(record)
    if holds is None:
        return Checked(place, problem=UNSEALED)
    if not holds or path.read_bytes() != json_bytes(record):
        return Checked(place, problem="its digest does not hold: it was changed after it was written")
    return Checked(place, 1)


def _chain(path: Path, record: StudyRecord, place: str) -> Checked:
    """The trials of a search; the first line also holds the head, the end the number of trials."""
    content = (path / TRIALS).read_bytes()
    if record.problem:
        return Checked(f"{place}/{TRIALS}", problem=record.problem)
    if content and not content.endswith(b"\n"):
        return Checked(f"{place}/{TRIALS}", 1, note="its last line was cut off by a crash, and is not used")
    if not record.end:
        lacking = "nothing says how many trials it had" if content else "nothing vouches for its head"
        return Checked(place, 2, note=f"a search that is not over, so {lacking}")
    return Checked(place, 2)


def _inside(folder: Path) -> Iterator[Path]:
    """What lies in a folder, in order, without what an interrupted write left behind."""
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))
