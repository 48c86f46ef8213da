"""Before a holdout is opened, everything is held against its plan; each thing that differs is told by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import DamagedError, SealedError, UserError
from harness.core.identity import canonical
from harness.core.recipe import Experiment
from harness.data.archive import Archive
from harness.data.ingest.agreement import agreed_seals
from harness.data.vault.files import WRAPPED, Vault
from harness.data.vault.keys import IDENTITY, get_key, key_folder, needed_key, passphrase_asked, recipient_of
from harness.data.vault.keys import unwrapped_by as unwrapped
from harness.record.chain import Entry
from harness.record.home import Home
from harness.record.ledger import GONE, entries, seal_folders
from harness.record.plans import HoldoutPlan, plan_digest
from harness.record.platform import code_hash, code_version, lock_hash, platform_differences
from harness.record.runs import RunFiles, finished
from harness.record.seals import CUSTODIAN, Seal, seals_of
from harness.record.told_seals import named_seals, promised_manifest
from harness.record.unentered import refuse_unentered

Granted = Callable[[], Mapping[str, str]]
"""Identities by seal, from the grant of a custodian."""
NEW_PLAN = "make a new plan: harness holdout plan {name}"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a plan stands in the ledger.

    Attributes:
        begun: its opening was entered.
        run: that holds its answer; "" = it is not closed.
        exploratory: whether its opening was entered as such.
        earlier: openings of its seals by other plans.
    """

    begun: bool
    run: str
    exploratory: bool
    earlier: int


def standing_of(plan: HoldoutPlan, found: Sequence[Entry]) -> Standing:
    """How a plan stands.

    Raises:
        SealedError: its opening came to nothing.
    """
    mine = {one.kind: one.facts for one in found if one.facts.get("plan") == plan.id}
    if "void" in mine:
        raise SealedError(
            "this plan is void",
            value=f"{plan.id}: {mine['void'].get('why')}",
            rule="a plan opens once",
            fix=NEW_PLAN.format(name=plan.name),
        )
    seals = set(plan.seal_ids)
    others = [one for one in found if one.kind == "opening" and seals & set(named_seals(one))]
    return Standing(
        "opening" in mine,
        str(mine.get("result", {}).get("run", "")),
        bool(mine.get("opening", {}).get("exploratory")),
        sum(one.facts.get("plan") != plan.id for one in others),
    )


def checked_ledger(home: Home, plan: HoldoutPlan) -> tuple[Entry, ...]:
    """The entries of an unbroken ledger that knows the plan.

    Raises:
        SealedError: it is broken, does not know this plan, or lacks entries of what was done.
    """
    try:
        found = entries(home)
    except DamagedError as error:
        raise SealedError(error.what, value=error.value, rule=error.rule, fix=error.fix) from error
    if not found and seal_folders(home):
        raise SealedError(
            GONE,
            value=home.ledger,
            rule="a holdout opens by a plan the ledger knows, and every opening is entered there",
            fix="bring it back from a copy; harness ledger verify --head HASH tells whether the copy is whole",
        )
    mine = [one for one in found if one.kind == "plan" and one.facts.get("plan") == plan.id]
    if not mine or mine[-1].facts.get("digest") != plan_digest(home, plan):
        raise SealedError(
            "the plan was never entered in the ledger" if not mine else "the plan is not the one that was entered",
            value=plan.id,
            rule="a holdout opens by a plan the ledger knows",
            fix=NEW_PLAN.format(name=plan.name),
        )
    refuse_unentered(home, found)
    return found


def check_plan(home: Home, plan: HoldoutPlan, experiment: Experiment, found: Sequence[Entry]) -> tuple[Seal, ...]:
    """Hold experiment, code, archive, development run and vault against the plan.

    Args:
        home: the home folder.
        plan: the plan.
        experiment: as it is resolved now, with its claim.
        found: the ledger's entries.

    Returns:
        The seals of the plan.

    Raises:
        SealedError: the first thing that differs, or vault, ledger and archive do not belong together as far as that
            can be seen without decrypting.
    """
    for differ in (
        _experiment(plan, experiment),
        _code(plan),
        _archive(home, plan),
        _run(home, plan),
        *(_vault(home, facts, found) for facts in plan.seals),
    ):
        for what, value, fix in differ:
            raise SealedError(
                what, value=value, rule=f"plan {plan.id} froze it", fix=fix or NEW_PLAN.format(name=plan.name)
            )
    # a plan that was made on an archive without its seal froze that archive
    agreed = agreed_seals(home, Archive.open(home.archive, read_only=True))
    return tuple(one for one in agreed if one.id in plan.seal_ids)


Differs = Iterator[tuple[str, str, str]]


