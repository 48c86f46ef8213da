"""A recorded run as it can be derived again: its experiment, its archive state, and whether its code is at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.backtest.under_seal import refuse_sealed_run
from harness.core.errors import DamagedError, UserError
from harness.core.recipe import Experiment
from harness.core.restore import restored
from harness.data.archive import Archive
from harness.data.changes import MANIFEST, ChangeFile
from harness.record.home import Home
from harness.record.ledger import refusals
from harness.record.platform import code_hash, installed_packages
from harness.record.runs import CODE_DIFF, RunFiles, finished, identity_told

UserCode = Callable[[str, Path], str]
"""(`module:name`, folder) -> hash of the files behind a user's class."""
SHOWN = 8


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A finished run and what it was made of.

    Attributes:
        files: where it is stored.
        manifest: its record.
        experiment: resolved, with its rivals.
        changes: its change file.
    """

    files: RunFiles
    manifest: Mapping[str, object]
    experiment: Experiment
    changes: ChangeFile

    def part(self, name: str) -> Mapping[str, object]:
        """One section of the manifest; empty when there is none."""
        return part(self.manifest, name)


def recorded_run(files: RunFiles, home: Home, archive: Archive | None = None, *, folder: str = "") -> Recorded:
    """Read back a run; its change file is found, or exported again where the archive still has that state.

    Args:
        files: the run.
        home: where change files are kept.
        archive: the archive it ran on; None = the home's.
        folder: where the experiment's user modules are; "" = where they were.

    Raises:
        UserError: the run is not finished, or its archive state is gone.
        DamagedError: a record is damaged, or belongs to another run.
        SealedError: the run walked through a period that is sealed; the home's ledger tells of it.
    """
    manifest = finished(files)
    if identity_told(manifest) != files.run_id:
        raise DamagedError(
            "the manifest does not belong to this run",
            value=files.run_id,
            rule="a run id follows from experiment, archive state, code and packages",
            fix="delete the run and repeat its backtest: the cells are still there",
        )
    experiment = restored(Experiment, manifest.get("experiment"))
    with refusals(home, f"go back into run {files.run_id}"):
        refuse_sealed_run(manifest, experiment, home)
    experiment = replace(experiment, folder=folder or str(manifest.get("folder") or ""))
    return Recorded(files, manifest, experiment, change_file(part(manifest, "archive"), home, archive))


def change_file(recorded: Mapping[str, object], home: Home, archive: Archive | None = None) -> ChangeFile:
    """The change file of a run, found under its hash or exported again from an archive of the same state.

    Raises:
        UserError: neither is there; the message names both states.
    """
    name, state = str(recorded.get("change_file")), str(recorded.get("state"))
    if (home.changes / name / MANIFEST).is_file():
        return ChangeFile.open(home.changes / name)
    if archive is None and home.archive.exists():
        archive = Archive.open(home.archive, read_only=True)
    present, newer = "no archive", ""
    if archive is not None:
        present, batches = archive.provenance()
        newer = f", with {len(batches)} batches up to {batches[-1]['ingested']}" if batches else ""
        if present == state:
            folder = archive.export(home.changes)
            if folder.name == name:
                return ChangeFile.open(folder)
    raise UserError(
        "the archive is not in the state the run was made on",
        value=f"recorded state {state} (change file {name[:12]}), present {present}{newer}",
        rule="a run is derived again from its own archive state only, and its change file is gone",
        fix=f"bring back changes/{name} or that archive from a copy (harness archive import FILE), or run the "
        "experiment anew on the present state",
    )


def refuse_other_code(run: Recorded, user_code: UserCode) -> None:
    """Refuse to derive a run again with other code or packages than it was made with.

    Raises:
        UserError: naming all that differs.
    """
    differ = [*_code(run), *_packages(run), *_user_files(run, user_code)]
    if not differ:
        return
    version = str(run.part("code").get("version") or "unknown")
    commit, _, dirty = version.partition("+")
    diff = f" and apply {run.files.folder / CODE_DIFF}" if dirty else ""
    raise UserError(
        "the code or the packages are not those the run was made with",
        value="; ".join(differ),
        rule="equal bits are promised for equal code and an equal lock file only",
        fix=f"git checkout {commit}{diff}, make setup, then the same command; or run the experiment anew",
    )


def _code(run: Recorded) -> Iterator[str]:
    code = run.part("code")
    if code.get("hash") != code_hash():
        yield f"harness code {code_hash()[:12]}, recorded {str(code.get('hash'))[:12]} ({code.get('version')})"


def _packages(run: Recorded) -> Iterator[str]:
    then, now = run.part("packages"), installed_packages()
    differ = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    yield from (f"{name} {now.get(name, 'absent')}, recorded {then.get(name, 'absent')}" for name in differ[:SHOWN])
    if len(differ) > SHOWN:
        yield f"{len(differ) - SHOWN} more packages"


def _user_files(run: Recorded, user_code: UserCode) -> Iterator[str]:
    folder = Path(run.experiment.folder)
    for model in run.experiment.models:
        for kind, code in ((model.kind, model.code), *((step.kind, step.code) for step in model.steps)):
            if not code:
                continue
            try:
                same = user_code(kind, folder) == code
            except UserError as error:
                yield f"{kind} (model {model.name}): {error.what} in {folder}"
                continue
            if not same:
                yield f"{kind} (model {model.name}): its files in {folder} have changed"


def part(table: Mapping[str, object], name: str) -> Mapping[str, object]:
    """One section of a record; empty when there is none."""
    value = table.get(name)
    return value if isinstance(value, dict) else {}
