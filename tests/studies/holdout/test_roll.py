"""A spent holdout rolls on: what was seen is development, what came since stays sealed, and its opening confirms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.cli import main
from harness.core.errors import DamagedError, SealedError, UserError
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.vault.files import WRAPPED
from harness.data.vault.keys import encrypt
from harness.experiment.holdouts import rolled
from harness.record.chain import Entry
from harness.record.files import write_file
from harness.record.home import Home
from harness.record.ledger import entries
from harness.record.ledger_check import verify_ledger
from harness.record.plans import HoldoutPlan
from harness.record.seals import CUSTODIAN, seals_of, unfinished
from harness.studies.holdout import open as opening
from harness.studies.holdout import roll as rolling
from harness.studies.holdout.abandoning import give_up_opening
from harness.studies.holdout.custodian import identities_from_grant, write_public_part, write_request
from harness.studies.holdout.granting import write_grant
from harness.studies.holdout.open import opened_archive
from harness.studies.holdout.roll import Rolled
from tests.backtest.made_runs import Ran
from tests.backtest.test_resume import Stopped, StoppedAt
from tests.studies.holdout.conftest import copied
from tests.studies.holdout.made_holdouts import (
    END,
    QUARTERS,
    SEAL_ID,
    Made,
    filled,
    instant,
    kinds,
    opened,
    planned,
    quarter,
    sealed,
    values,
)

MORE = 14
SEEN = END.date()
TO = SEEN + timedelta(days=1)


def newer() -> pl.DataFrame:
    """What is published after the opening."""
    whole = values(quarters=QUARTERS + MORE)
    return whole.filter(whole["published_at"] > END)


@pytest.fixture
def spent(closed: tuple[Made, Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A home whose holdout was opened, and to which newer data came since: into the vault."""
    made = copied(closed[0], tmp_path)
    monkeypatch.setenv("HARNESS_KEYS", str(made.keys))
    hs.Archive.open(made.home.archive).append(newer(), source="newer")
    return made


def same_rows(one: ChangeFile, other: ChangeFile) -> bool:
    names = ("code", "period", "published", "value", "vintage", "availability")
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in names)


def assert_rolled(made: Made, done: Rolled, folder: Path) -> None:
    """The archive ends before the new cut, and opened it is as if it had never been sealed."""
    (seal,) = seals_of(made.home)
    # midnight in London
    assert (seal.id, seal.follows, seal.instant) == (done.new, SEAL_ID, instant(TO) - timedelta(hours=1))
    assert not unfinished(made.home)
    assert not (made.home.vault / SEAL_ID).exists()
    cut = int(seal.instant.timestamp() * 1_000_000)
    clear = Archive.open(made.home.archive, read_only=True).changes()
    whole = filled(Home(folder / "whole"))
    whole.append(newer(), source="newer")
    plain = whole.changes()
    assert clear.published.max() < cut <= plain.published.max()
    assert clear.value.tobytes() == plain.value[plain.published < cut].tobytes()
    identity = (made.keys / f"{seal.id}.identity").read_text().strip()
    assert same_rows(opened_archive(made.home, [seal], {seal.id: identity}).changes(), plain)
    assert kinds(made.home)[-2:] == ["roll", "seal"]
    check = verify_ledger(made.home)
    assert not check.broken, check.reasons


@pytest.mark.slow
def test_a_spent_stretch_is_released_and_the_next_opening_confirms(spent: Made, tmp_path: Path) -> None:
    done = rolled(TO, spent.home)
    assert done.rows > MORE
    assert_rolled(spent, done, tmp_path)
    spent.run()
    plan = planned(spent)
    assert not plan.exploratory
    assert plan.seal_ids == (done.new,)
    ran = opened(spent, plan)
    errors = ran.forecasts.filter("scored")
    assert errors["origin"].min() > instant(SEEN)
    assert '"exploratory": false' in (ran.files.folder / "manifest.json").read_text()


@pytest.mark.parametrize(
    ("to", "told"),
    [
        (date(2015, 3, 1), "not after the seal's"),
        (quarter(QUARTERS - 4), "opened cannot be sealed again"),
        (SEEN - timedelta(days=1), "opened cannot be sealed again"),
        (date(2060, 1, 1), "nothing would stay sealed"),
    ],
)
def test_a_day_that_is_not_after_all_that_was_seen_is_refused(to: date, told: str, spent: Made) -> None:
    before = spent.home.archive.read_bytes()
    with pytest.raises(SealedError, match=told):
        rolled(to, spent.home)
    assert kinds(spent.home)[-1] == "refusal"
    assert spent.home.archive.read_bytes() == before


def test_a_holdout_that_was_never_opened_does_not_roll(made: Made) -> None:
    with pytest.raises(SealedError, match="not opened and closed"):
        rolled(TO, made.home, keys=made.keys)
    assert kinds(made.home)[-1] == "refusal"
    with pytest.raises(UserError, match="no day"):
        rolled("soon", made.home, keys=made.keys)
    with pytest.raises(UserError, match="unknown seal"):
        rolled(TO, made.home, seal="zzz", keys=made.keys)


