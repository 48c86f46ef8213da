"""What each feature means, on histories small enough to be worked out by hand."""

import math
import tracemalloc
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from harness.core.errors import UnknownNameError, UserError
from harness.core.recipe import FeatureBlock, Target
from harness.core.snapshot import Snapshot
from harness.core.time import micros
from harness.core.transform import Transform
from harness.forecast.features import Targets, declared_inputs, feature_names, feature_rows
from tests.forecast.feature_snapshots import GAP, ORIGIN, asked, panel, snapshot


def one_row(known: Snapshot, block: FeatureBlock, targets: Targets) -> dict[str, float]:
    rows = feature_rows(known, [block], targets)
    return dict(zip(feature_names([block]), rows[0, 0].tolist(), strict=True))


def monthly(*levels: float, end: date = date(2024, 10, 31), origin: datetime = ORIGIN) -> Snapshot:
    return snapshot(panel("M", {"cpi": levels}, end=end), origin=origin)


def test_latest_skips_missing_periods_and_lag_does_not() -> None:
    known = monthly(1, 2, GAP, 4, 5)  # June .. October, August missing; the origin lies in November
    row = one_row(known, FeatureBlock("x", latest=(1, 2, 3, 4, 5), lag=(0, 1, 2, 3, 4)), asked("cpi"))
    assert [row[f"x.latest_{k}"] for k in (1, 2, 3, 4)] == [5, 4, 2, 1]
    assert math.isnan(row["x.latest_5"])
    assert [row["x.lag_1"], row["x.lag_2"], row["x.lag_4"]] == [5, 4, 2]
    assert math.isnan(row["x.lag_0"])
    assert math.isnan(row["x.lag_3"])


def test_a_value_published_before_its_period_ends_is_seen_at_lag_zero() -> None:
    known = monthly(4, 5, end=date(2024, 11, 30))  # a November survey, out on 30 October
    assert one_row(known, FeatureBlock("x", lag=(0, 1)), asked("cpi")) == {"x.lag_0": 5, "x.lag_1": 4}


def test_windows_end_at_the_newest_known_period_and_a_gap_makes_them_missing() -> None:
    block = FeatureBlock("x", rolling_mean=(2, 3), rolling_std=(2, 3), rolling_min=(2, 3), rolling_max=(2, 3))
    row = one_row(monthly(9, GAP, 2, 6, GAP), block, asked("cpi"))
    assert [row[f"x.rolling_{what}_2"] for what in ("mean", "min", "max")] == [4, 2, 6]
    assert row["x.rolling_std_2"] == math.sqrt(8)
    assert all(math.isnan(row[f"x.rolling_{what}_3"]) for what in ("mean", "std", "min", "max"))


def test_rolling_statistics_agree_with_pandas() -> None:
    levels = pd.Series(np.random.default_rng(3).normal(100, 5, 60))
    block = FeatureBlock("x", rolling_mean=(12,), rolling_std=(12,), rolling_min=(12,), rolling_max=(12,))
    row = one_row(monthly(*levels), block, asked("cpi"))
    newest = levels.rolling(12)
    expected = [getattr(newest, what)().iloc[-1] for what in ("mean", "std", "min", "max")]
    np.testing.assert_allclose(list(row.values()), expected, rtol=1e-13)


def test_difference_growth_and_ratio_start_at_the_newest_known_value() -> None:
    block = FeatureBlock("x", difference=(1, 2, 3), log_growth=(1, 2), ratio=(2, 3))
    row = one_row(monthly(GAP, 2, 4, 6, GAP, GAP), block, asked("cpi"))
    assert (row["x.difference_1"], row["x.difference_2"]) == (2, 4)
    assert math.isnan(row["x.difference_3"])
    assert row["x.log_growth_2"] == pytest.approx(100 * math.log(3), rel=1e-14)
    assert (row["x.ratio_2"], row["x.ratio_3"]) == (6 / 5, 6 / 4)


@pytest.mark.parametrize("levels", [(1, -1), (0, 2), (2, 0), (-2, 2)])
def test_no_growth_from_or_to_what_is_not_positive_and_no_ratio_to_zero(levels: tuple[float, float]) -> None:
    row = one_row(monthly(*levels), FeatureBlock("x", log_growth=(1,), ratio=(2,)), asked("cpi"))
    assert math.isnan(row["x.log_growth_1"])
    assert math.isnan(row["x.ratio_2"]) == (sum(levels) == 0)


