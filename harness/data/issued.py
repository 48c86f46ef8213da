"""Read a dataset's table of external forecasts: who forecast which level, issued when."""

from __future__ import annotations

from functools import partial

import polars as pl

from harness.core.errors import UnknownNameError
from harness.core.time import Frequency
from harness.data.declared import Dataset, Forecasts
from harness.data.stamps import as_instants, mapped, moments, period_of
from harness.data.tables import RawTable, numbers


def read_issued(dataset: Dataset, table: RawTable) -> pl.DataFrame:
    """The forecasts of a dataset's declared issuers.

    Args:
        dataset: its `forecasts` say which columns mean what.
        table: the forecasts table.

    Returns:
        source, series_id, issued_at (UTC), period, quantile (null = point), value, and data_cutoff, conditioning and
        backfilled where declared.

    Raises:
        DataError: rows that cannot be taken; the first is named by its line.
        UnknownNameError: a column, issuer or series that is not there.
    """
    declared = dataset.forecasts
    if declared is None:
        return pl.DataFrame()
    columns = dict(declared.columns)
    rows = pl.int_range(table.frame.height, dtype=pl.Int64, eager=True).alias("row")
    frame = pl.DataFrame(
        {
            "row": rows,
            "source": table.column(columns["source"]).cast(pl.String),
            "name": table.column(columns["series"]).cast(pl.String),
            "value": numbers(table, columns["value"], declared.text.decimal_mark),
            "issued": moments(table, columns["issued_at"], zone=declared.zone, date_format=declared.text.date_format),
        }
    )
    if "quantile" in columns:
        frame = frame.with_columns(quantile=numbers(table, columns["quantile"], declared.text.decimal_mark))
    if "cutoff" in columns:
        frame = frame.with_columns(cutoff=moments(table, columns["cutoff"], zone=declared.zone))
    wanted = _wanted(dataset, declared, frame)
    parts = [_of_series(dataset, bare, part, table) for (bare,), part in wanted.group_by("bare", maintain_order=True)]
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
        period=mapped(table, columns["period"], read, part["row"]),
        issued_at=as_instants(part["issued"], series.zone),
    )
    if "cutoff" in dated.columns:
        dated = dated.with_columns(data_cutoff=as_instants(dated["cutoff"], series.zone))
    kept = (
        "source",
        "series_id",
        "issued_at",
        "data_cutoff",
        "period",
        "quantile",
        "value",
        "conditioning",
        "backfilled",
    )
    return dated.select([name for name in kept if name in dated.columns])
