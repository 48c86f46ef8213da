"""From the names of experiments to a sealed home: read them, ingest what the archive lacks, seal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from itertools import product
from pathlib import Path

from harness.core.errors import UnknownNameError, UserError
from harness.core.recipe import Experiment
from harness.core.time import micros
from harness.data.changes import ChangeFile
from harness.data.dataset import find_dataset, load_dataset
from harness.data.declared_before import declared_before
from harness.experiment.launch import prepare, without_writing
from harness.experiment.load import load_experiment
from harness.record.home import Home
from harness.record.working import exclusively, working
from harness.studies.holdout.abandoning import give_up_begun
from harness.studies.holdout.locking import Lock
from harness.studies.holdout.seal import Sealing, resume, seal


def seal_experiments(
    experiments: Sequence[Experiment | str | Path],
    day: date | str,
    home: Home,
    *,
    lock: Lock | None = None,
    dry_run: bool = False,
    told: Callable[[Sealing], None] | None = None,
) -> Sealing:
    """Seal what the targets of experiments use, from a day on; finish a sealing that was interrupted.

    Args:
        experiments: files, or experiments built in Python.
        day: first sealed day, in the zone of the (earliest) target.
        home: the home folder.
        lock: who can open it; datasets that say they are public are added.
        dry_run: tell what would be sealed, and do nothing.
        told: called with what will be sealed, before it is.

    Raises:
        UserError: as `prepare` and `studies.holdout.seal.seal`.
        SealedError: some of it is sealed already; entered in the ledger.
    """
    with working(home) if dry_run else exclusively(home):
        return _sealed(experiments, _day(day), home, lock or Lock(), dry_run=dry_run, told=told)


def _sealed(
    experiments: Sequence[Experiment | str | Path],
    first: date,
    home: Home,
    lock: Lock,
    *,
    dry_run: bool,
    told: Callable[[Sealing], None] | None,
) -> Sealing:
    asked = [one if isinstance(one, Experiment) else load_experiment(one) for one in experiments]
    if not dry_run:
        done = resume(home, keys=lock.keys)
        if done is not None and set(done.seal.experiments) == {one.name for one in asked}:
            return _with_files(done, asked)
        give_up_begun(home)  # nothing was taken yet: what came since may be read in, and another day be chosen
    lock = replace(lock, public=lock.public | _public(asked))
    if dry_run:
        looked = [without_writing(one, home) for one in experiments]
        found = seal(home, [one for one, _ in looked], first, looked[-1][1], lock=lock, dry_run=True, told=told)
        return _with_files(found, asked)
    ready = [prepare(one, home) for one in experiments]
    resolved = [one.experiment for one in ready]
    changes = ChangeFile.open(ready[-1].changes)
    tell = None if told is None else lambda ahead: told(_with_files(ahead, asked))
    return _with_files(seal(home, resolved, first, changes, lock=lock, told=tell), asked)


def _day(day: date | str) -> date:
    try:
        return day if isinstance(day, date) else date.fromisoformat(day)
    except ValueError as error:
        raise UserError(
            "this is no day", value=repr(day), rule="like 2019-01-01", fix="name the first sealed day"
        ) from error


def _with_files(sealing: Sealing, experiments: Sequence[Experiment]) -> Sealing:
    """A sealing with the files its datasets were read from: they lie outside the home, and are not its own to move."""
    files, cut = dict[str, None](), micros(sealing.seal.instant)
    folders = dict.fromkeys(Path(one.folder) if one.folder else None for one in experiments)
    for name, folder in product(sealing.seal.datasets, folders):
        with suppress(UserError):
            found = load_dataset(find_dataset(name, folder))
            files |= dict.fromkeys(map(str, found.files))
            if any(declared_before(one, cut) != one for one in found.series):
                files[str(found.folder / "dataset.toml")] = None
    return replace(sealing, elsewhere=tuple(files))


def _public(experiments: Sequence[Experiment]) -> frozenset[str]:
    """Datasets that say of themselves that they can be had elsewhere."""
    found = set()
    for one in experiments:
        for name in one.datasets:
            with suppress(UnknownNameError):
                if load_dataset(find_dataset(name, Path(one.folder) if one.folder else None)).public:
                    found.add(name)
    return frozenset(found)
