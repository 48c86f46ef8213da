"""Which value is the truth: publications are counted, growth stays in one vintage, windows look forward."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.core.errors import UserError
from harness.core.recipe import OutcomeRule, Target
from harness.core.series import LagRule, Series
from harness.core.time import NEVER, end_of_day, instant, period_containing
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.outcomes import OUTCOME_STATUS, Outcomes, outcomes
from harness.data.walked_outcomes import Windows

QUARTERS = [date(2020, 3, 31), date(2020, 6, 30), date(2020, 9, 30), date(2020, 12, 31)]
Q1, Q2, Q3, Q4 = QUARTERS
LAG = LagRule("calendar_days", n=45)


def quarterly(**more: object) -> Series:
    return Series(id="gdp", frequency="Q", **more)  # type: ignore[arg-type]


def opened(tmp_path: Path, series: Series, *batches: tuple[pl.DataFrame, dict[str, object]]) -> ChangeFile:
    archive = Archive.open(tmp_path / "archive.duckdb")
    archive.define(series)
    for frame, how in batches:
        archive.append(frame, source="test", **how)  # type: ignore[arg-type]
    return ChangeFile.open(archive.export(tmp_path / "changes"))


def vintage(day: date, values: dict[date, float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"series_id": ["gdp"] * len(values), "period": list(values), "published_at": [day] * len(values),
         "value": list(values.values())},
        schema_overrides={"value": pl.Float64},
    )  # fmt: skip


def asked(series: Series, *periods: date) -> Windows:
    ordinals = np.array([period_containing(series.parsed, period) for period in periods])
    return Windows(ordinals, ordinals)


def ask(changes: ChangeFile, rule: OutcomeRule, transform: Transform, *periods: date) -> Outcomes:
    series = changes.series["gdp"]
    return outcomes(changes, Target(("gdp",), transform, rule), asked(series, *periods))


def statuses(found: Outcomes) -> list[str]:
    return [OUTCOME_STATUS[code] for code in found.status[0]]


REVISED = (
    (vintage(date(2020, 5, 10), {Q1: 100.0}), {"coverage": "complete"}),
    (vintage(date(2020, 6, 10), {Q1: 100.0}), {"coverage": "complete"}),  # published again, unchanged
    (vintage(date(2020, 8, 10), {Q1: 101.0, Q2: 110.0}), {"coverage": "complete"}),
    (vintage(date(2020, 11, 10), {Q1: 1010.0, Q2: 1111.0, Q3: 1200.0}), {"coverage": "complete"}),  # new base
)
FIRST, SECOND, THIRD = OutcomeRule("first", 1), OutcomeRule("release", 2), OutcomeRule("release", 3)


def test_the_third_release_counts_publications_not_changes(tmp_path: Path) -> None:
    changes = opened(tmp_path, quarterly(), *REVISED)
    found = ask(changes, THIRD, Transform(), Q1)
    # counting changes would take the third distinct value, 1010
    assert found.value[0, 0] == 101.0
    assert instant(int(found.matured_at[0, 0])) == end_of_day(date(2020, 8, 10), "UTC")


def test_an_unchanged_second_release_is_an_outcome_with_its_own_date(tmp_path: Path) -> None:
    found = ask(opened(tmp_path, quarterly(), *REVISED), SECOND, Transform(), Q1, Q2, Q3)
    assert found.value[0].tolist()[:2] == [100.0, 1111.0]
    assert statuses(found) == ["matured", "matured", "pending"]
    assert found.matured_at[0, 2] == NEVER


def test_growth_is_taken_in_the_vintage_of_the_end_period_across_a_change_of_base(tmp_path: Path) -> None:
    found = ask(opened(tmp_path, quarterly(scale="rebased"), *REVISED), FIRST, Transform("log_growth", 1), Q2, Q3)
    assert found.value[0, 0] == pytest.approx(100 * math.log(110 / 101), rel=1e-14)
    # joining first releases across the base change would give 100 ln(1200/110) = 239
    assert found.value[0, 1] == pytest.approx(100 * math.log(1200 / 1111), rel=1e-14)


def test_after_n_days_takes_the_value_in_force_then(tmp_path: Path) -> None:
    changes = opened(tmp_path, quarterly(), *REVISED)
    found = ask(changes, OutcomeRule("after", 100), Transform(), Q1, Q2)
    assert found.value[0].tolist() == [100.0, 110.0]  # 9 July and 8 October
    assert instant(int(found.matured_at[0, 0])) == end_of_day(Q1 + timedelta(days=100), "UTC")


def test_latest_is_the_value_at_the_end_and_is_marked_immature_while_young(tmp_path: Path) -> None:
    found = ask(opened(tmp_path, quarterly(), *REVISED), OutcomeRule("latest", 0), Transform(), Q1, Q3)
    assert found.value[0].tolist() == [1010.0, 1200.0]
    assert found.immature[0].tolist() == [True, True]
    assert instant(int(found.first_public[0, 0])) == end_of_day(date(2020, 5, 10), "UTC")


def test_a_release_that_was_not_captured_counts_but_leaves_no_outcome(tmp_path: Path) -> None:
    stated = pl.concat([vintage(date(2020, 5, 10), {Q1: 100.0}), vintage(date(2020, 11, 10), {Q2: 111.0, Q3: 120.0})])
    published = pl.DataFrame(
        {
            "series_id": ["gdp"] * 3,
            "published_at": [date(2020, 5, 10), date(2020, 8, 10), date(2020, 11, 10)],
            "first": [Q1] * 3,
            "last": [Q1, Q2, Q3],
            "captured": [True, False, True],
        }
    )
    changes = opened(tmp_path, quarterly(), (stated, {"coverage": "changes", "publications": published}))
    assert statuses(ask(changes, FIRST, Transform(), Q1, Q2, Q3)) == ["matured", "no_outcome", "matured"]
    second = ask(changes, SECOND, Transform(), Q1, Q2)
    assert statuses(second) == ["no_outcome", "matured"]
    assert second.value[0, 1] == 111.0


def test_a_publication_given_in_overlapping_parts_is_one_release(tmp_path: Path) -> None:
    stated = pl.concat([vintage(date(2020, 5, 10), {Q1: 100.0}), vintage(date(2020, 8, 10), {Q1: 101.0, Q2: 110.0})])
    published = pl.DataFrame(
        {
            "series_id": ["gdp"] * 4,
            "published_at": [date(2020, 5, 10), date(2020, 8, 10), date(2020, 8, 10), date(2020, 11, 10)],
            "first": [Q1] * 4,
            "last": [Q1, Q1, Q2, Q2],  # the second came as a table of the old and one of the old and new period
        }
    )
    changes = opened(tmp_path, quarterly(), (stated, {"coverage": "changes", "publications": published}))
    third = ask(changes, THIRD, Transform(), Q1)
    assert instant(int(third.matured_at[0, 0])) == end_of_day(date(2020, 11, 10), "UTC")
    second = ask(changes, SECOND, Transform(), Q1, Q2)
    assert [instant(int(at)) for at in second.matured_at[0]] == [
        end_of_day(date(2020, 8, 10), "UTC"), end_of_day(date(2020, 11, 10), "UTC"),
    ]  # fmt: skip


def test_releases_of_a_source_that_reports_changes_only_are_refused_beyond_the_first(tmp_path: Path) -> None:
    changes = opened(tmp_path, quarterly(), (vintage(date(2020, 5, 10), {Q1: 100.0}), {"coverage": "changes"}))
    assert ask(changes, FIRST, Transform(), Q1).value[0, 0] == 100.0
    with pytest.raises(UserError, match="cannot be counted") as caught:
        ask(changes, SECOND, Transform(), Q1)
    assert "after N days" in caught.value.fix


def test_a_release_that_withdraws_the_value_is_withdrawn(tmp_path: Path) -> None:
    batches = (
        (vintage(date(2020, 5, 10), {Q1: 100.0}), {"coverage": "rows"}),
        (vintage(date(2020, 6, 10), {Q1: None}), {"coverage": "rows"}),
    )
    found = ask(opened(tmp_path, quarterly(), *batches), SECOND, Transform(), Q1)
    assert statuses(found) == ["withdrawn"]
    assert math.isnan(found.value[0, 0])


def test_history_before_the_first_vintage_matures_by_the_lag_rule_and_is_marked(tmp_path: Path) -> None:
    series = quarterly(lag=LAG)
    batches = (
        (vintage(date(2020, 11, 10), {Q1: 100.0, Q2: 102.0, Q3: 105.0}), {"coverage": "complete"}),
        (vintage(date(2021, 2, 10), {Q1: 100.5, Q2: 102.0, Q3: 105.0, Q4: 106.0}), {"coverage": "complete"}),
    )
    changes = opened(tmp_path, series, *batches)
    first = ask(changes, FIRST, Transform(), Q1, Q2, Q3, Q4)
    assert first.hindsight[0].tolist() == [True, True, False, False]
    assert first.value[0].tolist() == [100.0, 102.0, 105.0, 106.0]
    assert instant(int(first.matured_at[0, 0])) == end_of_day(Q1 + timedelta(days=45), "UTC")
    assert instant(int(first.matured_at[0, 2])) == end_of_day(date(2020, 11, 10), "UTC")
    second = ask(changes, SECOND, Transform(), Q1)
    # one publication interval (a quarter of the series) later than the rule
    assert instant(int(second.matured_at[0, 0])) == end_of_day(Q2 + timedelta(days=45), "UTC")


def test_a_value_read_before_the_vintage_it_comes_from_is_marked_where_no_release_is_counted(tmp_path: Path) -> None:
    opening = (vintage(date(2020, 11, 10), {Q1: 100.0, Q2: 102.0, Q3: 105.0}), {"coverage": "complete"})
    changes = opened(tmp_path, quarterly(lag=LAG), opening)
    after, latest = OutcomeRule("after", 60), OutcomeRule("latest", 0)
    # on 30 May and 29 August only the rule's dates had passed, the numbers are of November
    assert ask(changes, after, Transform(), Q1, Q2, Q3).hindsight[0].tolist() == [True, True, False]
    assert ask(changes, after, Transform("difference", 1), Q2, Q3).hindsight[0].tolist() == [True, False]
    assert ask(changes, latest, Transform(), Q1, Q2, Q3).hindsight[0].tolist() == [False, False, False]


def test_after_n_days_shorter_than_the_lag_rule_is_refused(tmp_path: Path) -> None:
    changes = opened(tmp_path, quarterly(lag=LAG), *REVISED)
    with pytest.raises(UserError, match="before the value is published"):
        ask(changes, OutcomeRule("after", 44), Transform(), Q1)
    assert ask(changes, OutcomeRule("after", 45), Transform(), Q1).value[0, 0] == 100.0


def test_a_release_calendar_is_asked_about_listed_periods_only(tmp_path: Path) -> None:
    calendar = LagRule("dates", dates=((Q1, date(2020, 5, 10)), (Q2, date(2020, 8, 10)), (Q3, date(2020, 11, 10))))
    changes = opened(tmp_path, quarterly(lag=calendar), *REVISED)
    found = ask(changes, OutcomeRule("after", 45), Transform(), Q1, Q2, Q3, Q4)  # Q4: not listed
    assert statuses(found) == ["matured", "matured", "pending", "pending"]
    with pytest.raises(UserError, match="2020-06-30"):
        ask(changes, OutcomeRule("after", 40), Transform(), Q1, Q2, Q3, Q4)


def test_every_period_with_a_value_is_checked_against_the_lag_rule(tmp_path: Path) -> None:
    days = [date(2000 + number // 4, number % 4 * 3 + 1, 1) - timedelta(days=1) for number in range(1, 161)]
    late = LagRule("calendar_days", n=45, exceptions=((days[1], days[1] + timedelta(days=90)),))
    frame = pl.concat([vintage(day + timedelta(days=45), {day: 1.0}) for day in days if day.year < 2024])
    changes = opened(tmp_path, quarterly(lag=late), (frame, {}))
    with pytest.raises(UserError, match=str(days[1])):
        ask(changes, OutcomeRule("after", 60), Transform(), *days)
    assert ask(changes, OutcomeRule("after", 60), Transform(), *days[2:]).value[0, 0] == 1.0


def daily_changes(tmp_path: Path, days: list[date], highs: list[float]) -> ChangeFile:
    archive = Archive.open(tmp_path / "daily.duckdb")
    where = {"frequency": "B", "calendar": "XNYS", "zone": "America/New_York"}
    for name, values in (("high", highs), ("low", [100.0] * len(days))):
        archive.define(Series(id=name, **where))  # type: ignore[arg-type]
        frame = pl.DataFrame({"series_id": [name] * len(days), "period": days, "published_at": days, "value": values})
        archive.append(frame, source="test")
    return ChangeFile.open(archive.export(tmp_path / "daily_changes"))


def test_a_forward_window_holds_only_later_sessions_and_skips_days_that_never_traded(tmp_path: Path) -> None:
    days = [date(2001, 9, 7), date(2001, 9, 10), date(2001, 9, 17), date(2001, 9, 18)]  # closed 11 to 14 September
    changes = daily_changes(tmp_path, days, [101.0, 102.0, 103.0, 104.0])
    target = Target(("sp",), Transform("realised_volatility", 3, proxy="parkinson", high="high", low="low"))

    def number(day: date) -> int:
        return (day - date(1970, 1, 1)).days

    starts = np.array([number(days[1]), number(date(2001, 9, 11)), number(date(2001, 9, 11))])
    ends = np.array([number(days[3]), number(date(2001, 9, 17)), number(date(2001, 9, 13))])
    found = outcomes(changes, target, Windows(starts, ends))
    proxy = [math.log(high / 100.0) ** 2 / (4 * math.log(2)) for high in (102.0, 103.0, 104.0)]
    assert found.value[0, 0] == pytest.approx(100 * math.sqrt(sum(proxy) / 3), rel=1e-14)
    # planned on the 10th as 11, 12, ... before the closure was announced: what traded of it counts
    assert found.value[0, 1] == pytest.approx(100 * math.sqrt(proxy[1]), rel=1e-14)
    # the window's own last day never traded
    assert OUTCOME_STATUS[found.status[0, 2]] == "no_outcome"


def test_a_missing_session_inside_the_window_leaves_no_outcome(tmp_path: Path) -> None:
    days = [date(2001, 8, 6), date(2001, 8, 8), date(2001, 8, 9)]  # the 7th traded, but nobody published it
    changes = daily_changes(tmp_path, days, [101.0, 102.0, 103.0])
    target = Target(("sp",), Transform("realised_volatility", 3, proxy="parkinson", high="high", low="low"))
    numbers = [(day - date(1970, 1, 1)).days for day in (date(2001, 8, 7), date(2001, 8, 9))]
    found = outcomes(changes, target, Windows(np.array(numbers[:1]), np.array(numbers[1:])))
    assert OUTCOME_STATUS[found.status[0, 0]] == "no_outcome"


def test_the_archive_end_decides_what_is_pending(tmp_path: Path) -> None:
    changes = opened(tmp_path, quarterly(), *REVISED)
    until = int(datetime(2020, 8, 1, tzinfo=UTC).timestamp() * 1e6)
    found = outcomes(changes, Target(("gdp",)), asked(changes.series["gdp"], Q1, Q2), until=until)
    assert statuses(found) == ["matured", "pending"]
