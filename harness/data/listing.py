"""Publications given as a list beside a batch of changes: what each covered, and which were not captured."""

from __future__ import annotations

from typing import Any

import polars as pl

from harness.core.errors import DataError
from harness.core.time import instant
from harness.data.columns import code_rows, day_of, instants, ordinals, polars_frame
from harness.data.dating import availabilities
from harness.data.declaration import Catalogue
from harness.data.derive import ORDER, PUBLICATION

NEEDED = ("series_id", "published_at", "first", "last")
FLAGS = (("complete", False), ("captured", True))


def listed(frame: Any, catalogue: Catalogue, now: int) -> pl.DataFrame:
    """Read a list of publications: columns of `PUBLICATION`, those later than now left out.

    Args:
        frame: polars or pandas: series_id, published_at, first, last, and optionally complete, captured, availability.
        catalogue: the defined series.
        now: microseconds UTC.

    Raises:
        DataError: a column breaks a rule.
        UnknownNameError: a series that is not defined.
    """
    columns = polars_frame(frame, NEEDED, ("complete", "captured", "availability"))
    rows = code_rows(columns["series_id"], catalogue)
    published = instants(columns["published_at"], rows)
    flags = {
        name: columns[name] if name in columns.columns else pl.repeat(default, columns.height, eager=True)
        for name, default in FLAGS
    }
    for name, flag in flags.items():
        if flag.dtype != pl.Boolean or flag.null_count():
            raise DataError(f"column {name} of publications holds no flags", value=str(flag.dtype), rule="booleans")
    found = pl.DataFrame(
        {
            "code": rows.codes,
            "published": published,
            "first": ordinals(columns["first"], rows),
            "last": ordinals(columns["last"], rows),
            **flags,
            "countable": pl.repeat(True, columns.height, eager=True),  # noqa: FBT003 - polars' own signature
            "availability": availabilities(columns),
            "vintage": published,
            "batch": pl.zeros(columns.height, pl.Int32, eager=True),
        },
        schema=PUBLICATION,
    )
    if (found["first"] > found["last"]).any():
        raise DataError("a publication that ends before it begins", rule="first <= last")
    return found.filter(pl.col("published") <= now).unique(maintain_order=True)


def check_listed(publications: pl.DataFrame, stated: pl.DataFrame, coverage: str, catalogue: Catalogue) -> None:
    """Whether a list of publications fits the rows it was given with.

    Raises:
        DataError: a change belongs to none of them, or captured ones are listed beside rows that speak for themselves.
    """
    if coverage != "changes":
        if publications["captured"].any():
            raise DataError(
                "captured publications are listed for changes only",
                value=coverage,
                rule="with rows and complete, the rows themselves tell what was covered",
                fix="list only publications that were not captured",
            )
        return
    spans = publications.filter("captured").select("code", "published", "first", "last")
    covering = stated.join(spans, on=["code", "published"])
    inside = covering.filter(pl.col("period").is_between(pl.col("first"), pl.col("last")))
    loose = stated.join(inside, on=list(ORDER), how="anti")
    if loose.height:
        row = loose.row(0, named=True)
        series = catalogue.series[row["code"]]
        raise DataError(
            "a change outside every listed publication",
            value=f"{series.id}, period {day_of(row['period'], series)}, published {instant(row['published'])}",
            rule="each change belongs to a captured publication of its instant that covers its period",
            fix="add the publication to the list, or widen its first and last",
        )
