"""Days of releases and closures past the cut leave the declarations with everything else, and come back with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.backtest.keys import known_digests, recipe_identity
from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.core.errors import SealedError, UserError
from harness.core.series import LagRule, Series
from harness.core.time import instant as instant_of
from harness.core.time import micros
from harness.data.archive import Archive
from harness.data.archive.covered import DECLARED
from harness.data.calendars import sessions_known
from harness.data.declaration import declared_by
from harness.data.declared_before import declared_before
from harness.data.ingest import ingest
from harness.experiment.sealing import seal_experiments
from harness.record.home import Home
from harness.record.ledger_check import verify_ledger
from harness.record.seals import Seal
from harness.report.sealing import sealing_text
from harness.studies.holdout.leaving import leaving
from harness.studies.holdout.locking import Lock
from tests.data.ingest import sealed_homes as homes
from tests.studies.holdout import made_holdouts as made
from tests.studies.holdout.made_holdouts import CUT_AT, MODEL, kinds, quarter

EXPERIMENT = """
schema = 1
name = "made"
question = "Is it?"
datasets = ["made"]
[target]
series = ["cpi"]
[origins]
every = "month end"
first = 2016-01-31
[horizons]
steps = [1]
[training]
minimum = 24
[models.ar]
kind = "autoregression"
"""
CUT = micros(homes.CUT)
ODD = "2019-02-23"
"""A release day of the calendar that is found nowhere else."""


def calendar(months: int = 96, *, odd: str = ODD) -> str:
    """A release calendar in a dataset file: 20 days after each month, but for one."""
    ends = [homes.month_end(number) for number in range(months)]
    days = [date.fromisoformat(odd) if end == date(2019, 1, 31) else end + timedelta(days=20) for end in ends]
    pairs = ", ".join(f"[{end}, {day}]" for end, day in zip(ends, days, strict=True))
    return f'[series.cpi]\nlag = {{ kind = "dates", dates = [{pairs}] }}\n'


def dated(root: Path, *, until: date = date(2019, 9, 1), odd: str = ODD) -> Path:
    """The dataset with a release calendar for one of its series, and values published by some day."""
    folder = homes.dataset(root, homes.before(homes.made_values(96), until))
    toml = folder / "dataset.toml"
    toml.write_text(toml.read_text().replace("[series.cpi]\n", calendar(odd=odd)))
    return folder


def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> homes.Sealed:
    home = Home(tmp_path / "home")
    home.root.mkdir()
    ingest(dated(tmp_path / "data"), hs.Archive.open(home.archive), raw_dir=home.raw)
    return homes.sealed_home(home, tmp_path / "keys", monkeypatch)


LISTED = LagRule("dates", dates=tuple((quarter(n), quarter(n) + timedelta(days=40)) for n in range(made.QUARTERS + 8)))
"""A release calendar of the small holdout, to years past its end."""


def found_in(home: Home, text: str) -> list[str]:
    return [one.name for one in home.root.rglob("*") if one.is_file() and text.encode() in one.read_bytes()]


def texts(one: homes.Sealed) -> str:
    return " ".join(str(series) for series in one.archive.series())


@pytest.mark.parametrize("at", [None, "08:30"])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_what_was_known_before_the_cut_is_left_as_it_was(zone: str, at: str | None) -> None:
    clock = None if at is None else datetime.strptime(at, "%H:%M").replace(tzinfo=UTC).time()
    days = [date(2018, 12, 1) + timedelta(days=number) for number in range(60)]
    pairs = tuple((homes.month_end(number), day) for number, day in enumerate(days))
    late = LagRule("calendar_days", n=3, at=clock, exceptions=pairs)
    listed = LagRule("dates", at=clock, dates=pairs)
    for lag in (late, listed):
        whole = Series("x", "M", zone=zone, lag=lag)
        clear = declared_before(whole, CUT)
        assert clear != whole
        assert declared_before(clear, CUT) == clear
        for hours in range(-200, 1, 10):
            known = CUT - 1 + hours * 3_600_000_000
            assert declared_by(clear, known) == declared_by(whole, known)
    assert declared_before(whole, CUT).lag.dates[-1] != pairs[-1]  # type: ignore[union-attr]


def test_an_exception_goes_where_the_rule_says_so_and_a_closure_that_was_announced_later() -> None:
    later = ((date(2018, 11, 30), date(2019, 3, 7)), (date(2019, 1, 31), date(2019, 4, 9)))
    known = (date(2012, 10, 29), "2012-10-28T20:00:00-04:00")
    series = Series(
        "x",
        "M",
        closures=(known, (date(2025, 1, 9), "2024-12-30")),
        lag=LagRule("calendar_days", n=5, exceptions=later),
    )
    clear = declared_before(series, CUT)
    assert clear.closures == (known,)
    assert clear.lag is not None
    assert clear.lag.exceptions == ((date(2018, 11, 30), date(2018, 12, 31)),)  # its end; else it would be due
    assert declared_before(replace(series, closures=(), lag=LagRule("calendar_days", n=5)), CUT).lag == replace(
        series.lag,
        exceptions=(),  # type: ignore[type-var]
    )


def test_the_sessions_of_development_do_not_hang_on_a_closure_that_is_sealed() -> None:
    said = [("2018-12-28", "2019-01-02"), ("2019-03-08", "2019-03-07"), ("2019-04-19", "2019-04-01")]
    whole = Series("x", "B", calendar="XNYS", closures=tuple((date.fromisoformat(day), told) for day, told in said))
    clear = declared_before(whole, CUT)
    assert [day.isoformat() for day, _ in clear.closures] == ["2018-12-28", "2019-04-19"]  # Good Friday is no session
    assert declared_before(clear, CUT) == clear
    for known in (CUT - 1, CUT - 10 * 86_400_000_000):
        assert sessions_known(clear, instant_of(known)).tolist() == sessions_known(whole, instant_of(known)).tolist()
    bare = replace(whole, closures=())
    assert sessions_known(bare, instant_of(CUT - 1)).tolist() != sessions_known(whole, instant_of(CUT - 1)).tolist()


def test_release_days_past_the_cut_are_in_the_vault_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    home.root.mkdir()
    ingest(dated(tmp_path / "data"), hs.Archive.open(home.archive), raw_dir=home.raw)
    was = homes.content(hs.Archive.open(home.archive))
    assert "archive.duckdb" in found_in(home, ODD)  # the search finds it where it is
    one = homes.sealed_home(home, tmp_path / "keys", monkeypatch)
    assert found_in(home, ODD) == []
    assert "datetime.date(2018, 12, 20)" in texts(one)
    assert "datetime.date(2019, 3, 20)" not in texts(one)
    assert len(one.vault.files(DECLARED)) == 1
    assert homes.content(one.opened()) == was


@pytest.mark.slow
def test_the_same_dataset_is_known_again_and_another_calendar_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sealed(tmp_path, monkeypatch)
    data = tmp_path / "data"
    state = one.archive.state()
    assert all(report.already for report in ingest(data / "made", one.archive, raw_dir=one.home.raw).sources)
    dated(data, until=date(2019, 12, 1))
    ingest(data / "made", one.archive, raw_dir=one.home.raw)
    assert one.archive.state() != state
    dated(data, odd="2019-02-24")
    with pytest.raises(UserError, match="declared differently") as refused:
        ingest(data / "made", one.archive, raw_dir=one.home.raw)
    assert "2019-02-24" not in str(refused.value)
    assert found_in(one.home, ODD) == found_in(one.home, "2019-02-24") == []


@pytest.mark.slow
def test_opened_it_is_the_archive_that_was_never_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of values without a date, which only the vault's calendar can date."""
    one = sealed(tmp_path, monkeypatch)
    other = Home(tmp_path / "other")
    other.root.mkdir()
    ingest(dated(tmp_path / "data"), hs.Archive.open(other.archive), raw_dir=other.raw)
    undated = pl.DataFrame(
        {"series_id": "made/cpi", "period": [homes.month_end(number) for number in (92, 93)], "value": [8.5, 9.0]}
    )
    pairs = ((date(2018, 9, 30), date(2018, 10, 5)), (date(2018, 12, 31), date(2019, 1, 9)))
    late = Series("made/late", "M", lag=LagRule("dates", dates=pairs))
    for home in (one.home, other):
        archive = hs.Archive.open(home.archive)
        archive.define(late)
        report = archive.append(undated, source="made: undated")
        assert report.sealed == (2 if home is one.home else 0)
    assert "2019-01-09" not in " ".join(str(series) for series in one.archive.series())
    assert found_in(one.home, "2019-01-09") == []
    assert found_in(other, "2019-01-09") != []
    truth, found = homes.content(hs.Archive.open(other.archive)), homes.content(one.opened())
    for table in ("changes", "publications", "series"):
        assert found[table] == truth[table]
    assert verify_ledger(one.home).reasons == ()


