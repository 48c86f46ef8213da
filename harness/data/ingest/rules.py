"""The lag rules of a dataset, held against the publications its files observed (S7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import polars as pl

from harness.core.series import Series
from harness.core.time import period_ordinals
from harness.data.declared import Dataset, Source
from harness.data.ingest.parted import found_before
from harness.data.lags import RuleCheck, require_late_rule
from harness.data.observations import Observations


def uncaptured(found: Observations) -> pl.DataFrame | None:
    """Publications that happened and whose value was set aside: they count as releases, and have none to show."""
    if found.treated is None or not found.treated.uncaptured.height:
        return None
    return found.treated.uncaptured.select(
        "series_id",
        pl.col("published").cast(pl.Datetime("us", "UTC")).alias("published_at"),
        pl.col("period").alias("first"),
        pl.col("period").alias("last"),
        captured=pl.lit(value=False),
    )


def late_rules(
    dataset: Dataset, source: Source, found: Observations, cuts: Mapping[str, datetime]
) -> list[tuple[str, RuleCheck]]:
    """The lag rule of every dated series against the first publications observed; of a sealed one, before its cut.

    Args:
        dataset: its declarations.
        source: the source the rules belong to.
        found: what it holds.
        cuts: stored id of a sealed series -> its cut.

    Raises:
        DataError: a rule that holds for less than 99 % of them.
    """
    if not source.dated_by:
        return []
    if cuts:
        found = found_before(found, cuts)
    checks = []
    for series in (dataset.declared(bare) for bare in source.series):
        if series.lag is not None:
            firsts = first_publications(series, found)
            if len(firsts):
                ordinals = period_ordinals(series.parsed, firsts["period"].to_numpy().astype("datetime64[D]"))
                instants = firsts["published_at"].dt.epoch("us").to_numpy().astype(np.int64)
                checks.append((series.id, require_late_rule(series, ordinals, instants)))
    return checks


def first_publications(series: Series, found: Observations) -> pl.DataFrame:
    """First publication (captured or not) of each period that came after the series' first vintage.

    What the first vintage holds was public before; estimated dates say nothing about a rule.

    Returns:
        period, published_at.
    """
    rows = found.rows.filter(pl.col("series_id") == series.id)
    if found.publications is None:
        events = rows.select("period", "published_at", "availability")
        lost = uncaptured(found)
        if lost is not None:
            mine = lost.filter(pl.col("series_id") == series.id)
            columns = (pl.col("first").alias("period"), "published_at", pl.lit("observed").alias("availability"))
            events = pl.concat([events, mine.select(*columns)])
    else:
        spans = found.publications.filter(pl.col("series_id") == series.id)
        events = (
            rows.select("period")
            .unique()
            .join_where(spans, pl.col("period") >= pl.col("first"), pl.col("period") <= pl.col("last"))
            .select("period", "published_at", "availability")
        )
    firsts = events.sort("published_at").group_by("period", maintain_order=True).first()
    return (
        firsts.filter((pl.col("published_at") > pl.col("published_at").min()) & (pl.col("availability") == "observed"))
        .select("period", "published_at")
        .sort("period")
    )
