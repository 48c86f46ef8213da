"""What verbs of the sealed holdout say: of what they are about to do, of what was left, and of what does not fit."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import harness as hs
from harness.cli import main
from harness.core.errors import SealedError, UserError
from harness.core.time import end_of_day
from harness.data.archive import transfer
from harness.data.changes import ChangeFile
from harness.data.vault.packing import Packer
from harness.experiment import holdouts
from harness.experiment.holdouts import ahead
from harness.experiment.sealing import seal_experiments
from harness.record.files import json_bytes
from harness.record.home import Home
from harness.record.ledger import enter, entries
from harness.record.plans import HoldoutPlan
from harness.record.seals import Seal
from harness.record.told_seals import OpeningCount, stretches_of
from harness.report.opening import ahead_text, plan_text
from harness.report.sealing import sealing_text, status_text
from harness.studies.holdout.abandoning import give_up_opening
from harness.studies.holdout.leaving import blind_runs
from harness.studies.holdout.locking import Lock
from harness.studies.holdout.scope import Scope, origins_at_cut
from harness.studies.holdout.seal import Sealing
from harness.studies.holdout.status import status
from tests.backtest.made_runs import Ran
from tests.record.made_seals import SEAL, facts_of, sealed_home, write_vault
from tests.studies.holdout.made_holdouts import Made, experiment, quarter
from tests.studies.holdout.marked import CUT, Marked

Capture = pytest.CaptureFixture[str]


def command(made: Made, *words: str) -> int:
    return main(["holdout", *words, "--home", str(made.home.root)])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--reason", "why"], "a first opening takes no reason"),
        (["--give-up", "--again", "--reason", "why"], "nothing is opened when an opening is given up: --again"),
        (["--again", "--reason", "why"], "this holdout was never opened, so it is not opened again"),
        (["--grant", "g.json"], "no seal of this plan has a custodian"),
    ],
)
def test_options_that_do_not_belong_are_refused_before_anything_happens(
    made: Made, plan: HoldoutPlan, options: list[str], told: str, capsys: Capture
) -> None:
    before = entries(made.home)
    assert command(made, "open", "--plan", plan.id, *options) == 2
    assert told in capsys.readouterr().err
    assert entries(made.home) == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"reason": "why"}, "a first opening takes no reason"),
        ({"again": True, "reason": "why"}, "this holdout was never opened"),
        ({"grant": "g.json"}, "no seal of this plan has a custodian"),
    ],
)
def test_arguments_that_do_not_belong_are_refused_in_python_too(
    made: Made, plan: HoldoutPlan, options: dict[str, object], told: str
) -> None:
    before = entries(made.home)
    with pytest.raises(UserError, match=told):
        hs.holdout.open(plan.id, home=made.home.root, **options)  # type: ignore[arg-type]
    assert entries(made.home) == before


def test_a_closed_plan_needs_no_key(
    closed: tuple[Made, Ran], plan: HoldoutPlan, tmp_path: Path, capsys: Capture
) -> None:
    for option in ("--keys", "--grant"):
        assert command(closed[0], "open", "--plan", plan.id, option, str(tmp_path)) == 2
        assert f"opened and closed, so nothing is opened that would need this: {option}" in capsys.readouterr().err
        with pytest.raises(UserError, match=f"would need this: {option}"):
            hs.holdout.open(plan.id, home=closed[0].home.root, **{option[2:]: tmp_path})  # type: ignore[arg-type]
    assert not ahead(plan.id, closed[0].home).confirms


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "options", "opens"), [("no\n", [], 0), ("yes\n", [], 1), ("", ["--yes"], 1)])
def test_a_first_opening_at_a_terminal_is_confirmed(
    made: Made,
    plan: HoldoutPlan,
    typed: str,
    options: list[str],
    opens: int,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = list[str]()

    def opened(plan_id: str, *_: object, **__: object) -> str:
        asked.append(plan_id)
        raise UserError("far enough")

    monkeypatch.setattr(holdouts, "opened", opened)
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert command(made, "open", "--plan", plan.id, *options) == 2
    assert len(asked) == opens
    out, err = capsys.readouterr()
    assert ahead_text(plan) in out
    assert "cannot be undone" in out
    assert ("nothing was opened: it was not confirmed" in err) is not bool(opens)


def test_where_nobody_sits_at_a_terminal_nothing_is_asked(
    made: Made, plan: HoldoutPlan, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert command(made, "open", "--plan", plan.id, "--keys", str(made.home.root)) == 2
    assert "folder of keys lies in the home" in capsys.readouterr().err


def test_without_a_ledger_that_is_the_cause(made: Made, plan: HoldoutPlan, capsys: Capture) -> None:
    made.home.ledger.unlink()
    assert command(made, "open", "--plan", plan.id) == 2
    assert capsys.readouterr().err.startswith("harness: the ledger is gone, or was emptied")
    with pytest.raises(SealedError, match="the ledger is gone"):
        hs.holdout.open(plan.id, home=made.home.root)


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        (("opening", "result"), "this opening is over: .*closed, its answer is confirmed"),
        (("opening", "void"), "this opening is over: .*void already"),
        ((), "this plan was never opened"),
    ],
)
def test_what_cannot_be_given_up_says_why(kinds: tuple[str, ...], told: str, home: Home) -> None:
    sealed_home(home)
    enter(home, "plan", {"plan": "abc1", "seals": ["s1"]})
    for kind in kinds:
        enter(home, kind, {"plan": "abc1", "seals": ["s1"], "verdict": "confirmed"})
    with pytest.raises(UserError, match=told):
        give_up_opening(home, "abc", "because")


def test_a_roll_without_a_seal_or_of_no_named_one_says_so(home: Home, capsys: Capture) -> None:
    roll = ["holdout", "roll", "--to", "2030-01-01", "--home", str(home.root)]
    assert main(roll) == 2
    assert "nothing is sealed in this home, so nothing can be rolled on" in capsys.readouterr().err
    sealed_home(home)
    sealed_home(home, id="s2")
    assert main(roll) == 2
    assert "it is not said which seal is rolled on: s1 from 2019" in capsys.readouterr().err


def test_work_that_was_left_is_told_with_how_it_goes_on(home: Home) -> None:
    assert status_text(status(home)).endswith("ledger head none yet")
    sealed_home(home)
    enter(home, "opening", {"plan": "p1", "seals": ["s1"], "exploratory": False})
    enter(home, "sealing", {"seal": "s7", "cut": "2020-01-01T00:00:00+00:00"})
    enter(home, "sealing", {"seal": "s8", "cut": "2021-01-01T00:00:00+00:00", "follows": "s1"})
    found = status_text(status(home))
    assert (
        "UNFINISHED: the opening of plan p1 was begun and is not closed: it goes on with harness holdout open" in found
    )
    assert "UNFINISHED: seal s7, from 2020-01-01" in found
    assert "give the same harness holdout seal command again" in found
    assert "UNFINISHED: roll to seal s8, from 2021-01-01" in found
    assert "give the same harness holdout roll command again" in found
    for kind, facts in (("void", {"plan": "p1"}), ("abandoned", {"seal": "s7"}), ("abandoned", {"seal": "s8"})):
        enter(home, kind, facts)
    assert "UNFINISHED" not in status_text(status(home))


def test_status_tells_the_stretches_apart_as_reports_do(home: Home) -> None:
    sealed_home(home)
    for plan, again in (("p1", False), ("p2", True)):
        enter(home, "opening", {"plan": plan, "seals": ["s1"], "exploratory": again})
        enter(home, "void", {"plan": plan})
    enter(home, "roll", {"seal": "s1", "to": "2021-01-01T00:00:00+00:00", "new": "s2"})
    later = Seal(**{**{name: getattr(SEAL, name) for name in SEAL.__slots__}, "id": "s2", "follows": "s1"})
    enter(home, "seal", facts_of(later, write_vault(home, later)))
    told = "this stretch: never opened; an earlier one, to 2021-01-01: opened 2 times (1 confirming, 1 exploratory)"
    (home.vault / "s1" / "seal.json").unlink()
    assert told in status_text(status(home))
    assert stretches_of(entries(home), ["s2"]) == (OpeningCount(), (("2021-01-01T00:00:00+00:00", OpeningCount(1, 1)),))


def packed(tmp_path: Path, known: dict[str, dict[str, int] | None]) -> bytes:
    """A part of packed runs, each with what its archive knew."""
    parts = list[bytes]()
    packer = Packer(lambda _, content, __: parts.append(content), tmp_path)
    for name, told in known.items():
        path = tmp_path / "runs" / name / "manifest.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(json_bytes({"archive": {"known_through": told}, "experiment": {}}) if told else b"torn")
        packer.add(path.parent)
    packer.close()
    return parts[0]


def test_runs_that_ended_before_the_new_stretch_did_not_see_it(tmp_path: Path) -> None:
    day = 86_400_000_000
    cut = 18_000 * day
    seal = Seal("s2", "2019-04-14T00:00:00+00:00", ("uk_macro/cpi",))
    assert int(seal.instant.timestamp()) * 1_000_000 == cut
    part = packed(tmp_path, {"early": {"uk_macro/cpi": cut - day}, "late": {"uk_macro/cpi": cut}, "torn": None})
    assert list(blind_runs(part, seal)) == ["early"]


@pytest.mark.slow
def test_a_short_passphrase_is_refused_before_anything_is_listed(bare: Marked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PASSPHRASE", "short")
    told, lock = list[Sealing](), Lock(passphrase=True, keys=bare.keys)
    with pytest.raises(UserError, match="too short"):
        seal_experiments([bare.experiment], CUT, bare.home, lock=lock, told=told.append)
    assert told == []
    ahead = seal_experiments([bare.experiment], CUT, bare.home, lock=lock, dry_run=True)
    assert "a passphrase opens it" in sealing_text(ahead)


def test_a_dry_run_of_what_is_not_ingested_is_refused_and_writes_nothing(tmp_path: Path, capsys: Capture) -> None:
    home = tmp_path / "fresh"
    seal = ["holdout", "seal", "--from", "2019-01-01", "uk_inflation", "--dry-run", "--home", str(home)]
    assert main(seal) == 2
    err = capsys.readouterr().err
    assert "the archive lacks these datasets, or their files changed since: uk_macro" in err
    assert "fix: harness ingest uk_macro" in err
    assert not home.exists()


def test_a_seal_needs_an_experiment_and_a_day(home: Home, capsys: Capture) -> None:
    assert main(["holdout", "seal", "--home", str(home.root)]) == 2
    assert "no experiment, no day (--from DATE); rule: " in capsys.readouterr().err


def test_a_plan_says_that_its_first_origin_falls_on_the_cut_and_what_its_columns_mean(plan: HoldoutPlan) -> None:
    at_cut = replace(plan, origins={**plan.origins, "first": plan.cut.isoformat()})
    assert "falls exactly on the cut, so it is in the holdout" in plan_text(at_cut)
    later = replace(plan, origins={**plan.origins, "first": (plan.cut + timedelta(days=1)).isoformat()})
    assert "exactly on the cut" not in plan_text(later)
    assert f"over {plan.origins['development']} development origins: a noisy estimate" in plan_text(plan)


def test_a_listing_names_the_origins_that_fall_on_the_cut(made: Made) -> None:
    changes = ChangeFile.open(made.changes)
    for days, told in ((0, ["made's origin of 2015-03-31 (end of day)"]), (1, [])):
        scope = Scope(end_of_day(quarter(40) + timedelta(days=days), "Europe/London"), (), (), (), (), {}, ())
        assert list(origins_at_cut(scope, [experiment()], changes)) == told


def test_a_file_of_a_sealed_archive_that_was_written_earlier_is_not_imported(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(transfer, "_refuse_export_under_seal", lambda *_: None)
        transfer.export_archive(made.home, tmp_path / "a.zip")
    other = Home(tmp_path / "other")
    with pytest.raises(UserError, match="the file holds the archive of a home under seal"):
        transfer.import_archive(other, tmp_path / "a.zip")
    assert not other.archive.exists()


def test_a_seal_opens_in_one_way() -> None:
    with pytest.raises(UserError, match="a seal opens in one way"):
        Lock({"age": "age1", "ed25519": "00"}, passphrase=True)


def test_a_roll_of_an_honour_seal_takes_no_grant(home: Home, capsys: Capture) -> None:
    sealed_home(home)
    asked = ["holdout", "roll", "--to", "2030-01-01", "--grant", "g.json", "--home", str(home.root)]
    assert main(asked) == 2
    assert "this seal has no custodian, so no grant is needed: --grant g.json" in capsys.readouterr().err
    assert main([*asked[:3], "soon", *asked[6:]]) == 2
    assert "this is no day: 'soon'" in capsys.readouterr().err
