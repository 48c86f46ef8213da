"""The fast features equal the plain definition bit for bit, on histories with every kind of hole."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.core.errors import UserError
from harness.core.recipe import FeatureBlock, Target
from harness.core.snapshot import Panel, Snapshot
from harness.core.time import Timeline, local_day, micros
from harness.core.transform import Transform
from harness.forecast.features import Targets, feature_rows
from harness.forecast.target_calendar import CALENDAR_COLUMNS
from tests.forecast.feature_snapshots import GAP, asked, panel, snapshot
from tests.forecast.plain_features import plain_feature_rows

ZONES = ("UTC", "Europe/London", "America/New_York", "Asia/Tokyo")
TABLE = tuple(date(2016, 1, 2) + timedelta(days=91 * quarter) for quarter in range(40))
LEVELS = st.one_of(
    st.just(GAP),
    st.just(100.0),
    st.floats(0.5, 500.0),
    st.floats(0.5, 500.0),
    st.floats(-1e6, 1e6),
    st.sampled_from([0.0, -0.0, 1e-300, 1e300]),
)
NUMBERS = st.lists(st.integers(1, 6), max_size=2, unique=True).map(tuple)
OFFSETS = st.lists(st.integers(-3, 3), max_size=2, unique=True).map(tuple)


def bits(rows: object) -> tuple[tuple[int, ...], bytes]:
    numbers = np.asarray(rows, dtype=np.float64)
    return numbers.shape, numbers.tobytes()


@st.composite
def panels(draw: st.DrawFn, ids: tuple[str, ...], frequency: str, today: date) -> Panel:
    """Ragged, holed, constant or empty levels that end a little before or after the origin."""
    length = draw(st.sampled_from([0, 1, 3, 8, 30]))
    levels = draw(arrays.arrays(np.float64, (len(ids), length), elements=LEVELS))
    for row in range(len(ids)):
        levels[row, length - draw(st.integers(0, min(6, length))) : length] = GAP
        if draw(st.booleans()):
            levels[row] = np.where(np.isnan(levels[row]), GAP, 7.5)
    step = {"D": 1, "B": 1, "W-WED": 7, "M": 30, "Q": 91, "A-MAR": 365, "T": 91}[frequency]
    sessions = None
    if frequency == "B":
        closed = draw(st.sets(st.integers(-60, 45)))
        days = [today + timedelta(days=away) for away in range(-60, 60) if away not in closed]
        sessions = [day for day in days if day.weekday() < 5]
    back = draw(arrays.arrays(np.int64, levels.shape, elements=st.integers(0, 10**13)))
    end = today + timedelta(days=step * draw(st.integers(-3, 3)))
    published = micros(datetime(today.year, today.month, today.day, tzinfo=UTC)) - back
    table = TABLE if frequency == "T" else ()
    return panel(
        frequency, dict(zip(ids, levels, strict=True)), end=end, published=published, sessions=sessions, table=table
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Three target series, monthly, daily and session inputs, each panel with a zone of its own."""
    origin = draw(st.datetimes(datetime(2019, 1, 1), datetime(2021, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
    frequency = draw(st.sampled_from(["Q", "M", "W-WED", "D", "A-MAR", "T", "B"]))
    day = origin.date()
    held = (
        draw(panels(("q0", "q1", "q2"), frequency, day)),
        draw(panels(("m0", "m1"), "M", day)),
        draw(panels(("d0",), "D", day)),
        draw(panels(("close", "high", "low"), "B", day)),
    )
    zones = draw(st.tuples(*[st.sampled_from(ZONES)] * 4))
    return snapshot(*held, origin=origin, zones=zones, target=draw(st.sampled_from([None, Target(("q0", "q1", "q2"))])))


def transforms(other: str) -> st.SearchStrategy[Transform]:
    span = st.integers(1, 4)
    kinds = ["level", "difference", "log_growth", "growth", "log_return", "return"]
    choices = [
        st.builds(Transform, st.sampled_from(kinds), span),
        st.builds(lambda w: Transform("realised_volatility", w, proxy="squared_log_return"), span),
    ]
    if other:
        choices.append(st.just(Transform("spread", other=other)))
    return st.one_of(choices)


PARKINSON = st.builds(
    lambda w: Transform("realised_volatility", w, proxy="parkinson", high="high", low="low"), st.integers(1, 4)
)
INPUTS = st.one_of(
    st.tuples(st.just(""), transforms("q1")),
    st.tuples(st.just("m0"), transforms("m1")),
    st.tuples(st.just("d0"), transforms("")),
    st.tuples(st.just("close"), transforms("high")),
    st.tuples(st.sampled_from(["", "close"]), PARKINSON),
)


@st.composite
def blocks(draw: st.DrawFn) -> list[FeatureBlock]:
    found = []
    for place in range(draw(st.integers(1, 3))):
        series, transform = draw(INPUTS)
        windows = [draw(NUMBERS) for _ in range(6)]
        calendar = tuple(draw(st.permutations(CALENDAR_COLUMNS))[:3])
        block = FeatureBlock(
            f"b{place}", series, transform, draw(NUMBERS), draw(OFFSETS.map(lambda found: tuple(map(abs, found)))),
            windows[0], tuple(n + 1 for n in windows[1]), *windows[2:], tuple(n + 1 for n in draw(NUMBERS)),
            draw(st.booleans()), draw(OFFSETS), calendar,
        )  # fmt: skip
        found.append(replace(block, lag=tuple(dict.fromkeys(block.lag))))
    return found


def targets_of(known: Snapshot, horizons: tuple[int, ...]) -> Targets:
    timeline = known.panel("q0").timeline
    here = timeline.containing(local_day(known.origin, known.series["q0"].zone))
    ends = [end_of(timeline, here + h) for h in horizons]
    return Targets(("q0", "q1", "q2"), horizons, np.array(ends, dtype="datetime64[D]"))


def end_of(timeline: Timeline, position: int) -> date | None:
    if timeline.sessions is not None and not 0 <= position < len(timeline.sessions):
        return None
    try:
        return timeline.end(position)
    except UserError:
        return None


HORIZONS = st.lists(st.integers(-3, 40), min_size=1, max_size=3, unique=True).map(tuple)


def agree(known: Snapshot, asked_blocks: list[FeatureBlock], horizons: tuple[int, ...]) -> None:
    targets = targets_of(known, horizons)
    assert bits(feature_rows(known, asked_blocks, targets)) == bits(plain_feature_rows(known, asked_blocks, targets))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(snapshots(), blocks(), HORIZONS)
def test_fast_features_are_the_plain_ones_bit_for_bit(
    known: Snapshot, asked_blocks: list[FeatureBlock], horizons: tuple[int, ...]
) -> None:
    agree(known, asked_blocks, horizons)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(snapshots(), blocks(), HORIZONS)
def test_fast_features_are_the_plain_ones_bit_for_bit_at_length(
    known: Snapshot, asked_blocks: list[FeatureBlock], horizons: tuple[int, ...]
) -> None:
    agree(known, asked_blocks, horizons)


def growing() -> Snapshot:
    levels = np.exp(np.random.default_rng(1).normal(0, 1, 40)).cumsum()
    return snapshot(panel("M", {"x": levels}, end=date(2024, 10, 31)))


ALL_NUMBERS = FeatureBlock(
    "x", latest=(1, 2), lag=(1, 2), rolling_mean=(6,), rolling_std=(6,), rolling_min=(3,), rolling_max=(6,),
    difference=(2,), log_growth=(3,), ratio=(6,), age=True, known_ahead=(-2,), calendar=("month",),
)  # fmt: skip


@pytest.mark.parametrize(
    "operation",
    ["latest", "lag", "rolling_mean", "rolling_std", "rolling_min", "difference", "log_growth", "ratio", "known_ahead"],
)
def test_the_comparison_catches_every_operation_moved_by_one_period(operation: str) -> None:
    moved = replace(ALL_NUMBERS, **{operation: tuple(number + 1 for number in getattr(ALL_NUMBERS, operation))})
    fast = feature_rows(growing(), [ALL_NUMBERS], asked("x"))
    assert bits(fast) == bits(plain_feature_rows(growing(), [ALL_NUMBERS], asked("x")))
    assert bits(fast) != bits(plain_feature_rows(growing(), [moved], asked("x")))


def test_the_comparison_catches_the_last_bit() -> None:
    fast = feature_rows(growing(), [ALL_NUMBERS], asked("x"))
    for column in range(fast.shape[-1]):
        near = fast.copy()
        near[0, 0, column] = np.nextafter(near[0, 0, column], np.inf)
        assert bits(near) != bits(fast)


def test_the_order_of_the_sum_shows_in_the_bits() -> None:
    known = growing()
    levels = known.panels[0].values[0]
    mean = FeatureBlock("x", rolling_mean=(40,))
    assert feature_rows(known, [mean], asked("x"))[0, 0, 0] != np.mean(levels)  # numpy adds in pairs