def test_the_newest_known_value_is_the_newest_that_can_be_transformed() -> None:
    growth = FeatureBlock("x", transform=Transform("log_growth", 2), latest=(1,), age=True)
    published = np.array([[micros(ORIGIN - timedelta(days=back)) for back in (90, 60, 40, 20, 7.25)]])
    known = snapshot(panel("M", {"cpi": [1, 2, GAP, 8, 9]}, end=date(2024, 10, 31), published=published))
    row = one_row(known, growth, asked("cpi"))  # October lacks August; September has July
    assert row["x.latest_1"] == pytest.approx(100 * math.log(4), rel=1e-14)
    assert row["x.age"] == 20


def test_age_is_fractional_and_counts_from_the_later_of_two_inputs() -> None:
    published = np.array(
        [[micros(ORIGIN - timedelta(days=3, hours=6))], [micros(ORIGIN - timedelta(days=1, hours=12))]]
    )
    known = snapshot(panel("D", {"baa": [6], "aaa": [5]}, end=date(2024, 11, 25), published=published))
    block = FeatureBlock("x", "baa", latest=(1,), age=True)
    assert one_row(known, block, asked("baa")) == {"x.latest_1": 6, "x.age": 3.25}
    spread = replace(block, transform=Transform("spread", other="aaa"))
    assert one_row(known, spread, asked("baa")) == {"x.latest_1": 1, "x.age": 1.5}


def test_a_value_that_was_never_complete_has_no_age() -> None:
    known = snapshot(panel("D", {"baa": [6, 7], "aaa": [GAP, GAP]}, end=date(2024, 11, 25)))
    block = FeatureBlock("x", "baa", transform=Transform("spread", other="aaa"), age=True)
    assert math.isnan(one_row(known, block, asked("baa"))["x.age"])


def test_a_result_beyond_the_numbers_is_missing() -> None:
    row = one_row(monthly(-1.7e308, 1.7e308), FeatureBlock("x", latest=(1,), difference=(1,)), asked("cpi"))
    assert row["x.latest_1"] == 1.7e308
    assert math.isnan(row["x.difference_1"])


def test_the_period_containing_the_origin_is_the_inputs_own() -> None:
    end = date(2024, 3, 31)
    late = datetime(2024, 4, 1, 3, tzinfo=UTC)  # still 31 March in New York, already April in London
    known = snapshot(
        panel("Q", {"gdp": [1, 2]}, end=end),
        panel("M", {"us": [1, 2, 3]}, end=end),
        panel("M", {"uk": [1, 2, 3]}, end=end),
        panel("W-WED", {"week": [1, 2, 3]}, end=date(2024, 3, 27)),
        origin=late,
        zones=("Europe/London", "America/New_York", "Europe/London", "UTC"),
    )
    lags = {name: FeatureBlock(name, name, lag=(0, 1)) for name in ("gdp", "us", "uk", "week")}
    found = {name: list(one_row(known, block, asked("gdp")).values()) for name, block in lags.items()}
    assert found["us"] == [3, 2]
    assert math.isnan(found["uk"][0])
    assert found["uk"][1] == 3
    assert math.isnan(found["gdp"][0])
    assert math.isnan(found["week"][0])  # the week to Wednesday 3 April
    assert found["week"][1] == 3


def test_on_saturday_lag_zero_of_a_session_series_is_friday() -> None:
    thursday, friday, tuesday = date(2024, 11, 28), date(2024, 11, 29), date(2024, 12, 3)  # Monday is closed
    sessions = (thursday, friday, tuesday)
    held = panel("B", {"close": [7, 8]}, end=friday, sessions=sessions)
    for day in (29, 30):
        known = snapshot(held, origin=datetime(2024, 11, day, 22, tzinfo=UTC), zones=("America/New_York",))
        assert one_row(known, FeatureBlock("x", "close", lag=(0, 1)), asked("close")) == {"x.lag_0": 8, "x.lag_1": 7}


def test_an_origin_beyond_the_known_sessions_is_refused() -> None:
    known = snapshot(
        panel("B", {"close": [7]}, end=date(2024, 11, 28), sessions=(date(2024, 11, 28), date(2024, 11, 29)))
    )
    with pytest.raises(UserError, match="outside the known sessions"):
        feature_rows(known, [FeatureBlock("x", "close", lag=(0,))], asked("close"))
    feature_rows(known, [FeatureBlock("x", "close", latest=(1,))], asked("close"))


