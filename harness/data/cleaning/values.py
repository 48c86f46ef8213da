"""Steps on dated values: each row by itself, or from what was published before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from harness.core.errors import FEW, DataError, listed
from harness.core.series import Series
from harness.core.time import end_of_day, micros
from harness.data.cleaning.carrying import filled
from harness.data.cleaning.functions import call
from harness.data.cleaning.notes import Notes, number
from harness.data.cleaning.outlying import outlying
from harness.data.cleaning.steps import Deduplicate, Fill, Function, Outliers, Scale, Step

KEY = ("series_id", "period", "published")


@dataclass(frozen=True, slots=True)
class Setting:
    """What steps on values need to know.

    Attributes:
        series: declarations by stored id.
        folder: the dataset's folder.
        dated: whether the file says when its values were published; else a rule does.
    """

    series: Mapping[str, Series]
    folder: Path
    dated: bool

    def stored(self, names: Sequence[str]) -> list[str]:
        """Stored ids of bare ones."""
        return [name for name in self.series if name.partition("/")[2] in names]


def cleaned(rows: pl.DataFrame, steps: Sequence[Step], setting: Setting, notes: Notes) -> pl.DataFrame:
    """Dated values after all steps on values.

    Args:
        rows: line, series_id, period, published (microseconds UTC), value, and what else is carried along.
        steps: in the order they are taken.
        setting: the series, and how they are dated.
        notes: where the record is kept.

    Raises:
        DataError: a user function failed.
    """
    for step in steps:
        before = rows
        rows, touched = _taken(step, rows, setting, notes)
        notes.step(step, before.select(*KEY, "value"), rows.select(*KEY, "value"), touched)
    return rows


def _taken(step: Step, rows: pl.DataFrame, setting: Setting, notes: Notes) -> tuple[pl.DataFrame, int]:
    if isinstance(step, Scale):
        return _scaled(step, rows, setting, notes)
    if isinstance(step, Deduplicate):
        return _deduplicated(step, rows, setting, notes)
    if isinstance(step, Outliers):
        return _inside(step, rows, setting, notes)
    if isinstance(step, Fill):
        added = filled(
            rows, step, {name: setting.series[name] for name in setting.stored(step.series)}, dated=setting.dated
        )
        notes.rows(
            step.name,
            added.with_columns(value=pl.lit(None, pl.Float64)),
            "carried over a day that is no business day",
            [number(value) for value in added["value"].to_list()],
        )
        return pl.concat([rows, added.select(rows.columns)]), added.height
    if isinstance(step, Function):
        return _by_function(step, rows, setting, notes)
    message = f"{step.name} does not work on values"
    raise AssertionError(message)


def _scaled(step: Scale, rows: pl.DataFrame, setting: Setting, notes: Notes) -> tuple[pl.DataFrame, int]:
    chosen = pl.col("series_id").is_in(setting.stored(step.series)) & pl.col("value").is_not_null()
    if step.first is not None:
        chosen &= pl.col("period") >= step.first
    if step.last is not None:
        chosen &= pl.col("period") <= step.last
    flags = rows.select(chosen.alias("chosen"))["chosen"] & _published_within(step, rows, setting)
    new = rows["value"] * step.factor + step.offset
    out = rows.with_columns(value=new.zip_with(flags, rows["value"]))
    wild = rows.filter(flags & ~new.is_finite())
    if wild.height:
        raise DataError(
            f"{step.name} makes values that are not finite",
            value=f"{wild['value'][0]}, times {step.factor!r} plus {step.offset!r}; {wild.height} row(s) in all",
            rule="values are finite",
            fix="correct its factor or offset",
        )
    said = f"times {step.factor!r} plus {step.offset!r}"
    notes.rows(step.name, rows.filter(flags), said, [number(value) for value in new.filter(flags).to_list()])
    return out, int(flags.sum())


def _published_within(step: Scale, rows: pl.DataFrame, setting: Setting) -> pl.Series:
    inside = pl.repeat(value=True, n=rows.height, dtype=pl.Boolean, eager=True)
    for name, one in setting.series.items():
        mine = rows["series_id"] == name
        if step.since is not None:
            inside &= ~mine | (rows["published"] > _end(step.since - timedelta(days=1), one.zone))
        if step.until is not None:
            inside &= ~mine | (rows["published"] <= _end(step.until, one.zone))
    return inside


def _end(day: date, zone: str) -> int:
    return micros(end_of_day(day, zone))


def _deduplicated(step: Deduplicate, rows: pl.DataFrame, setting: Setting, notes: Notes) -> tuple[pl.DataFrame, int]:
    # rows stand in the order of the file, so that first and last mean what they say
    mine = pl.col("series_id").is_in(setting.stored(step.series))
    place = pl.int_range(pl.len()).over(KEY)
    keep = place == 0 if step.keep == "first" else place == pl.len().over(KEY) - 1
    flags = rows.select((mine & ~keep).alias("gone"))["gone"]
    gone = rows.filter(flags)
    reason = f"given more than once, the {step.keep} kept"
    notes.rows(step.name, gone, reason)
    notes.set_aside(gone, reason, happened=False)
    return rows.filter(~flags), gone.height


def _inside(step: Outliers, rows: pl.DataFrame, setting: Setting, notes: Notes) -> tuple[pl.DataFrame, int]:
    low = np.full(rows.height, -np.inf if step.least is None else step.least)
    high = np.full(rows.height, np.inf if step.most is None else step.most)
    if step.k:
        for name in setting.stored(step.series):
            mine = (rows["series_id"] == name).arg_true().to_numpy()
            part = rows[mine]
            below, above = outlying(part, step, clip=step.action == "clip")
            low[mine], high[mine] = np.maximum(low[mine], below), np.minimum(high[mine], above)
    values = rows["value"].fill_null(np.nan).to_numpy()
    asked = rows["series_id"].is_in(setting.stored(step.series)).to_numpy() & ~np.isnan(values)
    out = pl.Series(asked & ((values < low) | (values > high)))
    hit = rows.filter(out)
    reasons = pl.Series(
        [
            f"outside {a:.8g} to {b:.8g}"
            for a, b in zip(low[out.to_numpy()].tolist(), high[out.to_numpy()].tolist(), strict=True)
        ],
        dtype=pl.String,
    )
    if step.action == "clip":
        clipped = pl.Series(np.clip(values, low, high))
        notes.rows(step.name, hit, reasons, [number(value) for value in clipped.filter(out).to_list()])
        return rows.with_columns(value=clipped.zip_with(out, rows["value"])), hit.height
    notes.rows(step.name, hit, reasons)
    notes.set_aside(hit, reasons)
    return rows.filter(~out), hit.height


def _by_function(step: Function, rows: pl.DataFrame, setting: Setting, notes: Notes) -> tuple[pl.DataFrame, int]:
    ordered = rows.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    given = ordered.select(
        "row",
        pl.col("series_id").str.split_exact("/", 1).struct.field("field_1").alias("series"),
        "period",
        pl.col("published").cast(pl.Datetime("us", "UTC")).alias("published_at"),
        "value",
    ).sort("published_at", "series", "period", "row")
    out = call(step.function, setting.folder, given)
    notes.handed(step.function, given, out)
    _require_same(out, given, step)
    known = out.filter(pl.col("row").is_not_null()).select("row", new="value")
    joined = ordered.join(known, on="row", how="left", maintain_order="left")
    there = joined["row"].is_in(known["row"].implode())
    gone = joined.filter(~there)
    notes.rows(step.name, gone, f"taken out by {step.function}")
    notes.set_aside(gone, f"taken out by {step.function}")
    changed = joined.filter(there & joined["value"].ne_missing(joined["new"]))
    notes.rows(step.name, changed, f"changed by {step.function}", [number(value) for value in changed["new"].to_list()])
    kept = joined.filter(there).with_columns(value="new").select(rows.columns)
    added = _added(out, rows, setting)
    notes.rows(
        step.name,
        added.with_columns(value=pl.lit(None, pl.Float64)),
        f"added by {step.function}",
        [number(value) for value in added["value"].to_list()],
    )
    return pl.concat([kept, added]), gone.height + changed.height + added.height


def _require_same(out: pl.DataFrame, given: pl.DataFrame, step: Function) -> None:
    """Rows that came back are still those of their series, period and publication, with finite values."""
    fixed = ("series", "period", "published_at")
    joined = out.join(given, on="row", how="inner", suffix="_given")
    moved = joined.filter(pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_given")) for name in fixed))
    if moved.height:
        raise DataError(
            f"{step.function} moved rows to another series, period or publication",
            value=f"{moved.height} row(s)",
            rule="a function may change values, leave rows out, and add rows without a `row`",
        )
    if not out["value"].is_finite().fill_null(value=True).all():
        raise DataError(f"{step.function} made values that are not finite", rule="an absent value is null")


def _added(out: pl.DataFrame, rows: pl.DataFrame, setting: Setting) -> pl.DataFrame:
    """Rows a function added, with the columns of all rows: derived values, under a date that a rule gave them."""
    stored = {name.partition("/")[2]: name for name in setting.series}
    new = out.filter(pl.col("row").is_null())
    if new.select("series", "period", "published_at", "value").null_count().sum_horizontal().sum():
        raise DataError("a row that was added lacks its series, period, publication or value")
    strangers = sorted(set(new["series"]) - set(stored))
    if strangers:
        raise DataError("a row was added to a series that is not here", value=listed(strangers, FEW))
    columns = {
        "line": pl.lit(None, pl.Int64),
        "series_id": pl.col("series").replace_strict(stored, return_dtype=pl.String),
        "name": pl.col("series"),
        "published": pl.col("published_at").dt.epoch("us"),
        "availability": pl.lit("rule"),
        "value_known_at": pl.col("published_at"),
    }
    made = new.with_columns(**{name: made for name, made in columns.items() if name in rows.columns})
    lacking = [pl.lit(None, rows.schema[name]).alias(name) for name in rows.columns if name not in made.columns]
    return made.with_columns(lacking).select(rows.columns).cast(rows.schema)
