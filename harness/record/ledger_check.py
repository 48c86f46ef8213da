"""Whether a ledger is whole, and whether the vaults and the plans are what it says of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.core.errors import DamagedError, UserError
from harness.record.chain import GENESIS, Entry
from harness.record.files import KEEP, SEAL, read_json, seal_holds, sha256_of
from harness.record.home import Home
from harness.record.ledger import GONE, read_chain, seal_folders
from harness.record.seals import SEAL_FILE, Seal
from harness.record.told_seals import begun_sealings, promised_manifest
from harness.record.unentered import left_over, unentered

MANIFEST_FILE = "manifest.json"
CONSISTENT, BROKEN = "consistent", "broken"
ENTERED = ("cut", "grade", "public", "recipient", "signer", "description")
"""What the ledger and the description of a seal both tell of it."""


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """What became of checking a ledger.

    Attributes:
        verdict: `consistent`, `unbroken since HEAD` or `broken`.
        reasons: why it is broken.
        notes: what is worth knowing.
        head: hash of the newest entry that holds.
        entries: how many hold.
        since: how many of them are later than the head that was asked for.
    """

    verdict: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    head: str
    entries: int
    since: int = 0

    @property
    def broken(self) -> bool:
        """Whether anything was found."""
        return bool(self.reasons)


def verify_ledger(home: Home, head: str = "") -> LedgerCheck:
    """Check every line of the ledger, and the vaults' lists and the plans against it; nothing is repaired.

    Args:
        home: the home folder.
        head: a hash noted earlier (32 digits at least). Without one a ledger that was cut short, rolled back or chained
            anew looks whole, so the verdict is "consistent" at most.

    Raises:
        UserError: the head is not a full hash.
    """
    refuse_short(head)
    chain = read_chain(home)
    reasons, notes, since = list[str](), list[str](), 0
    if chain.fault:
        reasons.append(chain.fault)
    if head and not chain.holds(head):
        reasons.append(
            f"no entry has the hash {head}: the ledger was cut short, rolled back or chained anew since it was noted"
        )
    elif head:
        place = next((one.number for one in chain.entries if one.hash.startswith(head.lower())), 0)
        since = len(chain.entries) - place
    left = left_over(home) if not chain.entries else ()
    if not chain.entries and not chain.fault and seal_folders(home):
        reasons.append(GONE)
    elif left and not chain.fault:
        reasons.append(
            f"{left[0]} tells of a sealed holdout of which there is neither ledger nor vault: they were removed, or it "
            "came here without them"
        )
    elif not chain.fault:
        reasons += _vaults(home, chain.entries)
        reasons += unentered(home, chain.entries) if chain.entries else ()
        reasons += [f"plan {name}: {fault}" for name, fault in plan_faults(home, chain.entries).items()]
        notes += unfinished_work(chain.entries)
    notes += _set_back(chain.entries)
    if chain.torn:
        notes.append(f"its last line was cut off by a crash ({chain.torn} bytes); the next entry removes the rest")
    if not chain.entries and not reasons:
        notes.append("there is no entry: nothing was sealed here, or ledger and vault were removed together")
    verdict = BROKEN if reasons else f"unbroken since {head}" if head else CONSISTENT
    return LedgerCheck(verdict, tuple(reasons), tuple(notes), chain.head, len(chain.entries), since)


def _vaults(home: Home, found: Sequence[Entry]) -> Iterator[str]:
    """Where vault and ledger do not tell the same."""
    told = {str(one.facts.get("seal")): one for one in found if one.kind == "seal"}
    begun = {str(one.facts.get("seal")) for one in found if one.kind in ("sealing", "seal")}
    rolled = {str(one.facts.get("seal")) for one in found if one.kind == "roll"}
    begun |= {str(one.facts.get("new")) for one in found if one.kind == "roll"}
    present = {path.name: path for path in seal_folders(home)}
    rest = {name for name in rolled & set(present) if not (present[name] / SEAL_FILE).exists()}
    present = {name: path for name, path in present.items() if name not in rest}  # of a vault that was rolled on
    yield from (f"seal {name} is in the vault, but was never entered" for name in sorted(set(present) - begun))
    yield from (
        f"seal {name} was entered, but its vault is gone" for name in told if name not in present and name not in rolled
    )
    for name, path in present.items():
        try:
            seal = Seal.read(path / SEAL_FILE)
        except DamagedError as error:
            yield f"seal {name}: {error.what}"
            continue
        if name in told:
            differ = [one for one in ENTERED if one in told[name].facts and told[name].facts[one] != getattr(seal, one)]
            yield from (f"seal {name}: its {one} is not the one that was entered" for one in differ)
        promised = promised_manifest(found, name)
        listed = path / MANIFEST_FILE
        if promised and (not listed.is_file() or sha256_of(listed) != promised):
            yield (
                f"seal {name}: the list of its vault's files is not the one last entered: the vault was changed or "
                "rolled back, or an ingest was cut off (repeat it)"
            )


def plan_faults(home: Home, found: Iterable[Entry]) -> dict[str, str]:
    """Plan -> why its file is not the one that was entered; by digests alone."""
    faults = {}
    for one in found:
        if one.kind == "plan" and SEAL in one.facts:
            name = str(one.facts.get("plan"))
            try:
                record = read_json(home.plans / f"{name}.json", fix=KEEP)
            except DamagedError as error:
                gone = not (home.plans / f"{name}.json").exists()
                faults[name] = "its file is gone" if gone else error.what
                continue
            if seal_holds(record) is not True or record.get(SEAL) != one.facts.get(SEAL):
                faults[name] = "its file is not the one that was entered"
    return faults


def refuse_short(head: str) -> None:
    """Refuse a head that vouches for nothing: too short, or that of an empty ledger; "" = none was given.

    Raises:
        UserError: it is.
    """
    if head and re.fullmatch(rf"[0-9a-fA-F]{{{len(GENESIS) // 2},{len(GENESIS)}}}", head) is None:
        raise UserError(
            "this is not a full hash",
            value=head,
            rule=f"a head has {len(GENESIS)} hex digits, of which the first {len(GENESIS) // 2} at least are needed",
            fix="copy it whole from a report, or from what harness ledger verify printed",
        )
    if head and not head.strip("0"):
        raise UserError(
            "this is the head of no entry",
            value=head,
            rule="zeros stand before the first entry of every ledger, so they vouch for none",
            fix="note the head that harness ledger verify prints once something is entered",
        )


def _set_back(found: Sequence[Entry]) -> Iterator[str]:
    """Where the clock was set back; what is told of instants there may be wrong, the order of entries is not."""
    for before, one in pairwise(found):
        if one.at < before.at:
            yield f"entry {one.number} of {one.at} follows one of {before.at}: the clock was set back in between"


def unfinished_work(found: Sequence[Entry]) -> Iterator[str]:
    """What was begun and is not over: sealings, rolls and openings, each with how it goes on or is given up."""
    told = {str(one.facts.get("seal")): one.facts for one in found if one.kind == "sealing"}
    for name in begun_sealings(found):
        verb, what = ("roll", "roll to seal") if told[name].get("follows") else ("seal", "seal")
        yield (
            f"{what} {name}, from {told[name].get('cut')}, was begun and not finished: give the same harness holdout "
            f"{verb} command again, or give it up (harness holdout seal --abandon)"
        )
    over = {one.facts.get("plan") for one in found if one.kind in ("result", "void")}
    begun = dict.fromkeys(str(one.facts.get("plan")) for one in found if one.kind == "opening")
    for plan in begun:
        if plan not in over:
            yield (
                f"the opening of plan {plan} was begun and is not closed: it goes on with harness holdout open --plan "
                f'{plan}, or is given up with --give-up --reason "..."; it counts either way'
            )
