"""The naive rivals equal their plain definitions, and the worked examples of their meaning."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.recipe import Recipe, Target
from harness.core.time import period_containing
from harness.core.transform import Transform
from harness.forecast.catalog import always_on, build, reference_name, resolve_params
from tests.forecast.made_snapshots import GAP, ORIGIN, asked, made, points, target_end
from tests.forecast.plain_rivals import rival

GROWTH = Transform("log_growth", 4)
VOLATILITY = Transform("realised_volatility", 3, proxy="squared_log_return")
RIVALS = (
    "last_value", "seasonal_last_value", "drift", "historic_mean", "zero",
    "path_zero", "path_mean_step", "path_last_step", "path_seasonal_step",
)  # fmt: skip
levels = st.one_of(st.none(), st.floats(1.0, 200.0).map(lambda x: round(x, 3)))


def answer(kind: str, snapshot, horizons) -> list[float | None]:
    forecaster = build(Recipe(kind, kind, resolve_params(kind, {})))
    forecaster.fit(None, snapshot, seed=0)
    return points(forecaster.predict(asked(snapshot, horizons), snapshot))


@settings(deadline=None, max_examples=60)
@given(
    panel=st.lists(st.tuples(levels, levels), max_size=14),
    kind=st.sampled_from(["level", "difference", "log_growth", "growth", "log_return", "return"]),
    span=st.integers(1, 5),
    season=st.integers(1, 4),
    horizons=st.lists(st.integers(-4, 6), min_size=1, max_size=4, unique=True).map(sorted),
)
def test_the_rivals_equal_their_plain_definitions(panel, kind, span, season, horizons) -> None:
    transform = Transform(kind, 1 if kind == "level" else span)
    columns = {"a": [pair[0] for pair in panel], "b": [pair[1] for pair in panel]}
    snapshot = made(
        {name: [GAP if level is None else level for level in column] for name, column in columns.items()},
        transform,
        season=season,
    )
    frequency = snapshot.panels[0].timeline.frequency
    for name in RIVALS:
        expected = []
        for column in columns.values():
            known = {snapshot.panels[0].first + place: level for place, level in enumerate(column) if level is not None}
            for horizon in horizons:
                place = period_containing(frequency, target_end(snapshot, horizon))
                expected.append(rival(name, known, transform, place, season))
        given_back = answer(name, snapshot, horizons)
        assert [value is None for value in given_back] == [value is None for value in expected], name
        np.testing.assert_allclose(
            [value for value in given_back if value is not None],
            [value for value in expected if value is not None],
            rtol=1e-9,
            atol=1e-7,
            err_msg=name,
        )


def test_last_value_is_the_last_published_value_of_the_transformed_target() -> None:
    snapshot = made({"cpi": [100.0, 101.0, 102.0, 103.0, 104.0]}, GROWTH)
    expected = 100.0 * math.log(104.0 / 100.0)
    assert answer("last_value", snapshot, (0, 1, 8)) == pytest.approx([expected] * 3)


def test_a_path_keeps_the_known_steps_and_fills_only_the_unknown_ones() -> None:
    snapshot = made({"cpi": [100.0, 100.0, 110.0, 110.0, 121.0]}, Transform("log_growth", 2))
    one = 100.0 * math.log(1.1)
    assert answer("path_zero", snapshot, (0, 1)) == pytest.approx([one, 0.0])
    assert answer("path_last_step", snapshot, (0, 1)) == pytest.approx([2 * one, 2 * one])
    assert answer("path_mean_step", snapshot, (0, 1)) == pytest.approx([1.5 * one, one])


def test_a_backcast_of_a_later_release_is_the_value_the_snapshot_has() -> None:
    snapshot = made({"cpi": [100.0, 101.0, 103.0, 106.0, 110.0, 115.0, 121.0]}, GROWTH)
    expected = [100.0 * math.log(115.0 / 101.0), 100.0 * math.log(121.0 / 103.0)]  # the last is the newest known too
    for kind in ("last_value", "seasonal_last_value", "drift", "path_zero", "path_last_step", "path_mean_step"):
        assert answer(kind, snapshot, (-2, -1)) == pytest.approx(expected), kind


def test_a_step_missing_inside_the_history_is_not_invented() -> None:
    snapshot = made({"cpi": [100.0, 101.0, GAP, 103.0]}, GROWTH)
    assert answer("path_zero", snapshot, (0, 4)) == [None, 0.0]


def test_what_overflows_is_not_answered() -> None:
    snapshot = made({"a": [1e-300, 1e300, 1e-300, 1e300]}, Transform("growth", 1))
    assert answer("last_value", snapshot, (0,)) == [None]
    assert answer("historic_mean", snapshot, (0,)) == [None]


def test_adding_a_series_or_older_empty_columns_does_not_touch_a_bit() -> None:
    history = [100.0 + math.sin(place) * 3.7 for place in range(23)]
    alone = made({"a": history}, GROWTH)
    wide = made({"a": [GAP] * 40 + history, "b": [50.0 + math.cos(k) for k in range(63)]}, GROWTH, target=("a",))
    for kind in RIVALS:
        assert answer(kind, alone, (0, 1, 5)) == answer(kind, wide, (0, 1, 5)), kind


def test_volatility_rivals_on_worked_numbers() -> None:
    moves = [0.01, -0.02, 0.03, 0.01, -0.01, 0.02]
    prices = np.exp(np.cumsum([0.0, *moves])).tolist()
    snapshot = made({"sp": prices}, VOLATILITY, frequency="D")
    squares = [move * move for move in moves]
    weights = [0.94**age for age in range(len(squares))][::-1]
    smoothed = sum(w * v for w, v in zip(weights, squares, strict=True)) / sum(weights)
    assert answer("trailing_window", snapshot, (1, 4)) == pytest.approx([100 * math.sqrt(sum(squares[-3:]) / 3)] * 2)
    assert answer("expanding_mean", snapshot, (1,)) == pytest.approx([100 * math.sqrt(sum(squares) / 6)])
    assert answer("ewma", snapshot, (1,)) == pytest.approx([100 * math.sqrt(smoothed)])


def test_the_trailing_window_is_the_last_complete_one() -> None:
    prices = [1.0, 1.01, 1.02, 1.01, GAP, 1.03]
    snapshot = made({"sp": prices}, VOLATILITY, frequency="D")
    proxies = [math.log(b / a) ** 2 for a, b in itertools.pairwise(prices[:4])]
    assert answer("trailing_window", snapshot, (1,)) == pytest.approx([100 * math.sqrt(sum(proxies) / 3)])


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (Transform(), ()),
        (Transform("spread", other="b"), ()),
        (Transform("log_growth", 1), ()),
        (Transform("difference", 1), ("zero",)),
        (Transform("log_growth", 4), ("path",)),
        (Transform("growth", 12), ("path",)),
        (Transform("log_growth", 2), ("path",)),
        (Transform("return", 1), ("zero",)),
        (Transform("log_return", 5), ("path", "zero")),
        (Transform("difference", 4), ("path", "zero")),
    ],
    ids=str,
)
def test_the_rivals_that_are_always_on_fit_the_target(transform: Transform, expected: tuple[str, ...]) -> None:
    target = Target(("a",), transform)
    names = [recipe.name for recipe in always_on(target)]
    assert names[:4] == ["last_value", "seasonal_last_value", "drift", "historic_mean"]
    assert {name.split("_")[0] for name in names[4:]} == set(expected)
    assert len([name for name in names if name.startswith("path_")]) == (4 if "path" in expected else 0)
    assert all(recipe.rival for recipe in always_on(target))
    assert reference_name(target) == names[0]


def test_volatility_has_rivals_of_its_own() -> None:
    target = Target(("a",), VOLATILITY)
    assert [recipe.name for recipe in always_on(target)] == ["trailing_window", "ewma", "expanding_mean"]
    assert reference_name(target) == "trailing_window"


def test_origin_lies_in_the_first_period_that_is_not_published() -> None:
    snapshot = made({"a": [1.0, 2.0]})
    assert period_containing(snapshot.panels[0].timeline.frequency, ORIGIN.date()) == snapshot.panels[0].first + 2
