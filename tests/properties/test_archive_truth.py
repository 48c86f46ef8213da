"""Replay, as-of and a brute force over raw rows agree at every origin, in whatever order the data came in."""

from __future__ import annotations

import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core.series import LagRule, Series
from harness.core.snapshot import Snapshot
from harness.core.time import end_of_day, instant, micros, period_containing, period_end
from harness.data import batch, derive
from harness.data.archive import Archive, appending
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from tests.properties.brute_force import BruteForce

SERIES = (
    Series("x/monthly", "M", zone="Europe/London", decimals=1, lag=LagRule("calendar_days", n=20)),
    Series("x/quarterly", "Q", zone="America/New_York"),
    Series("x/weekly", "W-WED", zone="Asia/Tokyo", decimals=0, scale="rebased"),
)
BY_ID = {series.id: series for series in SERIES}
FIRST_DAY = date(2020, 1, 31)
DAY = 86_400_000_000
# before, on and after the ends of the first periods: some lags are negative
INSTANTS = [micros(end_of_day(date(2020, 1, 20) + timedelta(days=24 * step), "UTC")) for step in range(6)]
# values that differ by noise, by a revision and by a new base
VALUES = [1.0, 1.04, 1.06, 1.0 + 2**-50, 2.0, 2.5, 200.0, None]
END = INSTANTS[-1] + DAY


def ordinal(series: Series, number: int) -> int:
    return period_containing(series.parsed, FIRST_DAY) + number


@st.composite
def batches(draw: st.DrawFn) -> list[dict[str, object]]:
    out = []
    for _ in range(draw(st.integers(1, 4))):
        coverage = draw(st.sampled_from(["rows", "complete", "changes", "listed"]))
        cells = st.tuples(st.sampled_from(SERIES), st.integers(0, 3), st.sampled_from(INSTANTS))
        keys = draw(st.lists(cells, min_size=1, max_size=8, unique_by=lambda key: (key[0].id, key[1], key[2])))
        rows = [(s.id, ordinal(s, n), at, draw(st.sampled_from(VALUES))) for s, n, at in keys]
        spans = [
            (s.id, at, ordinal(s, 0), ordinal(s, 3))
            for s, at in draw(st.lists(st.tuples(st.sampled_from(SERIES), st.sampled_from(INSTANTS)), max_size=3))
        ]
        out.append({"coverage": coverage, "rows": rows, "spans": spans})
    return out


def brute_force() -> BruteForce:
    lag = timedelta(days=20)
    monthly = SERIES[0]

    def ruled(period: int) -> int:
        return micros(end_of_day(period_end(monthly.parsed, period) + lag, monthly.zone))

    return BruteForce({series.id: series.decimals for series in SERIES}, {monthly.id: ruled})


def without_contradictions(rows: list, truth: BruteForce) -> list:
    return [row for row in rows if not truth.contradicts(row)]


def frame(rows: list) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "series_id": [row[0] for row in rows],
            "period": [period_end(BY_ID[row[0]].parsed, row[1]) for row in rows],
            "published_at": [instant(row[2]) for row in rows],
            "value": pl.Series([row[3] for row in rows], dtype=pl.Float64),
        },
        schema_overrides={"published_at": pl.Datetime("us", "UTC")},
    )


def listing(spans: list) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "series_id": [span[0] for span in spans],
            "published_at": [instant(span[1]) for span in spans],
            "first": [period_end(BY_ID[span[0]].parsed, span[2]) for span in spans],
            "last": [period_end(BY_ID[span[0]].parsed, span[3]) for span in spans],
        }
    )


def append(archive: Archive, truth: BruteForce, one: dict) -> None:
    rows = without_contradictions(one["rows"], truth)
    if not rows:
        return
    until = instant(END)
    if one["coverage"] == "rows":
        truth.rows(rows)
        archive.append(frame(rows), source="test", known_through=until)
    elif one["coverage"] == "complete":
        truth.complete(rows)
        archive.append(frame(rows), source="test", coverage="complete", known_through=until)
    elif one["coverage"] == "changes":
        truth.rows(rows)
        archive.append(frame(rows), source="test", coverage="changes", known_through=until)
    else:
        own = {(row[0], row[2], ordinal(BY_ID[row[0]], 0), ordinal(BY_ID[row[0]], 3)) for row in rows}
        spans = sorted(own | set(one["spans"]))
        truth.changes(rows, spans)
        archive.append(frame(rows), source="test", coverage="changes", known_through=until, publications=listing(spans))


def known(snapshot: Snapshot) -> dict:
    return {
        (row["series_id"], period_containing(BY_ID[row["series_id"]].parsed, row["period"])): (
            micros(row["published_at"]),
            row["value"],
        )
        for row in snapshot.frame().rows(named=True)
    }


