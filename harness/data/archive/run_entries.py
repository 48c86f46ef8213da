"""What travels with runs: their own files, and the change files, cells, fits, searches and audits they rest on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.data.changes import ChangeFile
from harness.record import audits
from harness.record.cells import META, stored_checksum
from harness.record.home import Home
from harness.record.runs import MANIFEST, RunFiles, finished
from harness.record.studies import JOURNAL, STUDY, TRIALS, read_study

CHANGES, CELLS, FITS, STUDIES, AUDITS, RUNS = "changes", "cells", "fits", "studies", "audits", "runs"
STUDY_FILES = (STUDY, TRIALS, JOURNAL)
Entries = Iterator[tuple[str, bytes]]


def run_entries(home: Home, runs: Sequence[str], present: str) -> Entries:
    """Names and contents of all that belongs to some runs, in a fixed order; what is gone is left out.

    Args:
        home: the home folder.
        runs: ids of finished runs, in order.
        present: hash of the archive's own change file, which the archive gives again.

    Raises:
        DamagedError: something is not what was recorded.
    """
    manifests = {run_id: finished(RunFiles(run_id, home.runs / run_id)) for run_id in runs}
    yield from _changes(home, {str(mapping(one["archive"])["change_file"]) for one in manifests.values()} - {present})
    for run_id, manifest in manifests.items():
        names = sorted([*mapping(manifest["files"]), MANIFEST])
        yield from _files(home, RUNS, run_id, [home.runs / run_id / name for name in names])
        if (home.audits / run_id / audits.RECORD).is_file():
            yield from _files(home, AUDITS, run_id)
    yield from _cells(home, {key for one in manifests.values() for key in _cell_keys(one)})
    yield from _searches(home, {key for one in manifests.values() for key in _study_keys(one)})


def mapping(value: object) -> dict[str, object]:
    """One section of a record; empty when there is none."""
    return value if isinstance(value, dict) else {}


def _files(home: Home, kind: str, key: str, files: Sequence[Path] | None = None) -> Entries:
    chosen = sorted((home.root / kind / key).iterdir()) if files is None else files
    yield from ((f"{kind}/{key}/{file.name}", file.read_bytes()) for file in chosen)


def _changes(home: Home, names: set[str]) -> Entries:
    """Change files of earlier states, which the archive no longer gives."""
    for name in sorted(names):
        if (home.changes / name).is_dir():
            yield from _files(home, CHANGES, ChangeFile.open(home.changes / name).folder.name)


def _cells(home: Home, keys: set[str]) -> Entries:
    """Cells, and then the fits they name."""
    fits = set[str]()
    for key in sorted(keys):
        if stored_checksum(home.cells, key) is not None:
            yield from _files(home, CELLS, key)
            told = json.loads((home.cells / key / META).read_text(encoding="utf-8"))["facts"]
            fits |= {str(told["fit_key"])} if told.get("fit_key") else set()
    for key in sorted(fits):
        if stored_checksum(home.fits, key, fit=True) is not None:
            yield from _files(home, FITS, key)


def _searches(home: Home, keys: set[str]) -> Entries:
    for key in sorted(keys):
        if (home.studies / key / TRIALS).is_file():
            read_study(home.studies, key)
            files = [home.studies / key / name for name in sorted(STUDY_FILES)]
            yield from _files(home, STUDIES, key, [file for file in files if file.is_file()])


def _cell_keys(manifest: Mapping[str, object]) -> Iterator[str]:
    for mine in mapping(manifest["cells"]).values():
        yield from map(str, mine if isinstance(mine, list) else ())


def _study_keys(manifest: Mapping[str, object]) -> Iterator[str]:
    for mine in mapping(manifest.get("studies")).values():
        yield from map(str, mapping(mine).values())
