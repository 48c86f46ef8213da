"""A custodian's seal opens only by a grant, with real keys: two homes, two folders of keys."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.cli import main
from harness.core.errors import DamagedError, SealedError, UnknownNameError, UserError
from harness.data.vault.files import WRAPPED
from harness.data.vault.keys import (
    custodian_keys,
    encrypt,
    new_identity,
    new_signing,
    public_part,
    recipient_of,
    signed,
    signer_of,
)
from harness.record.files import json_bytes, sealed, sha256_of, write_file
from harness.record.home import Home
from harness.record.ledger import enter, entries
from harness.record.ledger_check import verify_ledger
from harness.record.seals import CUSTODIAN, Seal
from harness.studies.holdout.custodian import identities_from_grant, write_public_part, write_request
from harness.studies.holdout.exchange import SIGNATURE, encoded, request_digest, signed_part
from harness.studies.holdout.granting import write_grant
from tests.record.made_seals import SEAL, facts_of, lines_of, rechained, write_vault

Table = dict[str, object]


@dataclass(frozen=True, slots=True)
class Two:
    """A sealed home and its custodian, each with a folder of keys."""

    folder: Path
    home: Home
    keys: Path
    other: Home
    other_keys: Path
    identity: str

    def request(self, plan: str = "p1", name: str = "request.json") -> Path:
        write_request(self.home, plan, self.folder / name, keys=self.keys)
        return self.folder / name

    def grant(self, request: Path, name: str = "grant.json", *, again: bool = False, head: str = "") -> Path:
        write_grant(self.other, request, self.folder / name, again=again, head=head, keys=self.other_keys)
        return self.folder / name

    def open(self, grant: Path, plan: str = "p1") -> dict[str, str]:
        return identities_from_grant(self.home, plan, grant, keys=self.keys)

    def refusals(self) -> int:
        return sum(one.kind == "refusal" for one in entries(self.home))


def planned(home: Home, plan: str, *seals: str) -> None:
    record = sealed({"id": plan, "claim": "gbm beats the rivals", "seals": list(seals or ["s1"])})
    write_file(home.plans / f"{plan}.json", json_bytes(record))
    told = {"plan": plan, "seals": list(seals or ["s1"]), "experiment": "uk", "claim": "gbm beats the rivals"}
    enter(home, "plan", {**told, "digest": record["digest"]})


def seal_for(home: Home, custodian: dict[str, str], identity: str, name: str = "s1") -> Seal:
    """A seal of custodian grade whose vault identity is wrapped for the custodian."""
    seal = replace(SEAL, id=name, grade=CUSTODIAN, recipient=recipient_of(identity), custodian=custodian)
    enter(home, "sealing", {"seal": name, "cut": seal.cut})
    manifest = write_vault(home, seal)
    write_file(home.vault / name / WRAPPED, encrypt(identity.encode(), custodian["age"]))
    enter(home, "seal", facts_of(seal, manifest))
    return seal


@pytest.fixture
def two(tmp_path: Path) -> Two:
    made = Two(
        tmp_path,
        Home(tmp_path / "home"),
        tmp_path / "keys",
        Home(tmp_path / "custodian"),
        tmp_path / "custodian_keys",
        new_identity(),
    )
    write_public_part(made.other, tmp_path / "custodian.json", keys=made.other_keys)
    seal_for(made.home, json.loads((tmp_path / "custodian.json").read_text()), made.identity)
    planned(made.home, "p1")
    return made


def test_a_granted_request_gives_the_identity_and_both_are_entered(two: Two) -> None:
    request = two.request()
    grant = two.grant(request)
    assert two.open(grant) == {"s1": two.identity}
    assert two.open(grant) == {"s1": two.identity}, "a crash in between: the same grant resumes"
    assert [one.kind for one in entries(two.home)] == ["sealing", "seal", "plan", "request", "grant"]
    told = json.loads((two.other.root / "custodian" / "s1.json").read_text())
    assert (told["head"], [one["plan"] for one in told["grants"]]) == (entries(two.home)[3].hash, ["p1"])


def test_no_file_that_is_sent_or_kept_at_home_opens_anything(two: Two) -> None:
    grant = two.grant(two.request())
    two.open(grant)
    secrets = [two.identity, *custodian_keys(folder=two.other_keys), (two.keys / "p1.once").read_text().strip()]
    for path in two.folder.rglob("*"):
        if path.is_file() and two.keys not in path.parents and two.other_keys not in path.parents:
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in secrets), path
    for path in [*two.keys.iterdir(), *two.other_keys.iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(two.keys.stat().st_mode) == 0o700


def test_the_custodians_keys_are_made_once_and_never_inside_the_home(two: Two) -> None:
    before = (two.folder / "custodian.json").read_bytes()
    write_public_part(two.other, two.folder / "custodian.json", keys=two.other_keys)
    assert (two.folder / "custodian.json").read_bytes() == before
    with pytest.raises(UserError, match="the folder of keys lies in the home folder"):
        write_public_part(two.other, two.folder / "x.json", keys=two.other.root / "keys")


def changed(**changes: object) -> Callable[[Table], Table]:
    return lambda record: {**record, **changes}


def edited_claim(record: Table) -> Table:
    content = {**record["content"], "claim": "anything"}  # type: ignore[dict-item]
    return {**record, "content": sealed(content)}


def without_an_entry(record: Table) -> Table:
    return {**record, "ledger": [line for line in record["ledger"] if '"kind": "plan"' not in line]}  # type: ignore[attr-defined]


REQUESTS: dict[str, tuple[Callable[[Table], Table], str]] = {
    "another one-use key": (changed(once=recipient_of(new_identity())), "not the one that its ledger tells of"),
    "another plan": (changed(plan="p2"), "not the one that its ledger tells of"),
    "another claim": (edited_claim, "not the one that its ledger tells of"),
    "no plan": (changed(content=None), "not the one that its ledger tells of"),
    "an entry taken out": (without_an_entry, "ledger is broken"),
    "ledger cut short": (lambda one: {**one, "ledger": one["ledger"][:-1]}, "does not end with the request"),  # type: ignore[index]
    "no ledger": (changed(ledger=[]), "does not end with the request"),
    "ledger no list": (changed(ledger=5), "does not end with the request"),
    "another head": (changed(head="0" * 64), "does not end with the request"),
    "a path for a seal": (changed(seals={"../x": {"manifest": "", "identity": ""}}), "something else, or damaged"),
    "a grant": (changed(kind="harness holdout grant 1"), "something else, or damaged"),
    "no seals": (changed(seals={}), "something else, or damaged"),
    "half a letter": (changed(head="\ud800"), "something else, or damaged"),
}


@pytest.mark.parametrize("how", REQUESTS)
def test_a_forged_request_is_not_granted(two: Two, how: str) -> None:
    forge, why = REQUESTS[how]
    request = two.request()
    request.write_text(json.dumps(forge(json.loads(request.read_text()))))
    with pytest.raises(SealedError, match=why):
        two.grant(request)
    assert not (two.folder / "grant.json").exists()
    assert not (two.other.root / "custodian").exists()


def without_its_plan(record: Table) -> Table:
    return {**record, "plan": "p0"}


def of_another_vault(record: Table) -> Table:
    return {**record, "seals": {"s1": {**record["seals"]["s1"], "manifest": "0" * 64}}}  # type: ignore[index]


def of_two_seals(record: Table) -> Table:
    return {**record, "seals": {**record["seals"], "s2": record["seals"]["s1"]}}  # type: ignore[dict-item, index]


ENTERED: dict[str, tuple[Callable[[Table], Table], str]] = {
    "another claim": (edited_claim, "plan is not the one that was entered"),
    "a claim edited": (changed(content={"claim": "x", "digest": "y"}), "plan is not what was written"),
    "no plan": (changed(content=None), "plan is not what was written"),
    "a plan never entered": (without_its_plan, "tells of no such plan"),
    "another vault": (of_another_vault, "not the one last entered"),
    "a seal more": (of_two_seals, "a seal that the plan does not name"),
}


@pytest.mark.parametrize("how", ENTERED)
def test_a_forged_request_that_was_entered_too_is_not_granted(two: Two, how: str) -> None:
    """Whoever has the home can enter what they like; the plan, the seal and the vault must still be those entered."""
    forge, why = ENTERED[how]
    request = two.request()
    record = forge(json.loads(request.read_text()))
    entry = enter(two.home, "request", {"plan": record["plan"], "request": request_digest(record)})
    record |= {"ledger": [line.decode().strip() for line in lines_of(two.home)], "head": entry.hash}
    request.write_text(json.dumps(record))
    with pytest.raises(SealedError, match=why):
        two.grant(request)
    assert not (two.other.root / "custodian").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_request_is_refused(two: Two, content: bytes) -> None:
    (two.folder / "junk.json").write_bytes(content)
    with pytest.raises(SealedError, match="something else, or damaged"):
        two.grant(two.folder / "junk.json")


def test_a_file_that_is_not_there_is_no_matter_of_the_ledger(two: Two) -> None:
    before = two.home.ledger.read_bytes()
    for way in (two.grant, two.open):
        with pytest.raises(UserError, match="no such file") as told:
            way(two.folder / "nowhere.json")
        assert not isinstance(told.value, SealedError)
    assert two.home.ledger.read_bytes() == before


def test_a_wrapped_identity_of_another_vault_is_not_granted(two: Two) -> None:
    """Someone asks for the key of a second seal under the name of the first."""
    wrapped = encrypt(new_identity().encode(), public_part(two.other_keys)["age"])
    write_file(two.home.vault / "s1" / WRAPPED, wrapped)
    with pytest.raises(SealedError, match="the key that was sent is not that of seal s1"):
        two.grant(two.request())


def test_a_seal_kept_by_somebody_else_is_foreign(two: Two) -> None:
    write_public_part(two.other, two.folder / "else.json", keys=two.folder / "keys_of_else")
    with pytest.raises(SealedError, match="is not kept with the keys of this custodian"):
        write_grant(two.other, two.request(), two.folder / "g.json", keys=two.folder / "keys_of_else")
    with pytest.raises(SealedError, match=r"a custodian's keys are not here.*send the request to the custodian"):
        write_grant(two.other, two.request(), two.folder / "g.json", keys=two.folder / "none")


def test_a_vault_that_was_changed_is_not_asked_for_and_not_granted(two: Two) -> None:
    request = two.request()
    record = json.loads(request.read_text())
    record["seals"]["s1"]["manifest"] = "0" * 64
    request.write_text(json.dumps(record))
    with pytest.raises(SealedError, match="not the one that its ledger tells of"):
        two.grant(request)
    (two.home.vault / "s1" / "manifest.json").write_text("{}")
    with pytest.raises(DamagedError, match="not the one last entered"):
        two.request()


def opened(two: Two, plan: str, *, exploratory: bool = False) -> None:
    enter(two.home, "opening", {"plan": plan, "seals": ["s1"], "exploratory": exploratory})
    enter(two.home, "result", {"plan": plan, "verdict": "confirmed"})


def test_a_second_plan_is_granted_only_when_it_is_said_to_be_again(two: Two) -> None:
    two.open(two.grant(two.request()))
    opened(two, "p1")
    planned(two.home, "p2")
    request = two.request("p2", "second.json")
    with pytest.raises(SealedError, match="1 openings in its ledger, 1 grants here, for other plans"):
        two.grant(request)
    assert two.open(two.grant(request, "second_grant.json", again=True), "p2") == {"s1": two.identity}
    assert json.loads((two.folder / "second_grant.json").read_text())["again"] is True


def test_the_custodian_remembers_a_grant_that_the_ledger_was_made_to_forget(two: Two) -> None:
    """Rolled back to the head that was signed: the opening is gone from the ledger, not from the custodian's record."""
    two.open(two.grant(two.request()))
    kept = b"".join(lines_of(two.home)[:4])
    opened(two, "p1")
    two.home.ledger.write_bytes(kept)
    planned(two.home, "p2")
    with pytest.raises(SealedError, match="0 openings in its ledger, 1 grants here"):
        two.grant(two.request("p2"))


