"""The raw input read again with everything published later altered, so that reading and lag rules are in the proof.

When a row became public is read by plain means (`plain_dates`), not by those under test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.frames import UTC_INSTANT
from harness.core.series import AVAILABILITIES, Series
from harness.core.time import NEVER, period_ends
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.dataset import find_dataset, load_dataset
from harness.data.declared import Announcements, Dataset, Source
from harness.data.derive import ASSUMED
from harness.data.ingest import ingest
from harness.data.tables import RawTable
from harness.record.home import Home
from harness.record.seals import seals_of
from harness.studies.announced_again import altered, announce_again, announced_by, is_final_value
from harness.studies.handover import Handover, instants
from harness.studies.plain_dates import UNKNOWN, ruled, stamped
from harness.studies.worlds import known_from

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Later:
    """Alters every value published after an instant, every forecast issued and everything announced after it.

    Attributes:
        cut: microseconds UTC.
        seed: of the noise.
        drop: take the rows out instead of giving them other values.
    """

    cut: int
    seed: int
    drop: bool = False

    def observations(self, dataset: Dataset, source: Source, table: RawTable) -> RawTable:
        """Values of rows that were public only later."""
        names = dict(dataset.in_file)
        if source.layout == "wide":
            frame = table.frame
            for bare in source.series:
                late = self._late(table, source, dataset.declared(bare))
                frame = self._altered(frame, names[bare], late, source)
            return replace(table, frame=frame)
        column = source.in_table(table.frame.columns).column("series")
        name = table.frame[column].cast(pl.String) if column else None
        late = np.zeros(table.frame.height, dtype=bool)
        for bare in source.series:
            mine = np.ones(len(late), bool) if name is None else (name == names[bare]).fill_null(value=False).to_numpy()
            late |= mine & self._late(table, source, dataset.declared(bare))
        if self.drop:
            return table.kept(~pl.Series(late))
        return replace(table, frame=self._altered(table.frame, source.column("value"), late, source))

    def publications(self, dataset: Dataset, source: Source, table: RawTable) -> RawTable:
        """A list of publications ends at the cut when rows are taken out."""
        if not self.drop:
            return table
        zone = dataset.declared(source.series[0]).zone
        late = stamped(table.frame["published_at"], zone, source.zone, source.text.date_format) > self.cut
        return table.kept(~pl.Series(late))

    def announcements(self, dataset: Dataset, declared: Announcements, table: RawTable) -> RawTable:
        """Price events and memberships announced later."""
        columns = dict(declared.columns)
        in_file = {name: dataset.declared(bare).zone for bare, name in dataset.in_file}
        zones = {bare: dataset.declared(bare).zone for bare, _ in dataset.in_file} | in_file
        of_row = [zones.get(name, "") for name in table.frame[columns["series"]].cast(pl.String).to_list()]
        late = np.zeros(len(of_row), dtype=bool)
        for zone in set(of_row) - {""}:
            told = stamped(table.frame[columns["announced_at"]], zone, declared.zone, declared.text.date_format)
            late |= (np.array(of_row) == zone) & (told != UNKNOWN) & (told > self.cut)
        # its rows are no longer those of the file, so lines of it are none of theirs
        return replace(table, frame=altered(declared, table.frame, late, self.seed, drop=self.drop), lines=None)

    def forecasts(self, dataset: Dataset, table: RawTable) -> RawTable:
        """Forecasts issued later."""
        declared = dataset.forecasts
        assert declared is not None  # noqa: S101 - there is a table
        columns = dict(declared.columns)
        zone = dataset.series[0].zone
        late = stamped(table.frame[columns["issued_at"]], zone, declared.zone, declared.text.date_format) > self.cut
        if self.drop and not late.all():
            kept = table.kept(~pl.Series(late))
            if kept.frame[columns["source"]].n_unique() == table.frame[columns["source"]].n_unique():
                return kept
        values = _noise(table.frame, columns["value"], late, self.seed, declared.text.decimal_mark)
        return replace(table, frame=table.frame.with_columns(values))

    def _late(self, table: RawTable, source: Source, series: Series) -> Flags:
        """[row] whether the row was public only after the cut."""
        if source.dated_by:
            own = stamped(table.frame[source.dated_by], series.zone, source.zone, source.text.date_format)
        else:
            own = ruled(table.frame[source.column("period")], source, series)
        late: Flags = (own != UNKNOWN) & (own > self.cut)
        return late

    def _altered(self, frame: pl.DataFrame, column: str, late: Flags, source: Source) -> pl.DataFrame:
        if self.drop:
            kept = pl.Series(~late)
            return frame.with_columns(pl.when(kept).then(pl.col(column)).otherwise(None).alias(column))
        return frame.with_columns(_noise(frame, column, late, self.seed, source.text.decimal_mark))


def _noise(frame: pl.DataFrame, column: str, late: Flags, seed: int, decimal_mark: str) -> pl.Series:
    """A column with other numbers in some rows: the same row, told twice, gets the same number."""
    given = frame[column]
    others = [name for name in frame.columns if name != column]
    key = frame.select(pl.concat_str([pl.col(name).cast(pl.String).fill_null("") for name in others], separator="|"))
    bits = key.to_series().hash(seed).to_numpy()
    share = (bits >> np.uint64(12)).astype(np.float64) / 2.0**52
    sign = np.where(bits & np.uint64(1), 1.0, -1.0)
    wild = sign * np.round(10.0 ** (9.0 * share - 3.0), 6)
    chosen = pl.Series(late) & given.is_not_null()
    if given.dtype == pl.String:
        texts = pl.Series([f"{number:.6f}".replace(".", decimal_mark) for number in wild.tolist()])
        return texts.zip_with(chosen, given).alias(column)
    return pl.Series(wild).zip_with(chosen, given.cast(pl.Float64)).alias(column)


def datasets_of(names: Sequence[str], folder: str) -> list[Dataset]:
    """The datasets of an experiment, as their folders declare them now."""
    return [load_dataset(find_dataset(name, Path(folder) if folder else None)) for name in names]


def read_again(
    datasets: Sequence[Dataset], others: Sequence[str], changes: ChangeFile, home: Home, alter: Later | None
) -> ChangeFile:
    """Ingest datasets, and append what came by other ways, into an archive of its own, and export it.

    Args:
        datasets: what is read from its files.
        others: stored ids of series that belong to none of them; their statements are appended again, and what was
            announced otherwise than in files is announced again.
        changes: the archive view those are taken from.
        home: an empty home folder, to be thrown away.
        alter: what is altered first; None = nothing.

    Raises:
        UserError: an altered table cannot be ingested.
    """
    archive = Archive.open(home.archive)
    seals = seals_of(Home(changes.folder.parent.parent))  # what is sealed there may not be read into scratch either
    for dataset in datasets:
        ingest(dataset.folder, archive, raw_dir=home.raw, alter=alter, seals=seals)
    for name in others:
        _append_again(archive, changes, name, alter)
    cut, seed, drop = (None, 0, False) if alter is None else (alter.cut, alter.seed, alter.drop)
    announce_again(archive, changes, datasets, cut, seed, drop=drop)
    return ChangeFile.open(archive.export(home.changes), verify=False)


def _append_again(archive: Archive, changes: ChangeFile, name: str, alter: Later | None) -> None:
    """State the values of one series again, publication by publication."""
    series, code = changes.series[name], changes.code_of(name)
    archive.define(series)
    rows = np.flatnonzero((changes.code == code) & (changes.availability != ASSUMED))
    rows = rows[~is_final_value(changes, name, changes.period[rows], changes.published[rows])]
    late = np.zeros(len(rows), bool) if alter is None else changes.published[rows] > alter.cut
    value = changes.value[rows].copy()
    if alter is not None and not alter.drop:
        random = np.random.default_rng([alter.seed, code])
        value[late & ~np.isnan(value)] = random.standard_normal(int((late & ~np.isnan(value)).sum())) * 1e4
    kept = ~late if alter is not None and alter.drop else np.ones(len(rows), bool)
    told = publications_frame(changes, name)
    if alter is not None and alter.drop:
        told = told.filter(pl.col("published_at").cast(pl.Int64) <= alter.cut)
    frame = pl.DataFrame(
        {
            "series_id": [name] * len(rows),
            "period": period_ends(series.parsed, changes.period[rows].astype(np.int64)),
            "published_at": pl.Series(changes.published[rows]).cast(UTC_INSTANT),
            "value": pl.Series(value).fill_nan(None),
            "availability": pl.Series(AVAILABILITIES).gather(changes.availability[rows].astype(np.int64)),
            "value_known_at": instants(changes.vintage[rows]),
        }
    ).filter(pl.Series(kept))
    if frame.height:
        countable = bool(changes.publications_of(name).countable.all())
        archive.append(frame, source="again", coverage="changes", publications=told if countable else None)
    if not changes.forecasts.filter(pl.col("code") == code).is_empty():
        archive.append_forecasts(_issued_again(changes, name, alter))


def publications_frame(changes: ChangeFile, name: str) -> pl.DataFrame:
    """The publications of one series as `Archive.append` takes them, without that of a delisting's final value."""
    series, told = changes.series[name], changes.publications_of(name)
    stated = pl.Series(~is_final_value(changes, name, told.first, told.published))
    return pl.DataFrame(
        {
            "series_id": [name] * len(told.published),
            "published_at": pl.Series(told.published).cast(UTC_INSTANT),
            "first": period_ends(series.parsed, told.first.astype(np.int64)),
            "last": period_ends(series.parsed, told.last.astype(np.int64)),
            "complete": told.complete,
            "captured": told.captured,
        }
    ).filter(stated)


