"""When each row of a batch became public, and which vintage its number comes from."""

from __future__ import annotations

from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.ahead import beside
from harness.core.errors import DataError
from harness.core.series import AVAILABILITIES, Series
from harness.data.columns import Coded, by_distinct, instants, numbers, ordinals
from harness.data.declaration import shaped
from harness.data.derive import OBSERVED, RULE, STATEMENT
from harness.data.lags import release_micros
from harness.record.platform import threads_for


def dated(columns: pl.DataFrame, rows: Coded) -> pl.DataFrame:
    """Statements of a frame's rows, in their order, with the columns of `STATEMENT`.

    Args:
        columns: series_id, period, value; published_at, or else every series has a lag rule (the values are then final
            ones under a rule's dates: hindsight); optionally availability, value_known_at.
        rows: the series of each row.

    Raises:
        DataError: a column breaks a rule.
    """
    if "published_at" in columns.columns:
        stamps = partial(instants, columns["published_at"], rows)
        with beside(stamps, threads=threads_for(columns.height)) as told:
            periods, published = ordinals(columns["period"], rows), told()
        availability = availabilities(columns)
        vintage = _vintage(columns, rows, published, availability)
    else:
        periods = ordinals(columns["period"], rows)
        published = _ruled(rows, periods)
        availability = np.full(len(periods), RULE, dtype=np.int8)
        vintage = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(periods))
    return pl.DataFrame(
        {
            "code": rows.codes,
            "period": periods,
            "published": published,
            "value": numbers(columns["value"]),
            "availability": availability,
            "vintage": vintage,
            "batch": pl.zeros(len(periods), pl.Int32, eager=True),
        },
        schema=STATEMENT,
    )


def availabilities(columns: pl.DataFrame) -> NDArray[np.int8]:
    """0 observed, 1 rule of each row; observed where the column is absent.

    Raises:
        DataError: another word, or none.
    """
    if "availability" not in columns.columns:
        return np.full(columns.height, OBSERVED, dtype=np.int8)
    given = columns["availability"]
    allowed = AVAILABILITIES[:2]
    wrong = given.filter(~given.is_in(list(allowed)).fill_null(value=False))
    if len(wrong):
        raise DataError(
            "unknown availability",
            value=repr(wrong[0]),
            rule=f"one of {', '.join(allowed)}; assumed rows are made by the archive itself",
        )
    return (given == "rule").to_numpy().astype(np.int8)


def _vintage(
    columns: pl.DataFrame, rows: Coded, published: NDArray[np.int64], availability: NDArray[np.int8]
) -> pl.Series:
    """The instant of the vintage each number comes from: its publication for observed rows, else as declared."""
    if "value_known_at" not in columns.columns and not availability.any():
        return pl.Series(published)
    observed = pl.Series(availability == OBSERVED)
    own = pl.Series(published).zip_with(observed, pl.Series([None], dtype=pl.Int64).new_from_index(0, len(published)))
    if "value_known_at" not in columns.columns:
        return own
    given = columns["value_known_at"]
    stated = given.is_not_null().to_numpy()
    out = np.zeros(len(published), dtype=np.int64)
    out[stated] = instants(given.filter(given.is_not_null()), Coded(rows.codes[stated], rows.series))
    known = pl.select(pl.when(pl.Series(stated)).then(pl.Series(out))).to_series()
    differs = (known != published).fill_null(value=False) & observed
    if differs.any():
        raise DataError(
            "an observed row whose number comes from another vintage",
            value=f"{int(differs.sum())} row(s)",
            rule="observed means value_known_at equals published_at",
            fix='say availability = "rule" for values put under another date',
        )
    return known.zip_with(~observed, own)


def _ruled(rows: Coded, periods: NDArray[np.int32]) -> NDArray[np.int64]:
    without = sorted(rows.series[code].id for one, codes in shaped(rows.series) if one.lag is None for code in codes)
    if without:
        raise DataError(
            "no publication dates",
            value=", ".join(without[:5]),
            rule="a value needs published_at, or its series a lag rule",
            fix="add a column published_at, or declare lag = {...} for the series",
        )
    out = np.zeros(len(periods), dtype=np.int64)
    for series, mine in rows.alike(lambda series: (series.lag, series.zone, series.parsed)):
        out[mine] = by_distinct(periods[mine], partial(_released, series=series))
    return out


def _released(periods: NDArray[np.int32], series: Series) -> NDArray[np.int64]:
    return release_micros(series, periods.astype(np.int64))