def test_the_same_plan_is_granted_again_only_when_it_is_said_to_be_again(two: Two) -> None:
    two.grant(two.request())
    request = two.request(name="second.json")
    with pytest.raises(SealedError, match=r"granted before: p1, on .*only a crash needs a second grant"):
        two.grant(request, "second_grant.json")
    assert not (two.folder / "second_grant.json").exists()
    done = write_grant(two.other, request, two.folder / "g2.json", again=True, keys=two.other_keys)
    assert (done.openings, done.earlier, done.repeated) == (0, 0, 1)
    assert two.open(two.folder / "g2.json") == {"s1": two.identity}
    told = json.loads((two.other.root / "custodian" / "s1.json").read_text())
    assert [one["plan"] for one in told["grants"]] == ["p1", "p1"]


def test_the_next_request_shows_what_became_of_every_grant(two: Two) -> None:
    """A copy of the home was opened with the grant and thrown away: its result is not in the ledger that asks again."""
    two.grant(two.request())
    planned(two.home, "p2")
    second = write_grant(two.other, two.request("p2"), two.folder / "g.json", again=True, keys=two.other_keys)
    (told,) = second.became
    assert told.startswith("plan p1, granted on ")
    assert told.endswith("NO OPENING IS IN THE LEDGER: the grant was not used, or opened a copy of the home")
    opened(two, "p2")
    planned(two.home, "p3")
    third = write_grant(two.other, two.request("p3"), two.folder / "g.json", again=True, keys=two.other_keys)
    assert third.became[0] == told or third.became[1] == told
    assert sum("its result is in the ledger (confirmed)" in one for one in third.became) == 1


