"""What else lies in a home, openings that cannot be finished, and a seal whose vault and ledger are gone together."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import harness as hs
from harness.cli import main
from harness.core.errors import SealedError, UserError
from harness.data.archive import Archive
from harness.experiment.holdouts import rolled
from harness.experiment.launch import prepare
from harness.record.ledger import entries, head
from harness.record.ledger_check import verify_ledger
from harness.record.plans import HoldoutPlan
from harness.record.told_seals import openings_of
from harness.studies.holdout.abandoning import give_up_opening
from harness.studies.holdout.leaving import others
from harness.studies.holdout.status import status
from tests.backtest.made_runs import Ran
from tests.backtest.test_resume import Stopped
from tests.record.made_seals import lines_of
from tests.studies.holdout.conftest import copied
from tests.studies.holdout.made_holdouts import CLAIM, SEAL_ID, Made, experiment, kinds, opened, planned
from tests.studies.holdout.marked import Marked
from tests.studies.holdout.test_roll import TO, newer


@pytest.mark.slow
def test_nothing_of_the_harness_is_a_stranger_in_its_home(closed: tuple[Made, Ran]) -> None:
    assert others(closed[0].home) == ()


def test_strangers_are_named_wherever_they_lie(made: Made, tmp_path: Path) -> None:
    root = made.home.root
    run = next(one.name for one in made.home.runs.iterdir())
    (root / "notes.csv").write_text("1")
    (root / ".hidden").write_text("1")
    (root / "cells" / "mine.parquet").write_text("1")
    (root / "runs" / "elsewhere").symlink_to(tmp_path)
    (root / "plans" / "folder").mkdir()
    (root / "cells" / ".tmp-1-ab").mkdir()  # scratch, which is removed
    told = (".hidden", "notes.csv", "runs/elsewhere", "cells/mine.parquet", "plans/folder")
    assert others(made.home) == told
    assert run


def test_an_archive_behind_a_link_is_not_sealed(bare: Marked) -> None:
    real = bare.folder / "real.duckdb"
    bare.home.archive.rename(real)
    bare.home.archive.symlink_to(real)
    with pytest.raises(UserError, match="lies elsewhere"):
        bare.seal()
    assert not bare.home.vault.exists()


def stopped_midway(made: Made, plan: HoldoutPlan) -> None:
    def stop(done: int, every: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        opened(made, plan, progress=stop)
    assert kinds(made.home)[-1] == "opening"


@pytest.mark.slow
def test_an_opening_that_cannot_be_finished_is_given_up_and_counts(
    made: Made, plan: HoldoutPlan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARNESS_KEYS", str(made.keys))
    stopped_midway(made, plan)
    shutil.rmtree(made.home.runs)  # the development run is lost
    with pytest.raises(SealedError, match="development run of the plan is gone"):
        opened(made, plan)
    with pytest.raises(SealedError, match="begun and not closed") as refused:
        rolled(TO, made.home)
    assert "--give-up" in refused.value.fix
    command = ["holdout", "open", "--plan", plan.id[:6], "--give-up", "--home", str(made.home.root)]
    assert main(command) == 2
    assert "needs a reason" in capsys.readouterr().err
    assert main([*command, "--reason", "the run is lost"]) == 0
    assert "is void, and counts" in capsys.readouterr().out
    last = entries(made.home)[-1]
    assert (last.kind, last.facts["why"]) == ("void", "given up: the run is lost")
    with pytest.raises(UserError, match="this opening is over"):
        give_up_opening(made.home, plan.id, "once more")
    with pytest.raises(SealedError, match="void"):
        opened(made, plan)
    assert openings_of(entries(made.home), [SEAL_ID]).total == 1
    # what it may have seen is spent, what came since is sealed again
    hs.Archive.open(made.home.archive).append(newer(), source="newer")
    with pytest.raises(SealedError, match="cannot be sealed again"):
        rolled(TO.replace(year=TO.year - 1), made.home)
    assert rolled(TO, made.home).rows
    assert not verify_ledger(made.home).broken


def test_a_seal_is_missed_by_runs_and_by_whoever_verifies_when_vault_and_ledger_are_gone(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    noted = head(made.home)
    prepare(experiment(), made.home)
    shutil.rmtree(made.home.vault)
    with pytest.raises(SealedError, match="vault and ledger of a seal are gone"):
        prepare(experiment(), made.home)
    made.home.ledger.unlink()
    with pytest.raises(SealedError, match="vault and ledger of a seal are gone"):
        prepare(experiment(), made.home)
    command = ["--home", str(made.home.root)]
    assert main(["ledger", "verify", *command]) == 1
    assert f"seal {SEAL_ID}: the archive was split by it, but its vault is gone" in capsys.readouterr().out
    assert status(made.home, keys=made.keys).problems
    made.home.archive.unlink()  # plans still tell
    Archive.open(made.home.archive)
    assert main(["ledger", "verify", *command]) == 1
    assert "tells of a sealed holdout" in capsys.readouterr().out
    shutil.rmtree(made.home.plans)  # and when nothing does, a head that was noted
    assert not verify_ledger(made.home).broken
    assert verify_ledger(made.home, noted).broken


def test_runs_that_opened_a_holdout_tell_of_it_too(closed: tuple[Made, Ran], tmp_path: Path) -> None:
    made = copied(closed[0], tmp_path)
    for gone in (made.home.vault, made.home.plans):
        shutil.rmtree(gone)
    made.home.ledger.unlink()
    made.home.archive.unlink()
    assert any("tells of a sealed holdout" in one for one in verify_ledger(made.home).reasons)


@pytest.mark.parametrize("lost", ["opening", "plan"])
@pytest.mark.slow
def test_a_ledger_that_was_cut_before_an_opening_opens_nothing_more(
    lost: str, closed: tuple[Made, Ran], plan: HoldoutPlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, ran = copied(closed[0], tmp_path), closed[1]
    lines = lines_of(made.home)
    made.home.ledger.write_bytes(b"".join(lines[: kinds(made.home).index(lost)]))
    told = verify_ledger(made.home)
    assert told.verdict == "broken"
    name = ran.files.run_id
    assert f"run {name} opened a holdout by plan {plan.id}, and the ledger does not tell of it" in told.reasons
    assert f"vault/{SEAL_ID}/openings/{plan.id} tells of an opening that is not in the ledger" in told.reasons
    assert (f"plan {plan.id}: it was never entered in the ledger" in told.reasons) == (lost == "plan")
    command = ["--home", str(made.home.root)]
    assert [main([*verb, *command]) for verb in (["ledger", "verify"], ["verify"], ["holdout", "status"])] == [1, 1, 1]
    assert main(["show", name, *command]) == 0
    shown = capsys.readouterr().out
    assert "whether it was opened is not known" in shown
    assert "never opened" not in shown
    assert hs.Run(name, made.home).leaderboard()["n_opened"].null_count() > 0
    for asked in (
        lambda: opened(made, plan),
        lambda: opened(made, plan, again=True, reason="a bug"),
        lambda: planned(made, experiment(claim=replace(CLAIM, level=0.1))),
        lambda: planned(made),
        lambda: rolled(TO, made.home, keys=made.keys),
    ):
        with pytest.raises(SealedError, match=r"ledger lacks entries|never entered in the ledger"):
            asked()


def test_a_plan_whose_command_was_stopped_before_it_was_entered_is_made_again(made: Made, plan: HoldoutPlan) -> None:
    lines = lines_of(made.home)
    made.home.ledger.write_bytes(b"".join(lines[:-1]))
    assert verify_ledger(made.home).verdict == "broken"
    assert planned(made) == plan
    assert not verify_ledger(made.home).broken
