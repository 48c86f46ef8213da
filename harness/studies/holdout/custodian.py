"""The custodian of a seal, as seen from the sealed home: keys made, a plan's opening asked for, the grant used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.core.errors import DamagedError, SealedError, UnknownNameError, UserError
from harness.core.identity import digest
from harness.data.vault.files import WRAPPED
from harness.data.vault.keys import (
    IDENTITY,
    ONCE,
    SIGNING,
    custodian_keys,
    decrypt,
    get_key,
    key_folder,
    needed_key,
    new_identity,
    public_part,
    put_key,
    recipient_of,
    signature_holds,
)
from harness.record.chain import Entry
from harness.record.files import KEEP, SEAL, read_json, seal_holds, sha256_of, write_file
from harness.record.files import json_bytes as json_text
from harness.record.home import Home
from harness.record.ledger import enter, entries, read_chain, refusals
from harness.record.ledger_check import MANIFEST_FILE, verify_ledger
from harness.record.seals import CUSTODIAN, Seal, seals_of
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

AGAIN = "ask anew: harness holdout request --plan ID --out request.json"


def write_public_part(home: Home, out: Path, *, keys: Path | None = None) -> Path:
    """Make a custodian's keys where there are none yet, and write what others may know of them.

    Args:
        home: the custodian's own home folder; the keys lie outside of it.
        out: the file for whoever seals.
        keys: the folder of keys; None = the usual one.

    Returns:
        The folder of keys.
    """
    folder = key_folder(home, keys)
    custodian_keys(create=True, folder=folder)
    write_file(out.absolute(), json_text(public_part(folder)))
    return folder


def custodian_here(home: Home, *, keys: Path | None = None) -> bool:
    """Whether a custodian's keys were made here before.

    Args:
        home: the custodian's own home folder.
        keys: the folder of keys; None = the usual one.
    """
    folder = key_folder(home, keys)
    return all(get_key(folder, f"{CUSTODIAN}.{kind}") is not None for kind in (IDENTITY, SIGNING))


def requests_of(home: Home, plan: str) -> int:
    """How often a grant was asked for by a plan.

    Args:
        home: the sealed home.
        plan: id, or its unambiguous beginning.
    """
    plan = _whole_id(home, plan)
    return sum(one.kind == "request" and one.facts.get("plan") == plan for one in read_chain(home).entries)


def write_request(home: Home, plan: str, out: Path, *, keys: Path | None = None) -> str:
    """Ask the custodian of a plan's seals to let it open them; entered in the ledger.

    Args:
        home: the sealed home.
        plan: id, or its unambiguous beginning.
        out: the file for the custodian.
        keys: the folder of keys, where the private part of the one-use key stays; None = the usual one.

    Returns:
        The ledger's head, with the request entered.

    Raises:
        UnknownNameError: there is no such plan, or several begin so.
        UserError: none of its seals has a custodian, or they have several.
        DamagedError: the ledger is broken, or the plan is not what was written.
        SealedError: the plan was opened and closed already; entered.
    """
    with refusals(home, f"holdout request --plan {plan}"):
        plan = _whole_id(home, plan)
        content = plan_record(home, plan)
        found = entries(home)
        entered = _plan_entry(found, plan, content)
        checked = verify_ledger(home)
        if checked.broken:
            raise DamagedError("the ledger is broken", value=checked.reasons[0], fix="harness ledger verify")
        seals = _kept_by_custodian(home, entered)
        _refuse_spent(found, plan)
        folder = key_folder(home, keys)
        once = get_key(folder, f"{plan}.{ONCE}") or new_identity()
        put_key(folder, f"{plan}.{ONCE}", once)
        record: dict[str, object] = {
            "kind": REQUEST,
            "plan": plan,
            "content": content,
            "seals": {
                seal.id: {
                    "manifest": sha256_of(home.vault / seal.id / MANIFEST_FILE),
                    "identity": encoded((home.vault / seal.id / WRAPPED).read_bytes()),
                }
                for seal in seals
            },
            "once": recipient_of(once),
        }
        entry = enter(home, "request", {"plan": plan, "request": request_digest(record)})
        lines = home.ledger.read_text(encoding="utf-8").splitlines()[: entry.number]
        write_exchange(out, {**record, "ledger": lines, "head": entry.hash})
        return entry.hash


def _whole_id(home: Home, beginning: str) -> str:
    """The id of the only plan that begins so, or of the one that is called so; else as it was given."""
    names = [path.stem for path in home.plans.glob("*.json")] if home.plans.is_dir() else []
    hits = [name for name in names if beginning and name.startswith(beginning)]
    if len(hits) > 1 and beginning not in hits:
        raise UnknownNameError("plan, as several begin so", beginning, hits)
    return hits[0] if len(hits) == 1 else beginning


def plan_record(home: Home, plan: str) -> dict[str, object]:
    """A plan as it was written.

    Raises:
        UnknownNameError: there is none of this id.
        DamagedError: it is not what was written.
    """
    names = [path.stem for path in sorted(home.plans.glob("*.json"))] if home.plans.is_dir() else []
    if plan not in names:
        raise UnknownNameError("plan", plan, names)
    record = read_json(home.plans / f"{plan}.json", fix=KEEP)
    if seal_holds(record) is not True:
        raise DamagedError(
            "the plan is damaged",
            value=f"plans/{plan}.json",
            rule="a plan is never changed: its digest does not hold",
            fix="bring it back from a copy, or make another: harness holdout plan EXPERIMENT",
        )
    return record


def identities_from_grant(
    home: Home, plan: str, grant: Path, *, keys: Path | None = None, rolling: bool = False
) -> dict[str, str]:
    """The identities that a custodian let go, after everything was compared with what was granted.

    Args:
        home: the sealed home.
        plan: id of the plan that is to be opened.
        grant: the file the custodian sent.
        keys: the folder of keys, with the private part of the one-use key; None = the usual one.
        rolling: the plan was opened with this grant and closed, and its seal is rolled on; data may have been added
            since, as the ledger entered them.

    Returns:
        Seal id -> age identity, as text; never to be written down.

    Raises:
        SealedError: the grant is forged, spent, or for something else than plan, ledger and vault are now; entered.
        DamagedError: ledger or plan are not what was written.
    """
    with refusals(home, f"holdout {'roll' if rolling else 'open'} --grant"):
        record = read_exchange(grant, GRANT)
        content, found = plan_record(home, plan), entries(home)
        granted, seals = seals_in(record), _kept_by_custodian(home, _plan_entry(found, plan, content))
        _refuse_forged(record, seals, grant)
        _refuse_other(record, plan, content, found)
        if not rolling:
            _refuse_spent(found, plan)
        once = needed_key(key_folder(home, keys), f"{plan}.{ONCE}")
        if recipient_of(once) != record.get("once"):
            raise _refused("it was granted to another one-use key: a grant serves the request it answers", grant)
        if rolling:  # the vault is then the one the ledger entered last
            present = {seal.id: sha256_of(home.vault / seal.id / MANIFEST_FILE) for seal in seals}
            granted = {name: {**granted.get(name, {}), "manifest": now} for name, now in present.items()}
        opened = {seal.id: _unwrapped(home, seal, granted.get(seal.id, {}), found, once) for seal in seals}
        facts = {"plan": plan, "grant": digest("grant", signed_part(record).decode())}
        if not any(one.kind == "grant" and one.facts == facts for one in found):
            enter(home, "grant", facts)
        return opened


def _refuse_forged(record: Mapping[str, object], seals: tuple[Seal, ...], grant: Path) -> None:
    for seal in seals:
        if not signature_holds(seal.custodian.get("ed25519", ""), signed_part(record), str(record.get(SIGNATURE))):
            raise _refused(f"the custodian of seal {seal.id} did not sign it: it is forged, changed or foreign", grant)


def _refuse_other(
    record: Mapping[str, object], plan: str, content: Mapping[str, object], found: tuple[Entry, ...]
) -> None:
    """Refuse a grant for another plan, or for a ledger that is not behind this one."""
    if record["plan"] != plan:
        raise _refused(f"it was granted for plan {record['plan']}, not for {plan}", plan)
    if record.get("content") != content[SEAL]:
        raise _refused("the plan is not the one it was granted for", plan)
    place = next((one.number for one in found if one.hash == record.get("head")), None)
    if place is None:
        raise _refused("the ledger was cut short, rolled back or chained anew since it was granted", plan)
    seals = set(seals_in(record))
    for one in found[place:]:
        if one.kind == "opening" and one.facts.get("plan") != plan and seals & set(named_seals(one)):
            raise _refused(f"plan {one.facts.get('plan')} opened the seal since it was granted", plan)


def _unwrapped(home: Home, seal: Seal, granted: Mapping[str, str], found: tuple[Entry, ...], once: str) -> str:
    present = sha256_of(home.vault / seal.id / MANIFEST_FILE)
    if not granted.get("manifest") == present == promised_manifest(found, seal.id):
        raise _refused("the vault is not the one it was granted for: data were added, or it was changed", seal.id)
    identity = decrypt(decoded(granted.get("identity", "")), once, f"identity of seal {seal.id}").decode()
    if recipient_of(identity) != seal.recipient:
        raise _refused("it holds the key of another seal", seal.id)
    return identity


def _refused(why: str, value: object) -> SealedError:
    return SealedError("the grant does not open this seal", value=value, rule=why, fix=AGAIN)


def _plan_entry(found: tuple[Entry, ...], plan: str, content: Mapping[str, object]) -> Entry:
    entered = [one for one in found if one.kind == "plan" and one.facts.get("plan") == plan]
    if entered and entered[0].facts.get(SEAL) == content[SEAL]:
        return entered[0]
    raise SealedError(
        "the plan is not the one that was entered in the ledger" if entered else "this plan was never entered",
        value=plan,
        rule="a plan is entered when it is made, before anything is seen, and never changed",
        fix="make another: harness holdout plan EXPERIMENT",
    )


def _refuse_spent(found: tuple[Entry, ...], plan: str) -> None:
    over = [one.kind for one in found if one.kind in ("result", "void") and one.facts.get("plan") == plan]
    if over:
        raise SealedError(
            "this plan was opened, and its result stands" if "result" in over else "this plan came to nothing",
            value=plan,
            rule="a plan opens once, and a grant serves one opening",
            fix="another plan: harness holdout plan EXPERIMENT, then open it with --again --reason TEXT",
        )


def _kept_by_custodian(home: Home, plan: Entry) -> tuple[Seal, ...]:
    """The seals of a plan that a custodian keeps: one and the same."""
    here = {seal.id: seal for seal in seals_of(home)}
    missing = [name for name in named_seals(plan) if name not in here]
    if missing:
        raise SealedError(
            "a seal of this plan has no vault here", value=", ".join(missing), fix="harness ledger verify"
        )
    kept = tuple(here[name] for name in named_seals(plan) if here[name].grade == CUSTODIAN)
    if not kept:
        raise UserError(
            "no seal of this plan has a custodian",
            value=plan.facts.get("plan"),
            rule="an honour seal is opened with the key of this machine",
            fix="harness holdout open --plan ID, without a grant",
        )
    if len({seal.custodian.get("ed25519") for seal in kept}) > 1:
        raise UserError(
            "the seals of this plan have several custodians",
            value=", ".join(seal.id for seal in kept),
            rule="one request goes to one custodian",
            fix="plan experiments whose seals have the same custodian",
        )
    return kept
