"""The seal, its grade and how often it was opened stand wherever the results of a target do."""

from __future__ import annotations

import shutil
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest

import harness as hs
from harness.cli import main
from harness.core.identity import canonical
from harness.core.recipe import FeatureBlock
from harness.record.audits import AuditRecord
from harness.record.files import json_bytes, sealed, write_file
from harness.record.home import Home
from harness.record.ledger import enter, entries, head
from harness.record.ledger_check import verify_ledger
from harness.record.registry import Effort, effort_from
from harness.record.seals import CUSTODIAN, Seal
from harness.record.told_seals import openings_of, seals_in
from harness.report.audit import audit_text
from harness.report.card import model_card
from harness.report.holdout import check_text, holdout_line
from harness.report.page import render
from harness.report.search_text import effort_text
from harness.report.summary import summary
from harness.report.verify import verify
from tests.record.made_seals import SEAL, facts_of, sealed_home, write_vault

Capture = pytest.CaptureFixture[str]
MINE = SEAL.targets


def opening(home: Home, plan: str, *, exploratory: bool = False) -> None:
    enter(home, "opening", {"plan": plan, "seals": ["s1"], "exploratory": exploratory})


def test_a_home_without_a_seal_says_nothing(home: Home) -> None:
    assert holdout_line(home, MINE) == ""
    assert not home.root.exists()


def test_a_sealed_target_says_from_when_in_which_grade_and_how_often_it_was_opened(home: Home) -> None:
    sealed_home(home)
    line = f"Holdout: sealed from 2019-01-01 (public: honour seal), never opened; ledger head {head(home)}"
    assert holdout_line(home, MINE) == line
    opening(home, "p1")
    assert "opened 1 time (1 confirming, 0 exploratory); ledger head" in holdout_line(home, MINE)
    opening(home, "p2", exploratory=True)
    opening(home, "p3", exploratory=True)
    assert holdout_line(home, MINE).endswith(
        f", opened 3 times (1 confirming, 2 exploratory); ledger head {head(home)}"
    )
    assert holdout_line(home, {"another/target": "0" * 32}) == ""


def test_an_audit_names_inputs_that_were_not_compared(home: Home) -> None:
    sealed_home(home)
    for name in ("mine/short", "mine/unused"):
        enter(home, "uncompared", {"name": name, "values": 5})
    blocks = (FeatureBlock("a", series="mine/short", latest=(1,)), FeatureBlock("own", latest=(1,)))
    facts = {"name": "toy", "verdict": "pass", "checks": {}, "effort": Effort(MINE).record()}
    said = audit_text(AuditRecord({**facts, "experiment": {"features": canonical(blocks)}}, {}), home)
    assert "mine/short not compared with sealed series: 5 values in common" in said
    assert "mine/unused" not in said
    assert "mine/short" not in audit_text(AuditRecord(facts, {}), home)


def test_openings_count_for_every_target_that_the_seal_covers(home: Home) -> None:
    sealed_home(home)
    enter(home, "opening", {"plan": "p1", "seals": ["s1"], "exploratory": False, "fingerprints": {"uk/gdp": "e" * 32}})
    for sources in (
        MINE,
        {"uk_macro/cpi": "under another fingerprint"},
        {"uk_macro/gdp": "of the sealed dataset"},
        {"a copy": "f" * 32},
        {"copy of what was opened": "e" * 32},
    ):
        assert "opened 1 time (1 confirming, 0 exploratory)" in holdout_line(home, sources), sources
        assert openings_of(entries(home), seals_in(entries(home), sources)).total == 1
    assert holdout_line(home, {"uk/retail": "0" * 32}) == ""
    assert seals_in(entries(home), {"uk/retail": "0" * 32}) == ()


@pytest.mark.parametrize(
    ("grade", "public", "told"),
    [
        ("honour", False, "honour seal"),
        (CUSTODIAN, False, "custodian seal"),
        (CUSTODIAN, True, "public: custodian seal"),
    ],
)
def test_the_grade_is_told(home: Home, grade: str, public: bool, told: str) -> None:
    sealed_home(home, grade=grade, public=public)
    assert f"({told})" in holdout_line(home, MINE)


@pytest.mark.parametrize(
    ("runs", "follows", "told"),
    [
        (("r1",), "", "(public: honour seal; 1 recorded run had seen it before it was sealed)"),
        (("r1", "r2"), "s0", "(public: honour seal; 2 recorded runs may have seen it before it was sealed)"),
        ((), "", "(public: honour seal)"),
    ],
)
def test_earlier_looks_are_told(home: Home, runs: tuple[str, ...], follows: str, told: str) -> None:
    sealed_home(home, runs=runs, follows=follows)
    assert told in holdout_line(home, MINE)


