"""The whole story on the committed data: seal, develop, plan, open, verdict; honour and custodian."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from harness.cli import main
from harness.record.home import Home
from harness.record.ledger import entries
from harness.record.ledger_check import verify_ledger
from harness.record.runs import find_run, read_manifest, read_table
from tests.studies.holdout.made_stories import delivered, sparse, tuned

ROOT = Path(__file__).parents[3]
Capture = pytest.CaptureFixture[str]
STORIES = [("uk_macro", "uk_inflation", "2019-01-01"), ("us_markets", "sp500_volatility", "2015-01-01")]


def said(arguments: list[str], capsys: Capture) -> str:
    """What a command that succeeds prints."""
    assert main(arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def developed(story: tuple[str, str, str], home: Home, capsys: Capture, *sealing: str) -> str:
    """Ingest, seal, run and plan; the plan's id."""
    dataset, name, day = story
    said(["ingest", dataset], capsys)
    assert day in said(["holdout", "seal", "--from", day, name, *sealing], capsys)
    board = said(["backtest", name, "--workers", "1", "--quiet"], capsys)
    assert f"sealed from {day}" in board
    assert "never opened" in board
    planned = said(["holdout", "plan", name], capsys)
    assert "What the holdout can show" in planned
    return re.search(r"^plan (\w+):", planned, flags=re.MULTILINE).group(1)  # type: ignore[union-attr]


def assert_answered(home: Home, printed: str, story: tuple[str, str, str]) -> None:
    """One confirming opening, a verdict on claim rows alone, a whole ledger."""
    (result,) = (one.facts for one in entries(home) if one.kind == "result")
    assert result["verdict"] in ("confirmed", "not confirmed", "cannot be decided")
    assert f"verdict: {str(result['verdict']).upper()}" in printed
    assert "opened 1 time (1 confirming, 0 exploratory)" in printed
    files = find_run(home, str(result["run"]))
    facts = read_manifest(files)["holdout"]
    assert isinstance(facts, dict)
    assert facts["decision"] == result["decision"] != ""
    errors = read_table(files, "errors").filter("scored")
    cut = facts["seals"][0]["cut"]
    assert errors["origin"].min().isoformat() >= cut  # type: ignore[union-attr]
    assert facts["n_origins"] >= 20
    assert facts["seals"][0]["told"].startswith("public")
    assert not verify_ledger(home).broken
    assert story[1] in json.dumps(read_manifest(files)["name"])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HARNESS_KEYS", str(tmp_path / "keys"))
    return Home(tmp_path / "home")


@pytest.mark.slow
@pytest.mark.parametrize("story", STORIES, ids=[name for _, name, _ in STORIES])
def test_an_honour_seal_from_sealing_to_verdict(story: tuple[str, str, str], home: Home, capsys: Capture) -> None:
    plan = developed(story, home, capsys)
    printed = said(["holdout", "open", "--plan", plan], capsys)
    assert_answered(home, printed, story)
    told = home.ledger.read_bytes()
    assert "verdict" in said(["holdout", "open", "--plan", plan], capsys)  # the standing answer
    assert home.ledger.read_bytes() == told
    assert "opened 1 time" in said(["holdout", "status"], capsys)
    assert "consistent" in said(["ledger", "verify"], capsys)
    assert "everything recorded is as it was written" in said(["verify"], capsys)


@pytest.mark.slow
@pytest.mark.parametrize("story", STORIES, ids=[name for _, name, _ in STORIES])
def test_a_custodians_seal_from_keys_to_verdict(
    story: tuple[str, str, str], home: Home, tmp_path: Path, capsys: Capture
) -> None:
    theirs = ["--home", str(tmp_path / "theirs"), "--keys", str(tmp_path / "their_keys")]
    public, request, grant = (str(tmp_path / name) for name in ("public.json", "request.json", "grant.json"))
    said(["holdout", "keys", "--out", public, *theirs], capsys)
    plan = developed(story, home, capsys, "--custodian", public)
    assert main(["holdout", "open", "--plan", plan]) == 2
    assert "opens by a custodian's grant" in capsys.readouterr().err
    said(["holdout", "request", "--plan", plan, "--out", request], capsys)
    said(["holdout", "grant", request, "--out", grant, *theirs], capsys)
    printed = said(["holdout", "open", "--plan", plan, "--grant", grant], capsys)
    assert_answered(home, printed, story)


@dataclass(frozen=True)
class Story:
    """An experiment on a dataset that is sealed from a day, ends, is opened, goes on, and is sealed from another."""

    dataset: str
    experiment: Callable[[Path], Path]
    sealed: str
    ends: date
    rolled: str


ROLLED = {
    "sp500_volatility": Story("us_markets", sparse, "2015-01-01", date(2017, 6, 30), "2017-08-01"),
    "tuned": Story("uk_macro", tuned, "2016-01-01", date(2022, 12, 31), "2023-02-01"),
}


@pytest.mark.slow
@pytest.mark.parametrize("custodian", [False, True], ids=["honour", "custodian"])
@pytest.mark.parametrize("story", ROLLED.values(), ids=ROLLED)
def test_a_spent_holdout_is_rolled_on_when_newer_data_have_come(
    story: Story, custodian: bool, home: Home, tmp_path: Path, capsys: Capture
) -> None:
    name = str(story.experiment(tmp_path))
    folder = str(delivered(story.dataset, tmp_path, story.ends))
    theirs = ["--home", str(tmp_path / "theirs"), "--keys", str(tmp_path / "their_keys")]
    public, request, grant = (str(tmp_path / one) for one in ("public.json", "request.json", "grant.json"))
    sealing, opening = list[str](), list[str]()
    if custodian:
        said(["holdout", "keys", "--out", public, *theirs], capsys)
        sealing, opening = ["--custodian", public], ["--grant", grant]
    plan = developed((folder, name, story.sealed), home, capsys, *sealing)
    if custodian:
        said(["holdout", "request", "--plan", plan, "--out", request], capsys)
        said(["holdout", "grant", request, "--out", grant, *theirs], capsys)
    printed = said(["holdout", "open", "--plan", plan, *opening], capsys)
    (result,) = (one.facts for one in entries(home) if one.kind == "result")
    assert f"verdict: {str(result['verdict']).upper()}" in printed
    assert result["verdict"] in ("confirmed", "not confirmed", "cannot be decided")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_KEYS", str(tmp_path / "none"))
        assert "nobody looked for changed files" in said(["plan", name], capsys)
    assert main(["holdout", "roll", "--to", story.rolled, *opening]) == 2  # nothing came since
    capsys.readouterr()
    delivered(story.dataset, tmp_path)
    assert "sealed" in said(["ingest", folder], capsys)
    rolled = said(["holdout", "roll", "--to", story.rolled, *opening], capsys)
    assert f"what was published before {story.rolled}" in rolled
    assert "never opened" in said(["holdout", "status"], capsys)
    told = home.archive.read_bytes()
    said(["ingest", folder], capsys)
    assert home.archive.read_bytes() == told  # the files are known under the new key too
    assert [one.kind for one in entries(home) if one.kind in ("opening", "result", "roll")] == [
        "opening",
        "result",
        "roll",
    ]
    assert "everything recorded is as it was written" in said(["verify"], capsys)
