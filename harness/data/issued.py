"""Read a dataset's table of external forecasts: who forecast which level, issued when."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import polars as pl

from harness.core.errors import FEW, DataError, UnknownNameError, listed
from harness.core.time import Frequency
from harness.data.asserted import ROW, UNCLEAR, asked_lines, asked_rows, list_tag
from harness.data.cleaning.notes import Notes, Treated
from harness.data.declaration import Catalogue
from harness.data.declared import Dataset, Forecasts
from harness.data.external import read_forecasts
from harness.data.given import Given
from harness.data.inputs import Alteration
from harness.data.listings import Refused, no_entry
from harness.data.stamps import as_instants, mapped, moments, period_of, read_stamps
from harness.data.tables import RawTable, numbers, read_file, sha256_of


@dataclass(frozen=True, slots=True, eq=False)
class Issued:
    """The forecasts of a dataset as ingest takes them.

    Attributes:
        table: the file.
        rows: what `Archive.append_forecasts` takes.
        tag: what the archive calls the batch where anything is asserted of it.
        treated: what was asserted of it; None where nothing is.
        unclear: rows issued at a local time that the clocks of the declared zone skip or have twice.
    """

    table: RawTable
    rows: pl.DataFrame
    tag: str
    treated: Treated | None
    unclear: int

    @property
    def section(self) -> str:
        """What its batch is."""
        return "forecasts"

    @property
    def asserted(self) -> str:
        """What its batch is called where anything is asserted of it, else ""."""
        return self.tag if self.treated is not None else ""

    def given(self, catalogue: Catalogue, now: int) -> Given:
        """The rows as an archive with some series would read them at an instant (microseconds UTC)."""
        return read_forecasts(self.rows, catalogue, source=None, now=now)


def read_forecast_list(
    dataset: Dataset, alter: Alteration | None = None, refused: Refused | None = None
) -> Issued | None:
    """The forecasts table of a dataset without what its assertions set aside; None where it has none.

    Args:
        dataset: its declarations.
        alter: changes the table first (an audit's doing).
        refused: puts a table that is refused on record; None = nobody does.

    Raises:
        DataError: rows that cannot be taken, or an assertion refuses.
        UnknownNameError: a column, issuer or series that is not there.
    """
    declared = dataset.forecasts
    if declared is None:
        return None
    table = read_file(dataset.folder / declared.file, declared.text)
    if alter is not None:
        table = alter.forecasts(dataset, table)
    tag, notes = list_tag(f"{dataset.name}: {table.label}", declared.assertions, sha256_of(table)), Notes()
    with nullcontext() if refused is None else refused(tag, table, notes):
        left = asked_lines(table, declared.assertions, declared.text, notes, refusing=alter is None)
        series = {one.id: one for one in dataset.series}
        read = read_issued(dataset, declared, left)
        rows = asked_rows("forecasts", read, left, declared.assertions, series, notes, refusing=alter is None)
    treated, unclear = notes.done() if declared.assertions else None, int(rows[UNCLEAR].sum())
    return Issued(table, rows.drop(ROW, UNCLEAR), tag, treated, unclear)


def read_issued(dataset: Dataset, declared: Forecasts, table: RawTable) -> pl.DataFrame:
    """The forecasts of a dataset's declared issuers.

    Args:
        dataset: of whose series they are.
        declared: its `forecasts`, which say which columns mean what.
        table: the forecasts table.

    Returns:
        row (place in the table), source, series_id, issued_at (UTC), whether that is unclear, period, quantile (null =
        point), value, and data_cutoff, conditioning and backfilled where declared.

    Raises:
        DataError: rows that cannot be taken; the first is named by its line.
        UnknownNameError: a column, issuer or series that is not there.
    """
    columns = dict(declared.columns)
    rows = pl.int_range(table.frame.height, dtype=pl.Int64, eager=True).alias(ROW)
    issued = read_stamps(table, columns["issued_at"], zone=declared.zone, date_format=declared.text.date_format)
    frame = pl.DataFrame(
        {
            ROW: rows,
            "source": table.column(columns["source"]).cast(pl.String),
            "name": table.column(columns["series"]).cast(pl.String),
            "value": numbers(table, columns["value"], declared.text.decimal_mark),
            "issued": issued.stamps,
            UNCLEAR: issued.unclear,
        }
    )
    if "quantile" in columns:
        frame = frame.with_columns(quantile=numbers(table, columns["quantile"], declared.text.decimal_mark))
    if "cutoff" in columns:
        frame = frame.with_columns(cutoff=moments(table, columns["cutoff"], zone=declared.zone))
    wanted = _wanted(dataset, declared, frame)
    undated = wanted.filter(pl.col("issued").is_null())[ROW]
    if len(undated):
        raise no_entry(table, columns["issued_at"], int(undated[0]))
    parts = [_of_series(dataset, bare, part, table) for (bare,), part in wanted.group_by("bare", maintain_order=True)]
    if not parts:
        raise DataError(
            f"{table.label}: no forecast of a declared series",
            value=listed(frame["name"].drop_nulls().unique(maintain_order=True).to_list(), FEW) or "no series named",
            rule=f"declared: {listed(list(dict(dataset.in_file)), FEW)}",
            fix="name the series in the file as the dataset does, or by in_file",
        )
    return pl.concat(parts)


def _wanted(dataset: Dataset, declared: Forecasts, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of declared issuers and series under the dataset's own names."""
    issuers = {one.in_file: one.name for one in declared.issuers}
    present = set(frame["source"].drop_nulls().unique().to_list())
    for in_file in issuers:
        if in_file not in present:
            raise UnknownNameError(f"source in {declared.file}", in_file, present)
    names = {in_file: bare for bare, in_file in dataset.in_file}
    own = {bare: bare for bare in names.values()}  # forecasts may use the dataset's ids though the vintages do not
    found = frame.filter(pl.col("source").is_in(list(issuers))).with_columns(
        source=pl.col("source").replace_strict(issuers, default=None, return_dtype=pl.String),
        bare=pl.col("name").replace_strict({**own, **names}, default=None, return_dtype=pl.String),
    )
    listed = pl.DataFrame(
        [
            (one.name, bare, one.conditioning or None, _backfilled(one.made))
            for one in declared.issuers
            for bare in one.series
        ],
        schema={"source": pl.String, "bare": pl.String, "conditioning": pl.String, "backfilled": pl.Boolean},
        orient="row",
    )
    return found.join(listed, on=["source", "bare"], how="inner", maintain_order="left")


def _backfilled(made: str) -> bool | None:
    return {"live": False, "backfilled": True}.get(made)


def _of_series(dataset: Dataset, bare: object, part: pl.DataFrame, table: RawTable) -> pl.DataFrame:
    declared = dataset.forecasts
    series = dataset.declared(str(bare))
    assert declared is not None  # noqa: S101 - the caller has looked
    columns = dict(declared.columns)
    frequency: Frequency = series.parsed
    read = partial(period_of, frequency=frequency, stamp=declared.stamp, date_format=declared.text.date_format)
    dated = part.with_columns(
        series_id=pl.lit(series.id),
        period=mapped(table, columns["period"], read, part[ROW]),
        issued_at=as_instants(part["issued"], series.zone),
    )
    if "cutoff" in dated.columns:
        dated = dated.with_columns(data_cutoff=as_instants(dated["cutoff"], series.zone))
    kept = (
        ROW,
        "source",
        "series_id",
        "issued_at",
        UNCLEAR,
        "data_cutoff",
        "period",
        "quantile",
        "value",
        "conditioning",
        "backfilled",
    )
    return dated.select([name for name in kept if name in dated.columns])
