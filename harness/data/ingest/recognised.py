"""Refuse series that repeat a sealed one under another name, by what both said before the seal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from harness.core.errors import SealedError
from harness.core.series import Series
from harness.core.time import micros, period_ends, period_ordinals
from harness.data.archive import Archive
from harness.data.declaration import Catalogue
from harness.data.ingest.copies import FEWEST, Copy, History, common, copy_of
from harness.record.seals import Seal, sealed_from

ALWAYS = np.iinfo(np.int64).max
FEATURES = ("first", "latest")


def refuse_copies(archive: Archive, catalogue: Catalogue, seals: Sequence[Seal], statements: pl.DataFrame) -> None:
    """Refuse statements of a series that is not sealed and says the same as a sealed one said before its cut.

    Args:
        archive: where the sealed series stand, and what is known of the others.
        catalogue: its series.
        seals: those in force.
        statements: columns of `derive.STATEMENT`; those of one series together with what the archive has of it.

    Raises:
        SealedError: at least one series is a copy; the first is named.
    """
    found = next(copies(archive, catalogue, seals, statements), None)
    if found is not None:
        seal = sealed_from(seals, found.original)
        raise SealedError(
            "this series repeats a sealed one",
            value=found.told,
            rule=f"{found.original} is sealed from {'' if seal is None else seal.cut} on, under whatever name",
            fix="take the series from the sealed dataset; another home folder (--home DIR) has no seal",
        )


def copies(archive: Archive, catalogue: Catalogue, seals: Sequence[Seal], statements: pl.DataFrame) -> Iterator[Copy]:
    """The copies among some statements, in the order of their series; arguments as `refuse_copies`."""
    series = {code: catalogue.series[code] for code in statements["code"].unique().sort().to_list()}
    asked = {code: one for code, one in series.items() if sealed_from(seals, one.id) is None}
    if not asked:
        return
    cuts = {name: seal.instant for name in catalogue.codes if (seal := sealed_from(seals, name)) is not None}
    sealed = archive.histories({name: micros(cut) for name, cut in cuts.items()})
    before = archive.histories({one.id: ALWAYS for one in asked.values()})
    for code, one in asked.items():
        stated = _stated(statements.filter(pl.col("code") == code), before.get(one.id))
        if stated.height >= FEWEST:
            for name, known in sealed.items():
                copy = _compared(one, stated, catalogue.series[catalogue.codes[name]], known)
                if copy is not None:
                    yield copy


def uncompared(
    archive: Archive, catalogue: Catalogue, seals: Sequence[Seal], statements: pl.DataFrame
) -> dict[str, int]:
    """Series that are not sealed -> common values with the sealed series of their frequency they share most with.

    Those of at least `FEWEST` were compared, fewer say too little; arguments as `refuse_copies`.
    """
    series = {code: catalogue.series[code] for code in statements["code"].unique().sort().to_list()}
    asked = {code: one for code, one in series.items() if sealed_from(seals, one.id) is None}
    cuts = {name: seal.instant for name in catalogue.codes if (seal := sealed_from(seals, name)) is not None}
    sealed = archive.histories({name: micros(cut) for name, cut in cuts.items()}) if asked else {}
    before = archive.histories({one.id: ALWAYS for one in asked.values()}) if asked else {}
    found = {}
    for code, one in asked.items():
        alike = [known for name, known in sealed.items() if _declared(catalogue, name).parsed == one.parsed]
        mine = _stated(statements.filter(pl.col("code") == code), before.get(one.id))
        shared = [common(_history(one.id, mine, "latest"), _history("", known, "latest")) for known in alike]
        if shared:
            found[one.id] = max(shared)
    return found


def uncompared_within(archive: Archive, seals: Sequence[Seal]) -> dict[str, int]:
    """Series of an archive that say too little before the cuts to be compared with sealed ones, as `uncompared`.

    Args:
        archive: before or after it was sealed.
        seals: those in force, and one that is about to be.
    """
    every = {one.id: one for one in archive.series()}
    cuts = {name: seal.instant for name in every if (seal := sealed_from(seals, name)) is not None}
    known = archive.histories(dict.fromkeys(every.keys() - cuts.keys(), ALWAYS))
    sealed = archive.histories({name: micros(cut) for name, cut in cuts.items()}) if known else {}
    found = {}
    for name in sorted(known):
        alike = (mine for one, mine in sealed.items() if every[one].parsed == every[name].parsed)
        shared = [common(_history(name, known[name], "latest"), _history("", mine, "latest")) for mine in alike]
        if shared and max(shared) < FEWEST:
            found[name] = max(shared)
    return found


def _declared(catalogue: Catalogue, name: str) -> Series:
    return catalogue.series[catalogue.codes[name]]


def copies_within(archive: Archive, seals: Sequence[Seal], sealing: Seal) -> Iterator[Copy]:
    """The series of an archive that say the same as one that is about to be sealed, by all that both say.

    Args:
        archive: not yet sealed.
        seals: those in force; what they cover is not asked about.
        sealing: what is about to be sealed.
    """
    series = {one.id: one for one in archive.series()}
    known = archive.histories(dict.fromkeys(series, ALWAYS))
    originals = [name for name in known if sealing.covers(name)]
    for name, stated in known.items():
        if stated.height >= FEWEST and not sealing.covers(name) and sealed_from(seals, name) is None:
            found = (_compared(series[name], stated, series[one], known[one]) for one in originals)
            yield from (one for one in [next(filter(None, found), None)] if one is not None)


def _stated(statements: pl.DataFrame, before: pl.DataFrame | None) -> pl.DataFrame:
    """Period, first and latest value of one series, what the archive has of it included."""
    new = (
        statements.filter(pl.col("value").is_not_null())
        .sort("published", maintain_order=True)
        .group_by("period", maintain_order=True)
        .agg(pl.col("value").first().alias("first"), pl.col("value").last().alias("latest"))
    )
    both = new if before is None else pl.concat([before.cast(new.schema), new])
    merged = both.group_by("period").agg(pl.col("first").first(), pl.col("latest").last())
    return merged.sort("period")


def _compared(series: Series, stated: pl.DataFrame, original: Series, known: pl.DataFrame) -> Copy | None:
    ordinals = _on_calendar_of(original, series, stated)
    if ordinals is None:
        return None
    for one, other in _sides(stated, known):
        mine = stated.select(pl.Series("period", ordinals), value=one).unique("period", keep="last").sort("period")
        found = copy_of(_history(series.id, mine, "value"), _history(original.id, known, other))
        if found is not None:
            return found
    return None


def _sides(stated: pl.DataFrame, known: pl.DataFrame) -> Iterator[tuple[str, str]]:
    """Columns to compare: first and latest values, where they differ."""
    for one in FEATURES if (stated["first"] != stated["latest"]).any() else FEATURES[1:]:
        for other in FEATURES if (known["first"] != known["latest"]).any() else FEATURES[1:]:
            yield one, other


def _on_calendar_of(original: Series, series: Series, stated: pl.DataFrame) -> pl.Series | None:
    """Periods of the original that those of another series end in; None where they cannot be told."""
    if original.parsed == series.parsed:
        return stated["period"]
    if "T" in (original.parsed.kind, series.parsed.kind):
        return None
    ends = period_ends(series.parsed, stated["period"].cast(pl.Int64).to_numpy())
    return pl.Series("period", period_ordinals(original.parsed, ends), dtype=pl.Int32)


def _history(name: str, frame: pl.DataFrame, column: str) -> History:
    return History(name, frame["period"].cast(pl.Int64).to_numpy(), frame[column].to_numpy())
