"""An autoregression and a random walk of other code on the same vintages, beside ours: every difference named."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tests.golden import side_by_side
from tests.golden.conftest import Answers
from tests.golden.their_ar import THEIRS, chosen, fit, forecast, is_stationary, steps_of
from tests.golden.vintages import SERIES, shipped, vintages

HORIZONS = side_by_side.HORIZONS
LENGTHS = {"cpi": 78, "gdp": 90, "earnings": 89, "unemployment": 90}


def rounded_rows(text: str, series: str) -> list[list[str]]:
    """Cells of a series' table in README.md, below its head."""
    table = text.split(f"\n| {series} |")[1].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


@pytest.mark.parametrize("series", SERIES)
def test_their_random_walk_repeats_the_last_step_or_for_a_rate_the_last_value(series: str) -> None:
    given = shipped("random_walk", series)
    assert len(given) == LENGTHS[series]
    for vintage in vintages(series):
        last, before = vintage.levels[-1], vintage.levels[-2]
        step = 0.0 if series == "unemployment" else np.log(last / before)
        expected = last * np.exp(step * np.arange(1, 14))
        assert given[vintage.label] == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("series", "ours", "tolerance"),
    [
        ("cpi", "path_last_step", 1e-7),  # the archive keeps 7 decimals of an index of 100, and 8 steps repeat the last
        ("gdp", "path_last_step", 1e-9),
        ("earnings", "path_last_step", 1e-9),
        ("unemployment", "last_value", 1e-9),
    ],
)
def test_their_random_walk_is_our_rival(series: str, ours: str, tolerance: float, answers: Answers) -> None:
    theirs = answers.values(series, "their_random_walk")
    assert len(theirs) == 64 * len(HORIZONS)
    assert answers.values(series, ours) == pytest.approx(theirs, abs=tolerance)
    assert answers.values(series, "drift") != pytest.approx(theirs, abs=0.01)
    assert answers.rmse(series, ours) == pytest.approx(answers.rmse(series, "their_random_walk"), abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("series", SERIES)
def test_their_autoregression_is_rebuilt_at_every_vintage(series: str) -> None:
    given = shipped("ar_p", series)
    with threadpool_limits(1):
        rebuilt = {one.label: forecast(one, THEIRS, rate=side_by_side.is_rate(series)) for one in vintages(series)}
    assert rebuilt.keys() == given.keys()
    assert len(given) == LENGTHS[series]
    apart = np.array([np.abs(rebuilt[label] / given[label] - 1.0).max() for label in given])
    assert apart.max() < 1e-4
    assert np.median(apart) < 1e-8


def test_the_other_order_or_another_start_would_not_have_rebuilt_it() -> None:
    vintage = vintages("cpi")[40]
    given = shipped("ar_p", "cpi")[vintage.label]
    assert forecast(vintage, THEIRS, rate=False) == pytest.approx(given, rel=1e-6)
    for specimen in (
        replace(THEIRS, orders=(2,)),
        replace(THEIRS, after=date(1996, 7, 1)),
        replace(THEIRS, growth="log"),
        replace(THEIRS, estimator="student"),
    ):
        assert forecast(vintage, specimen, rate=False) != pytest.approx(given, rel=1e-6), specimen


def test_their_search_stops_before_the_largest_likelihood() -> None:
    thorough = replace(THEIRS, estimator="student")
    short = []
    with threadpool_limits(1):
        for vintage in vintages("cpi")[::6]:
            steps = steps_of(vintage, THEIRS, rate=False)
            short.append((fit(steps, 1, THEIRS).bic - fit(steps, 1, thorough).bic) / 2.0)
    assert min(short) > -1e-6
    assert max(short) > 0.1


def test_in_their_comparison_an_order_more_costs_an_observation_worth_eight_units_of_bic() -> None:
    own = dict(side_by_side.chain())["log growth"]
    common = replace(own, common_sample=True)
    seconds = {"own": 0, "common": 0}
    for vintage in side_by_side.origins("cpi"):
        steps = steps_of(vintage, own, rate=False)
        assert 7.0 < -fit(steps, 1, own).bic / len(steps) < 10.0
        seconds["own"] += len(chosen(steps, own).slopes) == 2
        seconds["common"] += len(chosen(steps, common).slopes) == 2
    assert seconds == {"own": 2, "common": 14}


def test_only_one_origin_leaves_the_stationary_region() -> None:
    free = dict(side_by_side.chain())["coefficients not kept stationary"]
    outside = [
        (series, vintage.label)
        for series in SERIES
        for vintage in side_by_side.origins(series)
        if not is_stationary(chosen(steps_of(vintage, free, rate=side_by_side.is_rate(series)), free).slopes)
    ]
    assert outside == [("gdp", date(2020, 9, 30))]


@pytest.mark.slow
@pytest.mark.parametrize("series", SERIES)
def test_the_chain_of_changes_leads_from_theirs_to_ours(series: str, answers: Answers) -> None:
    rows = side_by_side.table(series)
    links = dict(rows)
    first, last = rows[0][1], rows[-1][1]
    assert first == pytest.approx([answers.rmse(series, "their_ar")[h] for h in HORIZONS], rel=1e-9, abs=1e-6)
    assert links["theirs, rebuilt"] == pytest.approx(first, rel=1e-4)
    assert last == pytest.approx([answers.rmse(series, "ar")[h] for h in HORIZONS], rel=1e-6)

    written = rounded_rows((Path(__file__).parent / "README.md").read_text(encoding="utf-8"), series)
    assert [row[0] for row in written] == [name for name, _ in rows]
    for (name, values), row in zip(rows, written, strict=True):
        for value, cell in zip(values, row[1:], strict=True):
            large = not value < 100.0
            assert (cell == "> 100") == large, name
            assert large or float(cell) == pytest.approx(value, rel=2e-3, abs=1e-3), name


@pytest.mark.slow
@pytest.mark.parametrize("series", ["cpi", "earnings", "unemployment"])
def test_the_end_of_the_chain_is_our_forecast_at_every_origin(series: str, answers: Answers) -> None:
    ours = side_by_side.rebuilt(series, side_by_side.chain()[-1][1])
    answered = answers.values(series, "ar")
    assert len(ours) == 64 + 63 + 62 + 60 + 56  # fewer than answered: the last targets have no label of their own yet
    assert {key: answered[key] for key in ours} == pytest.approx(ours, abs=1e-5)
    theirs = answers.values(series, "their_ar")
    assert {key: theirs[key] for key in ours} != pytest.approx(ours, abs=0.01)


def test_a_table_in_the_readme_is_found_and_read() -> None:
    text = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    for series in SERIES:
        assert len(rounded_rows(text, series)) == len(side_by_side.CHANGES) + 1
    assert re.search(r"python -m tests\.golden\.side_by_side", text)
