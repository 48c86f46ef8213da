"""Forecasts made elsewhere: read and checked as a batch, and gathered into issued paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.errors import DataError
from harness.core.names import names_of
from harness.core.snapshot import Issue
from harness.core.time import NEVER, instant
from harness.core.transform import Floats
from harness.data.batch import NOT_YET, SET_ASIDE, content_hash
from harness.data.columns import Coded, code_rows, day_of, instants, numbers, ordinals, polars_frame
from harness.data.declaration import Catalogue
from harness.data.given import Given

FORECAST = pl.Schema(
    {
        "source": pl.String(),
        "code": pl.Int32(),
        "issued": pl.Int64(),
        "cutoff": pl.Int64(),
        "period": pl.Int32(),
        "quantile": pl.Float64(),
        "value": pl.Float64(),
        "conditioning": pl.String(),
        "backfilled": pl.Boolean(),
    }
)
FORECAST_KEY = ("source", "code", "issued", "period", "quantile")
OPTIONAL = ("quantile", "source", "data_cutoff", "conditioning", "backfilled")
KnownThen = Callable[[int, int], tuple[int, Floats]]


def unseen_forecasts(rows: pl.DataFrame, old: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """The forecasts that an archive does not have.

    Args:
        rows: columns of `FORECAST`.
        old: those it has.
        catalogue: the declared series.

    Raises:
        DataError: it has one with another value.
    """
    both = rows.join(old.select(*FORECAST_KEY, had="value"), on=list(FORECAST_KEY), how="left", nulls_equal=True)
    _refuse_two_values(both.filter(pl.col("had").is_not_null() & (pl.col("had") != pl.col("value"))), catalogue)
    return both.filter(pl.col("had").is_null()).drop("had")


def read_forecasts(frame: Any, catalogue: Catalogue, *, source: str | None, now: int) -> Given:
    """Read external forecasts.

    Raises:
        DataError: the frame breaks a rule; nothing of it may be used.
        UnknownNameError: a series that is not defined.
    """
    needed = ("series_id", "issued_at", "period", "value") + (() if source else ("source",))
    columns = polars_frame(frame, needed, tuple(name for name in OPTIONAL if name not in needed))
    if source:
        columns = columns.with_columns(source=pl.lit(source))
    columns = columns.with_columns(
        pl.lit(None).alias(name) for name in OPTIONAL if name not in columns.columns and name != "source"
    )
    if columns["source"].dtype != pl.String or columns["source"].null_count():
        raise DataError(
            "column source holds no names", value=columns["source"].dtype, rule="every row names its source"
        )
    coded = code_rows(columns["series_id"], catalogue)
    rows = pl.DataFrame(
        {
            "source": columns["source"],
            "code": coded.codes,
            "issued": instants(columns["issued_at"], coded),
            "cutoff": _optional_instants(columns["data_cutoff"], coded),
            "period": ordinals(columns["period"], coded),
            "quantile": _quantiles(columns["quantile"]),
            "value": _present(numbers(columns["value"])),
            "conditioning": columns["conditioning"].cast(pl.String),
            "backfilled": columns["backfilled"].cast(pl.Boolean).fill_null(value=False),
        },
        schema=FORECAST,
    )
    kept = rows.filter(pl.col("issued") <= now).unique(maintain_order=True)
    repeated = kept.select(pl.struct(FORECAST_KEY).is_duplicated().alias("repeated"))["repeated"]
    _refuse_two_values(kept.filter(repeated), catalogue)
    aside = _set_aside(rows.filter(pl.col("issued") > now), catalogue)
    issuers = (kept if kept.height else rows)["source"].unique().sort()
    return Given(kept, aside, rows.height, content_hash(rows.sort(FORECAST_KEY)), tuple(issuers))


def _optional_instants(column: pl.Series, coded: Coded) -> pl.Series:
    given = column.is_not_null().to_numpy()
    out = np.full(len(column), NEVER)
    if given.any():
        out[given] = instants(column.drop_nulls(), Coded(coded.codes[given], coded.series))
    stamps = pl.Series(out)
    return pl.select(pl.when(stamps != NEVER).then(stamps)).to_series()


def _quantiles(column: pl.Series) -> pl.Series:
    floats = numbers(column)
    outside = floats.filter((floats <= 0) | (floats >= 1))
    if len(outside):
        raise DataError("a quantile outside (0, 1)", value=outside[0], rule="null marks a point forecast")
    return floats


def _present(column: pl.Series) -> pl.Series:
    if column.null_count():
        raise DataError("a forecast without a value", value=f"{column.null_count()} row(s)", fix="leave these rows out")
    return column


def _refuse_two_values(rows: pl.DataFrame, catalogue: Catalogue) -> None:
    if rows.height:
        row = rows.row(0, named=True)
        series = catalogue.series[row["code"]]
        raise DataError(
            "two different forecasts by one source for one series, issue, period and quantile",
            value=f"{row['source']}, {series.id}, issued {instant(row['issued']).isoformat()}, "
            f"period {day_of(row['period'], series)}",
            rule="an issue states one value per period and quantile",
        )


def _set_aside(rows: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    picked = rows.select("code", "period", "issued").rows()
    return pl.DataFrame(
        {
            "series_id": [catalogue.series[code].id for code, _, _ in picked],
            "period": [str(day_of(period, catalogue.series[code])) for code, period, _ in picked],
            "published": [instant(issued).isoformat() for _, _, issued in picked],
            "value": rows["value"],
            "reason": [NOT_YET] * len(picked),
        },
        schema=SET_ASIDE,
    )


def _named(codes: pl.Series, names: Mapping[int, str] | tuple[str, ...]) -> pl.Series:
    if isinstance(names, tuple):
        return names_of(names).column.gather(codes.cast(pl.UInt32))
    return codes.replace_strict(names, return_dtype=pl.String)


def issues_from(
    forecasts: pl.DataFrame, names: Mapping[int, str] | tuple[str, ...], known_then: KnownThen
) -> Iterator[Issue]:
    """Issued paths, oldest first, each with the levels known at its issue.

    Args:
        forecasts: columns of `FORECAST`.
        names: stored id of each code; or the ids in order of their codes.
        known_then: first ordinal and levels at consecutive ordinals (NaN = none, as on a day without a session) of
            a series' code as of an issue instant.
    """
    named = forecasts.with_columns(
        series_id=_named(forecasts["code"], names),
    ).sort("issued", "source", "series_id", "period", "quantile", nulls_last=False)
    for part in named.partition_by("issued", "source", "series_id", maintain_order=True):
        code, issued = int(part["code"][0]), int(part["issued"][0])
        first, levels = known_then(code, issued)
        cutoff = part["cutoff"].drop_nulls()
        yield Issue(
            source=part["source"][0],
            series_id=part["series_id"][0],
            issued_at=issued,
            cutoff=int(cutoff[0]) if len(cutoff) else NEVER,
            ordinals=_fixed(part["period"].cast(pl.Int64).to_numpy()),
            quantiles=_fixed(part["quantile"].fill_null(np.nan).to_numpy()),
            values=_fixed(part["value"].to_numpy()),
            known_first=first,
            known=_fixed(levels),
        )


def _fixed(array: NDArray[Any]) -> NDArray[Any]:
    out = array.copy()
    out.flags.writeable = False
    return out