@pytest.mark.parametrize(
    ("cut", "zone", "told"),
    [
        ("2015-01-01T05:00:00+00:00", "America/New_York", "from 2015-01-01 ("),
        ("2014-12-31T15:00:00+00:00", "Asia/Tokyo", "from 2015-01-01 ("),
        ("2015-01-01T05:00:00+00:00", "UTC", "from 2015-01-01 05:00 UTC ("),
    ],
)
def test_the_cut_is_a_day_where_it_is_one_in_the_targets_zone(home: Home, cut: str, zone: str, told: str) -> None:
    sealed_home(home, cut=cut)
    assert told in holdout_line(home, MINE, zone)


def test_openings_stay_on_the_target_when_the_seal_is_rolled_on(home: Home) -> None:
    sealed_home(home)
    opening(home, "p1")
    shutil.rmtree(home.vault)
    assert "THE VAULT OF SEAL s1 IS GONE" in holdout_line(home, MINE)
    enter(home, "roll", {"seal": "s1", "to": "2021-01-01T00:00:00+00:00", "new": "s2"})
    assert holdout_line(home, MINE).startswith("Holdout: an earlier stretch, to 2021-01-01: opened 1 time (1 ")
    later = replace(SEAL, id="s2", cut="2021-01-01T00:00:00+00:00", follows="s1")
    enter(home, "seal", facts_of(later, write_vault(home, later)))
    assert holdout_line(home, MINE).startswith(
        "Holdout: sealed from 2021-01-01 (public: honour seal), this stretch: never opened; "
        "an earlier one, to 2021-01-01: opened 1 time (1 confirming, 0 exploratory); ledger"
    )


def test_a_ledger_that_is_gone_beside_a_vault_never_counts_as_never_opened(home: Home, capsys: Capture) -> None:
    sealed_home(home)
    opening(home, "p1")
    home.ledger.unlink()
    line = holdout_line(home, MINE)
    assert line.startswith("Holdout: sealed from 2019-01-01 (public: honour seal), whether it was opened is not known")
    assert "the ledger is gone" in line
    assert main(["holdout", "status", "--home", str(home.root)]) == 1
    out = capsys.readouterr().out
    assert "whether it was opened is not known" in out
    for said in (line, out):
        assert "never opened" not in said


def test_a_damaged_ledger_is_said_to_be_so(home: Home) -> None:
    sealed_home(home)
    home.ledger.write_bytes(home.ledger.read_bytes().replace(b"2019", b"2018", 1))
    assert "not known, as a record of it cannot be used (the ledger is damaged" in holdout_line(home, MINE)


@pytest.fixture
def told(toy: hs.Run, tmp_path: Path) -> tuple[hs.Run, str]:
    """A run whose target is sealed and was opened once, in a home of the test's own; and its line."""
    home = Home(tmp_path / "home")
    for folder in ("runs", "audits"):
        if (toy.home.root / folder).is_dir():
            shutil.copytree(toy.home.root / folder, home.root / folder)
    effort = effort_from(toy.manifest)
    assert effort is not None
    sealed_home(home, targets=effort.fingerprints, cut="2026-04-01T00:00:00+00:00")
    opening(home, "p1")
    run = hs.Run(toy.id, home)
    return run, holdout_line(home, effort.fingerprints)


@pytest.mark.slow
def test_every_face_of_a_run_says_it(told: tuple[hs.Run, str], toy: hs.Run) -> None:
    run, line = told
    assert "opened 1 time" in line
    said = line.removeprefix("Holdout: ").replace("2026-04-01", "2026-04-01 00:00 UTC")  # in London it is one o'clock
    assert f"Holdout: {said}" in summary(run)
    assert escape(said) in render(run)
    card = model_card(run, "ar")
    assert "## Holdout\n\nsealed from 2026-04-01" in card
    assert "opened 1 time (1 confirming, 0 exploratory); ledger head" in card
    assert run.leaderboard()["n_opened"].unique().to_list() == [1]
    fingerprints = effort_from(run.manifest).fingerprints  # type: ignore[union-attr]
    assert line in effort_text(run.home, "cpi", fingerprints)
    record = AuditRecord({"name": "toy", "verdict": "pass", "checks": {}, "effort": run.manifest["effort"]}, {})
    assert line in audit_text(record, run.home)
    for face in (summary(toy), render(toy), model_card(toy, "ar"), effort_text(toy.home, "cpi", fingerprints)):
        assert "Holdout:" not in face
        assert "ledger head" not in face
    assert toy.leaderboard()["n_opened"].unique().to_list() == [None]
    assert "Holdout" not in audit_text(record, toy.home)


@pytest.mark.slow
def test_what_a_seal_says_of_itself_is_escaped(told: tuple[hs.Run, str]) -> None:
    run, _ = told
    seal = Seal.read(run.home.vault / "s1" / "seal.json")
    write_vault(run.home, replace(seal, grade="<i>mine</i>", public=False))
    page = render(run)
    assert "&lt;i&gt;mine&lt;/i&gt; seal" in page
    assert "<i>mine</i>" not in page
    assert r"\<i\>mine\</i\> seal" in model_card(run, "ar")


