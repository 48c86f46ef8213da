"""The custodian's own side: a request is held against what was signed here before, then granted and signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.core.errors import DamagedError, SealedError
from harness.data.vault.keys import custodian_keys, decrypt, encrypt, key_folder, recipient_of, signed
from harness.record.chain import Chain, Entry, chain_of
from harness.record.files import SEAL, json_bytes, read_json, seal_holds, sealed, write_file
from harness.record.home import Home
from harness.record.ledger import named_seals, promised_manifest, refuse_short
from harness.studies.holdout.exchange import (
    GRANT,
    REQUEST,
    SIGNATURE,
    decoded,
    encoded,
    read_exchange,
    request_digest,
    seals_in,
    signed_part,
    write_exchange,
)

CUSTODIAN_FOLDER = "custodian"


@dataclass(frozen=True, slots=True)
class Granted:
    """What a custodian is told of a grant.

    Attributes:
        plan: id.
        claim: of the plan, as it was entered.
        checked: against what the ledger was held.
        openings: of the seals so far, by other plans.
        earlier: grants for the seals so far, for other plans.
    """

    plan: str
    claim: str
    checked: str
    openings: int
    earlier: int


def write_grant(
    home: Home, request: Path, out: Path, *, head: str = "", again: bool = False, keys: Path | None = None
) -> Granted:
    """Check a request and grant it; what was signed is remembered in `custodian/SEAL.json` before it is handed out.

    Args:
        home: the custodian's own home folder.
        request: the file that was sent.
        out: the grant.
        head: a ledger head the custodian noted elsewhere; it must be among the entries.
        again: grant although the seal was opened, or granted to another plan, before.
        keys: the folder of keys; None = the usual one.

    Raises:
        SealedError: the request is forged, foreign, rolled back, or for a seal that was opened before; it says what.
        DamagedError: what is remembered here is not what was written.
    """
    refuse_short(head)
    record = read_exchange(request, REQUEST)
    identity, signing = custodian_keys(folder=key_folder(home, keys))
    chain = _chain(record)
    plan = _plan_of(record, chain.entries)
    if head and not chain.holds(head):
        raise _refused(f"the head {head} is not in its ledger: it was cut short, rolled back or chained anew", request)
    seals = seals_in(record)
    remembered = {name: _remembered(home, name) for name in seals}
    for name, one in remembered.items():
        if one.get("head") and not chain.holds(str(one["head"])):
            raise _refused(
                f"the head signed here last for seal {name} ({one['head']}) is not in its ledger: it was cut short, "
                "rolled back or chained anew",
                request,
            )
    openings, earlier = _used_before(str(record["plan"]), chain.entries, remembered)
    if (openings or earlier) and not again:
        raise SealedError(
            "the seal was opened before",
            value=f"{openings} openings in its ledger, {earlier} grants here, for other plans",
            rule="only the first opening confirms; another is exploratory",
            fix="grant it with --again if that is wanted",
        )
    opened = {name: _identity(name, one, plan, chain.entries, identity) for name, one in seals.items()}
    grant = _signed(record, opened, signing, again=again)
    for name in seals:
        _remember(home, name, remembered[name], grant)
    write_exchange(out, grant)
    told = [f"head signed here last for {name}" for name, one in remembered.items() if one.get("head")]
    checked = " and ".join([*([f"the head {head}"] if head else []), *told]) or "no head: none was signed here before"
    return Granted(str(record["plan"]), str(plan.facts.get("claim", "")), f"holds against {checked}", openings, earlier)


def _chain(record: Mapping[str, object]) -> Chain:
    """The ledger in a request: whole, and with the request itself as its newest entry."""
    lines = record.get("ledger")
    text = "".join(f"{line}\n" for line in lines) if isinstance(lines, list) else ""
    chain = chain_of(text.encode())
    if chain.fault:
        raise _refused(f"its ledger is broken: {chain.fault}", record["plan"])
    last = chain.entries[-1] if chain.entries else None
    if last is None or last.hash != record.get("head") or last.kind != "request":
        raise _refused("its ledger does not end with the request", record["plan"])
    if last.facts != {"plan": record["plan"], "request": request_digest(record)}:
        raise _refused("the request is not the one that its ledger tells of", record["plan"])
    return chain


def _plan_of(record: Mapping[str, object], found: Sequence[Entry]) -> Entry:
    """The entry of the plan, which must be the plan that was sent, for the seals that were sent."""
    content = record.get("content")
    if not isinstance(content, dict) or seal_holds(content) is not True:
        raise _refused("its plan is not what was written", record["plan"])
    entered = next((one for one in found if one.kind == "plan" and one.facts.get("plan") == record["plan"]), None)
    if entered is None:
        raise _refused("its ledger tells of no such plan", record["plan"])
    if entered.facts.get(SEAL) != content[SEAL]:
        raise _refused("its plan is not the one that was entered", record["plan"])
    if not set(seals_in(record)) <= set(named_seals(entered)):
        raise _refused("it asks for a seal that the plan does not name", record["plan"])
    return entered


def _used_before(plan: str, found: Sequence[Entry], remembered: Mapping[str, Mapping[str, object]]) -> tuple[int, int]:
    """Openings in the ledger, and grants from here, of any of the seals to other plans."""
    openings = [one for one in found if one.kind == "opening" and set(remembered) & set(named_seals(one))]
    plans = {str(told.get("plan")) for one in remembered.values() for told in _grants(one)}
    return sum(one.facts.get("plan") != plan for one in openings), len(plans - {plan})


def _identity(name: str, sent: Mapping[str, str], plan: Entry, found: Sequence[Entry], identity: str) -> str:
    """The identity of a seal, which must be the one its ledger tells of, and kept for whoever holds these keys."""
    if sent.get("manifest") != promised_manifest(found, name):
        raise _refused(f"the list of the vault's files of seal {name} is not the one last entered", plan.facts["plan"])
    entered = next((one for one in found if one.kind == "seal" and one.facts.get("seal") == name), None)
    if entered is None:
        raise _refused(f"its ledger tells of no seal {name}", plan.facts["plan"])
    try:
        opened = decrypt(decoded(sent.get("identity", "")), identity, name).decode()
        recipient = recipient_of(opened)
    except (SealedError, UnicodeDecodeError) as error:
        raise _refused(f"seal {name} is not kept with the keys of this custodian", plan.facts["plan"]) from error
    if recipient != entered.facts.get("recipient"):
        raise _refused(f"the key that was sent is not that of seal {name}", plan.facts["plan"])
    return opened


def _signed(record: Mapping[str, object], opened: Mapping[str, str], signing: str, *, again: bool) -> dict[str, object]:
    content, once = record["content"], str(record["once"])
    grant: dict[str, object] = {
        "kind": GRANT,
        "plan": record["plan"],
        "content": content[SEAL] if isinstance(content, dict) else "",
        "head": record["head"],
        "once": once,
        "again": again,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seals": {
            name: {"manifest": one["manifest"], "identity": encoded(encrypt(opened[name].encode(), once))}
            for name, one in seals_in(record).items()
        },
    }
    return {**grant, SIGNATURE: signed(signing, signed_part(grant))}


def _remembered(home: Home, seal: str) -> dict[str, object]:
    """What was signed here for a seal; nothing the first time."""
    path = home.root / CUSTODIAN_FOLDER / f"{seal}.json"
    if not path.exists():
        return {}
    record = read_json(path)
    if seal_holds(record) is not True:
        raise DamagedError(
            "what was signed for this seal is damaged",
            value=path,
            rule="the head signed last must be in every later ledger",
            fix="bring it back from a copy",
        )
    return record


def _remember(home: Home, seal: str, before: Mapping[str, object], grant: Mapping[str, object]) -> None:
    told = {name: grant[name] for name in ("plan", "head", "once", "again", "at")}
    record = {"seal": seal, "head": grant["head"], "grants": [*_grants(before), told]}
    write_file(home.root / CUSTODIAN_FOLDER / f"{seal}.json", json_bytes(sealed(record)))


def _grants(remembered: Mapping[str, object]) -> list[Mapping[str, object]]:
    grants = remembered.get("grants")
    return [one for one in grants if isinstance(one, dict)] if isinstance(grants, list) else []


def _refused(why: str, value: object) -> SealedError:
    return SealedError(
        "this request is not granted", value=value, rule=why, fix="ask whoever sent it; keep what was sent as evidence"
    )
