"""What a batch may look like, what it covers, and how it meets what the archive has already."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

import pandas as pd
import polars as pl
import pytest

from harness.core.errors import BeyondKnownError, DataError, UnknownNameError, UserError
from harness.core.series import LagRule, Series
from tests.data.archive_samples import APR, FEB, JAN, MAR, MAY, at, exported, listing, opened, rows, values

LATE = at(12, 31)


def test_a_revision_is_known_from_its_own_instant_on(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0), (JAN, at(3, 20), 2.0)), source="test")
    assert values(archive, at(3, 20) - timedelta(microseconds=1)) == {JAN: 1.0}
    assert values(archive, at(3, 20)) == {JAN: 2.0}


def test_a_date_is_the_end_of_that_day_in_the_zone_of_the_series(tmp_path):
    archive = opened(tmp_path, Series("cpi", "M", zone="America/New_York"), Series("rpi", "M", zone="Asia/Tokyo"))
    dates = pl.concat([rows((JAN, date(2020, 2, 20), 1.0)), rows((JAN, date(2020, 2, 20), 1.0), series="rpi")])
    archive.append(dates, source="test", known_through=at(6, 1))
    assert archive.revisions("cpi")["published_at"].to_list() == [at(2, 21, 5)]
    assert archive.revisions("rpi")["published_at"].to_list() == [at(2, 20, 15)]


@pytest.mark.parametrize(
    "stamps",
    [
        pl.Series([datetime(2020, 2, 20), datetime(2020, 3, 20)]),  # noqa: DTZ001 - dates
        pl.Series([date(2020, 2, 20), date(2020, 3, 20)]),
        pl.Series(["2020-02-20", "2020-03-20"]),
        pl.Series([at(2, 20, 17), at(3, 20, 17)]).dt.convert_time_zone("America/New_York"),
        pl.Series(["2020-02-20T17:00:00Z", "2020-03-20T17:00:00Z"]),
    ],
    ids=["naive midnights", "dates", "text dates", "aware", "aware text"],
)
def test_accepted_forms_of_published_at(tmp_path, stamps):
    archive = opened(tmp_path, Series("cpi", "M", zone="Europe/London"))
    archive.append(rows((JAN, JAN, 1.0), (FEB, JAN, 2.0)).with_columns(stamps.alias("published_at")), source="test")
    whole_days = stamps.dtype == pl.Date or str(stamps[0])[10:] in ("", " 00:00:00")
    expected = [at(2, 21), at(3, 21)] if whole_days else [at(2, 20, 17), at(3, 20, 17)]
    assert archive.revisions("cpi")["published_at"].to_list() == expected


@pytest.mark.parametrize("form", ["polars", "pandas"])
def test_polars_and_pandas_say_the_same(tmp_path, form):
    frame = rows((JAN, at(2, 20), 1.0), (FEB, at(3, 20), None))
    given = frame if form == "polars" else frame.to_pandas(use_pyarrow_extension_array=True)
    archive = opened(tmp_path)
    assert archive.append(given, source="test").kept == 2
    assert archive.revisions("cpi")["value"].to_list() == [1.0]


REFUSED = {
    "a naive time of day": (rows((JAN, datetime(2020, 2, 20, 9, 30), 1.0)), "zone"),  # noqa: DTZ001
    "a period that is not its last day": (rows((date(2020, 1, 1), at(2, 20), 1.0)), "2020-01-31"),
    "not a number": (rows((JAN, at(2, 20), float("nan"))), "not finite"),
    "infinity": (rows((JAN, at(2, 20), float("inf"))), "not finite"),
    "pandas NaN": (
        pd.DataFrame({"series_id": ["cpi"], "period": [JAN], "published_at": [at(2, 20)], "value": [float("nan")]}),
        "not finite",
    ),
    "text that is no date": (rows((JAN, JAN, 1.0)).with_columns(published_at=pl.lit("20.2.2020")), "no date"),
    "a period that is no date": (rows((JAN, at(2, 20), 1.0)).with_columns(period=pl.lit("2020 Q1")), "no date"),
    "values that are text": (rows((JAN, at(2, 20), 1.0)).with_columns(value=pl.lit("1,5")), "no numbers"),
    "an empty entry": (rows((JAN, at(2, 20), 1.0)).with_columns(published_at=pl.lit(None, pl.Date)), "empty entry"),
    "no rows": (rows().cast({"published_at": pl.Date, "period": pl.Date}), "empty"),
    "no value column": (rows((JAN, at(2, 20), 1.0)).drop("value"), "missing columns: value"),
    "no publication date and no lag rule": (rows((JAN, at(2, 20), 1.0)).drop("published_at"), "lag"),
    "an availability that does not exist": (
        rows((JAN, at(2, 20), 1.0)).with_columns(availability=pl.lit("guessed")),
        "availability",
    ),
    "two values for one publication": (rows((JAN, at(2, 20), 1.0), (JAN, at(2, 20), 1.5)), "two different values"),
    "a value and its withdrawal at once": (rows((JAN, at(2, 20), 1.0), (JAN, at(2, 20), None)), "two different"),
    "mixed zones": (
        pd.DataFrame(
            {
                "series_id": ["cpi"] * 2,
                "period": [JAN, FEB],
                "published_at": pd.Series(
                    [at(2, 20), datetime(2020, 3, 20, tzinfo=timezone(timedelta(hours=2)))], dtype=object
                ),
                "value": [1.0, 2.0],
            }
        ),
        "mixed zones",
    ),
    "a date of no calendar": (
        rows((JAN, at(2, 20), 1.0)).with_columns(period=pl.lit(8_000_000, pl.Int32).cast(pl.Date)),
        "column period, row 0: a date of the year 23873",
    ),
    "an instant of no calendar": (
        rows((JAN, at(2, 20), 1.0)).with_columns(published_at=pl.lit(-(10**17)).cast(pl.Datetime("us", "UTC"))),
        "column published_at, row 0: a date of the year -1199",
    ),
    "a day of publication of no calendar": (
        rows((JAN, at(2, 20), 1.0)).with_columns(published_at=pl.lit(8_000_000, pl.Int32).cast(pl.Date)),
        "column published_at, row 0: a date of the year 23873",
    ),
    "a day so far off that its year has no number": (
        rows((JAN, at(2, 20), 1.0)).with_columns(period=pl.lit(2**31 - 1, pl.Int32).cast(pl.Date)),
        "column period, row 0: a date of a year without a number",
    ),
    "a midnight of no calendar": (
        rows((JAN, at(2, 20), 1.0)).with_columns(
            period=pl.lit(8_000_026 * 86_400_000_000, pl.Int64).cast(pl.Datetime("us"))  # the last day of a month
        ),
        "column period, row 0: a date of the year 23873",
    ),
    "milliseconds that are too many for microseconds": (
        rows((JAN, at(2, 20), 1.0)).with_columns(
            published_at=pl.lit(2**63 - 1, pl.Int64).cast(pl.Datetime("ms", "UTC"))
        ),
        "column published_at, row 0: a date of a year without a number",
    ),
    "entries of several kinds": (
        pd.DataFrame(
            {"series_id": ["cpi"] * 2, "period": [JAN, FEB], "published_at": [at(2, 20)] * 2, "value": [1, "x"]}
        ),
        "column value holds entries of several kinds: int, str",
    ),
    "a column twice": (
        pd.DataFrame(
            [["cpi", JAN, at(2, 20), 1.0, 2.0]], columns=["series_id", "period", "published_at", "value", "value"]
        ),
        "columns that occur twice: value",
    ),
    "mixed offsets in text": (
        rows((JAN, JAN, 1.0), (FEB, JAN, 1.0)).with_columns(
            published_at=pl.Series(["2020-02-20T09:00:00+01:00", "2020-03-20T09:00:00+00:00"])
        ),
        "mixed zones",
    ),
}


@pytest.mark.every_case
@pytest.mark.parametrize("unit", ["ms", "us"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "Pacific/Auckland"])
@pytest.mark.parametrize("name", ["period", "published_at"])
@pytest.mark.parametrize("number", [2**63 - 10**9, -(2**63) + 10**9])
def test_instants_of_years_far_off_are_refused_in_whatever_form_they_come(
    tmp_path: Path, unit: Literal["ms", "us"], zone: str | None, name: str, number: int
) -> None:
    given = rows((JAN, at(2, 20), 1.0)).with_columns(
        pl.Series([number], dtype=pl.Int64).cast(pl.Datetime(unit, zone)).alias(name)
    )
    with pytest.raises(DataError, match=f"column {name}, row 0: a date of (a year without a number|the year)"):
        opened(tmp_path).append(given, source="test")


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_batch_gets_one_clear_message_and_leaves_the_archive_alone(tmp_path, case):
    archive = opened(tmp_path)
    archive.append(rows((MAR, at(4, 20), 3.0)), source="before")
    before = archive.state()
    frame, said = REFUSED[case]
    with pytest.raises(DataError, match=said):
        archive.append(frame, source="bad")
    assert archive.state() == before
    assert archive.batches().height == 1


def test_an_undefined_series_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'cpi'"):
        opened(tmp_path).append(rows((JAN, at(2, 20), 1.0), series="cpo"), source="test")


def test_a_value_contradicting_the_archive_is_refused(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0), (JAN, at(3, 20), 1.0)), source="test")
    # the second publication stored no row, but it did state the value
    for when in (at(2, 20), at(3, 20)):
        with pytest.raises(DataError, match=r"1\.0 in the archive and 1\.5.*leave the row as it was"):
            archive.append(rows((JAN, when, 1.5)), source="test")


def test_the_same_batch_again_is_counted_and_not_recorded(tmp_path):
    archive = opened(tmp_path)
    frame = rows((JAN, at(2, 20), 1.0), (JAN, at(3, 20), 1.0), (JAN, at(3, 20), 1.0))
    first, state = archive.append(frame, source="test"), archive.state()
    again = archive.append(frame, source="test")
    assert (first.batch, first.kept, first.duplicates) == (1, 2, 1)
    assert (again.batch, again.kept, again.duplicates) == (0, 0, 3)
    assert archive.state() == state


def test_stamps_later_than_now_are_set_aside_and_counted(tmp_path):
    archive = opened(tmp_path)
    future = datetime.now(UTC) + timedelta(days=1)
    report = archive.append(rows((JAN, at(2, 20), 1.0), (FEB, future, 2.0)), source="test")
    assert (report.kept, report.set_aside, report.known_through) == (1, 1, at(2, 20))
    aside = archive.set_aside().row(0, named=True)
    assert (aside["period"], aside["value"], aside["reason"]) == ("2020-02-29", 2.0, "published later than now")


def test_a_day_that_is_no_session_is_set_aside_with_the_reason(tmp_path):
    archive = opened(tmp_path, Series("cpi", "B", zone="America/New_York", calendar="XNYS"))
    friday, saturday, holiday = date(2020, 7, 10), date(2020, 7, 11), date(2020, 7, 3)
    report = archive.append(rows(*((day, day, 1.0) for day in (friday, saturday, holiday))), source="test")
    assert (report.kept, report.set_aside) == (1, 2)
    assert archive.set_aside()["reason"].unique().to_list() == ["no session of XNYS"]


def test_values_are_compared_at_their_declared_precision_and_kept_as_given(tmp_path):
    archive = opened(tmp_path, Series("cpi", "M", decimals=1))
    archive.append(rows((JAN, at(2, 20), 1.02), (JAN, at(3, 20), 1.04), (JAN, at(4, 20), 1.06)), source="test")
    assert archive.revisions("cpi").select("value", "release").rows() == [(1.02, 1), (1.06, 3)]


def test_without_decimals_any_difference_is_a_change(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 0.3), (JAN, at(3, 20), 0.1 + 0.2)), source="test")
    assert archive.revisions("cpi").height == 2


def test_only_a_complete_publication_withdraws_what_it_leaves_out(tmp_path):
    first = rows((JAN, at(4, 20), 1.0), (FEB, at(4, 20), 2.0), (MAR, at(4, 20), 3.0))
    second = rows((JAN, at(5, 20), 1.0), (MAR, at(5, 20), 3.0))
    for coverage, expected in (("rows", {JAN: 1.0, FEB: 2.0, MAR: 3.0}), ("complete", {JAN: 1.0, MAR: 3.0})):
        archive = opened(tmp_path / coverage)
        archive.append(pl.concat([first, second]), source="test", coverage=coverage)
        assert values(archive, at(5, 20)) == expected


def test_a_withdrawn_value_can_be_published_again(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0), (JAN, at(3, 20), None), (JAN, at(4, 20), 1.0)), source="test")
    assert [values(archive, at(month, 20)) for month in (2, 3, 4)] == [{JAN: 1.0}, {}, {JAN: 1.0}]
    assert archive.as_of(at(4, 20)).frame()["published_at"].to_list() == [at(4, 20)]


def test_rows_of_one_instant_are_one_publication_per_run_of_periods(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows(*((month, at(6, 20), 1.0) for month in (JAN, FEB, APR, MAY))), source="test")
    found = exported(archive).publications_of("cpi")
    assert list(zip(found.first % 12, found.last % 12, strict=True)) == [(0, 1), (3, 4)]
    assert found.countable.all()


def test_a_run_of_sessions_does_not_end_at_the_weekend(tmp_path):
    archive = opened(tmp_path, Series("cpi", "B", zone="America/New_York", calendar="XNYS"))
    days = [date(2020, 7, day) for day in (9, 10, 13, 15)]
    archive.append(rows(*((day, at(7, 20), 1.0) for day in days)), source="test")
    found = exported(archive).publications_of("cpi")
    assert [(date(1970, 1, 1) + timedelta(days=int(day))).day for day in found.last] == [13, 15]


def test_publications_are_counted_changed_or_not(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows(*((JAN, at(month, 20), value) for month, value in ((2, 1.0), (3, 1.0), (4, 2.0)))), source="t")
    assert archive.revisions("cpi").select("release", "value", "previous", "change").rows() == [
        (1, 1.0, None, None),
        (3, 2.0, 1.0, 1.0),
    ]


def test_changes_only_cannot_be_counted_beyond_the_first(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0), (JAN, at(4, 20), 2.0)), source="test", coverage="changes")
    assert archive.revisions("cpi")["release"].to_list() == [1, None]
    assert not exported(archive).publications_of("cpi").countable.any()


def test_listed_publications_make_changes_countable_and_tell_what_was_missed(tmp_path):
    archive = opened(tmp_path)
    told = listing((at(2, 20), JAN, JAN, True), (at(3, 20), JAN, FEB, False), (at(4, 20), JAN, FEB, True))
    changes = rows((JAN, at(2, 20), 1.0), (JAN, at(4, 20), 2.0), (FEB, at(4, 20), 5.0))
    archive.append(changes, source="test", coverage="changes", publications=told)
    assert archive.revisions("cpi").select("period", "release").rows() == [(JAN, 1), (JAN, 3), (FEB, 2)]
    assert exported(archive).publications_of("cpi").captured.tolist() == [True, False, True]


def test_a_change_outside_the_listed_publications_is_refused(tmp_path):
    with pytest.raises(DataError, match="outside every listed publication"):
        opened(tmp_path).append(
            rows((FEB, at(2, 20), 1.0)),
            source="test",
            coverage="changes",
            publications=listing((at(2, 20), JAN, JAN, True)),
        )


def test_values_dated_by_a_lag_rule_are_hindsight(tmp_path):
    archive = opened(tmp_path, Series("cpi", "M", lag=LagRule("calendar_days", n=20)))
    archive.append(rows((JAN, at(2, 20), 1.0)).drop("published_at"), source="test")
    found = archive.revisions("cpi").row(0, named=True)
    assert (found["published_at"], found["availability"], found["value_known_at"]) == (at(2, 21), "rule", None)


def test_history_before_the_first_vintage_is_dated_by_the_lag_rule(tmp_path):
    archive = opened(tmp_path, Series("cpi", "M", lag=LagRule("calendar_days", n=20)))
    archive.append(rows((JAN, at(4, 10), 1.0), (FEB, at(4, 10), 2.0), (MAR, at(4, 10), 3.0)), source="test")
    told = archive.revisions("cpi").select("period", "published_at", "release", "availability", "value_known_at").rows()
    assert told == [
        (JAN, at(2, 21), None, "assumed", at(4, 10)),
        (JAN, at(4, 10), 1, "observed", at(4, 10)),
        (FEB, at(3, 21), None, "assumed", at(4, 10)),
        (FEB, at(4, 10), 1, "observed", at(4, 10)),
        (MAR, at(4, 10), 1, "observed", at(4, 10)),
    ]
    assert values(archive, at(3, 1)) == {JAN: 1.0}


def test_an_earlier_vintage_replaces_the_assumptions_made_without_it(tmp_path):
    archive = opened(tmp_path, Series("cpi", "M", lag=LagRule("calendar_days", n=20)))
    archive.append(rows((JAN, at(4, 10), 1.0), (FEB, at(4, 10), 2.0)), source="later")
    archive.append(rows((JAN, at(3, 1), 0.5)), source="earlier")
    told = archive.revisions("cpi").select("period", "published_at", "value", "availability").rows()
    assert told == [
        (JAN, at(2, 21), 0.5, "assumed"),
        (JAN, at(3, 1), 0.5, "observed"),
        (JAN, at(4, 10), 1.0, "observed"),
        (FEB, at(4, 10), 2.0, "observed"),
    ]


def test_a_late_batch_does_not_outlive_a_publication_that_stated_otherwise(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0), (JAN, at(4, 20), 1.0)), source="first", known_through=at(6, 1))
    archive.append(rows((JAN, at(3, 20), 2.0)), source="late")
    assert [values(archive, at(month, 20))[JAN] for month in (2, 3, 4, 5)] == [1.0, 2.0, 1.0, 1.0]


def test_as_of_beyond_what_is_known_is_refused(tmp_path):
    archive = opened(tmp_path, Series("cpi", "M"), Series("rpi", "M"))
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test")
    archive.append(rows((JAN, at(4, 20), 1.0), series="rpi"), source="test")
    assert (archive.known_through("cpi"), archive.known_through("rpi"), archive.known_through()) == (
        at(2, 20),
        at(4, 20),
        at(2, 20),
    )
    with pytest.raises(BeyondKnownError, match="cpi, known through 2020-02-20"):
        archive.as_of(at(3, 1))
    assert archive.as_of(at(3, 1), ["rpi"]).frame().height == 0
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test", known_through=at(3, 1))
    assert archive.as_of(at(3, 1)).frame()["series_id"].to_list() == ["cpi"]


def test_a_series_never_ingested_is_refused_and_a_series_not_born_yet_is_hidden(tmp_path):
    archive = opened(tmp_path, Series("cpi", "M"), Series("rpi", "M"), Series("ppi", "M"))
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test", known_through=LATE)
    archive.append(rows((JAN, at(4, 20), 1.0), series="rpi"), source="test", known_through=LATE)
    with pytest.raises(BeyondKnownError, match="ppi"):
        archive.as_of(at(3, 1), ["ppi"])
    assert set(archive.as_of(at(3, 1)).series) == {"cpi"}
    assert set(archive.as_of(at(3, 1), ["cpi", "rpi"]).series) == {"cpi", "rpi"}


@pytest.mark.parametrize("origin", [datetime(2020, 2, 20), date(2020, 2, 20)])  # noqa: DTZ001 - that is the point
def test_as_of_takes_aware_instants_only(tmp_path, origin):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test")
    with pytest.raises(UserError, match="aware"):
        archive.as_of(origin)


@pytest.mark.parametrize(
    ("known_through", "said"), [(datetime(2500, 1, 1, tzinfo=UTC), "future"), (at(1, 1), "before the batch")]
)
def test_a_claim_to_know_that_cannot_be_true_is_refused(tmp_path, known_through, said):
    with pytest.raises(DataError, match=said):
        opened(tmp_path).append(rows((JAN, at(2, 20), 1.0)), source="test", known_through=known_through)


def test_a_declaration_cannot_change(tmp_path):
    archive = opened(tmp_path, Series("cpi", "M", decimals=1))
    archive.define(Series("cpi", "M", decimals=1))
    with pytest.raises(UserError, match="decimals: 1, now 2"):
        archive.define(Series("cpi", "M", decimals=2))


def test_bare_ids_resolve_when_they_are_unique(tmp_path):
    archive = opened(tmp_path, Series("uk/cpi", "M"), Series("us/cpi", "M"), Series("us/gdp", "Q"))
    assert (archive.resolve("gdp"), archive.resolve("uk/cpi")) == ("us/gdp", "uk/cpi")
    with pytest.raises(UserError, match="uk/cpi, us/cpi"):
        archive.resolve("cpi")


def test_a_declaration_survives_the_archive(tmp_path):
    series = Series(
        "uk/cpi",
        "B",
        zone="Europe/London",
        calendar="XLON",
        lag=LagRule("business_days", n=1, exceptions=((date(2020, 1, 2), date(2020, 1, 6)),)),
        closures=((date(2022, 9, 19), "2022-09-10"),),
    )
    archive = opened(tmp_path, series, Series("t", "T", period_table=(date(2020, 1, 4), date(2020, 2, 1))))
    assert archive.series()[0] == series
    assert archive.series()[1].period_table == (date(2020, 1, 4), date(2020, 2, 1))


def test_how_far_a_batch_is_known_is_no_text(tmp_path):
    archive = opened(tmp_path)
    with pytest.raises(DataError, match="known_through is no date: '2020-03-01'"):
        archive.append(rows((JAN, at(2, 20), 1.0)), source="test", known_through="2020-03-01")
    assert archive.batches().is_empty()