def test_the_inner_archive_takes_no_calendar_past_the_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = sealed(tmp_path, monkeypatch)
    pairs = ((date(2018, 9, 30), date(2018, 10, 5)), (date(2018, 12, 31), date(2019, 1, 9)))
    with pytest.raises(SealedError, match="does not enter an archive in the clear"):
        one.archive.define(Series("made/late", "M", lag=LagRule("dates", dates=pairs)))
    assert kinds(one.home)[-1] == "refusal"
    one.archive.define(Series("made/late", "M", lag=LagRule("dates", dates=pairs[:1])))
    one.archive.define(Series("elsewhere/late", "M", lag=LagRule("dates", dates=pairs)))


def test_cells_before_the_cut_keep_their_keys(tmp_path: Path) -> None:
    """Or an opening, which has the whole calendar, would not find those of development again."""
    whole = made.filled(Home(tmp_path / "whole"), lag=LISTED).changes()
    cut = {name: declared_before(one, micros(CUT_AT)) for name, one in whole.series.items()}
    early = replace(LISTED, dates=((quarter(0), quarter(0) + timedelta(days=39)), *LISTED.dates[1:]))
    other = {name: replace(one, lag=early) for name, one in whole.series.items()}

    def keys(declared: Mapping[str, Series]) -> list[str]:
        changes = replace(whole, series=declared)
        plan = build_plan(with_rivals(made.experiment()), changes)
        origins = [place for place, at in enumerate(plan.instants) if at < CUT_AT]
        return known_digests(recipe_identity(MODEL, plan.experiment), plan, changes, origins)

    found = keys(whole.series)
    assert cut["cpi"] != whole.series["cpi"]
    assert len(found) > 3
    assert keys(cut) == found
    assert set(keys(other)).isdisjoint(found)  # what was known then does count