def rolled_on(two: Two) -> None:
    """The seal is over, another one of the same custodian follows."""
    enter(two.home, "roll", {"seal": "s1", "to": "2021-01-01", "new": "s2"})
    shutil.rmtree(two.home.vault / "s1")
    seal_for(two.home, public_part(two.other_keys), new_identity(), "s2")
    planned(two.home, "p2", "s2")


def test_the_custodians_memory_outlives_a_roll(two: Two) -> None:
    """Rolled back to before the grant, and the seal then rolled on: the new seal's first request tells of it."""
    kept = b"".join(lines_of(two.home)[:3])
    two.grant(two.request())
    two.home.ledger.write_bytes(kept)
    rolled_on(two)
    with pytest.raises(SealedError, match="the head signed here last for seal s1"):
        two.grant(two.request("p2"))


def test_a_seal_that_follows_another_is_granted_with_the_whole_ledger(two: Two) -> None:
    two.open(two.grant(two.request()))
    opened(two, "p1")
    rolled_on(two)
    done = write_grant(two.other, two.request("p2"), two.folder / "g.json", keys=two.other_keys)
    assert done.checked == "holds against head signed here last for s1"
    assert (done.openings, done.earlier, done.repeated) == (0, 0, 0)


def test_a_seal_is_known_by_its_ledger_also_where_that_forgot_the_other_seals(two: Two) -> None:
    enter(two.home, "refusal", {"what": "x", "value": "", "command": ""})
    lines = lines_of(two.home)
    rechained([lines[-1], *lines[:-1]], two.home.ledger)
    two.grant(two.request())
    two.home.ledger.write_bytes(lines_of(two.home)[0])
    shutil.rmtree(two.home.vault / "s1")
    (two.home.plans / "p1.json").unlink()
    seal_for(two.home, public_part(two.other_keys), new_identity(), "s2")
    planned(two.home, "p2", "s2")
    with pytest.raises(SealedError, match="head signed here last for seal s1"):
        two.grant(two.request("p2"))


