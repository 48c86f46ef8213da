"""What leaves the home when it is sealed, besides the archive's rows: files that saw the sealed period."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import DamagedError, UserError
from harness.core.time import micros
from harness.data.archive import Archive
from harness.data.archive.covered import raw_of, reaches_back
from harness.data.changes import ChangeFile
from harness.data.declaration import shaped
from harness.data.declared_before import declared_before
from harness.data.vault.packing import unpacked
from harness.record.audits import RECORD
from harness.record.cells import read_cell
from harness.record.files import KEEP, json_bytes, parsed_json, read_json, seal_holds, sealed, write_file
from harness.record.home import Home
from harness.record.registry import effort_from
from harness.record.runs import MANIFEST
from harness.record.seals import Seal
from harness.record.shape import misshapen
from harness.record.studies import STUDY
from harness.studies.holdout.signed_before import CUSTODIAN_FOLDER

SCRATCH = (".tmp-*", ".work-*", "*.duckdb.tmp")
"""Names of files that were being written when a process ended, and of what a database had no memory for."""

OWN = (
    "archive.duckdb", "archive.duckdb.lock", "archive.duckdb.wal", "archive.sums.json", "registry.duckdb",
    "registry.duckdb.wal", "registry.lock", "ledger.jsonl", "opening.lock", "vault", "plans", "custodian", "raw",
    "changes", "cells", "fits", "studies", "runs", "audits",
)  # fmt: skip
"""What the harness keeps in a home folder."""
RUNS = "runs"


@dataclass(frozen=True, slots=True)
class Leaving:
    """Files that leave the home.

    Attributes:
        paths: what kind -> paths relative to the home, ascending.
        raw: hashes of the raw files among them.
        runs: ids of the runs among them.
        effort: what those runs and audits did, as they recorded it.
    """

    paths: Mapping[str, tuple[str, ...]]
    raw: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    effort: tuple[Mapping[str, object], ...] = field(default=())

    @property
    def every(self) -> tuple[str, ...]:
        """All paths, in the order of their kinds."""
        return tuple(path for paths in self.paths.values() for path in paths)

    @property
    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        return {kind: len(paths) for kind, paths in self.paths.items() if paths}


def leaving(home: Home, archive: Archive, seal: Seal) -> Leaving:
    """What of a home saw what a seal covers; what did not, stays.

    Runs (and their audits) leave when the archive they ran on knew a sealed series beyond the cut; change files
    likewise; cells and searches when their origin lies at or past the cut and no run that stays names them; fits when
    no cell that stays names them. What cannot be read leaves too.

    Args:
        home: the home folder.
        archive: its archive.
        seal: what is sealed.
    """
    runs = {one.name: _manifest(one) for one in _folders(home.runs)}
    stay = {name for name, told in runs.items() if told is not None and not _saw(told, seal)}
    named = {key for name in stay for key in _named(runs[name] or {}, "cells")}
    searched = {key for name in stay for key in _named(runs[name] or {}, "studies")}
    # history that a sealed vintage put before the cut was seen by earlier origins too
    hindsight = reaches_back(archive, seal)
    cells, fits = _cells(home, seal, named, hindsight=hindsight)
    mine, others = raw_of(archive, seal)
    raw = [one for one in _files(home.raw) if one.name.partition(".")[0] not in others - mine]
    paths = {
        "runs": [home.runs / name for name in runs if name not in stay],
        "audits": [one for one in _folders(home.audits) if one.name not in stay],
        "changes": [one for one in _folders(home.changes) if _knows(one, seal)],
        "cells": cells,
        "fits": [one for one in _folders(home.fits) if one.name not in fits],
        "searches": [
            one
            for one in _folders(home.studies)
            if one.name not in searched and (hindsight or not _searched_before(one, seal))
        ],
        "raw": raw,
    }
    efforts = [*_efforts(paths["runs"], MANIFEST), *_efforts(paths["audits"], RECORD)]
    return Leaving(
        {kind: tuple(str(one.relative_to(home.root)) for one in found) for kind, found in paths.items()},
        tuple(one.name.partition(".")[0] for one in raw),
        tuple(one.name for one in paths["runs"]),
        tuple(efforts),
    )


def others(home: Home) -> tuple[str, ...]:
    """What lies in the home folder and was not put there by the harness; it may hold anything.

    Beside what the harness does not keep these are links, whose target stays wherever it is, and in its folders files
    where it keeps folders, or folders where it keeps files.
    """
    strange = [one for one in _entries(home.root) if one.name not in OWN or one.is_symlink()]
    for folder in (home.runs, home.audits, home.changes, home.cells, home.fits, home.studies):
        strange += [one for one in _entries(folder) if not one.is_dir() or one.is_symlink() or one.name[0] == "."]
    for folder in (home.raw, home.plans, home.root / CUSTODIAN_FOLDER):
        strange += [one for one in _entries(folder) if not one.is_file() or one.is_symlink() or one.name[0] == "."]
    return tuple(str(one.relative_to(home.root)) for one in strange if not any(map(one.match, SCRATCH)))


def refuse_links(home: Home) -> None:
    """Refuse to seal an archive that lies elsewhere: what is put in its place would leave it there, whole.

    Raises:
        UserError: the archive, or what belongs to it, is a link.
    """
    for path in (home.archive, home.archive.with_name(f"{home.archive.name}.wal"), home.registry):
        if path.is_symlink():
            raise UserError(
                "the archive of this home lies elsewhere",
                value=f"{path} leads to {path.resolve()}",
                rule="sealing replaces the archive, and the file behind a link would keep what is sealed",
                fix="move the file itself into the home folder",
            )


def write_leaving(path: Path, paths: tuple[str, ...], *, recount: bool) -> None:
    """Write, into a vault, what still has to leave the home, and whether effort is counted anew then."""
    write_file(path, json_bytes(sealed({"paths": list(paths), "recount": recount})))


def read_leaving(path: Path) -> tuple[tuple[str, ...], bool]:
    """What still has to leave a home, and whether effort is counted anew then.

    Raises:
        DamagedError: it is not what was written, or names something else than what the harness keeps there.
    """
    record = read_json(path, fix=KEEP)
    listed = record.get("paths")
    paths = [Path(one) for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    mine = all(not one.is_absolute() and ".." not in one.parts and one.parts[:1] != () for one in paths)
    mine &= all(one.parts[0] in OWN and len(one.parts) > 1 for one in paths if one.parts)
    if seal_holds(record) is not True or misshapen(record, {"paths": [str], "recount": bool}) or not mine:
        raise DamagedError(
            "the list of what leaves the home at a sealing is damaged",
            value=path,
            rule="its digest holds, and it names what the harness keeps in this home",
            fix=KEEP,
        )
    return tuple(map(str, paths)), bool(record["recount"])


def remove(home: Home, paths: tuple[str, ...]) -> None:
    """Remove files and folders of a home; those that are gone already are passed over."""
    for name in paths:
        path = home.root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def remove_scratch(home: Home) -> None:
    """Remove what interrupted processes left, outside the vault."""
    for pattern in SCRATCH:
        for path in [*home.root.glob(pattern), *home.root.glob(f"*/{pattern}"), *home.root.glob(f"*/*/{pattern}")]:
            if not path.is_relative_to(home.vault):
                remove(home, (str(path.relative_to(home.root)),))


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _folders(folder: Path) -> list[Path]:
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [one for one in found if one.is_dir() and not one.name.startswith(".")]


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [one for one in found if one.is_file() and not one.name.startswith(".")]


def _manifest(folder: Path) -> dict[str, object] | None:
    try:
        return read_json(folder / MANIFEST)
    except DamagedError:
        return None


def _saw(manifest: Mapping[str, object], seal: Seal) -> bool:
    """Whether a run was made on an archive that knew a sealed series past the cut; also when it does not say."""
    told = manifest.get("archive")
    known = told.get("known_through") if isinstance(told, dict) else None
    if not isinstance(known, dict):
        return True
    sealed = [at for name, at in known.items() if seal.covers(name)]
    uses = bool(sealed) or _uses_source(manifest, seal)
    return uses and max(known.values(), default=0) >= micros(seal.instant)


def blind_runs(part: bytes, seal: Seal) -> Iterator[str]:
    """Ids of the packed runs whose archive knew nothing of what a seal covers.

    Args:
        part: content of one part of packed files.
        seal: the seal.
    """
    for path, start, content in unpacked([part]):
        folder, _, name = path.partition("/")
        run, _, file = name.partition("/")
        if (folder, file, start) == (RUNS, MANIFEST, 0):
            with suppress(DamagedError):
                if not _saw(parsed_json(content, path), seal):
                    yield run


def _uses_source(manifest: Mapping[str, object], seal: Seal) -> bool:
    experiment = manifest.get("experiment")
    if not isinstance(experiment, dict):
        return True
    sources = {one.get("source") for one in experiment.get("models", []) if isinstance(one, dict)}
    target = experiment.get("target")
    universe = target.get("universe") if isinstance(target, dict) else ""
    return bool(sources & set(seal.sources)) or universe in seal.universes


def _named(manifest: Mapping[str, object], what: str) -> Iterator[str]:
    """Keys of the cells, or of the searches, that a run names."""
    told = manifest.get(what)
    for keys in told.values() if isinstance(told, dict) else ():
        yield from keys.values() if isinstance(keys, dict) else keys if isinstance(keys, list) else ()


def _cells(home: Home, seal: Seal, named: set[str], *, hindsight: bool) -> tuple[list[Path], set[str]]:
    """Cells that leave, and keys of the fits that those which stay name."""
    leave, fits = list[Path](), set[str]()
    for folder in _folders(home.cells):
        cell = read_cell(home.cells, folder.name)
        origin = None if cell is None or not cell.frame.height else cell.frame["origin"].max()
        before = origin is not None and origin < seal.instant and not hindsight  # type: ignore[operator]
        if cell is not None and (folder.name in named or before):
            fits |= {str(cell.facts.get("fit_key"))}
        else:
            leave.append(folder)
    return leave, fits


def _searched_before(folder: Path, seal: Seal) -> bool:
    with suppress(DamagedError, ValueError):
        return str(read_json(folder / STUDY).get("origin")) < seal.instant.isoformat()
    return False


def _knows(folder: Path, seal: Seal) -> bool:
    """Whether a change file holds anything that is sealed; also when it cannot be read."""
    cut = micros(seal.instant)
    try:
        changes = ChangeFile.open(folder, verify=False)
        told = [one for one, names in shaped(changes.series) if any(map(seal.covers, names))]
    except (DamagedError, KeyError, ValueError):
        return True
    if any(declared_before(one, cut) != one for one in told):
        return True
    return any(at >= cut for name, at in changes.known_through.items() if seal.covers(name))


def _efforts(folders: list[Path], name: str) -> Iterator[dict[str, object]]:
    for folder in folders:
        with suppress(DamagedError):
            effort = effort_from(read_json(folder / name))
            if effort is not None:
                yield {"source": folder.name, "effort": effort.record()}
