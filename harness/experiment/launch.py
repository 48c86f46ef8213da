"""From an experiment to a run: read it, ingest what the archive lacks, export the archive's state, execute."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.backtest.effort import fingerprint, fingerprints
from harness.backtest.engines import HERE, Where
from harness.backtest.place import Progress
from harness.backtest.planning import resolved
from harness.backtest.runner import Batches, execute, with_rivals
from harness.backtest.under_seal import refuse_past_seal
from harness.core.errors import UserError
from harness.core.recipe import Experiment
from harness.core.series import Series
from harness.data.archive import Archive
from harness.data.archive.engine import let_go
from harness.data.changes import ChangeFile
from harness.data.dataset import find_dataset, load_dataset
from harness.data.ingest import IngestReport, ingest, lacks, untold
from harness.data.ingest.agreement import refuse_foreign, refuse_forgotten
from harness.experiment.built import refuse_misbuilt
from harness.experiment.load import load_experiment, validate
from harness.experiment.models import completed
from harness.experiment.stored_names import with_stored_ids, with_timeline
from harness.experiment.usercode import code_of
from harness.record.files import refuse_unwritable
from harness.record.home import Home
from harness.record.ledger import refusals
from harness.record.memory import left_alone, memory_limit, passed_text, within
from harness.record.platform import threads_within, wait_briefly
from harness.record.runs import find_run, read_manifest
from harness.record.seals import refuse_unfinished, seals_of
from harness.record.working import working

if TYPE_CHECKING:
    from harness.studies.audit import Asked, Audit
    from harness.studies.checks import Say
    from harness.studies.reproduce import Reproduction

Tell = Callable[[str], None]


def warned(text: str) -> None:
    """Tell whoever called the harness from Python."""
    warnings.warn(text, stacklevel=2)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An experiment and the archive state it runs on.

    Attributes:
        experiment: resolved, with the always-on rivals.
        changes: folder of the exported change file.
        ingested: datasets that were missing, or whose files had changed, and have been ingested now.
        batches: facts about the archive's batches in that state.
        untold: datasets under seal whose files may have changed: without the signing key nobody can tell.
    """

    experiment: Experiment
    changes: Path
    ingested: tuple[IngestReport, ...]
    batches: Batches = ()
    untold: tuple[str, ...] = ()

    def tell(self, tell: Tell) -> None:
        """Say of which datasets nobody could look for changed files."""
        for name in self.untold:
            tell(not_looked_at(name))


def not_looked_at(dataset: str) -> str:
    """What is said of a dataset under seal whose signing key is not here."""
    return f"{dataset}: the signing key of its seal is not here (HARNESS_KEYS), so nobody looked for changed files"


def prepare(experiment: Experiment | str | Path, home: Home, archive: Archive | None = None) -> Prepared:
    """Resolve an experiment against an archive; a dataset it lacks, or whose files changed, is ingested.

    Nothing is downloaded.

    Args:
        experiment: a file, or an experiment built in Python (bare series ids are looked up in its datasets, then in
            the whole archive; blank zone and season are those of the target).
        home: where raw input and change files are kept.
        archive: the archive to use; None = the home's.

    Raises:
        UserError: the experiment or a dataset is wrong, a dataset declares otherwise what the archive has, or the
            archive is busy or damaged.
        SealedError: it asks for origins past a seal, or the archive knows what is sealed; the ledger tells of it.
    """
    wait_briefly()
    with working(home):
        return _prepared(experiment, home, archive)


def _prepared(experiment: Experiment | str | Path, home: Home, archive: Archive | None) -> Prepared:
    with refusals(home, "prepare"):
        refuse_unfinished(home)
    asked = _asked(experiment)
    folder = Path(asked.folder) if asked.folder else None
    datasets = [load_dataset(find_dataset(name, folder)) for name in asked.datasets]
    if archive is None:
        archive = Archive.open(home.archive)
    with refusals(home, f"prepare {asked.name}"):
        refuse_foreign(home, archive, {*archive.declared(), *(series.id for one in datasets for series in one.series)})
        refuse_forgotten(archive)
    reports = [ingest(one.folder, archive, raw_dir=home.raw) for one in datasets if lacks(archive, one)]
    ingested = tuple(report for report in reports if not report.already)
    if isinstance(experiment, Experiment):
        asked = completed(with_timeline(with_stored_ids(asked, archive), archive))
        validate(asked, datasets, series=_of_others(archive.declared(), asked.datasets))
    changes, batches = archive.exported(home.changes)
    if seals_of(home):
        opened = ChangeFile.open(changes)
        with refusals(home, f"prepare {asked.name}"):
            refuse_past_seal(resolved(asked, opened), opened, home)
    unasked = tuple(one.name for one in datasets if untold(archive, one))
    let_go(archive.path)  # what runs on the change file would have it in memory for nothing
    return Prepared(with_rivals(asked), changes, ingested, batches, unasked)


def _asked(experiment: Experiment | str | Path) -> Experiment:
    if isinstance(experiment, Experiment):
        refuse_misbuilt(experiment)
        return experiment
    return load_experiment(experiment)