def _experiment(plan: HoldoutPlan, now: Experiment) -> Differs:
    record = canonical(now)
    then, there = plan.experiment, record if isinstance(record, dict) else {}
    names = [name for name in sorted({*then, *there}) if then.get(name) != there.get(name)]
    if names:
        yield "the experiment is not the one that was planned", ", ".join(names), f"bring back {plan.file or 'it'}"
    claim = canonical(now.claim) if now.claim is not None else {}
    said = claim if isinstance(claim, dict) else {}
    blank: tuple[object, ...] = ("", None, [])  # what the file leaves to the defaults, the plan has filled in
    changed = [name for name, value in said.items() if value not in blank and plan.claim.get(name) != value]
    if changed:
        yield "the claim is not the one that was planned", ", ".join(changed), f"bring back {plan.file or 'it'}"


def _code(plan: HoldoutPlan) -> Differs:
    code = plan.code
    if code.get("hash") != code_hash():
        back = f"git checkout {str(code.get('version')).partition('+')[0]}, or make a new plan"
        yield "the code is not the one that was planned with", code_version() or code_hash()[:12], back
    if code.get("lock") != lock_hash():
        yield "the installed packages are not those that were planned with", "", "make setup, at the planned commit"
    other = platform_differences(plan.platform)
    if other:
        yield "the numeric platform is not the one that was planned on", "; ".join(other), "open it on that machine"


def _archive(home: Home, plan: HoldoutPlan) -> Differs:
    state = Archive.open(home.archive, read_only=True).state() if home.archive.exists() else "none"
    if state != plan.archive.get("state"):
        yield "the archive is not in the state that was planned on", state, ""


def _run(home: Home, plan: HoldoutPlan) -> Differs:
    run = str(plan.run.get("id"))
    try:
        manifest = finished(RunFiles(run, home.runs / run))
    except UserError as error:
        yield "the development run of the plan is gone or damaged", f"{run}: {error.what}", "bring it back from a copy"
        return
    recorded = manifest.get("cell_checksums")
    planned = plan.run.get("checksums")
    there = recorded if isinstance(recorded, dict) else {}
    if not isinstance(planned, dict) or any(there.get(name) != mine for name, mine in planned.items()):
        yield "the development run is not the one that was planned", run, ""


def _vault(home: Home, facts: Mapping[str, object], found: Sequence[Entry]) -> Differs:
    name = str(facts["seal"])
    seal = next((one for one in seals_of(home) if one.id == name), None)
    if seal is None or seal.cut != facts["cut"]:
        yield "the seal of the plan is not here", name, ""
        return
    vault = Vault.open(home, name)
    wrong = vault.check(promised_manifest(found, name) or None)
    if wrong:
        yield "the vault is not what was sealed", f"{name}: {'; '.join(wrong)}", "bring it back from a copy"
    elif vault.manifest_hash != facts["manifest"]:
        yield "the vault holds other files than when the plan was made", name, ""


def checked_vault(home: Home, seal: Seal, found: Sequence[Entry]) -> None:
    """Hold a vault against its signed list and the ledger.

    Raises:
        SealedError: it is not what was sealed.
    """
    wrong = Vault.open(home, seal.id).check(promised_manifest(found, seal.id) or None)
    if wrong:
        raise SealedError(
            "the vault is not what was sealed",
            value=f"{seal.id}: {'; '.join(wrong)}",
            rule="its files are listed and signed, and the ledger knows the list",
            fix="bring it back from a copy",
        )


def identities_of(
    home: Home,
    seals: Sequence[Seal],
    granted: Granted | None = None,
    keys: Path | None = None,
    *,
    rolling: bool = False,
) -> dict[str, str]:
    """The identity that reads the vault of each seal, checked against its public key.

    Args:
        home: the home folder.
        seals: the seals.
        granted: what a custodian granted; None = no grant was given.
        keys: folder of keys; None = the default.
        rolling: the seal was opened and closed, and is rolled on.

    Raises:
        SealedError: there is no key, it is another's, or a grant is needed.
    """
    held = granted() if granted is not None else {}
    found = {seal.id: held.get(seal.id) or _own_identity(home, seal, keys, rolling=rolling) for seal in seals}
    for seal in seals:
        if recipient_of(found[seal.id]) != seal.recipient:
            raise SealedError(
                "this key is not the one of the seal",
                value=seal.id,
                rule="what is sealed opens with its own key alone",
                fix="name the folder that holds it (--keys DIR)",
            )
    return found


def _own_identity(home: Home, seal: Seal, keys: Path | None, *, rolling: bool) -> str:
    if seal.grade == CUSTODIAN:
        asked = "harness holdout request --plan ID --out request.json, then harness holdout open --plan ID --grant FILE"
        again = "give the grant of the opening that is over: harness holdout roll --to DATE --grant FILE"
        raise SealedError(
            "this seal opens by a custodian's grant",
            value=seal.id,
            rule="its identity is encrypted to another person's key",
            fix=again if rolling else asked,
        )
    folder, wrapped = key_folder(home, keys), home.vault / seal.id / WRAPPED
    if wrapped.exists() and get_key(folder, f"{seal.id}.{IDENTITY}") is None:
        return unwrapped(wrapped.read_bytes(), passphrase_asked())
    return needed_key(folder, f"{seal.id}.{IDENTITY}")