@pytest.mark.parametrize("how", ["rolled back", "rechained"])
def test_a_ledger_without_the_head_signed_last_is_not_granted(two: Two, how: str) -> None:
    two.grant(two.request())
    lines = lines_of(two.home)
    if how == "rolled back":
        two.home.ledger.write_bytes(b"".join(lines[:3]))
        planned(two.home, "p0")
    else:
        planned(two.home, "p0")
        rechained([*lines[:2], lines_of(two.home)[-1], *lines[2:]], two.home.ledger)
    assert not verify_ledger(two.home).broken
    with pytest.raises(SealedError, match="the head signed here last for seal s1"):
        two.grant(two.request(), again=True)


def test_a_head_noted_elsewhere_must_be_there(two: Two) -> None:
    noted = entries(two.home)[1].hash
    two.grant(two.request(), head=noted)
    with pytest.raises(SealedError, match=f"the head {'a' * 64} is not in its ledger"):
        two.grant(two.request(), head="a" * 64)


def test_a_record_of_grants_that_was_edited_is_not_used(two: Two) -> None:
    two.grant(two.request())
    path = two.other.root / "custodian" / "s1.json"
    path.write_text(path.read_text().replace('"p1"', '"p9"'))
    with pytest.raises(DamagedError, match="what was signed for this seal is damaged"):
        two.grant(two.request())


