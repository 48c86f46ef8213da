"""Price events and memberships told again to an archive of an audit's own, those announced later altered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.frames import UTC_INSTANT
from harness.core.time import NEVER, end_of_day, micros, period_end
from harness.data.announced import DELISTING, EVENT_KINDS, SPLIT
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.declared import Announcements, Dataset
from harness.data.listings import read_listings
from harness.studies.handover import Handover, instants

Flags = NDArray[np.bool_]
DAYS = 400
"""By how many days another membership may begin earlier or later, another event have its ex-date later."""
Told = set[tuple[object, ...]]
EVENT_NAMES = ("series_id", "kind", "ex_date", "value", "announced_at")
MEMBER_NAMES = ("universe", "series_id", "from", "to", "announced_at")


def altered(declared: Announcements, frame: pl.DataFrame, late: Flags, seed: int, *, drop: bool) -> pl.DataFrame:
    """A table of events or members in which some rows are left out or say something else that could be true.

    Args:
        declared: what its columns mean.
        frame: its rows, in the words of the file.
        late: [row] whether it is altered.
        seed: of the noise.
        drop: leave these rows out.
    """
    if drop or not late.any():
        return frame.filter(~pl.Series(late))
    other = _other_events if "ex_date" in dict(declared.columns) else _other_members
    return other(declared, frame, set(np.flatnonzero(late).tolist()), np.random.default_rng(seed))


def _other_events(
    declared: Announcements, frame: pl.DataFrame, late: set[int], random: np.random.Generator
) -> pl.DataFrame:
    """Other ratios, amounts, final values and ex-dates; a delisting keeps its date, which may have been told before."""
    columns = dict(declared.columns)
    series, kind = (frame[columns[name]].cast(pl.String).to_list() for name in ("series", "kind"))
    value, ex = frame[columns["value"]].to_list(), _days(frame[columns["ex_date"]], declared)
    taken: Told = {(series[row], kind[row], ex[row]) for row in range(frame.height) if row not in late}
    for row in sorted(late):
        low, high = {SPLIT: (-1.0, 1.0), DELISTING: (-3.0, 3.0)}.get(kind[row], (-4.0, -2.0))
        number = round(10.0 ** random.uniform(low, high), 6)
        if value[row] is not None:
            text = f"{number:.6f}".replace(".", declared.text.decimal_mark)
            value[row] = text if frame[columns["value"]].dtype == pl.String else number
        day = ex[row]
        if kind[row] != DELISTING and day is not None:
            ex[row] = _free((series[row], kind[row]), day, taken, random)
    return frame.with_columns(
        pl.Series(columns["value"], value, dtype=frame[columns["value"]].dtype),
        _written(ex, frame[columns["ex_date"]], declared),
    )


def _other_members(
    declared: Announcements, frame: pl.DataFrame, late: set[int], random: np.random.Generator
) -> pl.DataFrame:
    """Other series on other days."""
    columns = dict(declared.columns)
    universe, series = (frame[columns[name]].to_list() for name in ("universe", "series"))
    first = _days(frame[columns["from"]], declared)
    none: list[date | None] = [None] * frame.height
    last = _days(frame[columns["to"]], declared) if "to" in columns else none
    named = sorted(set(series))
    taken: Told = {(universe[row], series[row], first[row]) for row in range(frame.height) if row not in late}
    for row in sorted(late):
        day = first[row]
        if day is None:
            continue
        series[row] = named[int(random.integers(len(named)))]
        begins = _free((universe[row], series[row]), day - timedelta(days=DAYS // 2), taken, random)
        first[row] = begins
        last[row] = None if random.random() < 0.5 else begins + timedelta(days=int(random.integers(DAYS)))
    made = frame.with_columns(
        pl.Series(columns["series"], series, dtype=frame[columns["series"]].dtype),
        _written(first, frame[columns["from"]], declared),
    )
    return made.with_columns(_written(last, frame[columns["to"]], declared)) if "to" in columns else made


def _free(what: tuple[object, ...], day: date, taken: Told, random: np.random.Generator) -> date:
    """A later day on which nothing else of this kind is told."""
    day += timedelta(days=1 + int(random.integers(DAYS)))
    while (*what, day) in taken:
        day += timedelta(days=1)
    taken.add((*what, day))
    return day


def _days(column: pl.Series, declared: Announcements) -> list[date | None]:
    return [_day(value, declared.text.date_format) for value in column.to_list()]


def _day(value: object, date_format: str) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if value is None or isinstance(value, date):
        return value
    try:
        text = str(value).strip()
        return datetime.strptime(text, date_format).date() if date_format else date.fromisoformat(text)  # noqa: DTZ007
    except ValueError:
        return None


def _written(days: Sequence[date | None], like: pl.Series, declared: Announcements) -> pl.Series:
    """Days as the file writes them."""
    if like.dtype != pl.String:
        return pl.Series(like.name, days, dtype=pl.Date()).cast(like.dtype)
    form = declared.text.date_format or "%Y-%m-%d"
    return pl.Series(like.name, [None if day is None else day.strftime(form) for day in days], dtype=pl.String())


def announce_again(
    archive: Archive, changes: ChangeFile, datasets: Sequence[Dataset], cut: int | None, seed: int, *, drop: bool
) -> None:
    """Tell an archive what was announced by other ways than the files of its datasets.

    Args:
        archive: where to; only its own series are looked at.
        changes: the archive view that the announcements are taken from.
        datasets: those whose tables it has been told already.
        cut: microseconds UTC after which announcements are altered; None = none is.
        seed: of the noise.
        drop: leave later announcements out instead.
    """
    if not len(changes.events.code) and not changes.members.height:
        return
    defined = [one.id for one in archive.series()]
    events, members = _by_files(datasets)
    tables = (
        (_events(changes, defined, events), EVENT_NAMES, archive.append_events),
        (_members(changes, defined, members), MEMBER_NAMES, archive.append_members),
    )
    for frame, names, add in tables:
        late = np.zeros(frame.height, dtype=bool)
        if cut is not None:
            late = (frame["announced_at"].cast(pl.Int64) > cut).to_numpy()
        columns = tuple((name.replace("series_id", "series"), name) for name in names)
        told = altered(Announcements("", columns), frame, late, seed, drop=drop)
        if told.height:
            add(told, source="again")


def _by_files(datasets: Sequence[Dataset]) -> tuple[Told, Told]:
    """What files announce: (series, kind, value, instant) and (universe, series, first day, instant)."""
    events: Told = set()
    members: Told = set()
    for listing in (one for dataset in datasets for one in read_listings(dataset)):
        rows = listing.rows.with_columns(pl.col("announced_at").cast(UTC_INSTANT).cast(pl.Int64))
        if listing.section == "events":
            events |= set(rows.select("series_id", "kind", "value", "announced_at").rows())
        else:
            members |= set(rows.select("universe", "series_id", "from", "announced_at").rows())
    return events, members


def _events(changes: ChangeFile, defined: Sequence[str], known: Told) -> pl.DataFrame:
    """Events of some series that are not known yet, as `Archive.append_events` takes them."""
    rows, told = changes.events, []
    columns = (rows.code.tolist(), rows.kind.tolist(), rows.ex.tolist(), rows.value.tolist(), rows.announced.tolist())
    for code, kind, ex, value, at in zip(*columns, strict=True):
        name, word, amount = changes.ids[code], EVENT_KINDS[kind], None if np.isnan(value) else value
        if name in defined and (name, word, amount, at) not in known:
            told.append((name, word, period_end(changes.series[name].parsed, ex), amount, at))
    schema = dict(zip(EVENT_NAMES, (pl.String, pl.String, pl.Date, pl.Float64, pl.Int64), strict=True))
    return pl.DataFrame(told, schema=schema, orient="row").cast({"announced_at": UTC_INSTANT})


def _members(changes: ChangeFile, defined: Sequence[str], known: Told) -> pl.DataFrame:
    """Memberships of some series that are not known yet, as `Archive.append_members` takes them."""
    ids = pl.Series(changes.ids, dtype=pl.String())
    told = changes.members.select(
        "universe",
        ids.gather(changes.members["code"]).alias("series_id"),
        _optional_days(changes.members["first"]).alias("from"),
        _optional_days(changes.members["last"]).alias("to"),
        "announced",
    )
    keys = told.select("universe", "series_id", "from", "announced").rows()
    fresh = [key not in known and key[1] in defined for key in keys]
    return told.filter(pl.Series(fresh, dtype=pl.Boolean())).select(
        "universe", "series_id", "from", "to", pl.col("announced").cast(UTC_INSTANT).alias("announced_at")
    )


def _optional_days(days: pl.Series) -> pl.Series:
    given = days.cast(pl.Int64)
    return given.set(given == NEVER, None).cast(pl.Int32).cast(pl.Date)


def is_final_value(changes: ChangeFile, name: str, period: NDArray[np.int64], published: NDArray[np.int64]) -> Flags:
    """[row] whether something stated of one series is the final value of its delisting, which the event itself brings.

    Args:
        changes: the archive view.
        name: stored id.
        period: [row] ordinals.
        published: [row] microseconds UTC.
    """
    out: Flags = np.zeros(len(period), dtype=bool)
    for ex, at in _final_values(changes, name):
        out |= (period == ex) & (published == at)
    return out


def _final_values(changes: ChangeFile, name: str) -> Iterator[tuple[int, int]]:
    """Period and instant of every final value: when it was announced, but not before its day is over."""
    rows, series = changes.events, changes.series[name]
    ended = (rows.kind == EVENT_KINDS.index(DELISTING)) & (rows.code == changes.code_of(name)) & ~np.isnan(rows.value)
    for ex, at in zip(rows.ex[ended].tolist(), rows.announced[ended].tolist(), strict=True):
        yield ex, max(at, micros(end_of_day(period_end(series.parsed, ex), series.zone)))


def announced_by(changes: ChangeFile, names: Sequence[str], cut: int) -> tuple[Handover, Handover]:
    """Price events and memberships of some series announced by an instant.

    Args:
        changes: the archive view.
        names: stored ids.
        cut: microseconds UTC.
    """
    ids, rows = pl.Series(changes.ids, dtype=pl.String()), changes.events
    days = [
        period_end(changes.series[changes.ids[code]].parsed, ex) for code, ex in zip(rows.code, rows.ex, strict=True)
    ]
    events = pl.DataFrame(
        {
            "series_id": ids.gather(rows.code),
            "kind": pl.Series([EVENT_KINDS[kind] for kind in rows.kind.tolist()], dtype=pl.String()),
            "ex_date": pl.Series(days, dtype=pl.Date()),
            "announced_at": instants(rows.announced),
            "value": rows.value,
        }
    )
    told = changes.members
    members = told.select(
        "universe",
        ids.gather(told["code"]).alias("series_id"),
        _optional_days(told["first"]).alias("from"),
        instants(told["announced"].to_numpy()).alias("announced_at"),
        _optional_days(told["last"]).alias("to"),
    )
    known = pl.col("series_id").is_in(list(names)) & (pl.col("announced_at").cast(pl.Int64) <= cut)
    by_event, by_member = ("series_id", "kind", "ex_date", "announced_at"), MEMBER_NAMES[:3] + MEMBER_NAMES[4:]
    return (
        Handover("announcements", "", 0, by_event, events.filter(known).sort(by_event)),
        Handover("announcements", "", 0, by_member, members.filter(known).sort(by_member)),
    )
