"""From what sources stated to what changed: pure functions of statements and publications.

A *statement* says that a cell (series, period) has a value from an instant on; null = withdrawn. Statements are frames
with the columns of `STATEMENT`, sorted by `ORDER`. A *publication* covers a span of periods of a series at an instant.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.data.ordering import in_order

STATEMENT = pl.Schema(
    {
        "code": pl.Int32(),
        "period": pl.Int32(),
        "published": pl.Int64(),
        "value": pl.Float64(),
        "availability": pl.Int8(),
        "vintage": pl.Int64(),
        "batch": pl.Int32(),
    }
)
PUBLICATION = pl.Schema(
    {
        "code": pl.Int32(),
        "published": pl.Int64(),
        "first": pl.Int32(),
        "last": pl.Int32(),
        "complete": pl.Boolean(),
        "captured": pl.Boolean(),
        "countable": pl.Boolean(),
        "availability": pl.Int8(),
        "vintage": pl.Int64(),
        "batch": pl.Int32(),
    }
)
STATEMENT_KEYS = {"code": pl.Int32(), "published": pl.Int64()}
ORDER = ("code", "period", "published")
CELL = ("code", "period")
OBSERVED, RULE, ASSUMED = 0, 1, 2
DROPPED, CHANGE, RESTATEMENT = 0, 1, 2
EXACT_INTEGERS = 2.0**52
"""Above this a float64 has no fraction left to round."""


def rounded(value: pl.Expr, decimals: pl.Expr) -> pl.Expr:
    """Half-even rounding at a series' `decimals` (null = exact): two values that round alike are the same value.

    >>> frame = pl.DataFrame({"v": [0.25, 0.35, 0.125, 1e300], "d": [1, 1, None, 1]})
    >>> frame.select(rounded(pl.col("v"), pl.col("d")))["v"].to_list()
    [0.2, 0.4, 0.125, 1e+300]
    """
    power = pl.lit(10.0) ** decimals.cast(pl.Float64)
    scaled = value * power
    plain = decimals.is_null() | (scaled.abs() >= EXACT_INTEGERS)
    return pl.when(plain).then(value).otherwise(scaled.round(0, mode="half_to_even") / power)


def with_decimals(statements: pl.DataFrame, decimals: NDArray[np.int8]) -> pl.DataFrame:
    """Add a column `rounded`.

    Args:
        statements: code, value.
        decimals: [code] places; -1 = exact.
    """
    places = decimals[statements["code"].to_numpy()]
    fewest, most = (int(places.min()), int(places.max())) if len(places) else (-1, -1)
    if most < 0:
        return statements.with_columns(rounded=pl.col("value"))
    if fewest == most:
        return statements.with_columns(rounded=rounded(pl.col("value"), pl.lit(most)))
    digits = pl.when(pl.col("decimals") < 0).then(None).otherwise(pl.col("decimals"))
    per_row = pl.Series("decimals", places)
    return statements.with_columns(per_row).with_columns(rounded=rounded(pl.col("value"), digits)).drop("decimals")


def kinds(statements: pl.DataFrame, decimals: NDArray[np.int8]) -> pl.Series:
    """What each statement is, as `classify` tells it; where no cell is stated twice, nothing is rounded.

    Args:
        statements: sorted by `ORDER`, with the column `implied`.
        decimals: [code] places; -1 = exact.
    """
    code, period = statements["code"].to_numpy(), statements["period"].to_numpy()
    if ((code[1:] == code[:-1]) & (period[1:] == period[:-1])).any():
        return classify(with_decimals(statements, decimals))
    if not statements["value"].null_count():
        return pl.Series("kind", [CHANGE], dtype=pl.Int8).new_from_index(0, statements.height)
    return classify(statements.with_columns(rounded=pl.col("value")))


def classify(statements: pl.DataFrame) -> pl.Series:
    """What each statement is: 1 a change at `decimals`, 2 a restatement, 0 nothing new.

    A statement is compared with the one before it in its cell; as noise rounds alike, that is the same as comparing
    with the standing stored value. A cell that begins as withdrawn has not begun. Restatements differ by float noise
    only, or withdraw what was not there: they change nothing, but a batch that arrives late must find them.

    Args:
        statements: sorted by `ORDER`, with the columns `rounded` and `implied` (a null that a complete publication
            says by leaving the cell out).
    """
    same_cell = (pl.col("code") == pl.col("code").shift(1)) & (pl.col("period") == pl.col("period").shift(1))
    before = pl.when(same_cell).then(pl.col("rounded").shift(1))
    exact_before = pl.when(same_cell).then(pl.col("value").shift(1))
    kind = (
        pl.when(pl.col("rounded").ne_missing(before))
        .then(pl.lit(CHANGE, dtype=pl.Int8))
        .when(pl.col("value").ne_missing(exact_before) | (pl.col("value").is_null() & ~pl.col("implied")))
        .then(pl.lit(RESTATEMENT, dtype=pl.Int8))
        .otherwise(pl.lit(DROPPED, dtype=pl.Int8))
    )
    return statements.select(kind.alias("kind"))["kind"]


def runs(statements: pl.DataFrame, positions: pl.Series, *, countable: bool) -> pl.DataFrame:
    """One publication per series, instant and contiguous run of stated periods.

    Args:
        statements: the rows of one batch, sorted by `ORDER`.
        positions: [row] place of the period in its series' order of periods (sessions counted, weekends not).
        countable: whether releases may be counted by these publications.
    """
    same = ("code", "published", "availability", "vintage")
    if not statements.height:
        return pl.DataFrame(schema=PUBLICATION)
    # of one series and instant the periods ascend already
    ordered = in_order(statements.select(*same, "period", positions.alias("position")), ("code", "published"))
    follows = pl.col("position") == pl.col("position").shift(1) + 1
    for name in same:
        follows = follows & pl.col(name).eq_missing(pl.col(name).shift(1))
    begins = ordered.select((~follows).fill_null(value=True).alias("start"))["start"]
    if begins.all():
        return _publications(ordered.select(*same, first="period", last="period"), complete=False, countable=countable)
    first = np.flatnonzero(begins.to_numpy())
    last = np.append(first[1:], ordered.height) - 1
    out = ordered[first].select(*same, first="period")
    return _publications(
        out.with_columns(ordered["period"].gather(last).alias("last")), complete=False, countable=countable
    )


def earliest(statements: pl.DataFrame) -> pl.DataFrame:
    """The earliest instant of each series: columns code, published.

    Args:
        statements: sorted by `ORDER`.
    """
    code, published = statements["code"].to_numpy(), statements["published"].to_numpy()
    first = np.flatnonzero(code[1:] != code[:-1]) + 1
    starts = np.concatenate((first[:0] if not len(code) else [0], first)).astype(np.int64)
    soonest = np.minimum.reduceat(published, starts) if len(starts) else published
    return pl.DataFrame({"code": code[starts], "published": soonest}, schema=STATEMENT_KEYS)


def spans(statements: pl.DataFrame) -> pl.DataFrame:
    """One complete publication per series and instant, from the first to the last stated period."""
    out = (
        statements.sort(ORDER)
        .group_by("code", "published", maintain_order=True)
        .agg(
            pl.col("period").min().alias("first"),
            pl.col("period").max().alias("last"),
            pl.col("availability").first(),
            pl.col("vintage").first(),
        )
    )
    return _publications(out, complete=True, countable=True)


def _publications(frame: pl.DataFrame, *, complete: bool, countable: bool) -> pl.DataFrame:
    flagged = frame.with_columns(
        complete=pl.lit(complete), captured=pl.lit(value=True), countable=pl.lit(countable), batch=pl.lit(0, pl.Int32)
    )
    return flagged.select(pl.col(name).cast(dtype) for name, dtype in PUBLICATION.items())


def expand(publications: pl.DataFrame, low: NDArray[np.int64], high: NDArray[np.int64]) -> pl.DataFrame:
    """Every cell of every publication within [low, high] of its row: code, period and what the publication carries."""
    first = np.maximum(publications["first"].to_numpy(), low)
    last = np.minimum(publications["last"].to_numpy(), high)
    lengths = np.maximum(last - first + 1, 0)
    rows = np.repeat(np.arange(publications.height), lengths)
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    periods = np.repeat(first, lengths) + offsets
    return publications[rows].select(
        pl.col("code"),
        pl.Series("period", periods.astype(np.int32)),
        *(pl.col(name) for name in ("published", "availability", "vintage", "batch", "complete")),
    )


def withdrawals(statements: pl.DataFrame, publications: pl.DataFrame) -> pl.DataFrame:
    """What complete publications say without saying it: null statements for the cells of their span left out."""
    stated = statements.group_by("code", "published").len("stated")
    gaps = (
        publications.filter("complete")
        .join(stated, on=["code", "published"])
        .filter(pl.col("stated") < pl.col("last") - pl.col("first") + 1)
        .drop("stated")
    )
    cells = expand(gaps, gaps["first"].to_numpy(), gaps["last"].to_numpy())
    absent = cells.join(statements, on=list(ORDER), how="anti")
    return absent.with_columns(value=pl.lit(None, pl.Float64)).select(STATEMENT.names())


def restored(new: pl.DataFrame, old: pl.DataFrame, publications: pl.DataFrame) -> pl.DataFrame:
    """Statements that keep the past true when a batch arrives late.

    A new statement at t would otherwise stand until the next recorded change. But publications after t, ingested
    before it, did state the cell: the value they found standing is stated again at the first of them.

    Args:
        new: statements not seen before, sorted by `ORDER`.
        old: all earlier statements of the same cells, sorted by `ORDER`.
        publications: all earlier captured publications of the same series.
    """
    covering = covered(new, publications)
    following = (
        new.sort("published")
        .select("code", "period", "published")
        .join_asof(
            covering.sort("published").with_columns(later=pl.col("published")),
            on="published",
            by=list(CELL),
            strategy="forward",
            check_sortedness=False,
            allow_exact_matches=False,
        )
        .filter(pl.col("later").is_not_null())
        .select("code", "period", "complete", "availability", "vintage", "batch", published="later")
        .unique(subset=list(ORDER))
        .join(old, on=list(ORDER), how="anti")
    )
    return said(following, old, publications).select(STATEMENT.names())


def covered(new: pl.DataFrame, publications: pl.DataFrame) -> pl.DataFrame:
    """The cells of `new` in publications not before the first new statement of their series, one row per covering."""
    bounds = new.group_by("code").agg(
        pl.col("period").min().alias("low"), pl.col("period").max().alias("high"), pl.col("published").min().alias("at")
    )
    near = publications.filter("captured").join(bounds, on="code").filter(pl.col("published") >= pl.col("at"))
    cells = expand(near, near["low"].to_numpy(), near["high"].to_numpy())
    wanted = new.select(CELL).unique()
    return cells.join(wanted, on=list(CELL), how="semi")


def said(covering: pl.DataFrame, old: pl.DataFrame, publications: pl.DataFrame) -> pl.DataFrame:
    """What publications say of cells that they cover without stating them: `standing`, of those that say anything.

    One that left a cell "unchanged" says nothing about it as long as nobody knows what stood then. That a cell has no
    value is known, too, from a complete publication that left it out, although no statement is kept of a cell that has
    not begun.

    Args:
        covering: code, period, published, `complete`, and whatever else of each covered cell.
        old: all earlier statements of the cells, sorted by `ORDER`.
        publications: all earlier publications of the series.
    """
    found = standing(covering, old)
    silent = found.filter(pl.col("stated").is_null() & ~pl.col("complete"))
    if not silent.height:
        return found
    left_out = (
        silent.select(ORDER)
        .join(publications.filter("captured", "complete").select("code", "first", "last", at="published"), on="code")
        .filter(pl.col("period").is_between(pl.col("first"), pl.col("last")) & (pl.col("at") <= pl.col("published")))
        .select(ORDER)
        .unique()
    )
    return found.join(
        silent.select(ORDER).join(left_out, on=list(ORDER), how="anti"),
        on=list(ORDER),
        how="anti",
        maintain_order="left",
    )


def standing(asked: pl.DataFrame, old: pl.DataFrame) -> pl.DataFrame:
    """Add to (code, period, published) rows the exact value standing then, and since when it was stated.

    Both are null where nothing was stated by then; a withdrawn value is null with an instant.
    """
    return asked.sort("published").join_asof(
        old.sort("published").select("code", "period", "published", "value", stated="published"),
        on="published",
        by=list(CELL),
        strategy="backward",
        check_sortedness=False,
    )


def assumed(changes: pl.DataFrame, dates: Callable[[int, NDArray[np.int64]], NDArray[np.int64]]) -> pl.DataFrame:
    """Rows for history older than a series' first vintage, dated by its lag rule, with the first vintage's values.

    Only cells that were first stated by the first vintage get one: what was stated before needs no assumption.

    Args:
        changes: changes (none assumed) of series with a lag rule, sorted by `ORDER`.
        dates: rule dates in microseconds UTC, of a series' code and period ordinals.
    """
    vintages = (
        changes.filter(pl.col("vintage").is_not_null()).group_by("code").agg(pl.col("published").min().alias("at"))
    )
    opening = changes.group_by(CELL, maintain_order=True).first().join(vintages, on="code")
    cells = opening.filter((pl.col("published") == pl.col("at")) & pl.col("value").is_not_null()).sort(ORDER)
    parts = []
    for part in cells.partition_by("code", maintain_order=True):
        ruled = dates(int(part["code"][0]), part["period"].cast(pl.Int64).to_numpy())
        parts.append(part.with_columns(pl.Series("published", ruled), vintage=pl.col("at")))
    if not parts:
        return pl.DataFrame(schema=STATEMENT)
    rows = pl.concat(parts).filter(pl.col("published") < pl.col("at"))
    return rows.with_columns(availability=pl.lit(ASSUMED, pl.Int8)).select(STATEMENT.names())
