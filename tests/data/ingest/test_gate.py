"""What enters a home under seal: rows before the cut; the others into the vault, with counts alone in the clear."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.core.errors import DataError, SealedError
from harness.core.series import Series
from harness.core.time import micros
from harness.data.archive import Archive
from harness.data.dataset import load_dataset
from harness.data.ingest import IngestReport, ingest, lacks
from harness.record import clock
from harness.record.home import Home
from harness.record.ledger import entries
from harness.record.ledger_check import verify_ledger
from tests.data.ingest.sealed_homes import (
    ASSERTED,
    CUT,
    Sealed,
    before,
    content,
    dataset,
    made_values,
    month_end,
    sealed_home,
)

VALUES = made_values(100)
EARLY, LATE = date(2019, 3, 1), date(2020, 3, 1)


def taken(folder: Path, home: Home) -> IngestReport:
    return ingest(folder, Archive.open(home.archive), raw_dir=home.raw)


@pytest.fixture
def under_seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sealed:
    home = Home(tmp_path / "home")
    taken(dataset(tmp_path, before(VALUES, EARLY)), home)
    return sealed_home(home, tmp_path / "keys", monkeypatch)


@pytest.fixture
def never_sealed(tmp_path: Path) -> Home:
    home = Home(tmp_path / "never")
    taken(dataset(tmp_path / "same", before(VALUES, EARLY)), home)
    return home


def kinds(home: Home) -> list[str]:
    return [one.kind for one in entries(home)]


def test_rows_from_the_cut_on_go_into_the_vault_and_the_opening_has_all_of_them(
    tmp_path: Path, under_seal: Sealed, never_sealed: Home
) -> None:
    known = under_seal.archive.revisions("made/cpi")
    report = taken(dataset(tmp_path, before(VALUES, LATE)), under_seal.home)
    new = before(VALUES, LATE).filter(pl.col("published") >= EARLY).height
    assert report.sealed == before(VALUES, LATE).filter(pl.col("published") >= CUT.date()).height > new
    assert report.kept == 0
    assert under_seal.archive.revisions("made/cpi").equals(known)
    assert known["published_at"].max() < CUT  # type: ignore[operator]
    assert list(under_seal.home.raw.iterdir()) == []
    assert (tmp_path / "made" / "values.csv").read_bytes() in under_seal.read("raw")
    taken(dataset(tmp_path / "same", before(VALUES, LATE)), never_sealed)
    assert content(under_seal.opened()) == content(Archive.open(never_sealed.archive))
    assert under_seal.opened().state() == Archive.open(never_sealed.archive).state()
    assert not verify_ledger(under_seal.home).broken


def test_what_is_published_at_the_cut_itself_goes_into_the_vault(under_seal: Sealed) -> None:
    stamps = [CUT - timedelta(microseconds=1), CUT]
    periods = [date(2017, 10, 31), date(2017, 11, 30)]
    rows = pl.DataFrame({"series_id": ["made/cpi"] * 2, "period": periods, "published_at": stamps, "value": [1.0, 2.0]})
    report = hs.Archive.open(under_seal.home.archive).append(rows, source="desk")
    assert (report.kept, report.sealed) == (1, 1)
    assert under_seal.archive.revisions("made/cpi")["published_at"].max() == stamps[0]


def test_rows_set_aside_beside_sealed_ones_are_recorded_once(under_seal: Sealed) -> None:
    archive = hs.Archive.open(under_seal.home.archive)
    archive.define(Series("own/x", "M", zone="UTC"))
    given = pl.DataFrame(
        {
            "series_id": ["made/cpi", "own/x"],
            "period": [date(2019, 1, 31), date(2019, 1, 31)],
            "published_at": [date(2019, 3, 1), date(9000, 1, 1)],
            "value": [1.0, 2.0],
        }
    )
    report = archive.append(given, source="desk")
    assert (report.sealed, report.set_aside) == (1, 1)
    was, told = archive.state(), len(entries(under_seal.home))
    assert archive.append(given, source="desk").batch == 0
    assert (archive.state(), len(entries(under_seal.home)), archive.set_aside().height) == (was, told, 1)


@pytest.mark.slow
@pytest.mark.parametrize("end", [EARLY, LATE])
@pytest.mark.parametrize("change", ["a row gone", "written otherwise"])
def test_a_file_that_brings_nothing_new_is_recorded_once(
    end: date, change: str, tmp_path: Path, under_seal: Sealed, never_sealed: Home
) -> None:
    values = before(VALUES, end)
    for root, home in ((tmp_path, under_seal.home), (tmp_path / "same", never_sealed)):
        folder = dataset(root, values, name="made")
        assert taken(folder, home).already is (end == EARLY)
        if change == "a row gone":
            dataset(root, values.sort("published", maintain_order=True)[:-1])
        else:
            with (folder / "values.csv").open("a") as file:
                file.write("\n")
        assert lacks(Archive.open(home.archive), load_dataset(folder))
        report = taken(folder, home)
        assert (report.already, report.kept) == (False, 0)
        assert not lacks(Archive.open(home.archive), load_dataset(folder))
        assert taken(folder, home).already
    assert content(under_seal.opened()) == content(Archive.open(never_sealed.archive))
    assert under_seal.opened().state() == Archive.open(never_sealed.archive).state()


@pytest.mark.slow
def test_a_list_that_lost_rows_is_read_in_once_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = dataset(tmp_path, before(VALUES, EARLY), more='[[events]]\nfile = "events.csv"\n')
    lines = ["series,kind,ex_date,value,announced_at"]
    lines += [f"cpi,dividend,{year}-06-01,1.5,{year}-05-01" for year in (2016, 2017, 2018, 2019)]
    homes = Home(tmp_path / "home"), Home(tmp_path / "never")
    made: Sealed | None = None
    for left in (5, 4, 3, 2):
        (folder / "events.csv").write_text("\n".join(lines[:left]) + "\n")
        for home in homes:
            # under seal nobody can tell what of a list lies in the vault already
            brings = left == 5 or home is homes[0]
            assert lacks(Archive.open(home.archive), load_dataset(folder)) is brings
            assert taken(folder, home).already is not brings
            assert not lacks(Archive.open(home.archive), load_dataset(folder))
            assert taken(folder, home).already
        made = made or sealed_home(homes[0], tmp_path / "keys", monkeypatch)
    assert made is not None
    assert content(made.opened()) == content(Archive.open(homes[1].archive))


@pytest.mark.slow
def test_a_series_without_any_value_is_not_lacking_with_or_without_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = '[[source]]\nfile = "wide.csv"\nlayout = "wide"\nseries = ["other", "idle"]\n'
    folder, home = dataset(tmp_path, before(VALUES, EARLY), more=more), Home(tmp_path / "home")
    toml = (folder / "dataset.toml").read_text().replace('"values.csv"', '"values.csv"\nseries = ["cpi", "rate"]')
    ruled = '[series.{}]\nlag = {{ kind = "calendar_days", n = 9 }}\n'
    (folder / "dataset.toml").write_text(
        toml.replace("[series.cpi]", ruled.format("other") + ruled.format("idle") + "[series.cpi]")
    )
    (folder / "wide.csv").write_text("period,other,idle\n2018-01-31,1,\n2019-01-31,1,\n")
    taken(folder, home)
    made = sealed_home(home, tmp_path / "keys", monkeypatch)
    assert "made/idle" not in made.archive.ingested()
    assert not lacks(made.archive, load_dataset(folder))
    (made.keys / "s1.signing").unlink()
    assert not lacks(made.archive, load_dataset(folder))
    # a source that an ingest never came to is
    with (folder / "dataset.toml").open("a") as file:
        file.write(f'[[source]]\nfile = "new.csv"\nlayout = "wide"\nseries = ["new"]\n{ruled.format("new")}')
    (folder / "new.csv").write_text("period,new\n2018-01-31,1\n")
    made.archive.define(*load_dataset(folder).series)
    assert lacks(made.archive, load_dataset(folder))


@pytest.mark.slow
def test_the_same_again_changes_nothing(tmp_path: Path, under_seal: Sealed) -> None:
    folder = dataset(tmp_path, before(VALUES, EARLY))
    assert not lacks(under_seal.archive, load_dataset(folder))
    was = under_seal.archive.state()
    assert taken(folder, under_seal.home).already
    folder = dataset(tmp_path, before(VALUES, LATE))
    assert lacks(under_seal.archive, load_dataset(folder))
    taken(folder, under_seal.home)
    now, told, files = under_seal.archive.state(), len(entries(under_seal.home)), len(under_seal.vault.files())
    assert now != was
    assert not lacks(under_seal.archive, load_dataset(folder))
    report = taken(folder, under_seal.home)
    assert report.already
    assert report.sealed == 0
    assert (under_seal.archive.state(), len(entries(under_seal.home)), len(under_seal.vault.files())) == (
        now,
        told,
        files,
    )


def frame_of(values: pl.DataFrame, name: str = "made/cpi") -> pl.DataFrame:
    mine = values.filter(pl.col("series") == "cpi")
    return mine.select(pl.lit(name).alias("series_id"), "period", pl.col("published").alias("published_at"), "value")


@pytest.mark.slow
def test_what_users_append_passes_the_gate_and_is_found_again(under_seal: Sealed) -> None:
    archive = hs.Archive.open(under_seal.home.archive)
    late = frame_of(VALUES.filter(pl.col("published").is_between(EARLY, LATE)))
    report = archive.append(late, source="desk")
    assert (report.rows_in, report.kept, report.sealed) == (0, 0, late.height)
    assert archive.append(late, source="desk").batch == 0
    assert archive.append(late.to_pandas(), source="desk").batch == 0
    assert kinds(under_seal.home).count("batch") == 1
    assert archive.known_through("made/cpi") < CUT  # type: ignore[operator]
    found = under_seal.opened().revisions("made/cpi")
    assert found.filter(pl.col("published_at") >= CUT).height >= late.height


@pytest.mark.slow
def test_forecasts_events_and_members_are_parted_by_the_instant_they_were_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    taken(dataset(tmp_path, before(VALUES, EARLY)), home)
    made = sealed_home(home, tmp_path / "keys", monkeypatch, universes=("all",), sources=("bank",))
    archive = hs.Archive.open(home.archive)
    archive.define(Series("own/x", "M", zone="UTC"))
    at = [date(2018, 6, 1), date(2019, 6, 1)]
    base = {"series_id": ["made/cpi"] * 2, "period": [month_end(100)] * 2, "value": [1.0, 2.0]}
    issued = pl.DataFrame({**base, "issued_at": at})
    assert archive.append_forecasts(issued, source="other").sealed == 1
    other = issued.with_columns(series_id=pl.lit("own/x"))
    assert archive.append_forecasts(other, source="other").sealed == 0
    assert archive.append_forecasts(other, source="bank").sealed == 1
    events = pl.DataFrame(
        {
            "series_id": ["made/cpi"] * 2,
            "kind": ["dividend"] * 2,
            "ex_date": at,
            "value": [1.0, 2.0],
            "announced_at": at,
        }
    )
    assert archive.append_events(events, source="desk").sealed == 1
    assert archive.append_events(events, source="desk").batch == 0
    assert archive.append_events(events.tail(1), source="desk").sealed == 1
    members = pl.DataFrame(
        {"universe": ["all"] * 2, "series_id": ["made/cpi", "own/x"], "from": at, "announced_at": at}
    )
    assert archive.append_members(members, source="desk").sealed == 1
    whole = content(made.opened())
    assert [len(whole[name]) for name in ("forecasts_in", "events", "members")] == [6, 2, 2]
    clear = content(made.archive)
    assert [len(clear[name]) for name in ("forecasts_in", "events", "members")] == [4, 1, 1]


def test_what_was_taken_before_the_seal_is_not_sealed_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    taken(dataset(tmp_path, before(VALUES, EARLY)), home)
    more = frame_of(VALUES.filter(pl.col("published").is_between(EARLY, LATE)))
    issued = more.rename({"published_at": "issued_at"})
    Archive.open(home.archive).append(more, source="desk")
    Archive.open(home.archive).append_forecasts(issued, source="bank")
    made = sealed_home(home, tmp_path / "keys", monkeypatch)
    state = made.archive.state()
    archive = hs.Archive.open(home.archive)
    assert archive.append(more, source="desk").batch == archive.append_forecasts(issued, source="bank").batch == 0
    assert (archive.state(), kinds(home)) == (state, ["sealing", "seal"])


def test_a_series_added_to_a_sealed_dataset_is_sealed_too(tmp_path: Path, under_seal: Sealed) -> None:
    archive = hs.Archive.open(under_seal.home.archive)
    archive.define(Series("made/new", "M", zone="UTC"))
    random = made_values(100, seed=9).filter(pl.col("series") == "rate").with_columns(series=pl.lit("cpi"))
    report = archive.append(frame_of(random, "made/new"), source="desk")
    assert report.sealed == random.filter(pl.col("published") >= CUT.date()).height > 0
    assert archive.revisions("made/new")["published_at"].max() < CUT  # type: ignore[operator]
    assert archive.known_through("made/new") < CUT  # type: ignore[operator]


def test_a_series_that_first_came_out_after_the_cut_leaves_nothing_but_counts(under_seal: Sealed) -> None:
    archive = hs.Archive.open(under_seal.home.archive)
    archive.define(Series("made/new", "M", zone="UTC"))
    late = frame_of(made_values(100, seed=9).filter(pl.col("published") > EARLY), "made/new")
    assert archive.append(late, source="desk").kept == 0
    assert archive.revisions("made/new").is_empty()
    assert archive.batches()["source"].to_list()[-1] == "desk"
    assert under_seal.opened().revisions("made/new").height > 0


def test_an_assertion_that_refuses_sealed_rows_tells_counts_and_the_vault_the_rest(
    tmp_path: Path, under_seal: Sealed
) -> None:
    odd = before(VALUES, LATE).with_columns(
        value=pl.when(pl.col("published") > EARLY).then(pl.lit(987654.25)).otherwise("value")
    )
    folder = dataset(tmp_path, odd, more=ASSERTED.format(most=500.0, severity="refuse"))
    state = under_seal.archive.state()
    with pytest.raises(DataError) as caught:
        taken(folder, under_seal.home)
    rows = odd.filter(pl.col("value") > 500).height
    assert f"in range: failed on {rows} row(s)" in str(caught.value)
    assert "987654" not in str(caught.value)
    assert any(b"987654.25" in one for one in under_seal.read("refused"))
    assert any(f"in range: failed on {rows} row(s)" in one for one in under_seal.archive.refusals()["reason"])
    assert under_seal.archive.refused_assertions()["failed"].to_list() == [rows]
    assert under_seal.archive.refused_failures().is_empty()
    assert under_seal.archive.state() == state
    assert list(under_seal.home.raw.iterdir()) == []


@pytest.mark.slow
def test_cleaning_records_of_sealed_rows_lie_in_the_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = ASSERTED.format(most=110.0, severity="set aside")
    home, never = Home(tmp_path / "home"), Home(tmp_path / "never")
    for one in (home, never):
        taken(dataset(tmp_path, before(VALUES, EARLY), more=more), one)
    made = sealed_home(home, tmp_path / "keys", monkeypatch)
    for one in (home, never):
        taken(dataset(tmp_path, before(VALUES, LATE), more=more), one)
    high = before(VALUES, LATE).filter(pl.col("value") > 110)
    late = high.filter(pl.col("published") >= CUT.date())["value"].to_list()
    early = high.filter(pl.col("published") < CUT.date())["value"].to_list()
    assert late
    assert early
    clear = made.archive
    assert set(clear.set_aside()["value"]) == set(clear.failures()["before"].cast(pl.Float64)) == set(early)
    whole = content(Archive.open(never.archive))
    assert set(late) <= {row[4] for row in whole["set_aside"]}
    assert content(made.opened()) == whole


@pytest.mark.slow
def test_assertions_on_lists_are_parted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = """
[[events]]
file = "events.csv"
[[events.assert]]
name = "small"
kind = "range"
most = 5.0
severity = "set aside"
"""
    folder = dataset(tmp_path, before(VALUES, EARLY), more=declared)
    head = "series,kind,ex_date,value,announced_at\n"
    first = "cpi,dividend,2018-06-01,7.125,2018-05-01\nrate,dividend,2018-06-01,1.5,2018-05-01\n"
    (folder / "events.csv").write_text(head + first)
    home, never = Home(tmp_path / "home"), Home(tmp_path / "never")
    for one in (home, never):
        taken(folder, one)
    made = sealed_home(home, tmp_path / "keys", monkeypatch)
    assert not lacks(made.archive, load_dataset(folder))
    later = "cpi,dividend,2019-06-01,8.375,2019-05-01\nrate,dividend,2019-07-01,2.5,2019-06-01\n"
    (folder / "events.csv").write_text(head + first + later)
    assert lacks(made.archive, load_dataset(folder))
    for one in (home, never):
        taken(folder, one)
    assert not lacks(made.archive, load_dataset(folder))
    assert set(made.archive.set_aside()["value"]) == {7.125}
    assert content(made.opened()) == content(Archive.open(never.archive))


def test_a_home_without_a_vault_is_filled_as_ever(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    report = taken(dataset(tmp_path, before(VALUES, LATE)), home)
    assert (report.sealed, report.kept) == (0, before(VALUES, LATE).height)
    assert not home.ledger.exists()
    archive = hs.Archive.open(home.archive)
    archive.define(Series("own/x", "M", zone="UTC"))
    assert archive.append(frame_of(VALUES.head(10), "own/x"), source="desk").sealed == 0


def test_a_prepared_run_reads_the_whole_committed_file_and_nothing_sealed_enters(
    tmp_path: Path, under_seal: Sealed
) -> None:
    folder = dataset(tmp_path, before(VALUES, EARLY))
    assert not lacks(under_seal.archive, load_dataset(folder))
    (under_seal.keys / "s1.signing").unlink()
    assert not lacks(under_seal.archive, load_dataset(folder))


def test_without_the_signing_key_nothing_can_be_sealed_so_nothing_is_taken(tmp_path: Path, under_seal: Sealed) -> None:
    (under_seal.keys / "s1.signing").unlink()
    state = under_seal.archive.state()
    with pytest.raises(SealedError, match="the key that signs the vault of this dataset is not here"):
        taken(dataset(tmp_path, before(VALUES, LATE)), under_seal.home)
    assert under_seal.archive.state() == state
    assert kinds(under_seal.home)[-1] == "refusal"


def test_an_archive_of_an_audit_is_filled_without_what_is_sealed(tmp_path: Path, under_seal: Sealed) -> None:
    other = Home(tmp_path / "scratch")
    archive = Archive.open(other.archive)
    ingest(dataset(tmp_path, before(VALUES, LATE)), archive, raw_dir=other.raw, seals=(under_seal.seal,))
    assert archive.revisions("made/cpi").equals(under_seal.archive.revisions("made/cpi"))
    assert not other.raw.exists()
    assert (
        archive.known_through("made/cpi")
        == under_seal.archive.known_through("made/cpi")
        == CUT - timedelta(microseconds=1)
    )


DESK = '[forecasts]\nfile = "forecasts.csv"\n[forecasts.issuers.desk]\n'
ISSUED = "source,series,issued_at,period,value\n"


@pytest.mark.slow
def test_forecasts_of_which_the_vault_has_all_that_is_new_leave_nothing_else_at_the_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dataset(tmp_path, before(VALUES, EARLY), more=DESK)
    rows = [f"desk,cpi,201{y}-0{m}-15,201{y}-12-31,{y}{m}.5\n" for y in (7, 8, 9) for m in (3, 6)]
    homes = Home(tmp_path / "home"), Home(tmp_path / "never")
    made: Sealed | None = None
    for mine in (rows[:4], rows[:5], rows[:4], rows[1:5], rows):
        (folder / "forecasts.csv").write_text(ISSUED + "".join(mine))
        for home in homes:
            taken(folder, home)
            assert not lacks(Archive.open(home.archive), load_dataset(folder))
            assert taken(folder, home).already
        made = made or sealed_home(homes[0], tmp_path / "keys", monkeypatch, sources=("desk",))
        assert content(made.opened()) == content(Archive.open(homes[1].archive))
        assert made.opened().state() == Archive.open(homes[1].archive).state()


@pytest.mark.slow
@pytest.mark.parametrize("early", [True, False])
def test_rows_in_the_clear_of_a_list_under_seal_enter_once_when_they_are_past(
    early: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataset(tmp_path, before(VALUES, EARLY), name="free", more=f"{DESK}[forecasts.issuers.bank]\n")
    later = datetime.now(UTC) + timedelta(days=5)
    rows = f"{ISSUED}desk,cpi,2017-03-15,2017-12-31,1.5\nbank,cpi,2017-03-15,2017-12-31,2.5\n"
    due = f"bank,cpi,{later:%Y-%m-%d},{later.year}-12-31,3.5\n"
    home = Home(tmp_path / "home")
    (other / "forecasts.csv").write_text(rows + due if early else rows)
    taken(dataset(tmp_path, before(VALUES, EARLY).with_columns(value=pl.col("value") * 2 + 1)), home)
    taken(other, home)
    for file in home.raw.iterdir():  # else all of them would be kept as files of the sealed dataset
        file.unlink()
    made = sealed_home(home, tmp_path / "keys", monkeypatch, sources=("desk",))
    (other / "forecasts.csv").write_text(rows + due)
    assert lacks(made.archive, load_dataset(other)) is not early
    taken(other, home)
    assert not lacks(made.archive, load_dataset(other))
    monkeypatch.setattr(clock, "now", lambda: micros(later + timedelta(days=2)))
    assert lacks(made.archive, load_dataset(other))
    assert taken(other, home).kept == 1
    assert not lacks(made.archive, load_dataset(other))
    assert taken(other, home).already
