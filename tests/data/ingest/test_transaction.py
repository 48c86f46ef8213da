"""A dataset under seal comes in as one transaction with the vault: lists, assertions, hashed names, refusals too."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.core.errors import DataError, SealedError, UserError
from harness.core.series import Series
from harness.core.time import micros
from harness.data.archive import Archive, books
from harness.data.archive.store import query
from harness.data.cleaning.notes import Notes, Treated
from harness.data.dataset import load_dataset
from harness.data.ingest import lacks, vaults
from harness.data.vault.files import Vault
from harness.record.home import Home
from harness.record.ledger import entries
from harness.record.ledger_check import verify_ledger
from harness.studies.holdout.leaving import remove_scratch
from harness.studies.holdout.open import opened_archive
from tests.data.ingest.sealed_homes import ASSERTED, CUT, Sealed, before, content, dataset, made_values, sealed_home
from tests.data.ingest.test_gate import frame_of, taken
from tests.data.ingest.test_stopped import StoppedError, in_the_clear, stop_at

VALUES = made_values(100)
EARLY, LATE = date(2019, 3, 1), date(2020, 3, 1)
NAME = "Ann Example"
LISTS = """
[[source.clean]]
kind = "deidentify"
columns = ["client"]
key_env = "MADE_NAMES_KEY"

[forecasts]
file = "forecasts.csv"
[forecasts.issuers.bank]
series = ["cpi"]
[[forecasts.assert]]
kind = "range"
most = 900.0
severity = "set aside"

[[events]]
file = "events.csv"
[[events.assert]]
kind = "range"
most = 5.0
severity = "set aside"