def test_the_ledger_is_verified_on_the_command_line(home: Home, capsys: Capture) -> None:
    sealed_home(home)
    noted = head(home)
    opening(home, "p1")
    where = ["--home", str(home.root)]
    assert main(["ledger", "verify", *where]) == 0
    out = capsys.readouterr().out
    assert out.startswith("ledger: consistent\n")
    assert f"head    {head(home)}" in out
    assert "note the head elsewhere" in out
    assert main(["ledger", "verify", "--head", noted, *where]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"ledger: unbroken since {noted}\n")
    assert "1 later entry" in out
    home.ledger.write_bytes(b"".join(home.ledger.read_bytes().splitlines(keepends=True)[:1]))
    assert main(["ledger", "verify", "--head", noted, *where]) == 1
    assert "ledger: broken\n  no entry has the hash" in capsys.readouterr().out
    assert main(["ledger", "--home", str(home.root / "none"), "verify"]) == 0
    assert "there is no entry" in capsys.readouterr().out


def test_the_text_of_a_check_never_says_untouched(home: Home) -> None:
    sealed_home(home)
    text = check_text(verify_ledger(home))
    assert "consistent" in text
    assert "untouched" not in text


def problems(home: Home) -> dict[str, str]:
    return {one.place: one.problem for one in verify(home).problems}


def planned(home: Home) -> Path:
    record = sealed({"id": "p1", "claim": "better"})
    write_file(home.plans / "p1.json", json_bytes(record))
    enter(home, "plan", {"plan": "p1", "seals": ["s1"], "digest": record["digest"]})
    return home.plans / "p1.json"


def test_verify_looks_at_ledger_plans_and_vaults(home: Home) -> None:
    sealed_home(home)
    plan, file = planned(home), home.vault / "s1" / "files" / "000001-rows.age"
    assert problems(home) == {}
    content = file.read_bytes()
    file.write_bytes(content + b" ")
    assert problems(home) == {"vault/s1/files/000001-rows.age": "it is not the file that was listed"}
    file.unlink()
    assert problems(home) == {"vault/s1/files/000001-rows.age": "it is gone"}
    file.write_bytes(content)
    write_file(file.with_name("000002-rows.age"), b"stray")
    assert problems(home) == {"vault/s1/files/000002-rows.age": "the list does not name it"}
    file.with_name("000002-rows.age").unlink()
    text = plan.read_text()
    plan.write_text(text.replace("better", "worse"))
    assert "its digest does not hold" in problems(home)["plans/p1.json"]
    plan.rename(plan.with_name("p2.json"))
    assert set(problems(home)) == {"plans/p1.json", "plans/p2.json"}
    plan.with_name("p2.json").unlink()
    plan.write_text(text)
    assert problems(home) == {}


def test_a_plan_exchanged_for_another_is_found_by_its_digest(home: Home, capsys: Capture) -> None:
    sealed_home(home)
    plan = planned(home)
    verb = ["ledger", "verify", "--home", str(home.root)]
    assert main(verb) == 0
    write_file(plan, json_bytes(sealed({"id": "p1", "claim": "worse"})))
    assert main(verb) == 1
    assert "plan p1: its file is not the one that was entered" in capsys.readouterr().out
    assert problems(home) == {"plans/p1.json": "its file is not the one that was entered"}
    plan.unlink()
    assert main(verb) == 1
    assert "plan p1: its file is gone" in capsys.readouterr().out
    assert main([*verb, "--head", head(home)[:8]]) == 2
    assert "not a full hash" in capsys.readouterr().err


def test_verify_finds_a_plan_made_up_a_list_rolled_back_and_a_ledger_edited(home: Home) -> None:
    sealed_home(home)
    plan = planned(home)
    shutil.copy(plan, plan.with_name("p9.json"))
    assert problems(home) == {"plans/p9.json": "it was never entered in the ledger"}
    plan.with_name("p9.json").unlink()
    listed = home.vault / "s1" / "manifest.json"
    kept = listed.read_bytes()
    listed.write_bytes(kept + b" ")
    assert "not the one last entered" in problems(home)["ledger.jsonl"]
    listed.write_text("{}")
    assert "it is gone, or lists no files" in problems(home)["vault/s1/manifest.json"]
    listed.write_bytes(kept)
    seal = home.vault / "s1" / "seal.json"
    seal.write_bytes(seal.read_bytes().replace(b"2019", b"2021"))
    assert "the description of a seal is damaged" in problems(home)["vault/s1/seal.json"]
    home.ledger.write_bytes(home.ledger.read_bytes().replace(b"p1", b"p2"))
    assert "it was edited" in problems(home)["ledger.jsonl"]
    assert entries(Home(home.root / "none")) == ()