def resigned(two: Two, record: Table, signing: str) -> Table:
    return {**record, SIGNATURE: signed(signing, signed_part(record))}


def forged_by_a_stranger(two: Two, record: Table) -> Table:
    """Everything right but the signature, by someone who has no custodian's key."""
    return resigned(two, record, new_signing())


def with_another_identity(two: Two, record: Table) -> Table:
    once = str(record["once"])
    seals = {"s1": {**record["seals"]["s1"], "identity": encoded(encrypt(new_identity().encode(), once))}}  # type: ignore[index]
    return resigned(two, {**record, "seals": seals}, custodian_keys(folder=two.other_keys)[1])


def unsigned_again(**changes: object) -> Callable[[Two, Table], Table]:
    def forge(two: Two, record: Table) -> Table:
        return {**record, **changes}

    return forge


GRANTS: dict[str, tuple[Callable[[Two, Table], Table], str]] = {
    "no signature": (unsigned_again(**{SIGNATURE: ""}), "did not sign it"),
    "signed by a stranger": (forged_by_a_stranger, "did not sign it"),
    "again set": (unsigned_again(again=True), "did not sign it"),
    "another head": (unsigned_again(head="0" * 64), "did not sign it"),
    "another identity": (with_another_identity, "it holds the key of another seal"),
    "a request": (unsigned_again(kind="harness holdout request 1"), "something else, or damaged"),
}


@pytest.mark.parametrize("how", GRANTS)
def test_a_forged_grant_opens_nothing_and_is_entered(two: Two, how: str) -> None:
    forge, why = GRANTS[how]
    grant = two.grant(two.request())
    grant.write_text(json.dumps(forge(two, json.loads(grant.read_text()))))
    with pytest.raises(SealedError, match=why):
        two.open(grant)
    assert two.refusals() == 1
    assert not any(one.kind == "grant" for one in entries(two.home))


def test_a_grant_for_another_plan_is_refused(two: Two) -> None:
    grant = two.grant(two.request())
    planned(two.home, "p2")
    with pytest.raises(SealedError, match="it was granted for plan p1, not for p2"):
        two.open(grant, "p2")
    assert two.refusals() == 1


def test_a_grant_of_another_home_is_refused(two: Two, tmp_path: Path) -> None:
    """A copy of the home and its plan: without the one-use key of the request the grant is of no use."""
    grant = two.grant(two.request())
    (tmp_path / "elsewhere").mkdir()
    copy = Home(tmp_path / "elsewhere" / "home")
    shutil.copytree(two.home.root, copy.root)
    with pytest.raises(SealedError, match="the key is not here"):
        identities_from_grant(copy, "p1", grant, keys=tmp_path / "keys_elsewhere")
    (two.keys / "p1.once").unlink()
    two.request(name="anew.json")
    with pytest.raises(SealedError, match="granted to another one-use key"):
        two.open(grant)
    assert two.refusals() == 1


def test_a_grant_serves_one_opening(two: Two) -> None:
    grant = two.grant(two.request())
    two.open(grant)
    opened(two, "p1")
    with pytest.raises(SealedError, match="its result stands"):
        two.open(grant)
    with pytest.raises(SealedError, match="its result stands"):
        two.request()
    assert two.refusals() == 2


def test_a_grant_kept_for_later_is_refused_once_another_plan_opened(two: Two) -> None:
    grant = two.grant(two.request())
    planned(two.home, "p2")
    opened(two, "p2")
    with pytest.raises(SealedError, match="plan p2 opened the seal since it was granted"):
        two.open(grant)


def test_a_grant_is_for_the_vault_and_the_plan_as_they_were(two: Two) -> None:
    grant = two.grant(two.request())
    listed = two.home.vault / "s1" / "manifest.json"
    listed.write_bytes(json_bytes({"manifest": {"files": []}}))
    with pytest.raises(SealedError, match="the vault is not the one it was granted for"):
        two.open(grant)
    enter(two.home, "batch", {"seal": "s1", "manifest": sha256_of(listed), "rows": 1})
    with pytest.raises(SealedError, match="the vault is not the one it was granted for"):
        two.open(grant)
    write_file(two.home.plans / "p1.json", json_bytes(sealed({"id": "p1", "claim": "another"})))
    with pytest.raises(SealedError, match="the plan is not the one that was entered"):
        two.open(grant)
    (two.home.plans / "p1.json").write_text("{}")
    with pytest.raises(DamagedError, match="the plan is damaged"):
        two.open(grant)


