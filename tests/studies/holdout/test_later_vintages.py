"""A number that says it was known only past the cut is not let in under an earlier date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.core.errors import SealedError, UserError
from harness.data.archive import Archive
from harness.record.home import Home
from harness.studies.holdout.scope import refuse_later_vintages, scope_of
from tests.studies.holdout import made_holdouts as made
from tests.studies.holdout.made_holdouts import CUT_AT, END, instant, quarter

EARLY = [quarter(number) for number in (-6, -5, -4)]


def rows(known_at: Mapping[str, object]) -> pl.DataFrame:
    stamps = [instant(period + timedelta(days=40)) for period in EARLY]
    given = {"series_id": ["cpi"] * 3, "period": EARLY, "value": [77.125, 78.125, 79.125], "published_at": stamps}
    return pl.DataFrame({**given, "availability": ["rule"] * 3, **{name: [at] * 3 for name, at in known_at.items()}})


def test_values_of_a_later_vintage_are_refused_under_seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made.sealed(tmp_path)
    monkeypatch.setenv("HARNESS_KEYS", str(one.keys))
    archive = hs.Archive.open(one.home.archive)
    state = archive.state()
    with pytest.raises(SealedError, match="known only later") as refused:
        archive.append(rows({"value_known_at": END}), source="final")
    assert refused.value.value.startswith("3 row(s)")
    assert (archive.state(), made.kinds(one.home)[-1]) == (state, "refusal")
    assert "published_at of their vintage" in refused.value.fix
    late = rows({}).drop("availability").with_columns(published_at=pl.lit(END))
    assert archive.append(late, source="final").sealed == 3
    assert archive.append(rows({"value_known_at": CUT_AT - timedelta(days=1)}), source="known").kept == 3


def test_values_that_state_no_vintage_go_by_their_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made.sealed(tmp_path)
    monkeypatch.setenv("HARNESS_KEYS", str(one.keys))
    assert hs.Archive.open(one.home.archive).append(rows({}), source="pseudo real time").kept == 3


def test_a_day_before_stated_vintages_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    archive: Archive = made.filled(home)
    asked, changes = made.experiment(), archive.changes()
    refuse_later_vintages(scope_of([asked], CUT_AT.date(), archive, changes), changes)
    archive.append(rows({"value_known_at": END}), source="final")
    changes = archive.changes()
    with pytest.raises(UserError, match="known only later"):
        refuse_later_vintages(scope_of([asked], CUT_AT.date(), archive, changes), changes)