def stopped_before_its_result(made: Made, plan: HoldoutPlan) -> None:
    """An opening that is killed when all of its answer is in the clear, but not entered."""
    entering = opening.enter

    def stop(home: Home, kind: str, facts: Mapping[str, object]) -> Entry:
        if kind == "result":
            raise Stopped
        return entering(home, kind, facts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "enter", stop)
        with pytest.raises(Stopped):
            opened(made, plan, again=True, reason="look")


@pytest.mark.slow
def test_an_opening_that_was_begun_and_not_closed_keeps_the_seal_from_rolling(spent: Made) -> None:
    spent.run()
    plan = planned(spent)
    stopped_before_its_result(spent, plan)
    assert kinds(spent.home)[-2:] == ["opening", "closing"]
    with pytest.raises(SealedError, match="begun and not closed") as refused:
        rolled(TO, spent.home)
    assert refused.value.fix.startswith(f"finish it first: harness holdout open --plan {plan.id} (")
    opened(spent, plan)
    told = [one.kind for one in entries(spent.home) if one.facts.get("plan") == plan.id]
    assert told == ["plan", "opening", "closing", "result"]
    with pytest.raises(SealedError, match="opened cannot be sealed again"):  # what the second opening saw
        rolled(TO, spent.home)


@pytest.mark.slow
def test_what_a_void_opening_decrypted_counts_as_seen(spent: Made) -> None:
    spent.run()
    plan = planned(spent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "checksums", lambda cells: {name: ["other"] * len(cells[name]) for name in cells})
        with pytest.raises(DamagedError, match="the opening is void"):
            opened(spent, plan, again=True, reason="look")
    assert kinds(spent.home)[-1] == "void"
    with pytest.raises(SealedError, match="opened cannot be sealed again"):
        rolled(TO, spent.home)


@pytest.mark.slow
def test_a_roll_and_an_opening_wait_for_each_other(spent: Made) -> None:
    spent.run()
    plan, told = planned(spent), list[str]()

    def meanwhile(done: int, every: int) -> None:
        if not told:
            with pytest.raises(SealedError, match="another opening is under way, or a roll") as refused:
                rolled(TO, spent.home)
            told.append(refused.value.value)

    opened(spent, plan, again=True, reason="look", progress=meanwhile)
    assert told == [f"process {os.getpid()}, plan {plan.id}"]
    with opening.alone(spent.home, "roll"), pytest.raises(SealedError, match="under way, or a roll"):
        opened(spent, planned(spent), again=True, reason="look")


def stopping(*_: object, **__: object) -> None:
    raise Stopped


def killed_after_its_commit(archive: Path) -> None:
    """Another series gets a value from a process that dies before the database's log is folded in."""
    text = f"""
import os, harness as hs, polars as pl
from contextlib import contextmanager
from datetime import UTC, date, datetime
from harness.data.archive.store import Store
archive, whole = hs.Archive.open({str(archive)!r}), Store._transaction
@contextmanager
def dying(self, connection):
    with whole(self, connection):
        yield
    os._exit(9)
Store._transaction = dying
row = dict(series_id=["other"], period=[date(2010, 3, 31)], value=[7.5])
row["published_at"] = [datetime(2010, 5, 1, tzinfo=UTC)]
archive.append(pl.DataFrame(row), source="late")
"""
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == 9


@pytest.mark.slow
def test_a_log_beside_the_archive_is_folded_in_before_a_roll_replaces_it(spent: Made) -> None:
    killed_after_its_commit(spent.home.archive)
    log = spent.home.archive.with_name("archive.duckdb.wal")
    assert log.exists()
    kept = log.read_bytes()
    rolled(TO, spent.home)
    assert not log.exists()
    assert "late" in Archive.open(spent.home.archive, read_only=True).batches()["source"].to_list()
    log.write_bytes(kept)
    with pytest.raises(DamagedError, match="the archive is damaged"):  # a log of another archive
        Archive.open(spent.home.archive, read_only=True)


