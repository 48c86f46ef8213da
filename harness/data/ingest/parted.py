"""Part what a call brings into what was known before a seal's cut and what is sealed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from harness.core.time import micros, period_ends
from harness.data.cleaning.notes import Treated
from harness.data.columns import code_rows, instants, polars_frame
from harness.data.dating import dated
from harness.data.declaration import Catalogue
from harness.data.observations import Observations
from harness.record.seals import Seal

VALUES = (("series_id", "period", "value"), ("published_at", "availability", "value_known_at"))
PUBLICATIONS = (("series_id", "published_at", "first", "last"), ("complete", "captured", "availability"))
Form = tuple[tuple[str, ...], tuple[str, ...]]
"""Columns that a frame needs, and those it may have."""
LISTED: Mapping[str, tuple[Form, str]] = {
    "forecasts": (
        (
            ("series_id", "issued_at", "period", "value"),
            ("quantile", "source", "data_cutoff", "conditioning", "backfilled"),
        ),
        "issued_at",
    ),
    "events": ((("series_id", "kind", "ex_date", "value", "announced_at"), ()), "announced_at"),
    "members": ((("universe", "series_id", "from", "announced_at"), ("to",)), "announced_at"),
}
"""Forms of what is announced, and the column that says when."""
HASHES = ("hash_before", "hash_after", "hash")
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False)
class Parted:
    """The rows of one call.

    Attributes:
        rows: all of them, with the columns the archive reads.
        seal: [row] place of the seal that covers the row's series; -1 = none does.
        sealed: [row] whether the row was published at or after that seal's cut.
    """

    rows: pl.DataFrame
    seal: pl.Series
    sealed: pl.Series

    @property
    def covered(self) -> list[int]:
        """Places of the seals that cover some row."""
        return sorted(self.seal.filter(self.seal >= 0).unique().to_list())

    @property
    def open(self) -> pl.DataFrame:
        """Rows that the archive may have."""
        return self.rows.filter(~self.sealed)

    def received(self, place: int) -> pl.DataFrame:
        """What goes into the vault of a seal: all that came, except what another seal keeps."""
        return self.rows.filter(~self.sealed | (self.seal == place))

    def count(self, place: int) -> int:
        """Sealed rows of one seal."""
        return int((self.sealed & (self.seal == place)).sum())


def part_values(frame: Any, catalogue: Catalogue, seals: Sequence[Seal]) -> tuple[Parted, pl.DataFrame]:
    """Published values, parted by their publication; and as statements (columns of `derive.STATEMENT`) in their order.

    Raises:
        DataError: a column breaks a rule.
        UnknownNameError: a series that is not defined.
    """
    rows = polars_frame(frame, *VALUES)
    coded = code_rows(rows["series_id"], catalogue)
    statements = dated(rows, coded)
    return _parted(rows, statements["code"], statements["published"], _covers(catalogue, seals), seals), statements


def ahead_of(parted: Parted, statements: pl.DataFrame, catalogue: Catalogue, seals: Sequence[Seal]) -> int:
    """How many rows of sealed series were public before the cut, and tell of a period that ends after it.

    Args:
        parted: the rows.
        statements: the same rows in their order, as `part_values` gives them.
        catalogue: the series.
        seals: those in force.
    """
    found = 0
    for place, seal in enumerate(seals):
        mine = statements.filter((parted.seal == place) & ~parted.sealed)
        for code in mine["code"].unique().to_list():
            series = catalogue.series[code]
            ordinals = mine.filter(pl.col("code") == code)["period"].cast(pl.Int64).to_numpy()
            # a last day ends at the next midnight of the series' zone
            first = np.datetime64(seal.instant.astimezone(ZoneInfo(series.zone)).date(), "D")
            found += int((period_ends(series.parsed, ordinals) >= first).sum())
    return found


def part_listed(
    frame: Any, form: Form, stamp: str, catalogue: Catalogue, seals: Sequence[Seal], *, source: str | None = None
) -> Parted:
    """Publications, forecasts, events or members, parted by the instant in a column.

    Rows of a sealed source of forecasts (`source` = of all of them), or of a sealed universe, are covered whatever
    their series.

    Raises:
        DataError: a column breaks a rule.
        UnknownNameError: a series that is not defined.
    """
    rows = polars_frame(frame, *form)
    coded = code_rows(rows["series_id"], catalogue)
    codes, at = pl.Series(coded.codes), pl.Series(instants(rows[stamp], coded))
    found = _parted(rows, codes, at, _covers(catalogue, seals), seals)
    place = found.seal
    for number, one in enumerate(seals):
        for column, names in (("source", one.sources), ("universe", one.universes)):
            if column == "source" and source:
                named = pl.Series([source in names]).new_from_index(0, rows.height)
            elif column in rows.columns:
                named = rows[column].cast(pl.String).is_in(list(names)).fill_null(value=False)
            else:
                continue
            place = pl.select(pl.when(named & (place < 0)).then(number).otherwise(place).cast(pl.Int32)).to_series()
    return Parted(rows, place, _at_or_after(place, at, seals))


def part_treated(treated: Treated, cuts: Mapping[str, int], free: Collection[str]) -> Treated:
    """The cleaning record without what it says of rows that are sealed, or whose publication nobody knows.

    Counts stay; hashes go, from which single values could be guessed.

    Args:
        treated: the record of one source.
        cuts: stored id of a sealed series -> microseconds UTC of its cut.
        free: stored ids of series that are not sealed; other names are taken for sealed from the earliest cut on.
    """
    earliest = min(cuts.values(), default=NEVER)

    def before(series: str | None, published: str | None) -> bool:
        if not published:
            return False
        cut = NEVER if series in free else cuts.get(series or "", earliest)
        return micros(datetime.fromisoformat(published)) < cut

    def kept(frame: pl.DataFrame, series: str) -> pl.DataFrame:
        pairs = frame.select(series, "published").rows()
        return frame.filter(pl.Series([before(*pair) for pair in pairs], dtype=pl.Boolean))

    tables = {
        name: kept(frame, "series") if "published" in frame.columns else without_rows(frame)
        for name, frame in treated.tables.items()
    }
    return replace(treated, tables=tables, aside=kept(treated.aside, "series_id"))


def without_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """A table of a cleaning record with its counts alone: neither rows, nor hashes of any."""
    if "published" in frame.columns:
        return frame.clear()
    return frame.with_columns(pl.lit("").alias(column) for column in HASHES if column in frame.columns)


def found_before(found: Observations, cuts: Mapping[str, datetime]) -> Observations:
    """What a source says of publications before the cut of each series; those without a cut as they are."""

    def before(frame: pl.DataFrame) -> pl.DataFrame:
        late = pl.any_horizontal(
            pl.lit(value=False),
            *((pl.col("series_id") == name) & (pl.col("published_at") >= cut) for name, cut in cuts.items()),
        )
        return frame.filter(~late)

    told = None if found.publications is None else before(found.publications)
    treated = found.treated
    if treated is not None:
        at = pl.col("published").cast(pl.Datetime("us", "UTC")).alias("published_at")
        kept = before(treated.uncaptured.with_columns(at)).drop("published_at")
        treated = replace(treated, uncaptured=kept)
    return replace(found, rows=before(found.rows), publications=told, treated=treated)


def _covers(catalogue: Catalogue, seals: Sequence[Seal]) -> Callable[[pl.Series], pl.Series]:
    place = {
        code: next((number for number, seal in enumerate(seals) if seal.covers(one.id)), -1)
        for code, one in catalogue.series.items()
    }
    return lambda codes: codes.replace_strict(place, return_dtype=pl.Int32)


def _parted(
    rows: pl.DataFrame,
    codes: pl.Series,
    at: pl.Series,
    covers: Callable[[pl.Series], pl.Series],
    seals: Sequence[Seal],
) -> Parted:
    place = covers(codes)
    return Parted(rows, place, _at_or_after(place, at, seals))


def _at_or_after(place: pl.Series, at: pl.Series, seals: Sequence[Seal]) -> pl.Series:
    cuts = np.array([micros(one.instant) for one in seals] + [NEVER])
    return pl.Series("sealed", (place.to_numpy() >= 0) & (at.to_numpy() >= cuts[place.to_numpy()]))