def test_known_ahead_counts_from_the_input_period_of_the_targets_end() -> None:
    known = monthly(*range(1, 9), end=date(2025, 2, 28))  # July 2024 = 1 .. February 2025 = 8
    targets = asked("cpi", ends=(date(2024, 12, 31), date(2025, 3, 31), None))
    rows = feature_rows(known, [FeatureBlock("x", "cpi", known_ahead=(0, -1, 2))], targets)[0]
    np.testing.assert_array_equal(rows, [[6, 5, 8], [GAP, 8, GAP], [GAP, GAP, GAP]])


def test_known_ahead_beyond_the_scheduled_sessions_is_missing() -> None:
    sessions = [date(2024, 11, 28), date(2024, 11, 29), date(2024, 12, 2), date(2024, 12, 3)]
    known = snapshot(panel("B", {"x": [1, 2, 3]}, end=date(2024, 12, 2), sessions=sessions))
    targets = asked("x", ends=(date(2024, 12, 1), date(2024, 12, 2), date(2024, 12, 3), date(2020, 1, 1)))
    rows = feature_rows(known, [FeatureBlock("x", "x", known_ahead=(0,))], targets)
    np.testing.assert_array_equal(rows[0, :, 0], [2, 3, GAP, GAP])


def test_calendar_columns_describe_the_targets_last_day() -> None:
    block = FeatureBlock("when", calendar=("month", "quarter", "weekday", "day_of_month", "week", "year", "days"))
    row = one_row(monthly(1), block, asked("cpi", ends=(date(2024, 2, 29),)))
    assert list(row.values()) == [2, 1, 3, 29, 9, 2024, 29]
    new_year = one_row(monthly(1), block, asked("cpi", ends=(date(2021, 1, 1),)))
    assert (new_year["when.week"], new_year["when.year"]) == (53, 2021)  # ISO week 2020-W53, calendar year 2021


@pytest.mark.parametrize(
    ("frequency", "end", "days"),
    [
        ("D", date(2024, 2, 29), 1),
        ("W-WED", date(2024, 2, 28), 7),
        ("M", date(2023, 2, 28), 28),
        ("Q-JAN", date(2024, 4, 30), 90),
        ("A-MAR", date(2024, 3, 31), 366),
    ],
)
def test_days_of_a_period(frequency: str, end: date, days: int) -> None:
    known = snapshot(panel(frequency, {"x": [1]}, end=end))
    assert one_row(known, FeatureBlock("when", calendar=("days",)), asked("x", ends=(end,))) == {"when.days": days}


def test_days_of_a_session_are_one_and_of_a_table_its_own() -> None:
    friday, monday, tuesday = date(2024, 11, 29), date(2024, 12, 2), date(2024, 12, 3)
    block = FeatureBlock("when", calendar=("days",))
    sessions = snapshot(panel("B", {"x": [1]}, end=friday, sessions=(friday, monday, tuesday)))
    assert one_row(sessions, block, asked("x", ends=(friday,))) == {"when.days": 1}
    table = (date(2022, 12, 31), date(2023, 12, 30), date(2025, 1, 4))
    fiscal = snapshot(panel("T", {"x": [1]}, end=table[1], table=table))
    rows = feature_rows(fiscal, [block], asked("x", ends=(*table, date(2026, 1, 3))))
    np.testing.assert_array_equal(rows[0, :, 0], [364, 364, 371, GAP])


def test_parkinson_volatility_is_an_input_shared_by_every_target_series() -> None:
    day = date(2024, 11, 28)
    held = panel("D", {"high": [GAP, 11, 12], "low": [9, 10, 9], "close": [9, 10, 11]}, end=day)
    transform = Transform("realised_volatility", 2, proxy="parkinson", high="high", low="low")
    block = FeatureBlock("own", transform=transform, latest=(1, 2))
    target = Target(("range",), transform)  # a name without levels of its own
    rows = feature_rows(snapshot(held, target=target), [block], asked("range", "again"))
    expected = 100 * math.sqrt((math.log(11 / 10) ** 2 + math.log(12 / 9) ** 2) / 2 / (4 * math.log(2)))
    np.testing.assert_allclose(rows[:, 0, :], [[expected, GAP]] * 2, rtol=1e-13)
    with pytest.raises(UnknownNameError, match="unknown series: 'range'"):
        feature_rows(snapshot(held, target=target), [FeatureBlock("own", latest=(1,))], asked("range"))


def test_squared_return_volatility_needs_one_session_more_than_its_window() -> None:
    held = panel("D", {"x": [1, 2, 4, 2]}, end=date(2024, 11, 28))
    block = FeatureBlock(
        "own", transform=Transform("realised_volatility", 2, proxy="squared_log_return"), latest=(1, 2, 3)
    )
    rows = feature_rows(snapshot(held), [block], asked("x"))
    np.testing.assert_allclose(rows[0, 0], [100 * math.log(2), 100 * math.log(2), GAP], rtol=1e-13)


