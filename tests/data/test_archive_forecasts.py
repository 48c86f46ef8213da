"""External forecasts: known from their issue on, with the levels that were known then."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from harness.core.errors import DataError, UnknownNameError
from harness.core.series import Series
from harness.core.time import NEVER, instant, micros, period_containing
from harness.data.replay import Replay
from tests.data.archive_samples import APR, FEB, JAN, MAR, MAY, at, exported, opened, rows

LATE = at(12, 31)


def issued(*given: tuple[datetime | date, date, float], **more: object) -> pl.DataFrame:
    """Forecasts (issued_at, period, value)."""
    return pl.DataFrame(
        {
            "series_id": ["cpi"] * len(given),
            "issued_at": [row[0] for row in given],
            "period": [row[1] for row in given],
            "value": pl.Series([row[2] for row in given], dtype=pl.Float64),
        }
    ).with_columns(**{name: pl.lit(value) for name, value in more.items()})


@pytest.fixture
def archive(tmp_path):
    archive = opened(tmp_path)
    archive.append(
        rows((JAN, at(2, 20), 1.0), (FEB, at(3, 20), 2.0), (JAN, at(3, 25), 1.5), (MAR, at(4, 20), 3.0)),
        source="test",
        known_through=LATE,
    )
    return archive


def test_an_issue_carries_its_path_and_what_was_known_when_it_was_issued(archive):
    archive.append_forecasts(issued((at(3, 22), MAR, 2.5), (at(3, 22), APR, 2.7), (at(4, 21), APR, 3.5)), source="bank")
    replay = Replay(exported(archive), ["cpi"], sources=["bank"])
    seen = []
    for origin in (at(3, 21), at(3, 22), at(5, 1)):
        replay.advance(origin)
        seen.append(
            [(instant(one.issued_at), one.values.tolist(), one.known.tolist()) for one in replay.snapshot().issues]
        )
    # the January of 25 March was not known on 22 March, however late one looks
    first = (at(3, 22), [2.5, 2.7], [1.0, 2.0])
    assert seen == [[], [first], [first, (at(4, 21), [3.5], [1.5, 2.0, 3.0])]]
    issue = replay.snapshot().issues[0]
    frequency = archive.series()[0].parsed
    assert issue.ordinals.tolist() == [period_containing(frequency, MAR), period_containing(frequency, APR)]
    assert issue.known_first == period_containing(frequency, JAN)
    assert np.isnan(issue.quantiles).all()


def test_as_of_and_replay_hand_out_the_same_issues(archive):
    archive.append_forecasts(issued((at(2, 1), FEB, 0.5), (at(3, 22), MAR, 2.5), (at(3, 22), APR, 2.7)), source="bank")
    archive.append_forecasts(issued((at(3, 22), MAR, 2.6)), source="other")
    replay = Replay(exported(archive), ["cpi"], sources=["other", "bank"])
    for origin in (at(1, 1), at(2, 1), at(3, 22), at(5, 1)):
        replay.advance(origin)
        walked, asked = replay.snapshot().issues, archive.as_of(origin).issues if origin > at(2, 20) else ()
        if not asked:
            continue
        assert [(one.source, one.issued_at, one.cutoff, one.known_first) for one in walked] == [
            (one.source, one.issued_at, one.cutoff, one.known_first) for one in asked
        ]
        for left, right in zip(walked, asked, strict=True):
            for name in ("ordinals", "quantiles", "values", "known"):
                np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def test_only_the_asked_sources_are_handed_out(archive):
    archive.append_forecasts(issued((at(3, 22), MAR, 2.5)), source="bank")
    archive.append_forecasts(issued((at(3, 22), MAR, 2.6)), source="other")
    replay = Replay(exported(archive), ["cpi"], sources=["other"])
    replay.advance(at(5, 1))
    assert [one.source for one in replay.snapshot().issues] == ["other"]


def test_latency_holds_for_issues_too(archive):
    archive.append_forecasts(issued((at(3, 22), MAR, 2.5)), source="bank")
    replay = Replay(exported(archive), ["cpi"], sources=["bank"], latency=timedelta(days=1))
    replay.advance(at(3, 22))
    assert replay.snapshot().issues == ()
    replay.advance(at(3, 23))
    assert len(replay.snapshot().issues) == 1


def test_a_data_cut_off_may_be_unknown(archive):
    archive.append_forecasts(issued((at(3, 22), MAR, 2.5), data_cutoff=at(3, 10)), source="known")
    archive.append_forecasts(issued((at(3, 22), MAR, 2.5)), source="unknown")
    found = {one.source: one.cutoff for one in archive.as_of(at(5, 1)).issues}
    assert found == {"known": micros(at(3, 10)), "unknown": NEVER}


def test_an_issue_dated_without_time_is_known_at_the_end_of_its_day(tmp_path):
    archive = opened(tmp_path, Series("cpi", "M", zone="America/New_York"))
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test", known_through=LATE)
    archive.append_forecasts(issued((date(2020, 3, 2), MAR, 2.5)), source="bank")
    assert archive.as_of(at(3, 3, 4)).issues == ()
    assert len(archive.as_of(at(3, 3, 5)).issues) == 1


def test_quantiles_of_one_path_stay_together(archive):
    frame = issued((at(3, 22), MAR, 2.5), (at(3, 22), MAR, 2.0), (at(3, 22), MAR, 3.0))
    archive.append_forecasts(frame.with_columns(quantile=pl.Series([None, 0.1, 0.9])), source="bank")
    (issue,) = archive.as_of(at(5, 1)).issues
    assert dict(zip(issue.quantiles.tolist()[1:], issue.values.tolist()[1:], strict=True)) == {0.1: 2.0, 0.9: 3.0}
    assert np.isnan(issue.quantiles[0])


def test_the_same_forecasts_again_are_not_recorded(archive):
    frame = issued((at(3, 22), MAR, 2.5)).with_columns(source=pl.lit("bank"))
    assert archive.append_forecasts(frame).kept == 1
    state = archive.state()
    again = archive.append_forecasts(frame)
    assert (again.batch, again.kept, again.duplicates) == (0, 0, 1)
    assert archive.state() == state


def test_forecasts_issued_later_than_now_are_set_aside(archive):
    future = datetime.now(UTC) + timedelta(days=1)
    report = archive.append_forecasts(issued((at(3, 22), MAR, 2.5), (future, MAY, 2.5)), source="bank")
    assert (report.kept, report.set_aside, archive.set_aside().height) == (1, 1, 1)


BAD = {
    "no source": (issued((at(3, 22), MAR, 2.5)), None, DataError, "source"),
    "a quantile of one": (issued((at(3, 22), MAR, 2.5), quantile=1.0), "bank", DataError, "quantile outside"),
    "no value": (
        issued((at(3, 22), MAR, 2.5)).with_columns(value=pl.lit(None, pl.Float64)),
        "bank",
        DataError,
        "without a value",
    ),
    "not a number": (issued((at(3, 22), MAR, float("nan"))), "bank", DataError, "not finite"),
    "the middle of a period": (issued((at(3, 22), date(2020, 3, 1), 2.5)), "bank", DataError, "2020-03-31"),
    "two values": (issued((at(3, 22), MAR, 2.5), (at(3, 22), MAR, 2.6)), "bank", DataError, "two different forecasts"),
    "another value than before": (issued((at(2, 1), FEB, 0.6)), "before", DataError, "two different forecasts"),
    "an undefined series": (
        issued((at(3, 22), MAR, 2.5)).with_columns(series_id=pl.lit("cpo")),
        "bank",
        UnknownNameError,
        "did you mean",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_batch_of_forecasts_leaves_the_archive_alone(archive, case):
    archive.append_forecasts(issued((at(2, 1), FEB, 0.5)), source="before")
    before = archive.state()
    frame, source, error, said = BAD[case]
    with pytest.raises(error, match=said):
        archive.append_forecasts(frame, source=source)
    assert archive.state() == before
