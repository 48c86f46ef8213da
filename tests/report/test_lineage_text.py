"""What `harness lineage` prints, from a lineage as it is found."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from harness.report.lineage import HISTORY, lineage_text
from harness.studies.batches import VALUES, of_values
from harness.studies.lineage import Lineage

START = datetime(2020, 1, 1, tzinfo=UTC)


def value_row(number: int, of: str = "history") -> tuple[object, ...]:
    at = START + timedelta(days=number)
    return of, "made/cpi", date(2020, 1, 1) + timedelta(days=number), 100.0 + number, at, "observed", at, 1


def values(count: int) -> pl.DataFrame:
    rows = [*(value_row(number) for number in range(count)), value_row(count, "outcome")]
    return pl.DataFrame(rows, schema=VALUES, orient="row")


def test_a_long_history_is_cut_to_its_newest_values() -> None:
    printed = lineage_text(Lineage("run", {}, {"values": values(HISTORY + 12)}))
    assert f"the {HISTORY} newest of {HISTORY + 12} values" in printed
    assert "2020-01-20" in printed
    assert "2020-01-21" in printed  # the outcome
    assert "2020-01-12" not in printed


def test_origins_are_days_of_the_targets_zone_and_publications_instants() -> None:
    at = datetime(2023, 6, 30, 23, tzinfo=UTC)
    facts = {"fit": {"refit_origin": at, "last_label_published": at}}
    printed = lineage_text(Lineage("run", facts, {}, zone="Europe/London"))
    assert "refit_origin          2023-06-30\n" in printed
    assert "last_label_published  2023-06-30T23:00:00Z" in printed


def test_of_cleaning_only_what_concerns_the_values_used_is_kept_with_full_parameters() -> None:
    long = '{"action": "set aside", "series": ["' + '", "'.join(f"series_{n}" for n in range(20)) + '"]}'
    steps = pl.DataFrame({"batch": [1] * 3, "step": ["wild", "idle", "masked"], "parameters": [long, "-", "-"]})
    touched = pl.DataFrame(
        {
            "batch": [1] * 4,
            "step": ["wild", "wild", "idle", "masked"],
            "series": ["made/cpi", "made/cpi", "made/gdp", ""],
            "period": ["2020-01-02", "1999-01-01", "2020-01-02", ""],
        }
    )
    found = of_values({"cleaning": steps, "touched": touched}, values(3), values(0).filter(pl.col("of") == "none"))
    assert found["touched"]["period"].to_list() == ["2020-01-02"]
    assert found["cleaning"]["step"].to_list() == ["wild", "masked"]
    assert long in lineage_text(Lineage("run", {}, found))
