"""What is announced about series beside their values: price events, and who belongs to a universe; read as a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from harness.core.errors import DataError
from harness.core.time import EPOCH, instant
from harness.data.batch import NOT_YET, SET_ASIDE, content_hash
from harness.data.columns import code_rows, days, instants, numbers, polars_frame
from harness.data.declaration import Catalogue
from harness.data.given import Given

SPLIT, DIVIDEND, DELISTING = "split", "dividend", "delisting"
EVENT_KINDS = (SPLIT, DIVIDEND, DELISTING)
EVENT = pl.Schema(
    {"code": pl.Int32(), "kind": pl.String(), "ex": pl.Int32(), "value": pl.Float64(), "announced": pl.Int64()}
)
MEMBER = pl.Schema(
    {"universe": pl.String(), "code": pl.Int32(), "first": pl.Int32(), "last": pl.Int32(), "announced": pl.Int64()}
)
MEMBER_KEY = ("universe", "code", "first", "announced")
STAYS = "correct one of the two (what the archive was given before counts as one, and stays)"
EVENT_RULE = "a series has one event of a kind and ex-date; a delisting without a value may get its value later"
MEMBER_RULE = "one announcement names one last day for each universe, series and first day"


def read_events(frame: Any, catalogue: Catalogue, *, now: int) -> Given:
    """Read price events: series_id, kind, ex_date, value, announced_at.

    Args:
        frame: polars or pandas. `value` is new shares per old share (split), cash per share held before the ex-date
            in the series' unit (dividend), or the final value per share (delisting; null = unknown). A date of
            announcement is the end of that day in the series' zone.
        catalogue: the declared series.
        now: microseconds UTC; what is announced later is set aside.

    Raises:
        DataError: the frame breaks a rule; nothing of it may be used.
        UnknownNameError: a series that is not defined.
    """
    columns = polars_frame(frame, ("series_id", "kind", "ex_date", "value", "announced_at"))
    coded = code_rows(columns["series_id"], catalogue)
    rows = pl.DataFrame(
        {
            "code": coded.codes,
            "kind": _words(columns["kind"], EVENT_KINDS),
            "ex": days(columns["ex_date"]).cast(pl.Int32),
            "value": numbers(columns["value"]),
            "announced": instants(columns["announced_at"], coded),
        },
        schema=EVENT,
    )
    _check_event_values(rows, catalogue)
    return _read(rows, catalogue, now, day="ex")


def read_members(frame: Any, catalogue: Catalogue, *, now: int) -> Given:
    """Read memberships: universe, series_id, from (first day), to (last day; null or absent = open), announced_at.

    Args:
        frame: polars or pandas. A later announcement of the same universe, series and first day replaces the last day.
        catalogue: the declared series.
        now: microseconds UTC; what is announced later is set aside.

    Raises:
        DataError: the frame breaks a rule; nothing of it may be used.
        UnknownNameError: a series that is not defined.
    """
    columns = polars_frame(frame, ("universe", "series_id", "from", "announced_at"), ("to",))
    coded = code_rows(columns["series_id"], catalogue)
    rows = pl.DataFrame(
        {
            "universe": _words(columns["universe"]),
            "code": coded.codes,
            "first": days(columns["from"]).cast(pl.Int32),
            "last": _optional_days(columns["to"]) if "to" in columns.columns else None,
            "announced": instants(columns["announced_at"], coded),
        },
        schema=MEMBER,
    )
    backwards = rows.filter(pl.col("last") < pl.col("first"))
    if backwards.height:
        raise DataError(
            "a membership ends before it begins",
            value=_shown(backwards.row(0, named=True), catalogue),
            rule="`to` is the last day, not before `from`",
        )
    return _read(rows, catalogue, now, day="first")


def unseen_events(rows: pl.DataFrame, old: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """The events that an archive does not have.

    Args:
        rows: columns of `EVENT`.
        old: those it has.
        catalogue: the declared series.

    Raises:
        DataError: two of them contradict each other.
    """
    every = pl.concat([old.select(EVENT.names()).cast(EVENT), rows]).unique(maintain_order=True)
    ends = pl.col("kind") == DELISTING
    twice = every.filter(~ends).filter(pl.struct("code", "kind", "ex").is_duplicated())
    _refuse(twice, catalogue, EVENT_RULE, fix=f"{STAYS}; several payments of one ex-date are added up")
    known, unknown = (every.filter(ends & test) for test in (pl.col("value").is_not_null(), pl.col("value").is_null()))
    for part in (known, unknown):
        _refuse(part.filter(pl.col("code").is_duplicated()), catalogue, EVENT_RULE)
    pairs = known.join(unknown, on="code", suffix="_before")
    _refuse(
        pairs.filter((pl.col("ex") != pl.col("ex_before")) | (pl.col("announced") <= pl.col("announced_before"))),
        catalogue,
        EVENT_RULE,
    )
    return rows.join(old, on=EVENT.names(), how="anti", nulls_equal=True)


def unseen_members(rows: pl.DataFrame, old: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """The memberships that an archive does not have; arguments and errors as `unseen_events`."""
    every = pl.concat([old.select(MEMBER.names()).cast(MEMBER), rows]).unique(maintain_order=True)
    _refuse(every.filter(pl.struct(MEMBER_KEY).is_duplicated()), catalogue, MEMBER_RULE)
    return rows.join(old, on=MEMBER.names(), how="anti", nulls_equal=True)


def _words(column: pl.Series, allowed: tuple[str, ...] = ()) -> pl.Series:
    words = column.cast(pl.String) if column.dtype in (pl.Categorical, pl.Enum) else column
    if words.dtype != pl.String or words.null_count():
        raise DataError(f"column {column.name} holds no names", value=column.dtype, rule="text in every row")
    wrong = words.filter(~words.is_in(list(allowed))) if allowed else words.filter(words.str.strip_chars() == "")
    if len(wrong):
        rule = f"one of {', '.join(allowed)}" if allowed else "not empty"
        raise DataError(f"column {column.name} holds an unknown word", value=repr(wrong[0]), rule=rule)
    return words


def _optional_days(column: pl.Series) -> pl.Series:
    given = column.is_not_null()
    if not given.any():
        return pl.Series(column.name, [None] * len(column), dtype=pl.Int32)
    out = np.full(len(column), np.iinfo(np.int32).min, dtype=np.int32)
    out[given.to_numpy()] = days(column.drop_nulls()).cast(pl.Int32).to_numpy()
    return pl.select(pl.when(given).then(pl.Series(out))).to_series()


def _check_event_values(rows: pl.DataFrame, catalogue: Catalogue) -> None:
    kind, value = pl.col("kind"), pl.col("value")
    checks = (
        ((kind != DELISTING) & value.is_null(), "an event without a value", "only a delisting may lack one"),
        ((kind == SPLIT) & (value <= 0), "a split ratio that is not positive", "new shares per old share, like 2.0"),
        ((kind != SPLIT) & (value < 0), "a negative amount", "dividends and final values are 0 or more"),
    )
    for test, what, rule in checks:
        wrong = rows.filter(test)
        if wrong.height:
            raise DataError(what, value=_shown(wrong.row(0, named=True), catalogue), rule=rule)


def _read(rows: pl.DataFrame, catalogue: Catalogue, now: int, *, day: str) -> Given:
    late = rows.filter(pl.col("announced") > now)
    aside = pl.DataFrame(
        {
            "series_id": [catalogue.series[code].id for code in late["code"].to_list()],
            "period": [str(one) for one in late[day].cast(pl.Date).to_list()],
            "published": [instant(at).isoformat() for at in late["announced"].to_list()],
            "value": late["value"] if "value" in late.columns else pl.Series([None] * late.height, dtype=pl.Float64),
            "reason": [NOT_YET] * late.height,
        },
        schema=SET_ASIDE,
    )
    kept = rows.filter(pl.col("announced") <= now).unique(maintain_order=True)
    return Given(kept, aside, rows.height, content_hash(rows.sort(rows.columns)))


def _refuse(rows: pl.DataFrame, catalogue: Catalogue, rule: str, *, fix: str = STAYS) -> None:
    if rows.height:
        shown = _shown(rows.row(0, named=True), catalogue)
        raise DataError("two announcements contradict each other", value=shown, rule=rule, fix=fix)


def _shown(row: dict[str, Any], catalogue: Catalogue) -> str:
    what = row.get("kind") or f"member of {row['universe']}"
    day = EPOCH.fromordinal(EPOCH.toordinal() + int(row["ex"] if "ex" in row else row["first"]))
    return f"{catalogue.series[row['code']].id}, {what}, {day}, announced {instant(row['announced']).isoformat()}"
