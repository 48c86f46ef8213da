"""External forecasts answer from the newest issue known, with growth taken inside that issue's own path."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from harness.core.recipe import Recipe
from harness.core.snapshot import Issue, Panel, Snapshot
from harness.core.time import NEVER, Timeline, micros, parse_frequency, period_containing
from harness.core.transform import Transform
from harness.forecast.catalog import build
from harness.forecast.external import External, issue_age
from tests.forecast.made_snapshots import GAP, LEVEL, ORIGIN, asked, made, points

NOW = period_containing(parse_frequency("Q"), ORIGIN.date())
HISTORY = [100.0, 101.0, 102.0, 103.0, 104.0, 105.0]
GROWTH = Transform("log_growth", 4)


def issue(
    path: Sequence[float],
    *,
    days: float = 1.0,
    start: int = NOW,
    known: Sequence[float] = HISTORY,
    source: str = "bank",
    series: str = "cpi",
    quantile: float = GAP,
) -> Issue:
    """A path issued `days` before the origin; the levels known then end in the period before the origin's."""
    return Issue(
        source,
        series,
        micros(ORIGIN - timedelta(days=days)),
        NEVER,
        start + np.arange(len(path)),
        np.full(len(path), quantile),
        np.array(path, dtype=np.float64),
        NOW - len(known),
        np.array(known, dtype=np.float64),
    )


def answer(issues: Sequence[Issue], horizons: Sequence[int], transform: Transform = LEVEL) -> list[float | None]:
    snapshot = made({"cpi": HISTORY}, transform, issues=tuple(issues))
    forecaster = build(Recipe("mpr", "external", source="bank"))
    forecaster.fit(None, snapshot, seed=0)
    return points(forecaster.predict(asked(snapshot, horizons), snapshot))


def test_the_newest_issue_known_answers() -> None:
    old, new = issue([1.0, 2.0, 3.0], days=90), issue([4.0, 5.0, 6.0], days=2)
    assert answer([old, new], (0, 2)) == [4.0, 6.0]
    assert answer([new, old], (0, 2)) == [4.0, 6.0]
    assert answer([old], (0, 2)) == [1.0, 3.0]


def test_an_issue_later_than_what_is_known_never_answers() -> None:
    assert answer([issue([1.0], days=3), issue([9.0], days=-0.01)], (0,)) == [1.0]


def test_other_sources_and_other_series_do_not_answer() -> None:
    assert answer([issue([1.0], source="other"), issue([2.0], series="gdp")], (0,)) == [None]


def test_a_target_outside_the_path_is_not_answered_even_if_known() -> None:
    assert answer([issue([110.0, 111.0])], (-1, 0, 1, 2)) == [None, 110.0, 111.0, None]


def test_growth_is_taken_inside_the_path_with_missing_bases_as_of_the_issue() -> None:
    as_of_issue = [90.0, 91.0, 92.0, 93.0]
    path = [94.0, 95.0, 96.0, 97.0, 98.0]
    expected = [100.0 * math.log(path[h] / base) for h, base in enumerate([as_of_issue[0], *as_of_issue[1:], path[0]])]
    assert answer([issue(path, known=as_of_issue)], range(5), GROWTH) == pytest.approx(expected)


def test_the_path_wins_from_its_first_period_on() -> None:
    """The forecaster's own view of a period that was already published is the base of its growth."""
    path = [200.0, 201.0, 202.0, 203.0, 204.0]
    given = answer([issue(path, start=NOW - 2)], (-2, 1, 2), Transform("difference", 4))
    assert given == pytest.approx([200.0 - HISTORY[0], 203.0 - HISTORY[3], 204.0 - 200.0])


def test_a_hole_in_the_path_is_no_answer_and_no_base() -> None:
    holed = issue([1.0, 2.0, 3.0])
    holed = replace(
        holed, ordinals=holed.ordinals[[0, 2]], quantiles=holed.quantiles[[0, 2]], values=holed.values[[0, 2]]
    )
    assert answer([holed], (0, 1, 2)) == [1.0, None, 3.0]
    assert answer([holed], (1, 2), Transform("difference", 1)) == [None, None]


def test_a_hole_in_the_path_is_not_filled_with_what_was_known() -> None:
    early = issue([200.0, 201.0, 202.0, 203.0], start=NOW - 3)
    kept = [0, 2, 3]
    early = replace(early, ordinals=early.ordinals[kept], quantiles=early.quantiles[kept], values=early.values[kept])
    assert answer([early], (-1, 0), Transform("difference", 1)) == [None, 1.0]


