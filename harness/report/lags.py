"""What `harness lags` prints: how late each series comes out, how its dates are known, how much it is revised."""

from __future__ import annotations

import polars as pl

from harness.core.errors import FEW, listed
from harness.report.text import number, share, table


def lags_text(lags: pl.DataFrame, more: int = 0) -> str:
    """One line per series.

    Args:
        lags: columns as `harness.data.lag_table.lag_table`.
        more: series of the dataset that were not measured.
    """
    head = [
        "series", "freq.", "periods", "observed", "by rule", "assumed", "pseudo real time",
        "lag min", "median", "max", "publications", "changes", "revision", "revision %", "unit",
    ]  # fmt: skip
    shares = ("observed", "rule", "assumed", "pseudo_real_time")
    measured = ("lag_min", "lag_median", "lag_max", "publications", "changes", "revision", "revision_percent")
    rows = [
        [
            row["series_id"], row["frequency"], str(row["periods"]),
            *(share(row[name]) for name in shares), *(number(row[name], 3) for name in measured), row["unit"],
        ]
        for row in lags.iter_rows(named=True)
    ]  # fmt: skip
    return (
        table(head, rows, left=2)
        + (f"\nand {more} more series (--all measures every series)" if more else "")
        + _early(lags)
        + "\n\nlag: days from a period's end to its first publication, measured where vintages exist."
        "\nrevision: mean absolute difference between first and newest value, in the unit and in per cent; of a rebased"
        "\nseries that of its one-period growth, in percentage points."
    )


def _early(lags: pl.DataFrame) -> str:
    """Which series come out before their periods end; "" = none."""
    early = lags.filter(pl.col("lag_min") < 0)
    if not early.height:
        return ""
    named = [f"{name} (up to {-least:g} days)" for name, least in early.select("series_id", "lag_min").iter_rows()]
    return (
        f"\n\nOut before their period ended: {listed(named, FEW)}. Surveys, forecasts and announcements are;"
        "\na measurement is not: are these its publication dates?"
    )
