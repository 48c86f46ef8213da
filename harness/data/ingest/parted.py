"""Part what a call brings into what was known before a seal's cut and what is sealed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from harness.core.time import micros
from harness.data.cleaning.notes import Treated
from harness.data.columns import code_rows, instants, polars_frame
from harness.data.dating import dated
from harness.data.declaration import Catalogue
from harness.record.seals import Seal

VALUES = (("series_id", "period", "value"), ("published_at", "availability", "value_known_at"))
PUBLICATIONS = (("series_id", "published_at", "first", "last"), ("complete", "captured", "availability"))
FORECASTS = (
    ("series_id", "issued_at", "period", "value"),
    ("quantile", "source", "data_cutoff", "conditioning", "backfilled"),
)
EVENTS = (("series_id", "kind", "ex_date", "value", "announced_at"), ())
MEMBERS = (("universe", "series_id", "from", "announced_at"), ("to",))
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


def part_listed(
    frame: Any, form: tuple[tuple[str, ...], tuple[str, ...]], stamp: str, catalogue: Catalogue, seals: Sequence[Seal]
) -> Parted:
    """Publications, forecasts, events or members, parted by the instant in a column.

    Rows of a sealed source of forecasts, or of a sealed universe, are covered whatever their series.

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
            if column in rows.columns:
                mine = rows[column].cast(pl.String).is_in(list(names)).fill_null(value=False) & (place < 0)
                place = pl.select(pl.when(mine).then(number).otherwise(place).cast(pl.Int32)).to_series()
    return Parted(rows, place, _at_or_after(place, at, seals))


def part_treated(treated: Treated, cuts: Mapping[str, int]) -> Treated:
    """The cleaning record without what it says of rows that are sealed, or whose publication nobody knows.

    Counts stay; hashes go, from which single values could be guessed.

    Args:
        treated: the record of one source.
        cuts: stored id of a sealed series -> microseconds UTC of its cut; the others have none.
    """
    earliest = min(cuts.values(), default=NEVER)

    def before(series: str | None, published: str | None) -> bool:
        if not published:
            return False
        return micros(datetime.fromisoformat(published)) < cuts.get(series or "", earliest if not series else NEVER)

    def kept(frame: pl.DataFrame, series: str) -> pl.DataFrame:
        pairs = frame.select(series, "published").rows()
        return frame.filter(pl.Series([before(*pair) for pair in pairs], dtype=pl.Boolean))

    tables = {
        name: kept(frame, "series")
        if "published" in frame.columns
        else frame.with_columns(pl.lit("").alias(column) for column in HASHES if column in frame.columns)
        for name, frame in treated.tables.items()
    }
    return replace(treated, tables=tables, aside=kept(treated.aside, "series_id"))


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