[[members]]
file = "members.csv"
[[members.assert]]
kind = "monotone"
severity = "warn"
"""
ISSUED = (date(2018, 6, 1), date(2019, 2, 1), date(2019, 6, 1), date(2019, 9, 1))


def everything(root: Path, end: date, *, forecast: float = 101.5) -> Path:
    """The dataset with lists and names, as far as it was known on a day."""
    folder = dataset(root, before(VALUES, end).with_columns(client=pl.lit(NAME)), more=LISTS)
    days = [day for day in ISSUED if day < end]
    tables = {
        "forecasts.csv": ["source,series,issued_at,period,value", f"bank,cpi,2018-05-01,2020-01-31,{forecast}"]
        + [f"bank,cpi,{day},2020-01-31,{number + 102.125}\nbank,cpi,{day},2020-02-29,{number + 987.625}"
           for number, day in enumerate(days)],
        "events.csv": ["series,kind,ex_date,value,announced_at"]
        + [f"cpi,dividend,{day},{number + 1.375},{day}\nrate,dividend,{day},{number + 76.875},{day}"
           for number, day in enumerate(days)],
        "members.csv": ["universe,series,from,to,announced_at"]
        + [f"all,cpi,{day.replace(day=2)},{day.replace(day=20)},{day}" for day in days],
    }  # fmt: skip
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def whole(archive: Archive) -> dict[str, list[tuple[object, ...]]]:
    """All an archive holds, the files it names included."""
    with archive.store.reading() as connection:
        files = {name: query(connection, f"SELECT * FROM {name} ORDER BY ALL") for name in ("raw_files", "originals")}
    return {**content(archive), **{name: frame.rows() for name, frame in files.items()}}


@pytest.fixture(autouse=True)
def _names_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADE_NAMES_KEY", "a key for names that are made")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sealed, Home]:
    """A home under seal before an ingest, and one that was never sealed after it."""
    root = tmp_path_factory.mktemp("story")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_NAMES_KEY", "a key for names that are made")
        home, never = Home(root / "home"), Home(root / "never")
        for one in (home, never):
            taken(everything(root, EARLY), one)
        made = sealed_home(home, root / "keys", patch, universes=("all",), sources=("bank",))
        taken(everything(root, LATE), never)
    return made, never


@pytest.fixture
def mine(story: tuple[Sealed, Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sealed:
    """A copy of that home."""
    made, _ = story
    monkeypatch.setenv("HARNESS_KEYS", str(made.keys))
    shutil.copytree(made.home.root, tmp_path / "home")
    return Sealed(Home(tmp_path / "home"), made.keys, made.seal)


def marks_in_the_clear(home: Home) -> list[str]:
    """Files of a home that hold a name, or a value of a list or of its cleaning that came out from the cut on."""
    marks = [
        NAME.encode(),
        *(f"{number + part}".encode() for number in (1, 2, 3) for part in (102.125, 987.625, 76.875)),
    ]
    files = [path for path in sorted(home.root.rglob("*")) if path.is_file() and path.suffix != ".age"]
    found = [str(path.relative_to(home.root)) for path in files if any(mark in path.read_bytes() for mark in marks)]
    return [*found, *in_the_clear(home, VALUES)]


@pytest.mark.slow
def test_every_table_of_a_dataset_is_opened_as_if_it_had_never_been_sealed(
    tmp_path: Path, mine: Sealed, story: tuple[Sealed, Home]
) -> None:
    folder = everything(tmp_path, LATE)
    assert lacks(mine.archive, load_dataset(folder))
    report = taken(folder, mine.home)
    assert [one.sealed > 0 for one in report.sources] == [True] * 4
    assert not lacks(mine.archive, load_dataset(folder))
    assert marks_in_the_clear(mine.home) == []
    assert whole(mine.opened()) == whole(Archive.open(story[1].archive))
    assert mine.opened().state() == Archive.open(story[1].archive).state()
    clear = mine.archive
    assert {row["value"] for row in clear.set_aside().iter_rows(named=True)} == {987.625, 76.875}
    state, files = clear.state(), len(mine.vault.files())
    assert taken(folder, mine.home).already
    assert (mine.archive.state(), len(mine.vault.files())) == (state, files)


@pytest.mark.slow
def test_the_search_for_marks_finds_them_in_a_home_that_was_never_sealed(story: tuple[Sealed, Home]) -> None:
    found = marks_in_the_clear(story[1])
    assert "archive.duckdb" in found
    assert any(one.startswith("raw/") for one in found)


@pytest.mark.slow
def test_the_vault_gets_hashes_in_the_place_of_names(tmp_path: Path, mine: Sealed) -> None:
    folder = everything(tmp_path, LATE)
    taken(folder, mine.home)
    given = hashlib.sha256((folder / "values.csv").read_bytes()).hexdigest()
    kept = mine.read("raw")
    assert any(b"series,period,value,published" in one for one in kept)
    for one in (*kept, *mine.read("batch")):
        assert NAME.encode() not in one
    hashes = set().union(*mine.archive.originals().values())
    assert given not in hashes
    assert len(hashes) == 2  # of the file before the seal, and a keyed one
    assert given in set().union(*mine.opened().originals().values())


def test_a_file_with_names_is_recognised_after_the_seal(
    tmp_path: Path, mine: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = everything(tmp_path, LATE)
    taken(folder, mine.home)
    other = dataset(tmp_path, before(VALUES, LATE).with_columns(client=pl.lit(NAME)), name="other")
    with pytest.raises(SealedError, match="a sealed one under another name: other"):
        taken(other, mine.home)
    monkeypatch.setenv("MADE_NAMES_KEY", "another key for the same names")
    with pytest.raises(UserError, match="ingested under another description"):
        taken(folder, mine.home)


@pytest.mark.slow
def test_an_ingest_that_is_refused_at_its_end_leaves_no_batch_in_the_vault(
    tmp_path: Path, mine: Sealed, story: tuple[Sealed, Home]
) -> None:
    state, batches = mine.archive.state(), len(mine.vault.files("batch"))
    with pytest.raises(DataError):
        taken(everything(tmp_path, LATE, forecast=105.25), mine.home)  # another value of an old forecast
    assert (mine.archive.state(), len(mine.vault.files("batch"))) == (state, batches)
    refused = mine.archive.refusals().row(0, named=True)
    assert refused["source"].startswith("made: forecasts.csv [")
    assert refused["sha256"] != hashlib.sha256((tmp_path / "made" / "forecasts.csv").read_bytes()).hexdigest()
    assert marks_in_the_clear(mine.home) == []
    taken(everything(tmp_path, LATE), mine.home)
    assert whole(mine.opened()) == whole(Archive.open(story[1].archive))


STOPS = [
    pytest.param(point, id=f"{point[1]}-{point[2]}-{'after' if point[3] else 'before'}", marks=marks)
    for point, marks in (
        ((Vault, "add", 5, True), ()),  # the first batch is in the vault, and the ledger has not heard of it
        ((vaults, "enter", 6, True), pytest.mark.slow),  # two batches of four are entered
        ((books, "insert", 9, True), pytest.mark.slow),
        ((vaults, "enter", 8, True), pytest.mark.slow),  # all are entered, and the archive has not committed
        ((Vault, "add", 1, False), pytest.mark.slow),
        ((Vault, "add", 4, True), pytest.mark.slow),
        ((vaults, "enter", 5, False), pytest.mark.slow),
        ((Vault, "add", 8, True), pytest.mark.slow),
        ((Archive, "define", 1, True), pytest.mark.slow),
        ((books, "insert", 1, False), pytest.mark.slow),
    )
]


@pytest.mark.slow
@pytest.mark.parametrize("point", STOPS)
def test_stopped_anywhere_and_repeated_it_ends_the_same(
    tmp_path: Path, mine: Sealed, story: tuple[Sealed, Home], point: tuple[object, str, int, bool]
) -> None:
    folder, state = everything(tmp_path, LATE), mine.archive.state()
    owner, name, call, after = point
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, owner, name, call, after=after)
        with pytest.raises(StoppedError):
            taken(folder, mine.home)
    assert mine.archive.state() == state
    before_that = whole(mine.opened())
    claimed = opened_archive(mine.home, [mine.vault.seal], {mine.seal.id: mine.identity()})
    assert whole(claimed) == before_that  # batches of which the archive knows nothing are passed over
    taken(folder, mine.home)
    assert whole(mine.opened()) == whole(Archive.open(story[1].archive))
    assert marks_in_the_clear(mine.home) == []
    assert not verify_ledger(mine.home).broken
    keys = [one.facts["key"] for one in mine.vault.files() if "key" in one.facts]
    assert len(keys) == len(set(keys)) == 8  # four files and four batches


def test_a_refusal_is_told_in_counts_and_the_vault_has_the_rows(tmp_path: Path, mine: Sealed) -> None:
    odd = before(VALUES, LATE).with_columns(
        client=pl.lit(NAME), value=pl.when(pl.col("published") > EARLY).then(pl.lit(987654.25)).otherwise("value")
    )
    more = LISTS.replace("[forecasts]", ASSERTED.format(most=500.0, severity="refuse") + "\n[forecasts]", 1)
    folder = everything(tmp_path, LATE)
    dataset(tmp_path, odd, more=more)
    for _ in range(2):
        with pytest.raises(UserError):
            taken(folder, mine.home)
    archive, files = mine.archive, mine.vault.files("refused")
    assert archive.refusals()["refusal"].to_list() == [1, 1]
    row = archive.refusals().row(0, named=True)
    assert "in range: failed on" in row["reason"]
    assert archive.refused_failures().is_empty()
    assert archive.refused_assertions()["hash"].to_list() == [""]
    told = json.loads(mine.read("refused")[0])
    assert len(files) == 1
    assert told["tables"]["failures"][0]["before"] == "987654.25"
    assert told["sha256"] != row["sha256"]
    for path in mine.home.root.rglob("*"):
        if path.is_file():
            assert b"987654.25" not in path.read_bytes()
            assert told["sha256"].encode() not in path.read_bytes()


def test_refusals_from_before_and_after_a_seal_stay_apart_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    strict = ASSERTED.format(most=100.5, severity="refuse")
    taken(dataset(tmp_path, before(VALUES, EARLY)), home)
    with pytest.raises(DataError):
        taken(dataset(tmp_path, before(VALUES, EARLY).filter(pl.col("value") > 101), more=strict), home)
    failed = Archive.open(home.archive).refused_failures().height
    assert failed
    made = sealed_home(home, tmp_path / "keys", monkeypatch)
    assert made.archive.refusals().is_empty()
    assert made.archive.refused_failures().is_empty()
    with pytest.raises(DataError):
        taken(dataset(tmp_path, before(VALUES, LATE).filter(pl.col("value") > 101), more=strict), home)
    assert made.archive.refusals()["refusal"].to_list() == [1]
    found = made.opened()
    assert (
        sorted(found.refusals()["refusal"].to_list())
        == sorted(found.refused_assertions()["refusal"].to_list())
        == [1, 2]
    )
    assert found.refused_failures()["refusal"].to_list() == [1] * failed


@pytest.mark.slow
def test_corrected_stamps_before_the_cut_are_a_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    taken(dataset(tmp_path, before(VALUES, EARLY)), home)
    made = sealed_home(home, tmp_path / "keys", monkeypatch)
    late = before(VALUES, LATE)
    day = late.filter(pl.col("published") < CUT.date())["published"].max()
    assert isinstance(day, date)
    moved = pl.when(pl.col("published") == day).then(pl.col("published").dt.offset_by("-1d")).otherwise("published")
    report = taken(dataset(tmp_path, late.with_columns(published=moved)), home)
    assert report.sources[0].restamped == late.filter(pl.col("published") == day).height
    told = json.loads(made.archive.batches()["cleaning"].to_list()[-1])
    assert told["restamped"] == report.sources[0].restamped
    assert set(told) == {"duplicates", "set_aside", "restamped", "sealed"}
    assert in_the_clear(home, VALUES) == []


@pytest.mark.slow
def test_several_appends_of_a_user_are_one_transaction_with_the_vault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    taken(dataset(tmp_path, before(VALUES, EARLY)), home)
    made = sealed_home(home, tmp_path / "keys", monkeypatch)
    archive, more = hs.Archive.open(home.archive), frame_of(VALUES.filter(pl.col("published") > EARLY))
    told = len(entries(home))

    def half_wrong() -> None:
        with archive.together():
            archive.append(more, source="desk")
            archive.append(more, source="desk", known_through=date(2013, 1, 1))

    with pytest.raises(DataError, match="known_through"):
        half_wrong()
    assert made.vault.files("batch") == ()
    assert len(entries(home)) == told
    with archive.together():
        archive.append(more.head(10), source="desk")
        archive.append(more, source="desk")
        assert made.vault.files("batch") == ()
    assert len(made.vault.files("batch")) == 2
    assert made.opened().revisions("made/cpi").filter(pl.col("published_at") >= CUT).height >= more.height


def record_of(series: str, value: float) -> Treated:
    """A record in which a value was set aside, published after the cut."""
    notes, at = Notes(), micros(CUT) + 10**12
    rows = pl.DataFrame({"line": [2], "series_id": [series], "period": [date(2020, 1, 31)], "published": [at]})
    notes.set_aside(rows.with_columns(value=pl.lit(value)), "odd", happened=False)
    return notes.done()


@pytest.mark.slow
def test_what_was_set_aside_of_a_sealed_source_is_sealed_whatever_its_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    taken(dataset(tmp_path, before(VALUES, EARLY)), home)
    archive = Archive.open(home.archive)
    archive.define(Series("own/x", "M", zone="UTC"))
    issued = pl.DataFrame(
        {"series_id": ["own/x"], "issued_at": [date(2018, 5, 1)], "period": [date(2020, 1, 31)], "value": [1.0]}
    )
    archive.append_forecasts(issued, source="bank", label="own: one", treated=record_of("own/x", 4711.5))
    archive.append_forecasts(issued, source="other", label="own: two", treated=record_of("own/x", 4712.5))
    made = sealed_home(home, tmp_path / "keys", monkeypatch, sources=("bank",))
    assert made.archive.set_aside()["value"].to_list() == [4712.5]
    later = issued.with_columns(issued_at=pl.lit(date(2019, 5, 1)))
    mine = hs.Archive.open(home.archive)
    mine.append_forecasts(later, source="bank", label="own: three", treated=record_of("own/x", 4713.5))
    assert made.archive.set_aside()["value"].to_list() == [4712.5]
    assert sorted(made.opened().set_aside()["value"].to_list()) == [4711.5, 4712.5, 4713.5]


def test_what_a_database_had_no_memory_for_is_removed_by_a_sealing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    left = home.root / "archive.duckdb.tmp" / "duckdb_temp_storage_DEFAULT-0.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"rows of an ingest that was killed")
    remove_scratch(home)
    assert list(home.root.iterdir()) == []