def assert_same(one: Snapshot, other: Snapshot) -> None:
    assert len(one.panels) == len(other.panels)
    for left, right in zip(one.panels, other.panels, strict=True):
        assert (left.ids, left.first, left.timeline.frequency) == (right.ids, right.first, right.timeline.frequency)
        for name in ("values", "published", "vintage"):
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def check(given_batches: list) -> None:
    truth = brute_force()
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive.open(Path(folder) / "a.duckdb")
        for series in SERIES:
            archive.define(series)
        for one in given_batches:
            append(archive, truth, one)
        asked = sorted({cell[0] for cell in truth.said})
        replay = Replay(ChangeFile.open(archive.export(Path(folder) / "changes")), asked)
        for at in sorted({*INSTANTS, *(earlier - 1 for earlier in INSTANTS), END}):
            snapshot = archive.as_of(instant(at), asked)
            assert known(snapshot) == truth.as_of(at), f"as of {instant(at)}"
            replay.advance(instant(at))
            assert_same(replay.snapshot(), snapshot)


def rows(place: int, *told: tuple[int, int, float | None]) -> list:
    """Rows of one series: number of the period, number of the instant, value."""
    series = SERIES[place]
    return [(series.id, ordinal(series, period), INSTANTS[number], value) for period, number, value in told]


SPAN = (ordinal(SERIES[0], 0), ordinal(SERIES[0], 3))
EXAMPLES = {
    "february, april, then a late march": [
        {"coverage": "rows", "rows": rows(1, (0, 1, 1.0), (0, 3, 1.0))},
        {"coverage": "rows", "rows": rows(1, (0, 2, 2.0))},
    ],
    "a late value before a complete publication without it": [
        {"coverage": "complete", "rows": rows(2, (0, 3, 1.0), (2, 3, 1.0))},
        {"coverage": "rows", "rows": rows(2, (1, 2, 2.0))},
    ],
    "a cell withdrawn by being left out": [
        {"coverage": "complete", "rows": rows(2, (0, 1, 1.0), (1, 1, 1.0), (2, 1, 1.0), (0, 2, 1.0), (2, 2, 1.0))},
    ],
    "noise, then a late revision between": [
        {"coverage": "rows", "rows": rows(0, (0, 0, 1.0), (0, 1, 1.04), (0, 4, 1.0))},
        {"coverage": "rows", "rows": rows(0, (0, 3, 2.0))},
    ],
    "unchanged, before what stood then was known": [
        {"coverage": "listed", "rows": rows(0, (0, 0, 1.0)), "spans": [("x/monthly", INSTANTS[5], *SPAN)]},
        {"coverage": "rows", "rows": rows(0, (1, 0, 1.06))},
        {"coverage": "rows", "rows": rows(0, (1, 3, 1.0))},
    ],
    "left out, then unchanged, then late between": [
        {"coverage": "complete", "rows": rows(1, (0, 1, 1.0), (2, 1, 1.0))},
        {"coverage": "listed", "rows": rows(1, (0, 4, 2.0)), "spans": []},
        {"coverage": "rows", "rows": rows(1, (1, 3, 1.04))},
    ],
    "unchanged, then left out before, then late between": [
        {"coverage": "listed", "rows": rows(1, (0, 4, 2.0)), "spans": []},
        {"coverage": "complete", "rows": rows(1, (0, 1, 1.0), (2, 1, 1.0))},
        {"coverage": "rows", "rows": rows(1, (1, 3, 1.04))},
    ],
    "history before the first vintage": [{"coverage": "rows", "rows": rows(0, (0, 3, 1.0), (1, 3, 2.0))}],
}
FLAWS = {
    "restored": ("february, april, then a late march", lambda new, *_: new.head(0).select(derive.STATEMENT.names())),
    "withdrawals": (
        "a cell withdrawn by being left out",
        lambda told, *_: told.head(0).select(derive.STATEMENT.names()),
    ),
    "with_decimals": (
        "noise, then a late revision between",
        lambda told, _: told.with_columns(rounded=pl.col("value")),
    ),
    "said": (
        "left out, then unchanged, then late between",
        lambda cells, old, _: derive.standing(cells, old).filter(pl.col("stated").is_not_null() | pl.col("complete")),
    ),
    "assumed": ("history before the first vintage", lambda changes, _: changes.head(0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES)
def test_chosen_examples_agree(example: str) -> None:
    check(EXAMPLES[example])


@pytest.mark.parametrize("step", FLAWS)
def test_the_comparison_catches_a_derivation_without_one_of_its_steps(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    example, flawed = FLAWS[step]
    for module in (appending, batch, derive):
        monkeypatch.setattr(module, step, flawed, raising=False)
    with pytest.raises(AssertionError):
        check(EXAMPLES[example])


@settings(max_examples=4, deadline=None, report_multiple_bugs=False, suppress_health_check=[HealthCheck.too_slow])
@given(batches())
def test_replay_as_of_and_brute_force_agree(given_batches: list) -> None:
    check(given_batches)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, report_multiple_bugs=False, suppress_health_check=[HealthCheck.too_slow])
@given(batches())
def test_replay_as_of_and_brute_force_agree_at_length(given_batches: list) -> None:
    check(given_batches)