def _issued_again(changes: ChangeFile, name: str, alter: Later | None) -> pl.DataFrame:
    series = changes.series[name]
    mine = changes.forecasts.filter(pl.col("code") == changes.code_of(name))
    if alter is not None:
        late = pl.col("issued") > alter.cut
        noise = pl.Series("noise", np.random.default_rng(alter.seed).standard_normal(mine.height) * 1e4)
        mine = mine.with_columns(pl.when(late).then(noise).otherwise("value").alias("value"))
        mine = mine.filter(~late) if alter.drop else mine
    return mine.select(
        "source",
        pl.lit(name).alias("series_id"),
        pl.col("issued").cast(UTC_INSTANT).alias("issued_at"),
        pl.Series("period", period_ends(series.parsed, mine["period"].to_numpy().astype(np.int64))),
        "quantile",
        "value",
        instants(mine["cutoff"].fill_null(NEVER).to_numpy()).alias("data_cutoff"),
        "conditioning",
        "backfilled",
    )


def told_by(changes: ChangeFile, names: Sequence[str], cut: int, *, by_vintage: bool) -> tuple[Handover, ...]:
    """What an archive view says of some series up to an instant: changes, publications, forecasts, announcements.

    Args:
        changes: the archive view.
        names: stored ids; those it does not have are left out.
        cut: microseconds UTC.
        by_vintage: as for `worlds.known_from`.
    """
    ids = pl.Series(changes.ids, dtype=pl.String())
    mine = np.isin(changes.code, [changes.codes[name] for name in names if name in changes.codes])
    rows = np.flatnonzero(mine & (known_from(changes, by_vintage=by_vintage) <= cut))
    values = pl.DataFrame(
        {
            "series_id": ids.gather(changes.code[rows]),
            "period": _days(changes, changes.code[rows], changes.period[rows]),
            "published_at": instants(changes.published[rows]),
            "value": changes.value[rows],
            "availability": changes.availability[rows],
            "vintage": instants(changes.vintage[rows]),
        }
    ).sort("series_id", "published_at", "period")
    told = changes.publications
    chosen = np.flatnonzero(
        np.isin(told.code, [changes.codes[name] for name in names if name in changes.codes]) & (told.published <= cut)
    )
    events = pl.DataFrame(
        {
            "series_id": ids.gather(told.code[chosen]),
            "published_at": instants(told.published[chosen]),
            **{name: _days(changes, told.code[chosen], getattr(told, name)[chosen]) for name in ("first", "last")},
            **{name: getattr(told, name)[chosen] for name in ("complete", "captured")},
        }
    ).sort(pl.all())
    return (
        Handover("archive", "", 0, ("series_id", "period", "published_at"), values),
        Handover("publications", "", 0, tuple(events.columns), events),
        Handover("archive", "", 0, ISSUED, _issued_by(changes, names, cut)),
        *announced_by(changes, names, cut),
    )


def _days(changes: ChangeFile, codes: NDArray[np.int32], ordinals: NDArray[np.int64]) -> pl.Series:
    """The last day of each row's period."""
    days = np.empty(len(codes), dtype="datetime64[D]")
    for code in np.unique(codes).tolist():
        mine = codes == code
        days[mine] = period_ends(changes.series[changes.ids[code]].parsed, ordinals[mine].astype(np.int64))
    return pl.Series(days).cast(pl.Date())


ISSUED = ("source", "series_id", "issued", "period", "quantile")


def _issued_by(changes: ChangeFile, names: Sequence[str], cut: int) -> pl.DataFrame:
    """Forecasts of some series issued by an instant."""
    ids = pl.Series(changes.ids, dtype=pl.String())
    told = changes.forecasts.with_columns(ids.gather(changes.forecasts["code"]).alias("series_id")).drop("code")
    return told.filter(pl.col("series_id").is_in(names) & (pl.col("issued") <= cut)).sort(ISSUED)
