"""The ledger: appended to, never changed; whoever noted a head can tell."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path

import pytest

from harness.core.errors import DamagedError, SealedError, UserError
from harness.record import ledger
from harness.record.chain import GENESIS, chain_of
from harness.record.files import json_bytes, sha256_of, write_file
from harness.record.home import Home
from harness.record.ledger import enter, entries, head, refusals, refuse
from harness.record.ledger_check import verify_ledger
from harness.record.seals import SEAL_FILE
from harness.record.told_seals import OpeningCount, openings_of, seals_in
from tests.record.made_seals import SEAL, facts_of, lines_of, rechained, sealed_home, write_vault


def filled(home: Home, count: int = 6) -> list[str]:
    """Enter some; their hashes."""
    return [enter(home, "plan", {"plan": f"p{number}", "seals": [], "claim": "better"}).hash for number in range(count)]


def test_entries_come_back_as_they_were_entered_and_hang_together(home: Home) -> None:
    assert head(home) == GENESIS
    hashes = filled(home)
    found = entries(home)
    assert [one.hash for one in found] == hashes
    assert [one.previous for one in found] == [GENESIS, *hashes[:-1]]
    assert [one.number for one in found] == [1, 2, 3, 4, 5, 6]
    assert found[2].facts == {"plan": "p2", "seals": [], "claim": "better"}
    assert head(home) == hashes[-1]


def test_without_a_head_the_verdict_is_consistent_and_never_more(home: Home) -> None:
    hashes = filled(home)
    assert verify_ledger(home).verdict == "consistent"
    done = verify_ledger(home, hashes[3])
    assert (done.verdict, done.since, done.broken) == (f"unbroken since {hashes[3]}", 2, False)
    assert verify_ledger(home, hashes[3][:32]).verdict == f"unbroken since {hashes[3][:32]}"
    for short in (hashes[3][:31], "g" * 64, hashes[3] + "0"):  # too short a beginning could be forged
        with pytest.raises(UserError, match=r"not a full hash.*first 32 at least"):
            verify_ledger(home, short)


def edited(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b"better", b"worse!"), *lines[3:]]


def edited_with_its_own_hash(lines: list[bytes]) -> list[bytes]:
    told = json.loads(lines[2])
    return [*lines[:2], alone(told | {"facts": {"plan": "p2", "claim": "worse"}}), *lines[3:]]


def alone(told: dict[str, object]) -> bytes:
    """A line whose own hash holds."""
    from harness.record.chain import Entry, written

    return written(Entry(**told))  # type: ignore[arg-type]


TAMPERED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "edited": edited,
    "edited with its own hash": edited_with_its_own_hash,
    "a space added": lambda lines: [*lines[:2], lines[2].replace(b'": "', b'":  "', 1), *lines[3:]],
    "deleted": lambda lines: [*lines[:2], *lines[3:]],
    "first deleted": lambda lines: lines[1:],
    "inserted": lambda lines: [*lines[:3], lines[2], *lines[3:]],
    "swapped": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "blank line": lambda lines: [*lines[:3], b"\n", *lines[3:]],
    "no JSON": lambda lines: [*lines[:3], b"forged\n", *lines[3:]],
    "facts are no table": lambda lines: [
        *lines[:3],
        lines[3].replace(json.dumps(json.loads(lines[3])["facts"], sort_keys=True).encode(), b"[]"),
        *lines[4:],
    ],
}


@pytest.mark.parametrize("how", TAMPERED)
def test_every_change_within_is_found_and_nothing_more_is_entered(home: Home, how: str) -> None:
    filled(home)
    home.ledger.write_bytes(b"".join(TAMPERED[how](lines_of(home))))
    before = home.ledger.read_bytes()
    done = verify_ledger(home)
    assert done.verdict == "broken"
    assert "line " in done.reasons[0]
    with pytest.raises(DamagedError, match="the ledger is damaged"):
        enter(home, "plan", {})
    with pytest.raises(DamagedError, match="the ledger is damaged"):
        entries(home)
    assert home.ledger.read_bytes() == before


@pytest.mark.parametrize("kept", [0, 1, 3, 5])
def test_truncation_shows_with_a_head_only(home: Home, kept: int) -> None:
    hashes = filled(home)
    home.ledger.write_bytes(b"".join(lines_of(home)[:kept]))
    assert verify_ledger(home).verdict == "consistent"
    done = verify_ledger(home, hashes[-1])
    assert done.broken
    assert "cut short, rolled back or chained anew" in done.reasons[0]
    if kept:
        assert not verify_ledger(home, hashes[kept - 1]).broken


def test_a_chain_made_anew_shows_with_a_head_only(home: Home) -> None:
    hashes = filled(home)
    lines = lines_of(home)
    rechained([*lines[:2], *lines[3:]], home.ledger)
    assert verify_ledger(home).verdict == "consistent"
    assert verify_ledger(home, hashes[2]).broken
    assert verify_ledger(home, hashes[-1]).broken


def test_a_rolled_back_ledger_that_went_on_otherwise_shows_with_a_head(home: Home) -> None:
    filled(home)
    old = home.ledger.read_bytes()
    noted = enter(home, "opening", {"plan": "p1", "seals": ["s1"]}).hash
    home.ledger.write_bytes(old)
    enter(home, "plan", {"plan": "other"})
    enter(home, "plan", {"plan": "another"})
    assert verify_ledger(home).verdict == "consistent"
    assert verify_ledger(home, noted).broken


@pytest.mark.parametrize("left", [1, 10, -3])
def test_a_line_torn_by_a_crash_is_told_and_cut_off_by_the_next(home: Home, left: int) -> None:
    hashes = filled(home, 3)
    line = lines_of(home)[-1]
    with home.ledger.open("ab") as stream:
        stream.write(line[:left])
    done = verify_ledger(home, hashes[-1])
    assert not done.broken
    assert "cut off by a crash" in done.notes[0]
    assert [one.hash for one in entries(home)] == hashes
    added = enter(home, "plan", {"plan": "next"})
    assert added.previous == hashes[-1]
    assert verify_ledger(home, hashes[-1]).notes == ()
    assert len(entries(home)) == 4


def test_a_line_that_lacks_only_its_end_counts(home: Home) -> None:
    hashes = filled(home, 3)
    home.ledger.write_bytes(home.ledger.read_bytes()[:-1])
    assert [one.hash for one in entries(home)] == hashes
    assert enter(home, "plan", {}).previous == hashes[-1]
    assert len(lines_of(home)) == 4
    assert not verify_ledger(home, hashes[-1]).broken


WRITER = """
import sys
from pathlib import Path
from harness.record.home import Home
from harness.record.ledger import enter
for number in range(int(sys.argv[2])):
    print(enter(Home(Path(sys.argv[1])), "refusal", {"what": "x" * 5000, "number": number}).hash, flush=True)
