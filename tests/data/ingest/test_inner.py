"""No door leads sealed rows into an archive in the clear, inner ones neither; and what a gate tells beside counts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.cli import main
from harness.core.errors import SealedError
from harness.data.archive import Archive
from harness.data.ingest import ingest
from harness.record.home import Home
from harness.record.ledger import entries
from tests.data.ingest.sealed_homes import CUT, Sealed, before, dataset, month_end, sealed_home
from tests.data.ingest.test_gate import EARLY, LATE, VALUES, frame_of, taken, under_seal

__all__ = ["under_seal"]
LATER = frame_of(VALUES.filter(pl.col("published").is_between(EARLY, LATE)))
AT = [date(2018, 6, 1), date(2019, 6, 1)]
BASE = {"series_id": ["made/cpi"] * 2, "period": [month_end(100)] * 2, "value": [1.0, 2.0]}
ISSUED = pl.DataFrame({**BASE, "issued_at": AT})
EVENTS = pl.DataFrame(
    {"series_id": ["made/cpi"] * 2, "kind": ["dividend"] * 2, "ex_date": AT, "value": [1.0, 2.0], "announced_at": AT}
)
MEMBERS = pl.DataFrame({"universe": ["all"] * 2, "series_id": ["made/cpi"] * 2, "from": AT, "announced_at": AT})
DOORS: dict[str, Callable[[Archive, int], object]] = {
    "values": lambda archive, first: archive.append(LATER[first : first + 2], source="desk"),
    "forecasts": lambda archive, first: archive.append_forecasts(ISSUED[first:], source="desk"),
    "events": lambda archive, first: archive.append_events(EVENTS[first:], source="desk"),
    "members": lambda archive, first: archive.append_members(MEMBERS[first:], source="desk"),
}


def refused(archive: Archive, door: str, first: int = 1) -> None:
    state = archive.state()
    with pytest.raises(SealedError, match="does not enter an archive in the clear"):
        DOORS[door](archive, first)
    assert archive.state() == state


@pytest.mark.parametrize("door", DOORS)
def test_the_inner_archive_takes_nothing_from_the_cut_on(door: str, under_seal: Sealed) -> None:
    archive = under_seal.archive
    refused(archive, door)
    assert entries(under_seal.home)[-1].kind == "refusal"
    with archive.together(), pytest.raises(SealedError):
        DOORS[door](archive, 1)
    if door != "values":
        refused(under_seal.archive, door, 0)  # not even beside rows from before it
        early = {"forecasts": ISSUED, "events": EVENTS, "members": MEMBERS}[door].head(1)
        assert getattr(under_seal.archive, f"append_{door}")(early, source="desk").kept == 1


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_an_archive_goes_by_its_own_list_when_the_vault_is_gone(door: str, under_seal: Sealed) -> None:
    shutil.rmtree(under_seal.home.vault)
    under_seal.home.ledger.unlink()
    refused(under_seal.archive, door)


def test_names_that_are_sealed_are_refused_whatever_their_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    taken(dataset(tmp_path, before(VALUES, EARLY)), home)
    made = sealed_home(home, tmp_path / "keys", monkeypatch, universes=("all",), sources=("desk",))
    made.archive.define(hs.Series("own/x", "M", zone="UTC"))
    for name, frame in (("append_forecasts", ISSUED), ("append_members", MEMBERS)):
        mine = frame.with_columns(series_id=pl.lit("own/x"))
        with pytest.raises(SealedError):
            getattr(made.archive, name)(mine, source="desk")
    assert made.archive.append_forecasts(ISSUED.with_columns(series_id=pl.lit("own/x")), source="else").kept == 2


def test_values_of_a_later_vintage_and_an_end_past_the_cut_do_not_enter_either(under_seal: Sealed) -> None:
    early = pl.DataFrame(
        {
            "series_id": ["made/cpi"],
            "period": [date(2011, 6, 30)],
            "value": [1.0],
            "published_at": [CUT - timedelta(days=900)],
            "availability": ["rule"],
        }
    )
    late = early.with_columns(value_known_at=pl.lit(CUT + timedelta(days=9)))
    with pytest.raises(SealedError):
        under_seal.archive.append(late, source="final")
    assert under_seal.archive.append(early, source="final", known_through=CUT + timedelta(days=300)).kept == 1
    assert under_seal.archive.known_through("made/cpi") < CUT  # type: ignore[operator]


def test_what_was_public_before_the_cut_of_later_periods_stays_readable_and_is_counted(
    tmp_path: Path, under_seal: Sealed, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pl.DataFrame(
        {
            "series_id": ["made/cpi"] * 3,
            "period": [date(2018, 12, 31), date(2019, 1, 31), date(2019, 2, 28)],
            "value": [1.0, 2.0, 3.0],
            "published_at": [date(2018, 12, 20)] * 3,
        }
    )
    report = hs.Archive.open(under_seal.home.archive).append(rows, source="early")
    assert (report.kept, report.sealed, report.ahead) == (3, 0, 2)
    told = rows.select(series=pl.lit("cpi"), period="period", value="value", published="published_at")
    more = before(VALUES, EARLY)
    folder = dataset(tmp_path, pl.concat([more, told.select(more.columns).cast(more.schema)]))
    assert main(["ingest", str(folder), "--home", str(under_seal.home.root)]) == 0
    assert "2 rows, public before the seal, of periods that end after it stay readable" in capsys.readouterr().out


def test_an_ingest_that_is_told_of_no_seals_goes_by_those_of_the_home(tmp_path: Path, under_seal: Sealed) -> None:
    folder = dataset(tmp_path, before(VALUES, LATE))
    report = ingest(folder, under_seal.archive, raw_dir=under_seal.home.raw, seals=())
    assert report.sealed
    assert list(under_seal.home.raw.iterdir()) == []