def test_a_base_that_was_not_known_at_the_issue_is_not_borrowed_from_today() -> None:
    assert answer([issue([94.0], known=[])], (0,), GROWTH) == [None]


def test_quantiles_pass_for_levels_and_only_for_levels() -> None:
    point, upper = issue([1.0, 2.0]), issue([1.5, 2.5], quantile=0.9)
    both = replace(
        point,
        ordinals=np.concatenate([point.ordinals, upper.ordinals]),
        quantiles=np.concatenate([point.quantiles, upper.quantiles]),
        values=np.concatenate([point.values, upper.values]),
    )
    frames = []
    for transform in (LEVEL, Transform("difference", 1)):
        snapshot = made({"cpi": HISTORY}, transform, issues=(both,))
        frames.append(External("bank").predict(asked(snapshot, (0, 1)), snapshot))
    assert frames[0].filter(pl.col("quantile") == 0.9)["value"].to_list() == [1.5, 2.5]
    assert points(frames[0]) == [1.0, 2.0]
    assert frames[1]["quantile"].null_count() == frames[1].height == 2


def test_quantiles_alone_are_no_point_forecast() -> None:
    assert answer([issue([1.5], quantile=0.5)], (0,)) == [None]


def test_the_age_of_the_issue_that_answers_is_told() -> None:
    snapshot = made({"cpi": HISTORY}, issues=(issue([1.0], days=40), issue([1.0], days=12.5)))
    assert issue_age(snapshot, "bank", "cpi") == 12.5
    assert issue_age(snapshot, "bank", "gdp") is None
    assert issue_age(snapshot, "other", "cpi") is None


def test_sessions_are_counted_on_the_calendar() -> None:
    """A weekend between two sessions of the path is no period."""
    days = np.array([(day - date(1970, 1, 1)).days for day in (
        date(2020, 3, 26), date(2020, 3, 27), date(2020, 3, 30), date(2020, 3, 31), date(2020, 4, 1), date(2020, 4, 2),
    )])  # fmt: skip
    timeline = Timeline(parse_frequency("B"), days)
    values = np.array([[1.0, 2.0, 4.0]])
    stamps = np.full((1, 3), micros(ORIGIN) - 1)
    plain = made({"cpi": HISTORY}, Transform("difference", 1), issues=())
    path = replace(issue([8.0, 16.0], known=[1.0, 2.0]), ordinals=days[[2, 3]], known_first=int(days[0]))
    snapshot: Snapshot = replace(plain, panels=(Panel(("cpi",), timeline, 0, values, stamps, stamps),), issues=(path,))
    rows = asked(snapshot_of_quarters(snapshot), (0, 1))
    rows = replace(rows, keys=rows.keys.with_columns(pl.Series("period", [date(2020, 3, 30), date(2020, 3, 31)])))
    assert points(External("bank").predict(rows, snapshot)) == [6.0, 8.0]


def test_levels_known_at_an_issue_keep_their_own_days_across_a_weekend() -> None:
    """Known levels lie on consecutive days, NaN where there is no session; the base of a Monday is its Friday."""
    thursday = (date(2020, 3, 26) - date(1970, 1, 1)).days
    days = thursday + np.array([0, 1, 4, 5, 6, 7])
    timeline = Timeline(parse_frequency("B"), days)
    stamps = np.full((1, 3), micros(ORIGIN) - 1)
    panel = Panel(("cpi",), timeline, 0, np.array([[1.0, 2.0, 4.0]]), stamps, stamps)
    path = replace(
        issue([8.0, 99.0, 99.0], known=[1.0, 2.0, GAP, GAP, 4.0]),
        ordinals=np.array([days[3], thursday + 2, days[-1] + 3]),  # a Saturday and a day no calendar tells of yet
        known_first=thursday,
    )
    snapshot = replace(made({"cpi": HISTORY}, Transform("difference", 2)), panels=(panel,), issues=(path,))
    rows = asked(snapshot_of_quarters(snapshot), (0, 1))
    rows = replace(rows, keys=rows.keys.with_columns(pl.Series("period", [date(2020, 3, 31), date(2020, 4, 2)])))
    assert points(External("bank").predict(rows, snapshot)) == [6.0, None]


def snapshot_of_quarters(snapshot: Snapshot) -> Snapshot:
    """Keys only: the same target on a timeline whose periods `asked` can count."""
    return replace(made({"cpi": HISTORY}), target=snapshot.target)