@pytest.mark.slow
def test_a_roll_that_was_interrupted_goes_on_by_the_same_command(
    spent: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["holdout", "roll", "--to", str(TO), "--home", str(spent.home.root), "--keys", str(spent.keys)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rolling, "finish", stopping)
        with pytest.raises(Stopped):
            main(command)
    assert main(["runs", "--home", str(spent.home.root)]) == 2
    told = capsys.readouterr().err
    assert "a roll was interrupted" in told
    assert "run the same harness holdout roll command again" in told
    assert main(["holdout", "status", "--home", str(spent.home.root), "--keys", str(spent.keys)]) == 0
    assert "run the same harness holdout roll command again" in capsys.readouterr().out
    assert main(command) == 0
    assert f"seal {SEAL_ID} is over" in capsys.readouterr().out
    assert not unfinished(spent.home)


@pytest.mark.slow
def test_a_folder_left_of_a_vault_that_was_rolled_on_is_no_seal_and_any_other_is_damage(spent: Made) -> None:
    done = rolled(TO, spent.home)
    (spent.home.vault / SEAL_ID / "openings").mkdir(parents=True)
    assert [one.id for one in seals_of(spent.home)] == [done.new]
    assert not verify_ledger(spent.home).broken
    (spent.home.vault / "foreign").mkdir()
    with pytest.raises(DamagedError, match="the description of a seal is gone"):
        seals_of(spent.home)
    assert verify_ledger(spent.home).broken


@pytest.mark.slow
def test_a_custodians_seal_rolls_with_the_grant_of_its_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, theirs = Home(tmp_path / "custodian"), tmp_path / "their_keys"
    write_public_part(other, tmp_path / "public.json", keys=theirs)
    public = json.loads((tmp_path / "public.json").read_text())
    made = sealed(tmp_path, seal={"grade": CUSTODIAN, "custodian": public})
    monkeypatch.setenv("HARNESS_KEYS", str(made.keys))
    identity = made.keys / f"{SEAL_ID}.identity"
    wrapped = encrypt(identity.read_text().strip().encode(), public["age"])
    write_file(made.home.vault / SEAL_ID / WRAPPED, wrapped)
    identity.unlink()
    request, grant = tmp_path / "request.json", tmp_path / "grant.json"

    def granted(plan: HoldoutPlan) -> Mapping[str, str]:
        write_request(made.home, plan.id, request, keys=made.keys)
        write_grant(other, request, grant, keys=theirs)
        return identities_from_grant(made.home, plan.id, grant, keys=made.keys)

    made.run()
    first = planned(made)
    opened(made, first, granted=lambda: granted(first))
    hs.Archive.open(made.home.archive).append(newer(), source="newer")
    with pytest.raises(SealedError, match="opens by a custodian's grant"):
        rolled(TO, made.home)
    forged = json.loads(grant.read_text()) | {"again": True}
    (tmp_path / "forged.json").write_text(json.dumps(forged))
    with pytest.raises(SealedError, match="did not sign it"):
        rolled(TO, made.home, grant=tmp_path / "forged.json")
    done = rolled(TO, made.home, grant=grant)
    (seal,) = seals_of(made.home)
    assert (seal.id, seal.grade, seal.custodian) == (done.new, CUSTODIAN, public)
    assert (made.home.vault / seal.id / WRAPPED).exists()
    assert not (made.keys / f"{seal.id}.identity").exists()
    made.run()
    second = planned(made)
    assert not second.exploratory
    opened(made, second, granted=lambda: granted(second))  # another seal: no --again is needed
    assert [one.facts["exploratory"] for one in entries(made.home) if one.kind == "opening"] == [False, False]


@pytest.mark.slow
def test_a_roll_that_is_stopped_anywhere_is_finished_by_the_same_command(spent: Made, tmp_path: Path) -> None:
    counting = copied(spent, tmp_path / "count")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_KEYS", str(counting.keys))
        count = StoppedAt(patch, 10**9)
        rolled(TO, counting.home)
    moments = 10**9 - count.left
    for number in sorted({1, 2, moments // 4, moments // 2, *range(moments - 9, moments)}):
        mine = copied(spent, tmp_path / f"stopped{number}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HARNESS_KEYS", str(mine.keys))
            StoppedAt(patch, number)
            with pytest.raises(Stopped):
                rolled(TO, mine.home)
        told = [one for one in kinds(mine.home) if one == "roll"]
        done = (
            rolled(TO, mine.home, keys=mine.keys)
            if seals_of(mine.home)[0].id == SEAL_ID or unfinished(mine.home)
            else None
        )
        if done is not None:
            assert_rolled(mine, done, mine.home.root.parent)
        else:  # everything was done when it was stopped
            assert told == ["roll"]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["closed", "given up"])
def test_a_forecast_that_an_opening_decrypted_is_not_sealed_again(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sealed(tmp_path, seal={"sources": ("bank",)})
    monkeypatch.setenv("HARNESS_KEYS", str(made.keys))
    issued = SEEN + timedelta(days=90)
    told = {"series_id": ["cpi"], "issued_at": [issued], "period": [quarter(QUARTERS + 1)], "value": [1.0]}
    assert hs.Archive.open(made.home.archive).append_forecasts(pl.DataFrame(told), source="bank").sealed == 1
    made.run()
    plan = planned(made)
    if ending == "closed":
        opened(made, plan)
    else:
        with monkeypatch.context() as patch:
            patch.setattr(opening, "_walked", stopped_at_once)
            with pytest.raises(Stopped):
                opened(made, plan)
        give_up_opening(made.home, plan.id, "a bug", keys=made.keys)
    seen = max(str(one.facts["seen"]) for one in entries(made.home) if "seen" in one.facts)
    assert date.fromisoformat(seen[:10]) >= issued
    hs.Archive.open(made.home.archive).append(newer(), source="newer")
    with pytest.raises(SealedError, match="what was opened cannot be sealed again"):
        rolled(issued, made.home, keys=made.keys)
    assert rolled(issued + timedelta(days=2), made.home, keys=made.keys).rows > 0


def stopped_at_once(*_: object, **__: object) -> str:
    """An opening that ends right after it was entered."""
    raise Stopped
