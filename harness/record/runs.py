"""Runs on disk: one folder per run id with Parquet tables and a JSON manifest that anything can read."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import polars as pl

from harness.core.ahead import beside
from harness.core.errors import DamagedError, MissingTableError, SealedError, UnknownNameError, UserError, listed
from harness.core.identity import canonical, digest
from harness.core.recipe import Experiment
from harness.record.files import (
    parsed_json,
    read_json,
    read_record,
    seal_holds,
    sealed_bytes,
    sha256_of,
    spelled,
    write_file,
)
from harness.record.home import Home
from harness.record.seals import seals_of
from harness.record.under_way import BEGUN_BY, RUNNING, STOPPED, Standing, begun_by, one_at_a_time, standing

MANIFEST = "manifest.json"
CODE_DIFF = "code.diff"
RESTORE = (
    "bring it back from a copy; where the run is no opening of a holdout, delete it and repeat its backtest instead: "
    "the cells are still there"
)


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Where one run is stored.

    Attributes:
        run_id: the run's id.
        folder: its folder.
    """

    run_id: str
    folder: Path


def start_run(home: Home, run_id: str, experiment: Experiment, opens: str = "", *, locked: bool = False) -> RunFiles:
    """Open the folder of a run; a finished manifest of the same identity stays until it is replaced.

    Args:
        home: the home folder.
        run_id: of the run.
        experiment: resolved.
        opens: id of the plan by which it opens a holdout; "" = it is no opening.
        locked: whether this process holds the folder, as `under_way` tells.

    Raises:
        DamagedError: a finished run of another plan stands there; it is never overwritten.
    """
    files = RunFiles(run_id, home.runs / run_id)
    files.folder.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(files.folder):  # between the look and the writing nobody ends it
        try:
            before = read_manifest(files)
        except DamagedError:  # none yet, or a damaged one: the cells are still there, so the run starts its record anew
            before = {}
        if before.get("status") == "complete" and plan_opened(before) != opens:
            raise DamagedError(
                "another run stands under this id",
                value=f"{run_id}, of {plan_opened(before) or 'no plan'}, not of {opens or 'no plan'}",
                rule="what an opening said is never overwritten",
                fix="harness verify says which run is not what it says; bring it back from a copy",
            )
        if before.get("status") != "complete":
            begun = {
                "run_id": run_id,
                "name": experiment.name,
                "status": "running",
                "started_at": before.get("started_at") or datetime.now(UTC).isoformat(timespec="seconds"),
                BEGUN_BY: begun_by(locked=locked),
                "experiment": canonical(experiment),
            }
            write_file(files.folder / MANIFEST, sealed_bytes(begun))
    return files


def write_run(
    files: RunFiles,
    manifest: Mapping[str, object],
    frames: Mapping[str, pl.DataFrame],
    measured: Callable[[], Mapping[str, object]],
    *,
    code_diff: str = "",
) -> None:
    """Write the tables and, last, the manifest with their hashes: a run with status `complete` is whole.

    Args:
        files: where to.
        manifest: what was run, on what, by what.
        frames: tables by name.
        measured: asked last for time and memory.
        code_diff: what the code differs in from its commit; kept as a file of its own when not empty.
    """
    begun = read_json(files.folder / MANIFEST)
    hashes = {}
    with beside(partial(spelled, manifest)) as spelling:
        for name, frame in frames.items():
            buffer = io.BytesIO()
            frame.write_parquet(buffer)
            path = files.folder / f"{name}.parquet"
            write_file(path, buffer.getvalue())
            hashes[path.name] = sha256_of(path)
        texts = spelling()
    if code_diff:
        write_file(files.folder / CODE_DIFF, code_diff.encode())
        hashes[CODE_DIFF] = sha256_of(files.folder / CODE_DIFF)
    ending = {
        "run_id": files.run_id,
        "name": begun.get("name"),
        "status": "complete",
        "started_at": begun.get("started_at"),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": hashes,
        "measured": measured(),
    }
    content = sealed_bytes(ending, texts)
    with one_at_a_time(files.folder):
        write_file(files.folder / MANIFEST, content)


