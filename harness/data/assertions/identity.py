"""Checks across series: one is the sum of others, in each publication that has them all."""

from __future__ import annotations

import polars as pl

from harness.data.assertions.judged import Asked, Judged, flags, judged
from harness.data.assertions.rules import Identity


def identity(check: Identity, rows: pl.DataFrame, asked: pl.Series, about: Asked) -> Judged:
    """Differences between a series and the sum of its parts.

    Values are compared that were published together (final values under the dates of rules: of the same period). A
    row whose partners were not published with it cannot be judged.
    """
    key = ["period", "published"] if about.dated else ["period"]
    stored = {name.partition("/")[2]: name for name in about.series}
    numbered = rows.with_row_index("place").filter(pl.col("value").is_not_null())
    members = [(check.total, 0), *check.parts]
    joined: pl.DataFrame | None = None
    spoken: list[int] = []
    for number, (name, _) in enumerate(members):
        mine = numbered.filter(pl.col("series_id") == stored[name])
        spoken += mine["place"].to_list()
        part = mine.select(*key, pl.col("value").alias(f"value{number}"), pl.col("place").alias(f"place{number}"))
        joined = part if joined is None else joined.join(part, on=key)
    assert joined is not None  # noqa: S101 - an identity has a total
    total = pl.sum_horizontal(pl.col(f"value{number}") * sign for number, (_, sign) in enumerate(members) if number)
    places = [f"place{number}" for number in range(len(members))]
    told = joined.with_columns(total=total, off=(pl.col("value0") - total).abs())
    # sums of decimal fractions differ in their last bits from the decimal fraction of the sum
    slack = 1e-12 * pl.max_horizontal(pl.col("value0").abs(), pl.col("total").abs())
    wrong = told.filter(pl.col("off") > check.tolerance + slack)
    failing: dict[int, str] = {}
    for row in wrong.iter_rows(named=True):
        said = f"{check.total} is {row['value0']!r}, its parts make {row['total']!r}"
        failing |= dict.fromkeys((int(row[place]) for place in places), said)
    judged_rows = [int(place) for name in places for place in joined[name].to_list()]
    unclear = flags(rows.height, spoken) & ~flags(rows.height, judged_rows)
    return judged(rows.height, asked & flags(rows.height, spoken), failing, unclear)