def test_a_grant_does_not_outlive_the_ledger_it_was_granted_on(two: Two) -> None:
    grant = two.grant(two.request())
    two.home.ledger.write_bytes(b"".join(lines_of(two.home)[:3]))
    with pytest.raises(SealedError, match="cut short, rolled back or chained anew since it was granted"):
        two.open(grant)


def test_a_plan_is_asked_for_by_the_beginning_of_its_id(two: Two) -> None:
    planned(two.home, "abc1")
    planned(two.home, "abd2")
    assert json.loads(two.request("abc").read_text())["plan"] == "abc1"
    with pytest.raises(UnknownNameError, match="several begin so"):
        two.request("ab")


def test_requests_need_a_plan_a_custodian_and_only_one(two: Two) -> None:
    with pytest.raises(UnknownNameError, match="unknown plan"):
        two.request("p9")
    write_file(two.home.plans / "p2.json", json_bytes(sealed({"id": "p2"})))
    with pytest.raises(SealedError, match="never entered"):
        two.request("p2")
    (two.home.plans / "p2.json").unlink()
    honour = replace(SEAL, id="s2", grade="honour")
    enter(two.home, "seal", facts_of(honour, write_vault(two.home, honour)))
    planned(two.home, "p3", "s2")
    with pytest.raises(UserError, match="no seal of this plan has a custodian"):
        two.request("p3")
    other = {"age": recipient_of(new_identity()), "ed25519": signer_of(new_signing())}
    seal_for(two.home, other, new_identity(), "s3")
    planned(two.home, "p4", "s1", "s3")
    with pytest.raises(UserError, match="have several custodians"):
        two.request("p4")


def test_a_plan_over_two_seals_of_one_custodian_opens_both(two: Two) -> None:
    second = new_identity()
    seal_for(two.home, public_part(two.other_keys), second, "s2")
    planned(two.home, "p2", "s1", "s2")
    assert two.open(two.grant(two.request("p2")), "p2") == {"s1": two.identity, "s2": second}
    assert {path.stem for path in (two.other.root / "custodian").iterdir()} == {"s1", "s2"}


def test_on_the_command_line(two: Two, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(two.folder)
    home, other = ["--home", str(two.home.root)], ["--home", str(two.other.root), "--keys", str(two.other_keys)]
    assert main(["holdout", "keys", "--out", "public.json", *other]) == 0
    assert json.loads(Path("public.json").read_text()) == public_part(two.other_keys)
    assert (
        main(["holdout", "--home", str(two.home.root), "request", "--plan", "p1", "--out", "r.json", "--keys", "keys"])
        == 0
    )
    assert f"ledger head {entries(two.home)[-1].hash}" in capsys.readouterr().out
    assert main(["holdout", "grant", "r.json", "--out", "g.json", *other]) == 0
    printed = capsys.readouterr().out
    assert "plan p1: gbm beats the rivals" in printed
    assert "its chain is whole and ends with this request; whether it was cut short" in printed
    assert main(["holdout", "keys", "--out", "public.json", *other]) == 0
    assert "replaced public.json" in (printed := capsys.readouterr().out)
    assert "the keys made here before were used again" in printed
    assert main(["holdout", "request", "--plan", "p1", "--out", "again.json", "--keys", "keys", *home]) == 0
    assert "asked before: request 2 for this plan" in capsys.readouterr().out
    for missing in (
        ["grant", "nosuch.json", "--out", "x.json"],
        ["seal", "--from", "2019-01-01", "e", "--custodian", "no.json"],
    ):
        assert main(["holdout", *missing, *other]) == 2
        assert "no such file: no" in (told := capsys.readouterr().err)
        assert "fix: on the custodian's machine" in told or "fix: where the seal is" in told
    assert two.open(Path("g.json")) == {"s1": two.identity}
    assert main(["holdout", "grant", "g.json", "--out", "g2.json", *other]) == 2
    assert "something else, or damaged" in capsys.readouterr().err
    assert main(["holdout", "request", "--plan", "p7", "--out", "r.json", *home]) == 2
    assert "unknown plan" in capsys.readouterr().err