def list_runs(home: Home) -> list[dict[str, object]]:
    """Manifests of all runs, newest first; damaged ones are listed with status `damaged`.

    Of a run that is not finished the status is that of its process now, `running`, `stopped` or `begun` (from here
    nobody can tell), and `told` says it in words.
    """
    return _newest_first(_as_it_stands(files, manifest) for files, manifest in _manifests(home))


def finished_runs(home: Home) -> list[dict[str, object]]:
    """Manifests of all finished runs, newest first; nobody is asked how others stand, which takes a moment for each."""
    return _newest_first(manifest for _, manifest in _manifests(home) if manifest.get("status") == "complete")


def _manifests(home: Home) -> Iterator[tuple[RunFiles, dict[str, object]]]:
    for folder in sorted(path for path in home.runs.iterdir() if path.is_dir()) if home.runs.is_dir() else ():
        files = RunFiles(folder.name, folder)
        try:
            manifest = read_manifest(files)
        except DamagedError:
            manifest = {"run_id": folder.name, "name": "", "status": "damaged", "started_at": ""}
        yield files, manifest


def _newest_first(runs: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(runs, key=lambda run: str(run.get("started_at") or ""), reverse=True)


def _as_it_stands(files: RunFiles, manifest: dict[str, object]) -> dict[str, object]:
    if manifest.get("status") in ("complete", "damaged"):
        return manifest
    now = standing(files.folder, manifest)
    return {**manifest, "status": now.status, "told": f"{now.told}; {_goes_on(now, manifest)}"}


def _goes_on(now: Standing, manifest: Mapping[str, object]) -> str:
    """How a run that is not finished is brought to its end."""
    same = f"harness backtest {manifest.get('name') or 'EXPERIMENT'}"
    if now.status == RUNNING:
        return "wait for it"
    where = "" if now.status == STOPPED else ", unless it is still at work"
    return f"resume it by the same command{where}: {same}"


def find_run(home: Home, run_id: str) -> RunFiles:
    """The run with this id, or with this unambiguous beginning of an id.

    Raises:
        UnknownNameError: no such run.
        UserError: several runs begin so.
        SealedError: it lies in a vault.
    """
    names = [path.name for path in home.runs.iterdir() if path.is_dir()] if home.runs.is_dir() else []
    hits = [name for name in names if name.startswith(run_id)] if run_id else []
    if run_id in names:
        hits = [run_id]
    if not hits:
        _refuse_sealed(home, run_id)
        raise UnknownNameError("run", run_id, names)
    if len(hits) > 1:
        raise UserError("several runs begin so", value=run_id, fix=f"one of {', '.join(sorted(hits))}")
    return RunFiles(hits[0], home.runs / hits[0])


def _refuse_sealed(home: Home, run_id: str) -> None:
    """Say of a run that saw a sealed period where it is now."""
    for seal in seals_of(home):
        if run_id and any(one.startswith(run_id) for one in seal.runs):
            raise SealedError(
                "this run saw the sealed period and lies in the vault",
                value=run_id,
                rule=f"what was published from {seal.cut} on is sealed ({seal.told} {seal.id}), and what saw it too",
                fix="run its experiment again: harness backtest EXPERIMENT ends before the seal",
            )


def read_manifest(files: RunFiles) -> dict[str, object]:
    """The manifest of a run.

    Raises:
        DamagedError: it cannot be read, or is not what was written.
    """
    content = read_record(files.folder / MANIFEST, fix=RESTORE)
    manifest = parsed_json(content, MANIFEST, fix=RESTORE)
    if seal_holds(manifest, content) is False:
        raise DamagedError(
            "the manifest of the run is damaged",
            value=f"{files.run_id}/{MANIFEST}",
            rule="its digest does not hold, so it is not used",
            fix=RESTORE,
        )
    return manifest


def run_identity(experiment: object, change_file: str, code: str, lock: str, opens: str = "") -> str:
    """The id of a run: its resolved experiment, archive state, code and lock, and the plan it opens a holdout by.

    Args:
        experiment: canonical form of the resolved experiment.
        change_file: hash of the change file.
        code: hash of the package's code.
        lock: hash of the installed packages.
        opens: id of the plan; "" = the run is no opening.
    """
    plan = ("opening", opens) if opens else ()
    return digest("run", experiment, change_file, code, lock, *plan)[:16]


def identity_told(manifest: Mapping[str, object]) -> str:
    """The run id that follows from what a manifest says the run was made of."""
    archive, code = manifest.get("archive"), manifest.get("code")
    said = archive.get("change_file") if isinstance(archive, dict) else ""
    hashed = code.get("hash") if isinstance(code, dict) else ""
    lock, opens = digest(manifest.get("packages")), plan_opened(manifest)
    return run_identity(manifest.get("experiment"), str(said), str(hashed), lock, opens)


def plan_opened(manifest: Mapping[str, object]) -> str:
    """Id of the plan by which a run opened a holdout; "" = it is no opening."""
    facts = manifest.get("holdout")
    return str(facts.get("plan") or "") if isinstance(facts, dict) else ""


def finished(files: RunFiles) -> dict[str, object]:
    """The manifest of a run that is whole.

    Raises:
        UserError: the run is not finished.
        DamagedError: the manifest is not what was written.
    """
    manifest = read_manifest(files)
    if manifest.get("status") != "complete":
        now = standing(files.folder, manifest)
        raise UserError("the run is not finished", value=f"{files.run_id}: {now.told}", fix=_goes_on(now, manifest))
    return manifest


def stores(manifest: Mapping[str, object], name: str) -> bool:
    """Whether a finished run stores a table; one with very many series stores no row per forecast.

    Args:
        manifest: of the run.
        name: of the table.
    """
    hashes = manifest.get("files")
    return isinstance(hashes, dict) and f"{name}.parquet" in hashes


def refuse_damaged(files: RunFiles, manifest: Mapping[str, object]) -> None:
    """Refuse a finished run of which any file is not what was written, whoever reads it.

    Raises:
        DamagedError: some are; all of them are named.
    """
    hashes = manifest.get("files")
    listed_there = hashes if isinstance(hashes, dict) else {}
    paths = {files.folder / str(name): expected for name, expected in listed_there.items()}
    damaged = [path.name for path, expected in paths.items() if not path.exists() or sha256_of(path) != expected]
    if damaged:
        raise DamagedError(
            "files of the run are damaged, though none that is shown here",
            value=f"{files.run_id}/{listed(damaged)}",
            rule="their checksums do not hold, so they are not used",
            fix=f"run harness backtest {manifest.get('name') or 'EXPERIMENT'} again: the cells are still there",
        )


def read_table(files: RunFiles, name: str, manifest: Mapping[str, object] | None = None) -> pl.DataFrame:
    """One table of a finished run, checked against its recorded hash.

    Args:
        files: of the run.
        name: of the table.
        manifest: of the run, where it was just read; None, or one of a run that was not finished then: it is read.

    Raises:
        UserError: the run is not finished.
        MissingTableError: it stores no such table.
        DamagedError: the file is missing or not what was written.
    """
    if manifest is None or manifest.get("status") != "complete":
        manifest = finished(files)
    if not stores(manifest, name):
        raise MissingTableError(
            "the run stores no such table",
            value=f"{files.run_id}/{name}",
            rule="of very many series forecasts stay in their cells, and what can be made from them is made when asked",
            fix=f"harness export {files.run_id} --to FOLDER writes forecasts, errors and scores by series",
        )
    hashes = manifest.get("files")
    path = files.folder / f"{name}.parquet"
    expected = hashes.get(path.name) if isinstance(hashes, dict) else None
    if not path.exists() or expected != sha256_of(path):
        raise DamagedError(
            "a table of the run is damaged",
            value=f"{files.run_id}/{path.name}",
            rule="its checksum does not hold, so it is not used",
            fix=f"run harness backtest {manifest.get('name') or 'EXPERIMENT'} again: the cells are still there",
        )
    return pl.read_parquet(path)
