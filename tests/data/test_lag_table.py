"""The lag table against numbers counted by hand."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from harness.core.errors import UserError
from harness.core.series import LagRule, Series
from harness.data.archive import Archive
from harness.data.lag_table import lag_table

JAN, FEB, MAR, APR = date(2020, 1, 31), date(2020, 2, 29), date(2020, 3, 31), date(2020, 4, 30)
NAMES = ("series_id", "period", "published_at", "value")


def archive_of(path: Path, scale: str, *, lag: LagRule | None = None) -> Archive:
    """Vintages of 31 March (January, February), 20 April (+ March), 30 May (+ April), March revised on 30 May."""
    archive = Archive.open(path / "archive.duckdb")
    archive.define(Series("d/x", "M", scale=scale, lag=lag, unit="kg"))  # type: ignore[arg-type]
    rows = [
        ("d/x", JAN, date(2020, 3, 31), 10.0),
        ("d/x", FEB, date(2020, 3, 31), 20.0),
        ("d/x", JAN, date(2020, 4, 20), 10.0),
        ("d/x", FEB, date(2020, 4, 20), 20.0),
        ("d/x", MAR, date(2020, 4, 20), 40.0),
        ("d/x", JAN, date(2020, 5, 30), 100.0),
        ("d/x", FEB, date(2020, 5, 30), 200.0),
        ("d/x", MAR, date(2020, 5, 30), 500.0),
        ("d/x", APR, date(2020, 5, 30), 600.0),
    ]
    archive.append(pl.DataFrame(rows, schema=list(NAMES), orient="row"), source="test")
    return archive


def row_of(archive: Archive) -> dict[str, object]:
    return lag_table(archive, "d").row(0, named=True)


def test_lags_are_measured_after_the_first_vintage_only(tmp_path: Path) -> None:
    row = row_of(archive_of(tmp_path, "fixed"))
    assert (row["periods"], row["publications"], row["changes"]) == (4, 3, 3)
    # March came after 20 days, April after 30; January and February were in the first vintage
    assert (row["lag_min"], row["lag_median"], row["lag_max"]) == (20.0, 25.0, 30.0)
    assert (row["observed"], row["rule"], row["assumed"], row["pseudo_real_time"]) == (1.0, 0.0, 0.0, 0.0)


def test_a_lag_rule_makes_the_history_before_the_first_vintage_pseudo_real_time(tmp_path: Path) -> None:
    row = row_of(archive_of(tmp_path, "fixed", lag=LagRule("calendar_days", n=35)))
    assert (row["observed"], row["assumed"], row["pseudo_real_time"]) == (0.75, 0.25, 0.25)


def test_revisions_of_a_fixed_scale_are_in_its_unit_and_in_per_cent(tmp_path: Path) -> None:
    row = row_of(archive_of(tmp_path, "fixed"))
    assert row["revision"] == (460 + 0) / 2  # March 40 -> 500, April never revised
    assert row["revision_percent"] == (100 * 460 / 40 + 0) / 2


def test_revisions_of_a_rebased_scale_are_those_of_growth_inside_a_vintage(tmp_path: Path) -> None:
    row = row_of(archive_of(tmp_path, "rebased"))
    assert row["revision"] is None
    march = abs(100 * math.log(500 / 200) - 100 * math.log(40 / 20))
    assert row["revision_percent"] == pytest.approx((march + 0) / 2)


def test_final_values_have_no_measured_lag_and_are_all_hindsight(tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "archive.duckdb")
    archive.define(Series("d/x", "M", lag=LagRule("calendar_days", n=10)))
    archive.append(pl.DataFrame({"series_id": ["d/x"] * 2, "period": [JAN, FEB], "value": [1.0, 2.0]}), source="test")
    row = row_of(archive)
    assert (row["rule"], row["pseudo_real_time"]) == (1.0, 1.0)
    assert [row[name] for name in ("lag_min", "lag_max", "revision", "revision_percent")] == [None] * 4


def test_a_release_that_was_not_captured_sets_the_lag_but_not_the_revision(tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "archive.duckdb")
    archive.define(Series("d/x", "M"))
    stamps = [datetime(2020, 2, 20, tzinfo=UTC) + timedelta(days=30 * place) for place in range(3)]
    publications = pl.DataFrame(
        {
            "series_id": ["d/x"] * 3,
            "published_at": stamps,
            "first": [JAN] * 3,
            "last": [JAN, FEB, MAR],
            "captured": [True, False, True],
        }
    )
    changes = pl.DataFrame(
        {
            "series_id": ["d/x"] * 3,
            "period": [JAN, FEB, MAR],
            "published_at": [stamps[0], stamps[2], stamps[2]],
            "value": [1.0, 2.0, 3.0],
        }
    )
    archive.append(changes, source="test", coverage="changes", publications=publications)
    row = row_of(archive)
    # February came out on 20 March, though its value was seen a month later
    assert (row["lag_min"], row["lag_max"], row["publications"]) == (19.0, 20.0, 3)
    assert row["revision"] == 0.0


def test_a_dataset_that_was_not_ingested_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing ingested"):
        lag_table(archive_of(tmp_path, "fixed"), "other")
