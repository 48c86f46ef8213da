"""Walking forward through a change file: what a snapshot exposes, and what it costs."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from harness.core.errors import UnknownNameError, UserError
from harness.core.series import LagRule, Series
from harness.core.time import NEVER, micros
from harness.data.replay import Replay
from tests.data.archive_samples import APR, FEB, JAN, MAR, MAY, at, exported, opened, rows

NEW_YORK = Series("cpi", "B", zone="America/New_York", calendar="XNYS")


def test_what_comes_later_leaves_no_trace_in_a_snapshot(tmp_path):
    early = rows((FEB, at(3, 20), 2.0), (MAR, at(4, 20), 3.0))
    # later: an older period, a newer one, and another series of the same panel
    later = rows((JAN, at(6, 20), 1.0), (MAY, at(6, 20), 5.0))
    snapshots = []
    for name, batches in (("without", [early]), ("with", [early, later])):
        archive = opened(tmp_path / name)
        for batch in batches:
            archive.append(batch, source="test", known_through=at(12, 31))
        replay = Replay(exported(archive), ["cpi"])
        replay.advance(at(5, 1))
        snapshots.append(replay.snapshot())
    for panel in (snapshot.panels[0] for snapshot in snapshots):
        assert panel.values.shape == (1, 2)
        assert panel.values.tolist() == [[2.0, 3.0]]
    assert snapshots[0].panels[0].first == snapshots[1].panels[0].first


def test_before_anything_is_published_there_is_an_empty_panel(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test")
    replay = Replay(exported(archive), ["cpi"])
    replay.advance(at(2, 1))
    assert replay.snapshot().frame().height == 0
    assert replay.snapshot().panel("cpi").values.shape == (1, 0)


def test_latency_makes_known_what_was_published_so_much_earlier(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test")
    replay = Replay(exported(archive), ["cpi"], latency=timedelta(hours=1))
    replay.advance(at(2, 20))
    assert replay.snapshot().frame().height == 0
    replay.advance(at(2, 20, 1))
    assert replay.snapshot().frame().height == 1
    assert replay.snapshot().known_at == micros(at(2, 20))


def test_a_replay_does_not_walk_back(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test")
    replay = Replay(exported(archive), ["cpi"])
    with pytest.raises(UserError, match="advance"):
        replay.snapshot()
    replay.advance(at(3, 1))
    replay.advance(at(3, 1))
    with pytest.raises(UserError, match="forward"):
        replay.advance(at(2, 1))


def test_an_unknown_series_is_refused(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test")
    with pytest.raises(UnknownNameError, match="did you mean 'cpi'"):
        Replay(exported(archive), ["cpu"])


def test_copies_stay_and_views_move_and_neither_can_be_written(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0), (JAN, at(3, 20), 2.0)), source="test")
    replay = Replay(exported(archive), ["cpi"])
    replay.advance(at(2, 20))
    copy, view = replay.snapshot().panels[0], replay.snapshot(copy=False).panels[0]
    replay.advance(at(3, 20))
    assert (copy.values[0, 0], view.values[0, 0]) == (1.0, 2.0)
    for panel in (copy, view):
        for array in (panel.values, panel.published, panel.vintage):
            with pytest.raises(ValueError, match="read-only"):
                array[0, 0] = 0


def test_hindsight_can_be_left_out(tmp_path):
    archive = opened(tmp_path, Series("cpi", "M", lag=LagRule("calendar_days", n=20)))
    archive.append(rows((JAN, at(4, 10), 1.0), (MAR, at(4, 10), 3.0)), source="test")
    for exclude, expected in ((False, [JAN]), (True, [])):
        replay = Replay(exported(archive), ["cpi"], exclude_hindsight=exclude)
        replay.advance(at(4, 1))
        assert replay.snapshot().frame()["period"].to_list() == expected
        replay.advance(at(4, 10))
        assert replay.snapshot().frame()["period"].to_list() == [JAN, MAR]
        assert replay.snapshot().panel("cpi").vintage[0, 0] == micros(at(4, 10))


def test_a_withdrawn_cell_has_neither_value_nor_dates(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0), (JAN, at(3, 20), None)), source="test")
    replay = Replay(exported(archive), ["cpi"])
    replay.advance(at(3, 20))
    panel = replay.snapshot().panels[0]
    assert np.isnan(panel.values[0, 0])
    assert (panel.published[0, 0], panel.vintage[0, 0]) == (NEVER, NEVER)


def test_series_of_another_frequency_or_zone_have_a_panel_of_their_own(tmp_path):
    declared = [
        Series("a", "M"),
        Series("b", "M"),
        Series("c", "M", zone="Asia/Tokyo"),
        Series("d", "Q"),
        Series("e", "B", zone="America/New_York", calendar="XNYS"),
    ]
    archive = opened(tmp_path, *declared)
    frames = [rows((MAR, at(4, 20), float(place)), series=one.id) for place, one in enumerate(declared)]
    archive.append(pl.concat(frames), source="test")
    replay = Replay(exported(archive), [one.id for one in declared])
    replay.advance(at(4, 20))
    snapshot = replay.snapshot()
    assert [panel.ids for panel in snapshot.panels] == [("a", "b"), ("c",), ("d",), ("e",)]
    assert snapshot.frame()["value"].to_list() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert archive.as_of(at(4, 20)).frame().equals(snapshot.frame())


def test_a_closure_leaves_the_order_of_sessions_when_it_is_announced(tmp_path):
    # the exchange closed on 29 and 30 October 2012, which nobody knew the Friday before
    days = [date(2012, 10, day) for day in (24, 25, 26, 31)]
    archive = opened(tmp_path, NEW_YORK)
    archive.append(
        rows(*((day, day, float(day.day)) for day in days)), source="test", known_through=at(12, 1, year=2012)
    )
    replay = Replay(exported(archive), ["cpi"])
    distances = []
    for origin in (at(10, 27, 12, year=2012), at(11, 1, 12, year=2012)):
        replay.advance(origin)
        snapshot, asked = replay.snapshot(), archive.as_of(origin)
        assert snapshot.frame().equals(asked.frame())
        np.testing.assert_array_equal(snapshot.panels[0].values, asked.panels[0].values)
        order = snapshot.panels[0].timeline
        distances.append(order.position(15_644) - order.position(15_639))  # 31 October and 26 October
        assert snapshot.frame()["period"].to_list() == [day for day in days if day < origin.date()]
    assert distances == [3, 1]


def test_a_declared_closure_is_not_told_before_its_announcement(tmp_path):
    series = Series("cpi", "B", zone="America/New_York", calendar="XNYS", closures=((date(2030, 1, 9), "2020-03-01"),))
    archive = opened(tmp_path, series)
    day = date(2020, 2, 20)
    archive.append(rows((day, day, 1.0)), source="test", known_through=at(4, 1))
    replay = Replay(exported(archive), ["cpi"])
    told = []
    for origin in (at(3, 1), at(4, 1)):
        replay.advance(origin)
        snapshot = replay.snapshot()
        order = snapshot.panel("cpi").timeline
        told.append((len(snapshot.series["cpi"].closures), 21_923 in order.sessions))
        assert archive.as_of(origin).series == snapshot.series
    assert told == [(0, True), (1, False)]


def test_an_exception_to_the_lag_rule_is_not_told_before_its_day(tmp_path):
    delayed = LagRule("calendar_days", n=20, exceptions=((MAR, MAY),))
    archive = opened(tmp_path, Series("cpi", "M", lag=delayed))
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test", known_through=at(7, 1))
    told = [archive.as_of(origin).series["cpi"].lag for origin in (at(5, 31), at(6, 1))]
    assert [len(lag.exceptions) for lag in told] == [0, 1]


def test_a_release_day_is_not_told_before_it(tmp_path):
    calendar = LagRule("dates", dates=((JAN, date(2020, 2, 20)), (FEB, date(2020, 3, 20)), (MAR, date(2020, 4, 20))))
    archive = opened(tmp_path, Series("cpi", "M", lag=calendar))
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test", known_through=at(7, 1))
    told = [archive.as_of(origin).series["cpi"].lag.dates for origin in (at(3, 20), at(3, 21), at(7, 1))]
    assert told == [calendar.dates[:1], calendar.dates[:2], calendar.dates]


def test_a_series_asked_for_by_name_is_declared_before_anything_of_it_is_known(tmp_path):
    archive = opened(tmp_path, Series("cpi", "M"), Series("gdp", "M"))
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test", known_through=at(7, 1))
    archive.append(rows((JAN, at(5, 20), 1.0), series="gdp"), source="test", known_through=at(7, 1))
    replay = Replay(exported(archive), ["cpi", "gdp"])
    replay.advance(at(3, 1))
    walked, asked = replay.snapshot(), archive.as_of(at(3, 1), ["cpi", "gdp"])
    assert walked.series == asked.series
    assert walked.frame().equals(asked.frame())
    assert list(archive.as_of(at(3, 1)).series) == ["cpi"]  # asked for everything, it lists what is known


def test_the_arrays_of_a_snapshot_cannot_be_made_writable(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0), (MAR, at(3, 20), 2.0)), source="test", known_through=at(7, 1))
    replay = Replay(exported(archive), ["cpi"])
    replay.advance(at(4, 1))
    empty = archive.as_of(at(2, 1), ["cpi"])
    for snapshot in (replay.snapshot(), archive.as_of(at(4, 1)), empty):
        panel = snapshot.panel("cpi")
        for array in (panel.values, panel.published, panel.vintage, panel.values[:, 1:]):
            base = array
            while isinstance(base, np.ndarray):
                with pytest.raises(ValueError, match="WRITEABLE"):
                    base.flags.writeable = True
                base = base.base


def test_walking_builds_no_frame_per_origin(tmp_path, monkeypatch):
    archive = opened(tmp_path)
    months = pl.date_range(date(2000, 1, 1), date(2009, 12, 1), "1mo", eager=True).dt.month_end()
    frame = pl.DataFrame(
        {
            "series_id": ["cpi"] * 120,
            "period": months,
            "published_at": months.dt.offset_by("20d"),
            "value": np.arange(120.0),
        }
    )
    archive.append(frame, source="test")
    changes = exported(archive)
    built = []
    real = pl.DataFrame.__init__
    monkeypatch.setattr(pl.DataFrame, "__init__", lambda self, *a, **k: built.append(1) or real(self, *a, **k))
    pl.DataFrame({"counted": [1]})
    assert len(built) == 1

    def walked(origins: int) -> int:
        built.clear()
        replay = Replay(changes, ["cpi"])
        for number in range(origins):
            replay.advance(at(2, 1, year=2000) + timedelta(days=10 * number))
            replay.snapshot()
        return len(built)

    assert walked(200) == walked(2)


def test_changes_of_one_instant_are_all_known_at_it(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows(*((month, at(5, 20), 1.0) for month in (JAN, FEB, MAR, APR))), source="test")
    replay = Replay(exported(archive), ["cpi"])
    replay.advance(at(5, 20) - timedelta(microseconds=1))
    assert replay.snapshot().frame().height == 0
    replay.advance(at(5, 20))
    assert replay.snapshot().frame().height == 4