def test_rows_are_laid_out_by_series_horizon_and_block() -> None:
    known = snapshot(
        panel("Q", {"a": [1, 2], "b": [3, GAP]}, end=date(2024, 9, 30)), panel("M", {"m": [7]}, end=date(2024, 10, 31))
    )
    blocks = [
        FeatureBlock("m", "m", latest=(1,)),
        FeatureBlock("own", latest=(1, 2)),
        FeatureBlock("t", calendar=("month",)),
    ]
    rows = feature_rows(known, blocks, asked("b", "a", ends=(date(2024, 12, 31), date(2025, 3, 31))))
    assert rows.shape == (2, 2, 4)
    np.testing.assert_array_equal(rows[0], [[7, 3, GAP, 12], [7, 3, GAP, 3]])
    np.testing.assert_array_equal(rows[1], [[7, 2, 1, 12], [7, 2, 1, 3]])


def test_nothing_asked_or_nothing_known_is_an_answer_too() -> None:
    known = snapshot(panel("Q", {"a": []}, end=date(2024, 9, 30)))
    block = FeatureBlock("own", latest=(1,), lag=(1,), rolling_std=(3,), ratio=(2,), age=True, known_ahead=(0,))
    assert np.isnan(feature_rows(known, [block], asked("a"))).all()
    assert feature_rows(known, [block], asked()).shape == (0, 1, 6)
    assert feature_rows(known, [block], asked("a", ends=())).shape == (1, 0, 6)
    assert feature_rows(known, [], asked("a")).shape == (1, 1, 0)


def test_an_old_value_cannot_touch_the_bits_of_a_window() -> None:
    levels = np.exp(np.random.default_rng(5).normal(0, 4, 400))
    block = FeatureBlock(
        "x", latest=(1, 5), rolling_mean=(5, 20), rolling_std=(20,), difference=(19,), log_growth=(19,), ratio=(20,)
    )
    moved = levels.copy()
    moved[:-20] *= 1e9
    before, after = (feature_rows(monthly(*numbers), [block], asked("cpi")) for numbers in (levels, moved))
    assert before.tobytes() == after.tobytes()
    moved[-20] += 1
    assert feature_rows(monthly(*moved), [block], asked("cpi")).tobytes() != before.tobytes()

    def by_subtraction(numbers: np.ndarray) -> float:
        running = np.cumsum(numbers)
        return float(running[-1] - running[-21])

    moved[-20] -= 1
    assert by_subtraction(levels) != by_subtraction(moved)  # the shortcut would have been caught


def test_another_series_of_the_panel_cannot_touch_the_bits() -> None:
    draw = np.random.default_rng(6)
    levels = {f"s{place}": np.exp(draw.normal(0, 3, 80)) for place in range(33)}
    levels["s7"][-30:] = GAP  # a ragged edge far behind the others
    block = FeatureBlock(
        "x",
        transform=Transform("growth", 4),
        latest=(1, 2, 9),
        lag=(1, 3),
        rolling_mean=(12,),
        rolling_std=(12,),
        age=True,
    )
    everyone = feature_rows(snapshot(panel("M", levels, end=date(2024, 10, 31))), [block], asked(*levels))
    for place, (name, values) in enumerate(levels.items()):
        alone = snapshot(panel("M", {name: values}, end=date(2024, 10, 31)))
        assert feature_rows(alone, [block], asked(name)).tobytes() == everyone[place].tobytes()


def test_a_row_stays_as_it_was_when_the_lent_matrix_moves_on() -> None:
    known = monthly(1, 2, 3)
    block = FeatureBlock("x", latest=(1, 2), lag=(1,), rolling_mean=(2,))
    row = feature_rows(known, [block], asked("cpi"))
    kept = row.tobytes()
    matrix = known.panels[0].values
    matrix.flags.writeable = True
    matrix[0, 1:] = [20, 30]  # a revision of two periods
    assert row.tobytes() == kept
    np.testing.assert_array_equal(feature_rows(known, [block], asked("cpi"))[0, 0], [30, 20, 30, 25])


