"""Altered publications against what they should be, computed by hand cell by cell."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from harness.core.series import Series
from harness.core.time import MICROS_PER_DAY as DAY
from harness.core.time import end_of_day, micros
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from harness.data.saving import save_changes
from harness.studies.altered import delayed, latest_vintage, no_lag, untouched
from tests.backtest.made_runs import exported, quarter, releases

END = datetime(2020, 12, 31, tzinfo=UTC)


def at(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


Q1, Q2, Q3 = date(2020, 3, 31), date(2020, 6, 30), date(2020, 9, 30)
FIRST, SECOND = at(2020, 5, 10), at(2020, 8, 9)


def stated(rows: list[tuple[date, datetime, float]], folder: Path, *, frequency: str = "Q") -> ChangeFile:
    """The changes of one series of New York."""
    archive = Archive.open(folder / "archive.duckdb")
    archive.define(Series("x", frequency, zone="America/New_York"))
    schema = {"series_id": pl.String(), "period": pl.Date(), "published_at": pl.Datetime("us", "UTC"),
              "value": pl.Float64()}  # fmt: skip
    frame = pl.DataFrame([("x", *row) for row in rows], schema=schema, orient="row")
    archive.append(frame, source="made", known_through=END)
    return ChangeFile.open(archive.export(folder / "changes"))


def told(changes: ChangeFile) -> list[tuple[int, int, float]]:
    """(instant, period, value) of every change, in order."""
    return list(zip(changes.published.tolist(), changes.period.tolist(), changes.value.tolist(), strict=True))


def end(day: date) -> int:
    return micros(end_of_day(day, "America/New_York"))


def test_without_lag_a_value_is_known_when_its_period_ends_and_vintages_stay_whole(tmp_path: Path) -> None:
    changes = stated(
        [(Q1, FIRST, 1.0), (Q1, FIRST + timedelta(days=30), 1.5), (Q1, SECOND, 10.0), (Q2, SECOND, 20.0)], tmp_path
    )
    first = int(changes.period.min())
    assert told(no_lag(changes)) == [
        (end(Q1), first, 1.0),
        (end(Q1) + 30 * DAY, first, 1.5),  # a revision is as late after the first value as it was
        (end(Q2), first, 10.0),  # republished on another base: with the value of its own vintage, not apart from it
        (end(Q2), first + 1, 20.0),
    ]


def test_without_lag_nothing_becomes_later_and_no_order_is_turned_round(tmp_path: Path) -> None:
    early = at(2020, 9, 1)  # the third quarter comes out before its end; a revision of the second one late
    changes = stated(
        [(Q1, FIRST, 1.0), (Q2, at(2020, 8, 30), 2.0), (Q2, at(2020, 8, 31), 2.5), (Q3, early, 3.0)], tmp_path
    )
    other = no_lag(changes)
    first = int(changes.period.min())
    assert told(other) == [
        (end(Q1), first, 1.0),
        (end(Q2), first + 1, 2.0),
        (end(Q2) + DAY, first + 1, 2.5),
        (micros(early), first + 2, 3.0),
    ]
    made = ChangeFile.open(exported(releases(), tmp_path / "made"))
    moved = no_lag(made)
    assert sorted(moved.value) == sorted(made.value)
    for code in np.unique(made.code):
        mine, theirs = (some.published[some.code == code] for some in (made, moved))
        assert (theirs <= mine).all()
        assert (np.diff(theirs) >= 0).all()
    # as many quarters are known at the end of a quarter as have ended, against one fewer
    for changes_of, known in ((made, 20), (moved, 21)):
        replay = Replay(changes_of, ["cpi"])
        replay.advance(end_of_day(quarter(20), "Europe/London"))
        assert len(replay.snapshot().history("cpi").values) == known


def test_a_back_filled_past_is_known_from_its_own_periods_on(tmp_path: Path) -> None:
    changes = stated([(Q1, SECOND, 1.0), (Q2, SECOND, 2.0)], tmp_path)
    first = int(changes.period.min())
    assert told(no_lag(changes)) == [(end(Q1), first, 1.0), (end(Q2), first + 1, 2.0)]


def test_the_latest_vintage_states_every_cell_once_with_what_stands_today(tmp_path: Path) -> None:
    changes = stated([(Q1, FIRST, 1.0), (Q1, SECOND, 1.5), (Q2, SECOND, 2.0)], tmp_path)
    first = int(changes.period.min())
    assert told(latest_vintage(changes)) == [(micros(FIRST), first, 1.5), (micros(SECOND), first + 1, 2.0)]
    assert told(no_lag(latest_vintage(changes))) == [(end(Q1), first, 1.5), (end(Q2), first + 1, 2.0)]


def test_no_liberty_makes_a_true_vintage_a_hindsight_value(tmp_path: Path) -> None:
    made = ChangeFile.open(exported(releases(), tmp_path))
    for other in (no_lag(made), latest_vintage(made), delayed(made, 30)):
        assert (other.vintage <= other.published).all()


def test_delayed_changes_are_all_as_much_later(tmp_path: Path) -> None:
    made = ChangeFile.open(exported(releases(), tmp_path))
    late = delayed(made, 30)
    np.testing.assert_array_equal(late.published - made.published, 30 * DAY)
    np.testing.assert_array_equal(late.publications.published - made.publications.published, 30 * DAY)
    np.testing.assert_array_equal(late.value, made.value)
    assert untouched(made, made, ("cpi",))
    assert not untouched(made, late, ("cpi",))


def test_altered_changes_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    made = ChangeFile.open(exported(releases(), tmp_path))
    late = delayed(made, 30)
    again = ChangeFile.open(save_changes(late, tmp_path / "other"))
    assert again.hash != made.hash
    assert again.ids == made.ids
    assert again.known_through == made.known_through
    for name in ("code", "period", "published", "value", "vintage", "availability"):
        np.testing.assert_array_equal(getattr(again, name), getattr(late, name))
    np.testing.assert_array_equal(again.publications.published, late.publications.published)
    assert save_changes(late, tmp_path / "other") == again.folder
