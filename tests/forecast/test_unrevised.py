"""Columns of many origins at once equal, bit for bit, the feature rows of a snapshot at each origin."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core.recipe import FeatureBlock, Target
from harness.core.snapshot import Panel, Snapshot
from harness.core.time import NEVER, micros
from harness.core.transform import Transform
from harness.forecast.features import Targets, feature_rows
from harness.forecast.unrevised import Origins, calendar_of, fill, settled, without_calendar
from tests.forecast.feature_snapshots import GAP, panel, snapshot

START = date(2020, 1, 31)
DAY = timedelta(days=1)
IDS = ("a", "b", "c")
BLOCKS = (
    FeatureBlock(
        "own", latest=(1, 2, 5), lag=(0, 1, 3), rolling_mean=(3, 7), rolling_std=(2, 4), rolling_min=(3,),
        rolling_max=(4,), difference=(1, 4), log_growth=(1, 3), ratio=(3,), age=True, known_ahead=(0, -2),
        calendar=("month", "weekday"),
    ),
    FeatureBlock("growth", latest=(1, 3), rolling_std=(3,), age=True, transform=Transform("log_growth", 2)),
    FeatureBlock("loss", latest=(1,), rolling_mean=(2,), transform=Transform("return", 1)),
    FeatureBlock("swing", latest=(2,), transform=Transform("realised_volatility", 3, proxy="squared_log_return")),
    FeatureBlock("one", "b", latest=(1, 2), lag=(1,), ratio=(4,), age=True),
    FeatureBlock("gap", latest=(1,), rolling_mean=(3,), age=True, transform=Transform("spread", other="c")),
)  # fmt: skip


def held(levels: np.ndarray, published: np.ndarray) -> Panel:
    """A daily panel whose last period is that of the last column."""
    end = START + (levels.shape[1] - 1) * DAY
    return panel("D", dict(zip(IDS, levels, strict=True)), end=end, published=np.where(np.isnan(levels), 0, published))


def as_of(whole: Panel, moment: datetime) -> Snapshot:
    known = ~np.isnan(whole.values) & (whole.published <= micros(moment))
    seen = np.flatnonzero(known.any(axis=0))
    span = slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 0)
    cut = replace(
        whole,
        first=whole.first + span.start,
        values=np.where(known, whole.values, GAP)[:, span],
        published=np.where(known, whole.published, NEVER)[:, span],
        vintage=np.where(known, whole.vintage, NEVER)[:, span],
    )
    return snapshot(cut, origin=moment, zones=("UTC",), target=Target(IDS))


@st.composite
def histories(draw: st.DrawFn) -> Panel:
    """Ragged histories without holes, each period published after the one before, with lags that wander."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = draw(st.sampled_from([1, 2, 6, 25]))
    levels = rng.choice([1.0, 0.0, -0.0, 1e300, -3.5, 7.25], size=(3, width))
    levels = np.where(
        rng.random(levels.shape) < draw(st.sampled_from([0.0, 0.2])), levels, rng.normal(9, 2, levels.shape)
    )
    at = micros(datetime(2020, 1, 31, 12, tzinfo=UTC)) + np.cumsum(
        rng.integers(0, 2 * 86_400_000_000, levels.shape), axis=1
    )
    for row in range(3):
        levels[row, : rng.integers(0, width + 1)] = GAP
        levels[row, width - rng.integers(0, width) :] = GAP if rng.random() < 0.5 else levels[row, width - 1]
    return held(levels, at)


def asked_at(moments: list[datetime]) -> Origins:
    ends = [[m.date() + DAY, m.date() + 9 * DAY] for m in moments]
    known = np.array([micros(m) for m in moments], dtype=np.int64)
    return Origins(moments, known, np.array(ends, dtype="datetime64[D]"))


def at_once(whole: Panel, block: FeatureBlock, origins: Origins, threads: int = 1) -> np.ndarray | None:
    final = as_of(whole, origins.moments[-1])
    found = settled(final, block, IDS, origins, threads)
    if found is None:
        return None
    out = np.full((len(origins.moments), 3, 2, len(block.columns())), np.nan)
    own = without_calendar(block)
    fill([out[..., place] for place in range(len(own.columns()))], own, found, threads)
    if block.calendar:
        out[..., len(own.columns()) :] = calendar_of(final, block, origins)
    return out


@given(histories(), st.sampled_from(BLOCKS))
@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
def test_many_origins_at_once_equal_each_origin_by_itself(whole: Panel, block: FeatureBlock) -> None:
    moments = [datetime(2020, 1, 30, 12, tzinfo=UTC) + k * timedelta(hours=31) for k in range(18)]
    origins = asked_at(moments)
    found = at_once(whole, block, origins)
    if found is None:
        return
    for place, moment in enumerate(moments):
        expected = feature_rows(as_of(whole, moment), [block], Targets(IDS, (1, 9), origins.ends[place]))
        assert found[place].tobytes() == expected.tobytes(), (block.name, moment)


def regular() -> tuple[np.ndarray, np.ndarray]:
    levels = np.random.default_rng(1).normal(10, 1, (3, 30))
    return levels, micros(datetime(2020, 2, 1, tzinfo=UTC)) + np.arange(30) * 86_400_000_000 + np.zeros(
        (3, 1), np.int64
    )


MOMENTS = [datetime(2020, 2, 1, tzinfo=UTC) + k * DAY for k in range(30)]


def test_whole_histories_are_read_at_once_whatever_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, origins = held(*regular()), asked_at(MOMENTS)
    one = [at_once(whole, block, origins) for block in BLOCKS]
    assert all(found is not None and not np.isnan(found).all() for found in one)
    monkeypatch.setattr("harness.forecast.unrevised.CHUNK_BYTES", 1)
    two = [at_once(whole, block, origins, threads=2) for block in BLOCKS]
    assert [np.asarray(found).tobytes() for found in one] == [np.asarray(found).tobytes() for found in two]


def test_a_hole_or_a_period_that_came_out_before_an_older_one_is_left_to_each_origin() -> None:
    levels, at = regular()
    holed, early = levels.copy(), at.copy()
    holed[1, 12] = GAP
    early[1, 12] = at[1, 10]
    origins = asked_at(MOMENTS)
    own = replace(BLOCKS[0], known_ahead=())
    assert at_once(held(holed, at), own, origins) is None
    assert at_once(held(levels, early), own, origins) is None
    assert at_once(held(levels, at), own, origins) is not None
