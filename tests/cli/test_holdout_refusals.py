"""A home under seal refuses every way past the cut: one clear message, code 2, and an entry in its ledger."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.cli import main
from harness.core.errors import BeyondKnownError, SealedError
from harness.data.archive import Archive
from harness.data.archive import refused as refusing
from harness.data.archive.refused import _instants, refuse_sealed_question
from harness.data.archive.sql import ask
from harness.data.archive.store import MemoryStore
from harness.experiment.launch import prepare
from harness.record.files import json_bytes, write_file
from harness.record.home import Home
from harness.record.ledger import entries
from harness.record.runs import RunFiles, read_manifest
from harness.record.seals import SEAL_FILE
from tests.cli.conftest import KEPT
from tests.record.made_seals import SEAL, sealed_home

CUT = "2026-04-01T00:00:00+00:00"
"""Past all that `uk_macro` knows: an archive as a seal leaves it, without having to make one."""
UNLOOKED = "uk_macro: the signing key of its seal is not here .* nobody looked for changed files"
"""What a run in Python warns of: these homes have no keys."""
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def sealed(whole: tuple[Home, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str]:
    """A home with a run, put under seal; the tests only read it, and add refusals."""
    home = Home(tmp_path_factory.mktemp("sealed") / "home")
    shutil.copytree(whole[0].root, home.root)
    sealed_home(home, cut=CUT, runs=("abcd" * 4,))
    return home, whole[1]


@pytest.fixture
def bare(sealed: tuple[Home, str], tmp_path: Path) -> Home:
    """A copy of that home that the test may change."""
    home = Home(tmp_path / "copy")
    shutil.copytree(sealed[0].root, home.root)
    return home


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_WORKER", "1")


def refused(home: Home, arguments: list[str], capsys: Capture) -> str:
    """The message of a refused command, of which the ledger has one new entry."""
    before = len(entries(home))
    assert main([*arguments, "--home", str(home.root)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    (entry,) = entries(home)[before:]
    assert entry.kind == "refusal"
    assert str(entry.facts["what"]) in err
    return err


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "abcdab"],
        ["report", "abcd" * 4],
        ["trials", "abcd"],
        ["spaces", "abcd"],
        ["lineage", "abcd"],
        ["reproduce", "abcd"],
        ["model-card", "abcd"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_run_in_the_vault_is_told_to_be_there(
    sealed: tuple[Home, str], arguments: list[str], capsys: Capture
) -> None:
    assert "this run saw the sealed period and lies in the vault" in refused(sealed[0], arguments, capsys)


def test_a_run_that_is_nowhere_is_unknown_as_ever(sealed: tuple[Home, str], capsys: Capture) -> None:
    before = len(entries(sealed[0]))
    assert main(["show", "ffff", "--home", str(sealed[0].root)]) == 2
    assert "unknown run" in capsys.readouterr().err
    assert len(entries(sealed[0])) == before


def test_python_refuses_a_sealed_run_and_enters_it(sealed: tuple[Home, str]) -> None:
    before = len(entries(sealed[0]))
    with pytest.raises(SealedError, match="lies in the vault"):
        hs.Run("abcd", sealed[0])
    with pytest.raises(SealedError, match="lies in the vault"):
        hs.reproduce("abcd", home=sealed[0].root)
    assert [one.facts["command"] for one in entries(sealed[0])[before:]] == ["run abcd", "reproduce abcd"]


@pytest.mark.parametrize("verb", ["plan", "backtest", "audit"])
def test_origins_past_the_seal_are_refused(
    sealed: tuple[Home, str], tmp_path: Path, verb: str, capsys: Capture
) -> None:
    (tmp_path / "late.toml").write_text(KEPT.replace("warm_up = 1", "warm_up = 1\nlast = 2026-06-30"))
    err = refused(sealed[0], [verb, "late.toml"], capsys)
    assert "[origins] last = 2026-06-30" in err
    assert "uk_macro/cpi is sealed from 2026-04-01T00:00Z on (public: honour seal s1)" in err
    assert "harness holdout plan" in err


def test_origins_that_are_only_not_ingested_yet_are_no_matter_of_the_seal(
    sealed: tuple[Home, str], tmp_path: Path
) -> None:
    (tmp_path / "late.toml").write_text(KEPT.replace("warm_up = 1", "warm_up = 1\nlast = 2026-03-30"))
    before = len(entries(sealed[0]))
    with pytest.raises(BeyondKnownError), pytest.warns(UserWarning, match=UNLOOKED):
        hs.backtest(tmp_path / "late.toml", home=sealed[0].root)
    assert len(entries(sealed[0])) == before


def test_an_origin_at_the_very_cut_is_refused(bare: Home, tmp_path: Path, capsys: Capture) -> None:
    seal = replace(SEAL, cut="2026-03-31T23:00:00+00:00")  # the end of 31 March in London
    write_file(bare.vault / "s1" / SEAL_FILE, json_bytes(seal.record()))
    (tmp_path / "late.toml").write_text(KEPT.replace("warm_up = 1", "warm_up = 1\nlast = 2026-03-31"))
    assert "last = 2026-03-31 (2026-03-31T23:00Z)" in refused(bare, ["plan", "late.toml"], capsys)


def test_without_a_last_origin_the_schedule_ends_before_the_seal(sealed: tuple[Home, str], tmp_path: Path) -> None:
    (tmp_path / "kept.toml").write_text(KEPT)
    before = len(entries(sealed[0]))
    with pytest.warns(UserWarning, match=UNLOOKED):
        run = hs.backtest(tmp_path / "kept.toml", home=sealed[0].root, workers=1)
    assert run.id == sealed[1], "the seal leaves archive, cells and the run's identity alone"
    assert run.origins()["origin"].max() < datetime.fromisoformat(CUT)
    assert len(entries(sealed[0])) == before


def test_an_archive_that_knows_what_is_sealed_is_refused(bare: Home, tmp_path: Path, capsys: Capture) -> None:
    seal = replace(SEAL, cut="2019-01-01T00:00:00+00:00")
    write_file(bare.vault / "s1" / SEAL_FILE, json_bytes(seal.record()))
    (tmp_path / "kept.toml").write_text(KEPT)
    assert "this archive knows what is sealed: uk_macro/" in refused(bare, ["backtest", "kept.toml"], capsys)


def test_an_experiment_on_other_series_is_none_of_the_seals(bare: Home, tmp_path: Path) -> None:
    seal = replace(SEAL, cut="2019-01-01T00:00:00+00:00", series=("other/x",), datasets=("other",))
    write_file(bare.vault / "s1" / SEAL_FILE, json_bytes(seal.record()))
    (tmp_path / "kept.toml").write_text(KEPT)
    assert prepare(tmp_path / "kept.toml", bare).experiment.name == "kept"


@pytest.mark.parametrize("covered", [{"sources": ("mpr",)}, {"datasets": ("uk_macro",)}, {"series": ("uk_macro/gdp",)}])
def test_inputs_and_sources_are_sealed_as_the_target_is(
    bare: Home, tmp_path: Path, covered: dict[str, tuple[str, ...]], capsys: Capture
) -> None:
    seal = replace(SEAL, **{"cut": CUT, "series": (), "datasets": (), **covered})  # type: ignore[arg-type]
    write_file(bare.vault / "s1" / SEAL_FILE, json_bytes(seal.record()))
    (tmp_path / "late.toml").write_text(KEPT.replace("warm_up = 1", "warm_up = 1\nlast = 2026-06-30"))
    assert "is sealed from" in refused(bare, ["plan", "late.toml"], capsys)


@pytest.mark.parametrize(
    "origin", ["2026-06-30", "2026-06", "2027", "2026-06-30T23:00:00Z", "2026-03-31T23:59:00+00:00"]
)
def test_lineage_past_the_seal_is_refused(sealed: tuple[Home, str], origin: str, capsys: Capture) -> None:
    arguments = ["lineage", sealed[1], "--forecast", "cpi", origin, "1"]
    if origin.endswith("59:00+00:00"):
        assert main([*arguments, "--home", str(sealed[0].root)]) == 2
        assert "unknown origin" in capsys.readouterr().err
        return
    assert f"past the seal of a holdout: origin {origin}" in refused(sealed[0], arguments, capsys)


def test_lineage_before_the_seal_is_answered(sealed: tuple[Home, str], capsys: Capture) -> None:
    assert main(["lineage", sealed[1], "--forecast", "cpi", "2022-06-30", "1", "--home", str(sealed[0].root)]) == 0
    assert "2022-06-30" in capsys.readouterr().out


def test_a_run_that_walked_through_the_sealed_period_is_shown_but_not_gone_back_into(
    bare: Home, whole: tuple[Home, str], capsys: Capture
) -> None:
    last = read_manifest(RunFiles(whole[1], bare.runs / whole[1]))["facts"]["last_scored"]  # type: ignore[index]
    seal = replace(SEAL, cut=str(last))
    write_file(bare.vault / "s1" / SEAL_FILE, json_bytes(seal.record()))
    for verb in ("reproduce", "lineage"):
        assert "past the seal of a holdout: run" in refused(bare, [verb, whole[1]], capsys)
    assert main(["show", whole[1], "--home", str(bare.root)]) == 0


def test_as_of_past_the_seal_is_refused(sealed: tuple[Home, str]) -> None:
    archive, before = Archive.open(sealed[0].archive, read_only=True), len(entries(sealed[0]))
    with pytest.raises(SealedError, match=r"as-of question past the seal.*uk_macro/cpi is sealed from 2026-04-01"):
        archive.as_of(datetime(2026, 4, 1, tzinfo=UTC), ["cpi"])
    with pytest.raises(SealedError):
        archive.as_of(datetime(2027, 1, 1, tzinfo=UTC))
    with pytest.raises(BeyondKnownError):
        archive.as_of(datetime(2026, 3, 31, 23, tzinfo=UTC), ["cpi"])
    assert archive.as_of(datetime(2020, 1, 1, tzinfo=UTC), ["cpi"]).frame().height
    assert [one.facts["command"] for one in entries(sealed[0])[before:]] == ["as_of", "as_of"]


def test_an_archive_opened_in_memory_answers_whatever_lies_beside_it(
    sealed: tuple[Home, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(MemoryStore(), read_only=False)
    archive.define(hs.Series(id="uk_macro/cpi", frequency="Q", zone="UTC", unit="index", decimals=1))
    frame = pl.DataFrame(
        {"series_id": "uk_macro/cpi", "period": [date(2026, 6, 30)], "published_at": [date(2026, 7, 15)]}
    )
    archive.append(frame.with_columns(value=pl.lit(1.0)), source="opened")
    monkeypatch.chdir(sealed[0].root)
    assert archive.as_of(datetime(2026, 7, 16, tzinfo=UTC), ["cpi"]).frame().height == 1


PAST = {
    "date": "SELECT * FROM changes WHERE published_at > DATE '2026-04-01'",
    "text": "SELECT * FROM forecasts WHERE origin::varchar LIKE '2026-05%'",
    "year": "SELECT * FROM changes WHERE period::varchar LIKE '2026%'",
    "timestamp": "SELECT * FROM changes WHERE published_at >= TIMESTAMP '2026-04-01 00:00:00'",
    "slashes": "SELECT * FROM changes WHERE published_at > '2026/12/31'",
    "day first": "SELECT * FROM changes WHERE period = strptime('30/06/2026', '%d/%m/%Y')",
    "compact": "SELECT * FROM changes WHERE period = strptime('20260630', '%Y%m%d')",
    "made": "SELECT * FROM changes WHERE period = make_date(2026, 6, 30)",
    "epoch": "SELECT * FROM changes WHERE epoch_us(published_at) > 1775001600000000",
    "seconds": "SELECT * FROM changes WHERE published_at > to_timestamp(1775001600)",
    "milliseconds": "SELECT * FROM changes WHERE published_at > epoch_ms(1775001600000)",
    "dollars": "SELECT * FROM changes WHERE period = $$2026-06-30$$::DATE",
    "no view": "SELECT DATE '2026-04-01'",
}
OUTSIDE = {
    "vault": "SELECT * FROM vault",
    "file": "SELECT * FROM 'runs/x.parquet'",
    "function": "SELECT * FROM read_text('ledger.jsonl')",
    "glob": "SELECT * FROM glob('*')",
    "age": "SELECT 'x.age'",
    "quoted": 'SELECT * FROM "archive.duckdb"',
    "attached": "ATTACH 'archive.duckdb'",
}
FREE = {
    "before": "SELECT count(*) FROM changes WHERE published_at < DATE '2026-03-31'",
    "month before": "SELECT count(*) FROM changes WHERE period::varchar LIKE '2026-03%'",
    "time before": "SELECT count(*) FROM changes WHERE published_at < '2026-03-31 23:59'",
    "runs": "SELECT count(*) FROM runs WHERE started_at > '2026-05-01'",
    "numbers": "SELECT count(*) + 20260401 - 2027 - 1 FROM changes",
    "ids": "SELECT count(*) FROM changes WHERE series_id IN ('uk_macro/cpi', 'uk_macro/gdp')",
    "no day": "SELECT count(*) FROM changes WHERE series_id = '2026-13-45'",
}


@pytest.mark.parametrize("text", [*PAST.values(), *OUTSIDE.values()], ids=[*PAST, *OUTSIDE])
def test_sql_past_the_seal_or_outside_is_refused(home: Home, text: str) -> None:
    sealed_home(home, cut=CUT)
    with pytest.raises(SealedError, match=r"past the seal of a holdout|reaches outside the archive"):
        ask(home, text)
    assert entries(home)[-1].facts["value"] == text


def test_sql_is_refused_with_a_message_and_an_entry(sealed: tuple[Home, str], capsys: Capture) -> None:
    err = refused(sealed[0], ["sql", PAST["timestamp"]], capsys)
    assert "sealed from 2026-04-01T00:00Z on (public: honour seal s1), and 2026-04-01 is named" in err
    assert "neither from files nor from the vault" in refused(sealed[0], ["sql", OUTSIDE["file"]], capsys)


@pytest.mark.parametrize("text", FREE.values(), ids=FREE)
def test_sql_before_the_seal_is_no_matter_of_it(home: Home, text: str) -> None:
    sealed_home(home, cut=CUT)
    told = [one.kind for one in entries(home)]
    refuse_sealed_question(home, text, ["runs"] if "FROM runs" in text else ["changes"])
    assert [one.kind for one in entries(home)] == told


def test_sql_answers_say_what_is_sealed(sealed: tuple[Home, str], capsys: Capture) -> None:
    assert main(["sql", FREE["before"], "--home", str(sealed[0].root)]) == 0
    out, err = capsys.readouterr()
    assert out
    assert err == "harness: sealed, and in no answer: uk_macro from 2026-04-01T00:00Z on (public: honour seal)\n"
    assert hs.sql(FREE["before"], home=sealed[0].root).height == 1
    assert capsys.readouterr().err == err


def test_sql_of_a_home_without_a_seal_is_free(whole: tuple[Home, str], capsys: Capture) -> None:
    assert main(["sql", PAST["date"], "--home", str(whole[0].root)]) == 0
    assert capsys.readouterr().err == ""
    refuse_sealed_question(whole[0], OUTSIDE["vault"], [])
    assert not whole[0].ledger.exists()


def test_a_day_is_past_a_seal_that_begins_within_it() -> None:
    assert max(_instants("DATE '2026-04-01'")) == datetime(2026, 4, 1, 23, 59, 59, 999999, tzinfo=UTC)
    assert max(_instants("TIMESTAMP '2026-04-01 05:30'")) == datetime(2026, 4, 1, 5, 30, tzinfo=UTC)
    assert max(_instants("1775001600000000123")) == datetime(2026, 4, 1, tzinfo=UTC)


def test_python_sql_is_refused_alike(sealed: tuple[Home, str]) -> None:
    before = len(entries(sealed[0]))
    with pytest.raises(SealedError, match="2026-04-01 is named"):
        hs.sql(PAST["date"], home=sealed[0].root)
    assert len(entries(sealed[0])) == before + 1


def test_nothing_is_imported_into_a_home_under_seal(
    bare: Home, whole: tuple[Home, str], tmp_path: Path, capsys: Capture
) -> None:
    hs.export_archive(tmp_path / "a.zip", home=whole[0].root)
    assert "nothing is imported into a home under seal" in refused(bare, ["archive", "import", "a.zip"], capsys)
    (bare.vault).rename(tmp_path / "vault")
    assert "nothing is imported into a home under seal" in refused(bare, ["archive", "import", "a.zip"], capsys)
    assert hs.import_archive(tmp_path / "a.zip", home=tmp_path / "other").raw


def test_a_home_under_seal_is_not_exported_and_says_why(bare: Home, tmp_path: Path, capsys: Capture) -> None:
    err = refused(bare, ["archive", "export", "a.zip"], capsys)
    assert "the archive of a home under seal is not exported" in err
    assert "copy the whole home folder" in err
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize(
    ("views", "opened", "answers"),
    [(["errors"], True, True), (["errors"], False, False), (["errors", "changes"], True, False)],
)
def test_a_date_past_a_seal_is_free_in_the_tables_of_runs_once_it_was_opened(
    home: Home, views: list[str], opened: bool, answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed_home(home, cut=CUT)
    run = {"run_id": "ab" * 16, "holdout": {"plan": "p1", "seals": [{"seal": "s1"}]}}
    monkeypatch.setattr(refusing, "list_runs", lambda _: [run] if opened else [])
    if answers:
        refuse_sealed_question(home, PAST["date"], views)
        return
    with pytest.raises(SealedError, match="past the seal") as error:
        refuse_sealed_question(home, PAST["date"], views)
    assert ("the tables of runs tell of its opening abababababab" in str(error.value)) is opened


@pytest.mark.parametrize("verb", [["runs"], ["data", "status", "uk_macro"], ["lags", "uk_macro"]])
def test_listings_say_what_is_sealed(sealed: tuple[Home, str], verb: list[str], capsys: Capture) -> None:
    assert main([*verb, "--home", str(sealed[0].root)]) == 0
    assert "sealed, and not in this list: uk_macro from 2026-04-01T00:00Z on" in capsys.readouterr().out