def without_writing(experiment: Experiment | str | Path, home: Home) -> tuple[Experiment, ChangeFile]:
    """As `prepare`, on the archive as it is: nothing is ingested, and nothing written.

    Args:
        experiment: a file, or an experiment built in Python.
        home: the home folder.

    Raises:
        UserError: the experiment or a dataset is wrong, or the archive lacks what it would have to ingest first.
    """
    asked = _asked(experiment)
    datasets = [
        load_dataset(find_dataset(name, Path(asked.folder) if asked.folder else None)) for name in asked.datasets
    ]
    archive = Archive.open(home.archive, read_only=True) if home.archive.exists() else None
    missing = [one.name for one in datasets if archive is None or lacks(archive, one)]
    if missing or archive is None:
        raise UserError(
            "the archive lacks these datasets, or their files changed since",
            value=", ".join(missing) or home.archive,
            rule="a dry run writes nothing, so it ingests nothing, and lists what is in the archive",
            fix="; ".join(f"harness ingest {name}" for name in missing),
        )
    if isinstance(experiment, Experiment):
        asked = completed(with_timeline(with_stored_ids(asked, archive), archive))
        validate(asked, datasets, series=_of_others(archive.declared(), asked.datasets))
    return with_rivals(asked), archive.changes()


def _of_others(declared: Mapping[str, Series], datasets: Sequence[str]) -> Mapping[str, Series]:
    """Declarations of series that belong to none of some datasets."""
    if not datasets:
        return declared
    return {name: declared[name] for name in declared if name.partition("/")[0] not in datasets}


def launch(  # noqa: PLR0913 - the options of a verb, all by keyword
    experiment: Experiment | str | Path,
    home: Home,
    archive: Archive | None = None,
    *,
    workers: int | None = None,
    where: Where = HERE,
    progress: Progress | None = None,
    begun: Callable[[Prepared], object] | None = None,
    tell: Tell = warned,
) -> str:
    """Run an experiment, or resume it.

    Args:
        experiment: a file, or an experiment built in Python.
        home: the home folder.
        archive: the archive to use; None = the home's.
        workers: worker processes; None = as many as the cores allow.
        where: the engine that runs the tasks.
        progress: called with (cells done, cells in all).
        begun: called when the archive is ready; None = datasets of which nobody could look for changed files are told.
        tell: told of them, and of more memory in use than allowed.

    Returns:
        The run id.

    Raises:
        UserError: as `prepare` and `execute`.
    """
    with working(home), within(where.memory), threads_within(workers), left_alone():
        ready = prepare(experiment, home, archive)
        if begun is None:
            ready.tell(tell)
        else:
            begun(ready)
        run_id = execute(
            ready.experiment,
            ready.changes,
            home,
            workers=workers,
            where=where,
            progress=progress,
            batches=ready.batches,
        )
        if memory_limit() is not None:
            tell_memory(home, run_id, tell)
        return run_id


def tell_memory(home: Home, run_id: str, tell: Tell) -> None:
    """Say that a run took more memory than it was allowed, where it did.

    Args:
        home: its home folder.
        run_id: the run.
        tell: told of it.
    """
    measured = read_manifest(find_run(home, run_id)).get("measured")
    passed = passed_text(measured) if isinstance(measured, dict) else ""
    if passed:
        tell(f"{passed}; what a run holds whole grows with the panel (README, Large panels)")


def audited(
    experiment: Experiment | str | Path,
    home: Home,
    archive: Archive | None = None,
    *,
    asked: Asked | None = None,
    say: Say | None = None,
    tell: Tell = warned,
) -> Audit:
    """Audit an experiment for leakage.

    Args:
        experiment: a file, or an experiment built in Python.
        home: the home folder.
        archive: the archive to use; None = the home's.
        asked: which checks, on how many origins.
        say: told in words what is being done.
        tell: told of datasets under seal whose files may have changed.

    Raises:
        UserError: as `prepare` and `studies.audit.audit`.
    """
    from harness.studies.audit import audit  # noqa: PLC0415 - many parts, and a backtest needs none

    with working(home), threads_within(None if asked is None else asked.workers):
        ready = prepare(experiment, home, archive)
        ready.tell(tell)
        refuse_unwritable(home.root)
        return audit(ready.experiment, ready.changes, home, asked, say=say)


def reproduced(
    run_id: str,
    home: Home,
    archive: Archive | None = None,
    *,
    models: Iterable[str] | None = None,
    folder: str = "",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Reproduction:
    """Derive a recorded run again and compare it with the record.

    Args:
        run_id: the run, or the beginning of its id.
        home: the home folder.
        archive: the archive it ran on; None = the home's.
        models: models to run again; None = all.
        folder: where the experiment's own modules are now; "" = where they were.
        workers: worker processes; None = as many as the cores allow.
        progress: called with (cells done, cells in all).

    Raises:
        UserError: code, packages or archive state are not those recorded; the message names what differs.
    """
    from harness.studies.recorded import recorded_run  # noqa: PLC0415 - as above
    from harness.studies.reproduce import reproduce  # noqa: PLC0415

    with working(home), threads_within(workers):
        with refusals(home, f"reproduce {run_id}"):
            run = recorded_run(find_run(home, run_id), home, archive, folder=folder)
        return reproduce(run, code_of, models=models, workers=workers, progress=progress)


def target_fingerprints(target: Path | str, home: Home) -> dict[str, str]:
    """Source series -> fingerprint, by which effort is counted.

    Args:
        target: an experiment file, whose target is meant, or the id of a series in the archive.
        home: the home folder.

    Raises:
        UserError: the experiment is wrong, or there is no such series.
    """
    if isinstance(target, Path):
        ready = prepare(target, home)
        changes = ChangeFile.open(ready.changes)
        return fingerprints(changes, resolved(ready.experiment, changes))
    archive = Archive.open(home.archive)
    series = archive.resolve(target)
    return {series: fingerprint(ChangeFile.open(archive.export(home.changes)), series)}
