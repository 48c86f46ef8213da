"""What `harness lineage` prints, from a lineage as it is found."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from harness.report.lineage import HISTORY, lineage_text
from harness.studies.lineage import VALUES, Lineage

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