"""


@pytest.mark.slow
def test_processes_that_enter_at_once_lose_nothing(home: Home) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(home.root), "20"], stdout=subprocess.PIPE) for _ in range(3)
    ]
    told = {line for child in children for line in child.communicate()[0].decode().split()}
    assert all(child.returncode == 0 for child in children)
    assert {one.hash for one in entries(home)} == told
    assert len(told) == 60


def test_what_was_entered_before_a_kill_is_there_after_it(home: Home) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(home.root), "100000"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    told = [child.stdout.readline().decode().strip() for _ in range(25)]
    os.kill(child.pid, signal.SIGKILL)
    told += child.stdout.read().decode().split()
    child.wait()
    child.stdout.close()
    hashes = [one.hash for one in entries(home)]
    assert hashes[: len(told)] == told
    assert enter(home, "plan", {}).previous == hashes[-1]
    assert not verify_ledger(home, told[-1]).broken


def test_a_full_disk_leaves_the_ledger_as_it_was(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(home, 2)
    before = home.ledger.read_bytes()
    real, calls = os.write, itertools.count()

    def full(file: int, content: bytes) -> int:
        if next(calls):
            raise OSError(28, "No space left on device")
        return real(file, content[:10])

    monkeypatch.setattr("harness.record.ledger.os.write", full)
    with pytest.raises(OSError, match="No space"):
        enter(home, "plan", {})
    assert home.ledger.read_bytes() == before


def test_a_refusal_is_entered_once_and_only_where_something_is_sealed(home: Home) -> None:
    error = SealedError("past the seal", value="2019-06-30")
    refuse(home, error, "backtest uk")
    assert not home.ledger.exists(), "a home without a seal has no ledger"
    sealed_home(home)
    with pytest.raises(SealedError, match="past the seal"), refusals(home, "backtest uk"), refusals(home, "plan uk"):
        raise SealedError("past the seal", value="2019-06-30")
    told = [one.facts for one in entries(home) if one.kind == "refusal"]
    assert told == [{"what": "past the seal", "value": "2019-06-30", "command": "plan uk"}]


def test_a_refusal_stands_even_when_the_ledger_is_damaged(home: Home) -> None:
    sealed_home(home)
    home.ledger.write_bytes(b"forged\n")
    with (
        pytest.raises(SealedError, match=r"past the seal.*see to the ledger, it cannot be written"),
        refusals(home, "x"),
    ):
        raise SealedError("past the seal")


def test_a_ledger_that_is_gone_beside_a_vault_is_broken_and_is_not_begun_anew(home: Home) -> None:
    sealed_home(home)
    assert verify_ledger(home).verdict == "consistent"
    home.ledger.unlink()
    done = verify_ledger(home)
    assert done.broken
    assert "the ledger is gone" in done.reasons[0]
    with pytest.raises(DamagedError, match="the ledger is gone"):
        enter(home, "plan", {})
    assert not home.ledger.exists()
    home.ledger.touch()
    with pytest.raises(DamagedError, match="the ledger is gone"):
        enter(home, "plan", {})


def test_a_seal_that_was_never_entered_is_broken(home: Home) -> None:
    sealed_home(home)
    write_vault(home, replace(SEAL, id="s2"))
    assert verify_ledger(home).reasons == ("seal s2 is in the vault, but was never entered",)


def test_a_vault_that_is_gone_is_broken_unless_it_was_rolled_on(home: Home) -> None:
    sealed_home(home)
    home.vault.rename(home.root / "away")
    assert verify_ledger(home).reasons == ("seal s1 was entered, but its vault is gone",)
    enter(home, "roll", {"seal": "s1", "to": "2020-01-01", "new": "s2"})
    assert not verify_ledger(home).broken


def test_a_vault_changed_or_rolled_back_is_broken(home: Home) -> None:
    sealed_home(home)
    listed = home.vault / "s1" / "manifest.json"
    old = listed.read_bytes()
    listed.write_bytes(json_bytes({"files": []}))
    assert "the list of its vault's files is not the one last entered" in verify_ledger(home).reasons[0]
    enter(home, "batch", {"seal": "s1", "manifest": sha256_of(listed), "rows": 3})
    assert not verify_ledger(home).broken
    listed.write_bytes(old)
    assert verify_ledger(home).broken
    listed.unlink()
    assert verify_ledger(home).broken


@pytest.mark.parametrize(
    "changes", [{"cut": "2021-01-01T00:00:00+00:00"}, {"grade": "custodian"}, {"signer": "cd" * 32}]
)
def test_a_seal_described_otherwise_than_entered_is_broken(home: Home, changes: dict[str, str]) -> None:
    sealed_home(home)
    write_file(home.vault / "s1" / SEAL_FILE, json_bytes(replace(SEAL, **changes).record()))  # type: ignore[arg-type]
    assert verify_ledger(home).reasons == (f"seal s1: its {next(iter(changes))} is not the one that was entered",)


def test_a_description_that_was_edited_is_broken(home: Home) -> None:
    sealed_home(home)
    path = home.vault / "s1" / SEAL_FILE
    path.write_bytes(path.read_bytes().replace(b"2019", b"2021"))
    assert "damaged" in verify_ledger(home).reasons[0]


def test_a_sealing_that_was_not_finished_is_told(home: Home) -> None:
    enter(home, "sealing", {"seal": "s1", "cut": SEAL.cut})
    done = verify_ledger(home)
    told = (
        f"seal s1, from {SEAL.cut}, was begun and not finished: give the same harness holdout seal command again, "
        "or give it up (harness holdout seal --abandon)"
    )
    assert (done.broken, done.notes) == (False, (told,))
    enter(home, "abandoned", {"seal": "s1"})
    assert verify_ledger(home).notes == ()
    enter(home, "sealing", {"seal": "s1", "cut": SEAL.cut})
    assert verify_ledger(home).notes == (told,)
    enter(home, "seal", facts_of(SEAL, write_vault(home)))
    assert verify_ledger(home).notes == ()


def openings(home: Home, sources: Mapping[str, str]) -> OpeningCount:
    return openings_of(entries(home), seals_in(entries(home), sources))


def test_openings_are_counted_by_what_the_target_is_made_of(home: Home) -> None:
    sealed_home(home)
    mine = SEAL.targets
    assert openings(home, mine).total == 0
    enter(home, "opening", {"plan": "p1", "seals": ["s1"], "again": False, "reason": "", "exploratory": False})
    enter(home, "opening", {"plan": "p2", "seals": ["s1"], "again": True, "reason": "bug", "exploratory": True})
    enter(home, "opening", {"plan": "p3", "seals": ["other"], "again": False, "reason": "", "exploratory": False})
    found = openings(home, mine)
    assert (found.confirmatory, found.exploratory, found.total) == (1, 1, 2)
    assert openings(home, {"another": "0" * 32}).total == 0


def test_an_empty_ledger_says_what_it_cannot_tell(tmp_path: Path) -> None:
    done = verify_ledger(Home(tmp_path))
    assert (done.verdict, done.broken) == ("consistent", False)
    assert "removed together" in done.notes[0]
    assert verify_ledger(Home(tmp_path), "a" * 64).broken
    assert chain_of(b"").head == GENESIS


def test_a_clock_that_was_set_back_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(home, 2)
    assert verify_ledger(home).notes == ()

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Earlier:
            return cls(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr(ledger, "datetime", Earlier)
    filled(home, 1)
    done = verify_ledger(home)
    assert not done.broken
    assert "entry 3 of 2001-01-01T00:00:00+00:00 follows one of" in done.notes[0]


def test_the_head_of_an_empty_ledger_vouches_for_nothing(home: Home) -> None:
    filled(home)
    for zeros in (GENESIS, GENESIS[:32]):
        assert not chain_of(home.ledger.read_bytes()).holds(zeros)
        with pytest.raises(UserError, match="head of no entry"):
            verify_ledger(home, zeros)


def test_a_ledger_that_is_a_folder_is_told_with_its_path(home: Home) -> None:
    home.ledger.mkdir(parents=True)
    assert "it is a folder" in verify_ledger(home).reasons[0]
    for asked in (entries, lambda one: enter(one, "plan", {})):
        with pytest.raises(DamagedError, match=rf"{home.ledger}: it is a folder"):
            asked(home)


@pytest.mark.parametrize("kept", [1, 2])
def test_what_lies_in_the_home_tells_of_entries_that_were_removed(home: Home, kept: int) -> None:
    sealed_home(home)
    assert not verify_ledger(home).broken
    write_file(home.vault / "s1" / "openings" / "p1" / "cell", b"encrypted")
    enter(home, "opening", {"plan": "p1", "seals": ["s1"], "exploratory": False})
    assert not verify_ledger(home).broken
    home.ledger.write_bytes(b"".join(lines_of(home)[:kept]))
    reasons = verify_ledger(home).reasons
    assert "vault/s1/openings/p1 tells of an opening that is not in the ledger" in reasons
    assert ("seal s1 is in force, but only its beginning was entered" in reasons) == (kept == 1)