def test_memory_does_not_grow_with_the_history() -> None:
    block = FeatureBlock(
        "x", transform=Transform("log_growth", 1), latest=(1, 2), lag=(1,), rolling_std=(22,), age=True
    )

    def peak(length: int) -> int:
        known = snapshot(panel("D", {"x": np.arange(1.0, length)}, end=date(2024, 11, 28)))
        feature_rows(known, [block], asked("x"))
        tracemalloc.start()
        feature_rows(known, [block], asked("x"))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(200_000) < peak(2_000) + 20_000  # one pass over the levels would take 200 000 bytes for flags alone


def test_a_series_that_ended_long_ago_is_still_found() -> None:
    levels = {"alive": np.arange(1.0, 3001), "dead": np.full(3000, GAP), "unborn": np.full(3000, GAP)}
    levels["dead"][:3] = [4, 5, 6]
    block = FeatureBlock("x", latest=(1, 3, 4), rolling_mean=(3, 4))
    rows = feature_rows(snapshot(panel("D", levels, end=date(2024, 11, 28))), [block], asked(*levels))[:, 0]
    np.testing.assert_array_equal(rows[0], [3000, 2998, 2997, 2999, 2998.5])
    np.testing.assert_array_equal(rows[1], [6, 4, GAP, 5, GAP])
    assert np.isnan(rows[2]).all()


def test_an_edge_however_ragged_gives_the_whole_window() -> None:
    levels = {"whole": np.arange(1.0, 201)}
    for missing in range(1, 120):
        levels[f"late{missing}"] = np.where(np.arange(200) < 200 - missing, levels["whole"], GAP)
    block = FeatureBlock("x", transform=Transform("difference", 2), latest=(1, 4), rolling_mean=(3,), rolling_max=(7,))
    rows = feature_rows(snapshot(panel("D", levels, end=date(2024, 11, 28))), [block], asked(*levels))
    assert (rows == 2).all()


def test_declared_inputs_are_the_series_the_blocks_read() -> None:
    target = Target(("a", "b"))
    spread = Transform("spread", other="c")
    volatility = Transform("realised_volatility", 5, proxy="parkinson", high="h", low="l")
    assert declared_inputs([FeatureBlock("when", calendar=("month",))], target) == set()
    assert declared_inputs([FeatureBlock("own", transform=spread, age=True)], target) == {"a", "b", "c"}
    assert declared_inputs([FeatureBlock("v", transform=volatility, known_ahead=(0,))], target) == {"h", "l"}
    assert declared_inputs([FeatureBlock("x", "x", ratio=(3,))], target) == {"x"}


@pytest.mark.parametrize(
    "block",
    [
        FeatureBlock("x", latest=(0,)),
        FeatureBlock("x", lag=(-1,)),
        FeatureBlock("x", rolling_mean=(0,)),
        FeatureBlock("x", rolling_std=(1,)),
        FeatureBlock("x", ratio=(1,)),
        FeatureBlock("x", difference=(2, -1)),
        FeatureBlock("x", calendar=("moonth",)),
        FeatureBlock("x", latest=(1, 1)),
        FeatureBlock("x", transform=Transform("log_growth", 0), latest=(1,)),
        FeatureBlock("x", transform=Transform("spread"), latest=(1,)),
        FeatureBlock("x", transform=Transform("realised_volatility", 5), latest=(1,)),
        FeatureBlock("x", transform=Transform("realised_volatility", 5, proxy="parkinson", high="h"), latest=(1,)),
    ],
)
def test_a_block_that_is_not_well_formed_is_refused(block: FeatureBlock) -> None:
    with pytest.raises(UserError):
        feature_rows(monthly(1, 2, 3), [block], asked("cpi"))


def test_unknown_and_mixed_inputs_are_refused() -> None:
    known = snapshot(panel("Q", {"gdp": [1]}, end=date(2024, 9, 30)), panel("M", {"cpi": [1]}, end=date(2024, 10, 31)))
    with pytest.raises(UnknownNameError, match="did you mean 'gdp'"):
        feature_rows(known, [FeatureBlock("x", "gpd", latest=(1,))], asked("cpi"))
    with pytest.raises(UnknownNameError, match="unknown series: 'ppi'"):
        feature_rows(known, [FeatureBlock("x", latest=(1,))], asked("cpi", "ppi"))
    mixed = FeatureBlock("x", "cpi", transform=Transform("spread", other="gdp"), latest=(1,))
    with pytest.raises(UserError, match="differ in frequency"):
        feature_rows(known, [mixed], asked("cpi"))


def test_targets_need_one_end_for_each_horizon() -> None:
    with pytest.raises(ValueError, match="as many ends"):
        Targets(("cpi",), (0, 1), np.array(["2024-12-31"], dtype="datetime64[D]"))
