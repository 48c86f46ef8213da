"""Whether anything of a dataset under seal is new, where the key that would tell for certain is not here."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl

from harness.core.series import Series
from harness.data.archive.received import BATCH
from harness.data.ingest.gate import Gate
from harness.data.ingest.parted import LISTED, part_listed
from harness.data.inputs import Input
from harness.data.issued import Issued
from harness.data.listings import Listing
from harness.data.vault.files import Vault


def unchanged_by_record(
    gate: Gate, series: Sequence[Series], fresh: Collection[Input], lists: Sequence[Listing | Issued | None]
) -> bool:
    """Whether the signing key is missing, and by what stands in the clear there is nothing it would be needed for.

    Files of values, and lists of which anything is asserted, are known by the digits their batches are called by; other
    lists by how many rows of them were taken and sealed, since their hashes are keyed.

    Args:
        gate: of the archive.
        series: of the dataset.
        fresh: files of values that no batch is called by.
        lists: forecasts, events and members.
    """
    place = gate.covering(series)
    return place >= 0 and not (gate.has_key(place) or fresh) and all(_counted(gate, one) for one in lists if one)


def _counted(gate: Gate, one: Listing | Issued) -> bool:
    kind, rows, batches = one.section, one.rows, gate.archive.batches()
    if one.asserted:  # its name has digits of its content
        return one.asserted in batches["source"].to_list()
    form, stamp = LISTED[kind]
    parted = part_listed(rows, form, stamp, gate.catalogue(), gate.seals)
    label = ", ".join(rows["source"].unique().sort().to_list()) if kind == "forecasts" else one.tag
    mine = batches.filter((pl.col("kind") == kind) & (pl.col("source") == label))
    if rows.height in mine["rows_in"].to_list():
        return True
    counts = [parted.count(place) for place in range(len(gate.seals))]
    kept = {
        str(file.facts.get("key")): place
        for place, seal in enumerate(gate.seals)
        for file in Vault.open(gate.home, seal.id).files(BATCH)
        if file.facts.get("rows") == counts[place]
    }
    later = mine.filter(pl.col("rows_in") == rows.height - sum(counts))
    return any(sha256 in kept for sha256 in later["sha256"].to_list())