def test_a_change_file_that_tells_days_past_the_cut_leaves(tmp_path: Path) -> None:
    seal = Seal("s1", CUT_AT.isoformat(), ("cpi",))
    early = made.values(quarters=20).filter(pl.col("series_id") == "cpi")
    for lag, leaves in ((LISTED, 1), (None, 0)):
        home = Home(tmp_path / f"home{leaves}")
        home.root.mkdir()
        archive = Archive.open(home.archive)
        archive.define(Series("cpi", "Q", zone="Europe/London", lag=lag))
        archive.append(early, source="made")
        archive.export(home.changes)
        assert len(leaving(home, archive, seal).paths["changes"]) == leaves


@pytest.mark.slow
def test_an_opening_finds_development_again(tmp_path: Path) -> None:
    one = made.sealed(tmp_path, lag=LISTED)
    one.run()
    ran = made.opened(one, made.planned(one))
    assert kinds(one.home)[-1] == "result"
    assert ran.files.folder.is_dir()


@pytest.mark.slow
def test_the_sealing_counts_declarations_and_names_the_file_they_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_KEYS", str(tmp_path / "keys"))
    dated(tmp_path / "datasets")
    (tmp_path / "experiments").mkdir()
    file = tmp_path / "experiments" / "made.toml"
    file.write_text(EXPERIMENT)
    home = Home(tmp_path / "home")
    done = seal_experiments([file], "2019-01-01", home, lock=Lock(keys=tmp_path / "keys"))
    assert "1 declarations" in sealing_text(done)
    assert str(tmp_path / "datasets" / "made" / "dataset.toml") in done.elsewhere
    assert found_in(home, ODD) == []
