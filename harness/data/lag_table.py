"""How late and how much revised each series of a dataset is, measured on what the archive holds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from harness.core.errors import UserError
from harness.core.frames import UTC_INSTANT
from harness.core.series import AVAILABILITIES, Series
from harness.core.time import NEVER, period_ends, period_ordinals
from harness.data.archive import Archive
from harness.data.changes import ChangeFile, PublicationRows
from harness.data.lags import measured_lag
from harness.data.past import Past, past_of
from harness.data.releases import nth_release

LAG_SCHEMA = pl.Schema(
    {
        "series_id": pl.String(),
        "frequency": pl.String(),
        "unit": pl.String(),
        "periods": pl.Int64(),
        "observed": pl.Float64(),
        "rule": pl.Float64(),
        "assumed": pl.Float64(),
        "pseudo_real_time": pl.Float64(),
        "lag_min": pl.Float64(),
        "lag_median": pl.Float64(),
        "lag_max": pl.Float64(),
        "publications": pl.Int64(),
        "changes": pl.Int64(),
        "revision": pl.Float64(),
        "revision_percent": pl.Float64(),
    }
)


def lag_table(
    archive: Archive, dataset: str, *, changes_dir: Path | None = None, first: int | None = None
) -> pl.DataFrame:
    """One row per series of a dataset.

    Args:
        archive: where the dataset was ingested.
        dataset: its name.
        changes_dir: folder of change folders; None = a temporary one.
        first: only so many series, the first by id; None = all.

    Returns:
        series_id, frequency, unit;
        periods: periods with a value;
        observed, rule, assumed: shares of them by how the date of their earliest value is known;
        pseudo_real_time: share of them whose earliest value is of a later vintage than its date, or of none;
        lag_min, lag_median, lag_max: local days from a period's end to its first publication, for periods first
            published after the first vintage under an observed date (null without vintages);
        publications, changes: publications, and values that changed with one after having been published before;
        revision: mean absolute difference between first published and newest value, in the unit (null for a rebased
            series, whose levels of different vintages are not compared);
        revision_percent: the same in per cent of the first value; for a rebased series that of one-period log growth
            inside one vintage, in percentage points.

    Raises:
        UserError: the archive has no series of this dataset.
    """
    found = [series for series in archive.series() if series.id.startswith(f"{dataset}/")]
    if not found:
        raise UserError("nothing ingested of this dataset", value=dataset, fix=f"harness ingest {dataset}")
    found = sorted(found, key=lambda series: series.id)[:first] if first is not None else found
    if changes_dir is not None:
        return _table(found, ChangeFile.open(archive.export(changes_dir)))
    with tempfile.TemporaryDirectory() as folder:
        return _table(found, ChangeFile.open(archive.export(Path(folder))))


def _table(found: list[Series], changes: ChangeFile) -> pl.DataFrame:
    publications = _publications(changes)
    rows = [_row(one, _revisions(past_of(changes, one.id), one), publications(one.id)) for one in found]
    return pl.DataFrame(rows, schema=LAG_SCHEMA)


def _revisions(past: Past, series: Series) -> pl.DataFrame:
    """Every stored change of a series, by period and publication, as `Archive.revisions`."""
    published, known_at = (pl.Series(moments).cast(UTC_INSTANT) for moments in (past.published, past.vintage))
    frame = pl.DataFrame(
        {
            "period": pl.Series(period_ends(series.parsed, past.period).astype("datetime64[D]")).cast(pl.Date),
            "published_at": published,
            "value": pl.Series(past.value).fill_nan(None),
            "availability": pl.Series(AVAILABILITIES, dtype=pl.String).gather(past.availability),
            "value_known_at": known_at.set(pl.Series(past.vintage == NEVER), None),
        }
    )
    return frame.sort("period", "published_at", maintain_order=True)


def _publications(changes: ChangeFile) -> Callable[[str], PublicationRows]:
    """Publications by series, all of them looked through once."""
    every = changes.publications
    order = np.argsort(every.code, kind="stable")
    edges = np.searchsorted(every.code[order], np.arange(len(changes.ids) + 1))

    def of(series_id: str) -> PublicationRows:
        code = changes.code_of(series_id)
        mine = order[edges[code] : edges[code + 1]]
        return PublicationRows(**{name: getattr(every, name)[mine] for name in PublicationRows.__dataclass_fields__})

    return of


def _row(series: Series, revisions: pl.DataFrame, publications: PublicationRows) -> dict[str, object]:
    earliest = revisions.group_by("period", maintain_order=True).first()
    periods = earliest.height
    shares = {name: _share(earliest["availability"] == name) for name in AVAILABILITIES}
    known_at, published = pl.col("value_known_at"), pl.col("published_at")
    hindsight = earliest.select((known_at.is_null() | (known_at > published)).alias("hindsight"))["hindsight"]
    stated = revisions.filter(pl.col("availability") != "assumed")
    firsts = _after_first_vintage(series, stated, publications)
    lag = measured_lag(firsts["period"].to_numpy().astype("datetime64[D]"), firsts["instant"].to_numpy(), series.zone)
    captured = firsts.filter("captured")["period"]
    revision, percent = _revision(stated.filter(pl.col("period").is_in(captured.implode())), stated, series)
    return {
        "series_id": series.id,
        "frequency": series.frequency,
        "unit": series.unit,
        "periods": periods,
        **shares,
        "pseudo_real_time": _share(hindsight),
        "lag_min": lag.minimum if lag.n else None,
        "lag_median": lag.median if lag.n else None,
        "lag_max": lag.maximum if lag.n else None,
        "publications": len(np.unique(publications.published)),
        "changes": stated.height - stated["period"].n_unique(),
        "revision": revision,
        "revision_percent": percent,
    }


def _share(flags: pl.Series) -> float | None:
    return float(flags.mean()) if len(flags) else None  # type: ignore[arg-type]


def _after_first_vintage(series: Series, stated: pl.DataFrame, publications: PublicationRows) -> pl.DataFrame:
    """(period, instant, captured) of first publications after the first vintage whose date was observed.

    What the first vintage holds was public before, and a date made by a rule measures the rule.
    """
    ends = stated["period"].unique().sort()
    ordinals = period_ordinals(series.parsed, ends.to_numpy().astype("datetime64[D]"))
    instants, captured = nth_release(publications, ordinals, 1)
    opening = publications.published.min() if len(publications.published) else NEVER
    frame = pl.DataFrame({"period": ends, "instant": instants, "captured": captured})
    by_rule = stated.filter(pl.col("availability") != "observed").select(
        "period", pl.col("published_at").dt.epoch("us").alias("instant")
    )
    later = frame.filter((pl.col("instant") != NEVER) & (pl.col("instant") > opening))
    return later.join(by_rule, on=["period", "instant"], how="anti").sort("period")


def _revision(rows: pl.DataFrame, stated: pl.DataFrame, series: Series) -> tuple[float | None, float | None]:
    """Mean absolute revision from first to newest value, in the unit and in per cent (see `lag_table`)."""
    ends = rows.filter(pl.col("value").is_not_null()).group_by("period", maintain_order=True)
    pairs = ends.agg(first="value", at=pl.col("published_at").first(), newest=pl.col("value").last()).with_columns(
        pl.col("first").list.first()
    )
    if not pairs.height:
        return None, None
    if series.scale == "rebased":
        return None, _growth_revision(pairs, stated, series)
    size = (pl.col("newest") - pl.col("first")).abs()
    nonzero = pairs.filter(pl.col("first") != 0)
    percent = nonzero.select((100 * size / pl.col("first").abs()).mean()).item() if nonzero.height else None
    return pairs.select(size.mean()).item(), percent


def _growth_revision(pairs: pl.DataFrame, stated: pl.DataFrame, series: Series) -> float | None:
    """Mean absolute revision of one-period log growth, each growth inside one vintage, in percentage points."""
    ordinals = period_ordinals(series.parsed, pairs["period"].to_numpy().astype("datetime64[D]"))
    cells = stated.select("period", "published_at", base="value").sort("published_at")
    all_ends = cells["period"].unique().sort()
    by_ordinal = dict(
        zip(period_ordinals(series.parsed, all_ends.to_numpy().astype("datetime64[D]")).tolist(), all_ends, strict=True)
    )
    before = pl.Series("before", [by_ordinal.get(ordinal - 1) for ordinal in ordinals.tolist()], dtype=pl.Date)
    asked = pairs.with_columns(before).drop_nulls("before").sort("at")
    then = asked.join_asof(
        cells.rename({"period": "before", "published_at": "at"}),
        on="at",
        by="before",
        strategy="backward",
        check_sortedness=False,
    )
    newest = cells.group_by("period").agg(pl.col("base").last().alias("base_newest"))
    both = then.join(newest, left_on="before", right_on="period")
    positive = both.filter(pl.min_horizontal("first", "newest", "base", "base_newest") > 0)
    if not positive.height:
        return None
    first = (pl.col("first") / pl.col("base")).log()
    last = (pl.col("newest") / pl.col("base_newest")).log()
    return float(positive.select((100 * (last - first)).abs().mean()).item())
