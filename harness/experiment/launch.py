"""From an experiment to a run: read it, ingest what the archive lacks, export the archive's state, execute."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from harness.backtest.runner import Progress, execute, with_rivals
from harness.core.recipe import Experiment, FeatureBlock, Target
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.dataset import find_dataset, load_dataset
from harness.data.declared import Dataset
from harness.data.ingest import IngestReport, ingest
from harness.experiment.load import load_experiment, validate
from harness.experiment.models import completed
from harness.record.home import Home


@dataclass(frozen=True, slots=True)
class Prepared:
    """An experiment and the archive state it runs on.

    Attributes:
        experiment: resolved, with the always-on rivals.
        changes: folder of the exported change file.
        ingested: datasets that were missing and have been ingested now.
    """

    experiment: Experiment
    changes: Path
    ingested: tuple[IngestReport, ...]


def prepare(experiment: Experiment | str | Path, home: Home, archive: Archive | None = None) -> Prepared:
    """Resolve an experiment against an archive; a local dataset the archive lacks is ingested, nothing is downloaded.

    Args:
        experiment: a file, or an experiment built in Python (bare series ids are resolved where unique).
        home: where raw input and change files are kept.
        archive: the archive to use; None = the home's.

    Raises:
        UserError: the experiment or a dataset is wrong, or the archive is busy or damaged.
    """
    resolved = experiment if isinstance(experiment, Experiment) else load_experiment(experiment)
    folder = Path(resolved.folder) if resolved.folder else None
    datasets = [load_dataset(find_dataset(name, folder)) for name in resolved.datasets]
    if archive is None:
        archive = Archive.open(home.archive)
    ingested = tuple(ingest(one.folder, archive, raw_dir=home.raw) for one in datasets if lacks(archive, one))
    if isinstance(experiment, Experiment):
        resolved = completed(with_stored_ids(resolved, archive))
        own = [one for one in archive.series() if one.id.partition("/")[0] not in resolved.datasets]
        validate(resolved, datasets, series=own)
    return Prepared(with_rivals(resolved), archive.export(home.changes), ingested)


def launch(
    experiment: Experiment | str | Path,
    home: Home,
    archive: Archive | None = None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> str:
    """Run an experiment, or resume it.

    Args:
        experiment: a file, or an experiment built in Python.
        home: the home folder.
        archive: the archive to use; None = the home's.
        workers: worker processes; None = as many as the cores allow.
        progress: called with (cells done, cells in all).

    Returns:
        The run id.

    Raises:
        UserError: as `prepare` and `execute`.
    """
    ready = prepare(experiment, home, archive)
    return execute(ready.experiment, ready.changes, home, workers=workers, progress=progress)


def lacks(archive: Archive, dataset: Dataset) -> bool:
    """Whether an archive lacks series or external forecasts of a dataset (an interrupted ingest counts as lacking)."""
    defined = {series.id for series in archive.series()}
    if any(series.id not in defined or archive.known_through(series.id) is None for series in dataset.series):
        return True
    if dataset.forecasts is None:
        return False
    batches = archive.batches()
    sources = batches["source"].to_list() if batches.height else []
    issued = {name for source in sources for name in str(source).split(", ")}
    return not issued.issuperset(issuer.name for issuer in dataset.forecasts.issuers)


def with_stored_ids(experiment: Experiment, archive: Archive) -> Experiment:
    """The experiment with every bare series id replaced by the stored one.

    Raises:
        UnknownNameError: a series the archive does not have.
    """
    target = experiment.target
    return replace(
        experiment,
        target=Target(
            tuple(archive.resolve(name) for name in target.series),
            _stored(target.transform, archive),
            target.outcome,
            target.season,
        ),
        features=tuple(_stored_block(block, archive) for block in experiment.features),
    )


def _stored_block(block: FeatureBlock, archive: Archive) -> FeatureBlock:
    series = archive.resolve(block.series) if block.series else ""
    return replace(block, series=series, transform=_stored(block.transform, archive))


def _stored(transform: Transform, archive: Archive) -> Transform:
    names = (transform.other, transform.high, transform.low)
    other, high, low = (archive.resolve(name) if name else "" for name in names)
    return replace(transform, other=other, high=high, low=low)
