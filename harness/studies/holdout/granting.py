"""The custodian's own side: a request is held against what was signed here before, then granted and signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.core.errors import SealedError
from harness.data.vault.keys import (
    CUSTODIAN,
    SIGNING,
    custodian_keys,
    decrypt,
    encrypt,
    get_key,
    key_folder,
    recipient_of,
    signed,
)
from harness.record.chain import Chain, Entry, chain_of
from harness.record.files import SEAL, seal_holds
from harness.record.home import Home
from harness.record.ledger_check import refuse_short
from harness.record.told_seals import named_seals, promised_manifest
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
from harness.studies.holdout.signed_before import Signed, became, remember, signed_for

UNHELD = (
    "its chain is whole and ends with this request; whether it was cut short or chained anew before is not known, "
    "as no head was signed here before, nor given by --head"
)
"""What was checked of a ledger that is held against no head."""


@dataclass(frozen=True, slots=True)
class Granted:
    """What a custodian is told of a grant.

    Attributes:
        plan: id.
        claim: of the plan, as it was entered.
        checked: against what the ledger was held.
        openings: of the seals so far, by other plans.
        earlier: grants for the seals so far, for other plans.
        repeated: grants for this very plan so far.
        became: what the ledger says of every grant so far, for this ledger's seals.
    """

    plan: str
    claim: str
    checked: str
    openings: int
    earlier: int
    repeated: int
    became: tuple[str, ...]


def write_grant(
    home: Home, request: Path, out: Path, *, head: str = "", again: bool = False, keys: Path | None = None
) -> Granted:
    """Check a request and grant it; what was signed is remembered in `custodian/SEAL.json` before it is handed out.

    Args:
        home: the custodian's own home folder.
        request: the file that was sent.
        out: the grant.
        head: a ledger head the custodian noted elsewhere; it must be among the entries.
        again: grant although the seal was opened, or granted to this or another plan, before.
        keys: the folder of keys; None = the usual one.

    Raises:
        SealedError: the request is forged, foreign, rolled back, or for a seal that was opened or granted before; it
            says what.
        DamagedError: what is remembered here is not what was written.
    """
    refuse_short(head)
    record = read_exchange(request, REQUEST)
    identity, signing = _own_keys(key_folder(home, keys))
    chain = _chain(record)
    plan = _plan_of(record, chain.entries)
    if head and not chain.holds(head):
        raise _refused(f"the head {head} is not in its ledger: it was cut short, rolled back or chained anew", request)
    seals = seals_in(record)
    before = signed_for(home, seals, chain.entries)
    for name, one in before.items():
        if not chain.holds(one.head):
            raise _refused(
                f"the head signed here last for seal {name} ({one.head}) is not in its ledger: it was cut short, "
                "rolled back or chained anew, or is that of a copy",
                request,
            )
    ledger = chain.entries[0].hash
    mine = [before.get(name) or Signed(name, ledger, "", ()) for name in seals]
    used = _refuse_used(str(record["plan"]), chain.entries, mine, again=again)
    opened = {name: _identity(name, one, plan, chain.entries, identity) for name, one in seals.items()}
    grant = _signed(record, opened, signing, again=again)
    for name in seals:
        remember(home, name, before.get(name), grant, ledger)
    write_exchange(out, grant)
    told = [f"head signed here last for {name}" for name in before]
    checked = " and ".join([*([f"the head {head}"] if head else []), *told]) or ""
    claim, fates = str(plan.facts.get("claim", "")), became(before.values(), chain.entries)
    return Granted(str(record["plan"]), claim, f"holds against {checked}" if checked else UNHELD, *used, fates)


def _own_keys(folder: Path) -> tuple[str, str]:
    """The custodian's identity and signing key."""
    if get_key(folder, f"{CUSTODIAN}.{SIGNING}") is None:
        raise SealedError(
            "a custodian's keys are not here",
            value=folder,
            rule="the custodian of a seal grants, on the machine where harness holdout keys made the keys",
            fix="send the request to the custodian; there, name the folder of keys (--keys DIR, or HARNESS_KEYS=DIR)",
        )
    return custodian_keys(folder=folder)


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


def _refuse_used(plan: str, found: Sequence[Entry], signed: Sequence[Signed], *, again: bool) -> tuple[int, int, int]:
    """Openings by other plans in the ledger, and grants from here to other plans and to this one, of the seals."""
    seals = {one.seal for one in signed}
    openings = [one for one in found if one.kind == "opening" and seals & set(named_seals(one))]
    others = sum(one.facts.get("plan") != plan for one in openings)
    granted = {(str(one["plan"]), str(one["at"])) for each in signed for one in each.grants}
    earlier = len({name for name, _ in granted} - {plan})
    dates = sorted(at for name, at in granted if name == plan)
    if (others or earlier) and not again:
        raise SealedError(
            "the seal was opened before",
            value=f"{others} openings in its ledger, {earlier} grants here, for other plans",
            rule="only the first opening confirms; another is exploratory",
            fix="grant it with --again if that is wanted",
        )
    if dates and not again:
        raise SealedError(
            "this plan was granted before",
            value=f"{plan}, on {', '.join(dates)}",
            rule="only a crash needs a second grant: the first one resumes its opening, and may have opened a copy",
            fix="grant it with --again if the first one was lost",
        )
    return others, earlier, len(dates)


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


def _refused(why: str, value: object) -> SealedError:
    return SealedError(
        "this request is not granted", value=value, rule=why, fix="ask whoever sent it; keep what was sent as evidence"
    )
