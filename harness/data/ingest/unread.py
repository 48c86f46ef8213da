"""What is known of a source before ingest reads it: that nothing of it changed, or which file was refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from harness.core.errors import UserError
from harness.data.archive import Archive
from harness.data.archive.refusals import Refusal
from harness.data.cleaning.hashing import key_is_set
from harness.data.cleaning.notes import ASSERTIONS, FAILURES, parameters
from harness.data.cleaning.steps import Deidentify, kind_of
from harness.data.declared import Dataset, Source
from harness.data.tables import read_packaged, sha256_of
from harness.record.files import sha256_of as sha256_of_file


def file_hash(dataset: Dataset, source: Source) -> str:
    """Content hash of a source's file as it lies there; "" = there is none."""
    if source.reader:
        return sha256_of(read_packaged(source.reader))
    try:
        return sha256_of_file(dataset.folder / source.file)
    except OSError:
        return ""


def refused_unread(dataset: Dataset, sources: Sequence[Source], error: UserError) -> Refusal | None:
    """What is put on record of a refusal before any value was read; None = there is no file to speak of.

    Args:
        dataset: its declarations.
        sources: those it may be about; that which the message names is taken, else the first.
        error: why.
    """
    said = str(error)
    about = [
        one for one in sources if one.label in said or any(f"{dataset.name}/{bare}" in said for bare in one.series)
    ]
    source = (about or list(sources))[0]
    sha256 = file_hash(dataset, source)
    nothing = {"assertions": pl.DataFrame(schema=ASSERTIONS), "failures": pl.DataFrame(schema=FAILURES)}
    return Refusal(dataset.name, f"{dataset.name}: {source.label}", sha256, said, nothing) if sha256 else None


def unchanged_without_key(
    archive: Archive, dataset: Dataset, source: Source, keyed: Callable[[str], str] = str
) -> bool:
    """Whether a source whose names cannot be hashed, as the key is not set, is the very file that was ingested.

    Its steps and assertions are held against the record of the batch; a changed column or stamp is noticed with the key
    alone.

    Args:
        archive: where it was ingested.
        dataset: its declarations.
        source: one of its sources.
        keyed: what may stand in the archive for the hash of a file with names in it.
    """
    hidden = [step for step in source.treatment.steps if isinstance(step, Deidentify)]
    if not hidden or source.publications or all(key_is_set(step.key_env) for step in hidden):
        return False
    given = file_hash(dataset, source)
    known = {given, keyed(given)} - {""}
    label = f"{dataset.name}: {source.label} ["
    tags = [tag for tag, hashes in archive.originals().items() if tag.startswith(label) and hashes & known]
    batches = archive.batches().filter(pl.col("source").is_in(tags))["batch"].to_list()
    return bool(batches) and _declared_alike(archive.cleaning_of(batches[-1:]), source)


def _declared_alike(record: dict[str, pl.DataFrame], source: Source) -> bool:
    steps = [(step.name, kind_of(step), parameters(step)) for step in source.treatment.steps]
    asked = [(one.name, one.kind, parameters(one.check), one.severity) for one in source.treatment.assertions]
    return record["cleaning"].sort("place").select("step", "kind", "parameters").rows() == steps and sorted(
        record["assertions"].select("assertion", "kind", "parameters", "severity").rows()
    ) == sorted(asked)
