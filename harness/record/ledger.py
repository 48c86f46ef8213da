"""The ledger: what was done about holdouts, line after line, each with the hash of the line before it.

Nothing in it is ever changed or removed, so whoever noted a hash earlier can tell whether anything was.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from harness.core.errors import DamagedError, SealedError, UserError
from harness.core.identity import canonical
from harness.record.chain import GENESIS, Chain, Entry, chain_of, written
from harness.record.files import KEEP, SEAL, read_json, seal_holds, sha256_of, sync_folder
from harness.record.home import Home
from harness.record.seals import SEAL_FILE, Seal
from harness.record.unentered import left_over, unentered

LONGEST = 300
"""Characters of a refused value that are kept."""
MANIFEST_FILE = "manifest.json"
CONSISTENT, BROKEN = "consistent", "broken"
ENTERED = ("cut", "grade", "public", "recipient", "signer", "description")
"""What the ledger and the description of a seal both tell of it."""
FOLDER = "it is a folder, not a file"
GONE = "the ledger is gone, or was emptied, while sealed holdouts are in the vault"


@dataclass(frozen=True, slots=True, order=True)
class OpeningCount:
    """How often the holdout of a target was opened.

    Attributes:
        confirmatory: openings by the plan that came first, before anything was seen.
        exploratory: those that came again.
    """

    confirmatory: int = 0
    exploratory: int = 0

    @property
    def total(self) -> int:
        """All openings."""
        return self.confirmatory + self.exploratory


def read_chain(home: Home) -> Chain:
    """The ledger of a home as far as it holds; an empty one where there is none."""
    if home.ledger.is_dir():
        return Chain(fault=FOLDER)
    try:
        handle = os.open(home.ledger, os.O_RDONLY)
    except FileNotFoundError:
        return Chain()
    with os.fdopen(handle, "rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        return chain_of(stream.read())


def entries(home: Home) -> tuple[Entry, ...]:
    """Every entry of a home's ledger, oldest first.

    Raises:
        DamagedError: a line is not what was written, or does not follow the one before.
    """
    chain = read_chain(home)
    if chain.fault:
        raise _damaged(chain.fault, home.ledger)
    return chain.entries


def head(home: Home) -> str:
    """Hash of the newest entry; `GENESIS` when there is none.

    Raises:
        DamagedError: the chain is broken.
    """
    found = entries(home)
    return found[-1].hash if found else GENESIS


def enter(home: Home, kind: str, facts: Mapping[str, object]) -> Entry:
    """Append one entry; it is on the disk when this returns.

    What a crash left of a line is cut off first.

    Args:
        home: the home folder.
        kind: what was done; see `Entry`.
        facts: JSON values.

    Raises:
        DamagedError: the chain is broken, or the ledger is gone while the vault has seals; nothing is written.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    if not home.ledger.exists() and seal_folders(home):
        raise _damaged(GONE, home.ledger)
    if home.ledger.is_dir():
        raise _damaged(FOLDER, home.ledger)
    with os.fdopen(os.open(home.ledger, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644), "rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        chain = chain_of(stream.read())
        if chain.fault:
            raise _damaged(chain.fault, home.ledger)
        if not chain.entries and seal_folders(home):
            raise _damaged(GONE, home.ledger)
        bare = canonical(
            {
                "number": len(chain.entries) + 1,
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "kind": kind,
                "facts": facts,
                "previous": chain.head,
            }
        )
        line = written(Entry(**bare, hash=""))  # type: ignore[arg-type]
        _append(stream.fileno(), chain.whole, b"\n" * chain.unended + line)
    sync_folder(home.root)
    return Entry(**json.loads(line))


def _append(file: int, whole: int, line: bytes) -> None:
    """Write a line after `whole` bytes and sync it; where the disk refuses, the file is as long as before."""
    os.ftruncate(file, whole)
    try:
        written = 0
        while written < len(line):
            written += os.write(file, line[written:])
        os.fsync(file)
    except OSError:
        os.ftruncate(file, whole)
        raise


def _damaged(fault: str, path: Path) -> DamagedError:
    return DamagedError(
        "the ledger is damaged",
        value=f"{path}: {fault}",
        rule="it is only ever appended to, each line with the hash of the line before",
        fix="bring it back from a copy; harness ledger verify --head HASH tells whether the copy is whole",
    )


def seal_folders(home: Home) -> tuple[Path, ...]:
    """The folders of the seals in a home's vault."""
    found = sorted(home.vault.iterdir()) if home.vault.is_dir() else []
    return tuple(path for path in found if path.is_dir() and not path.name.startswith("."))


def under_seal(home: Home) -> bool:
    """Whether a home has anything to do with a seal: one in its vault, or one its ledger tells of."""
    return bool(seal_folders(home)) or any(one.kind in ("sealing", "seal") for one in read_chain(home).entries)


def refuse(home: Home, error: SealedError, command: str) -> None:
    """Enter what was refused, once, where the home has a seal or a ledger; the error says so when it cannot be.

    Args:
        home: the home folder.
        error: the refusal.
        command: what was asked, in words.
    """
    if error.entered or not (home.ledger.exists() or seal_folders(home)):
        return
    told = {"what": error.what, "value": error.value[:LONGEST], "command": command}
    try:
        enter(home, "refusal", {name: text.encode(errors="replace").decode() for name, text in told.items()})
    except (DamagedError, OSError) as fault:
        error.fix = "; ".join(part for part in (error.fix, f"and see to the ledger, it cannot be written: {fault}"))
    error.entered = True


@contextmanager
def refusals(home: Home, command: str) -> Iterator[None]:
    """Enter every refusal that the block raises, and raise it on."""
    try:
        yield
    except SealedError as error:
        refuse(home, error, command)
        raise


def seals_in(found: Iterable[Entry], sources: Mapping[str, str]) -> tuple[str, ...]:
    """Ids of the entered seals that concern a target, oldest first.

    They cover one of its source series, or were sealed or opened for a target that shares a fingerprint.

    Args:
        found: entries of the ledger.
        sources: source series of the target -> fingerprint.
    """
    wanted, named = set(sources.values()), dict[str, None]()
    for one in found:
        if one.kind == "seal":
            if wanted & _marks(one, "targets") or _covered(one, sources):
                named[str(one.facts.get("seal"))] = None
        elif one.kind == "opening" and wanted & _marks(one, "fingerprints"):
            named |= dict.fromkeys(named_seals(one))
    return tuple(named)


def _marks(entry: Entry, fact: str) -> set[str]:
    """The fingerprints that an entry gives by series."""
    told = entry.facts.get(fact)
    return {str(one) for one in told.values()} if isinstance(told, dict) else set()


def _covered(entry: Entry, names: Iterable[str]) -> bool:
    """Whether a seal covers any of some series: it names it, or another one of its dataset."""
    told = entry.facts.get("series")
    series = [str(one) for one in told] if isinstance(told, list) else []
    datasets = {one.rpartition("/")[0] for one in series} - {""}
    return any(one in series or one.rpartition("/")[0] in datasets for one in names)


def openings_of(found: Iterable[Entry], seals: Iterable[str]) -> OpeningCount:
    """How often any of some seals was opened; an opening that was resumed is one."""
    wanted = set(seals)
    mine = [one for one in found if one.kind == "opening" and wanted & set(named_seals(one))]
    later = sum(bool(one.facts.get("exploratory")) for one in mine)
    return OpeningCount(len(mine) - later, later)


def stretches_of(
    found: Sequence[Entry], seals: Iterable[str]
) -> tuple[OpeningCount, tuple[tuple[str, OpeningCount], ...]]:
    """Openings of what some seals keep now, and of every earlier stretch of theirs that was rolled on.

    Args:
        found: entries of the ledger.
        seals: ids; those that were rolled on are earlier stretches, and so are the seals that these ones follow.

    Returns:
        Openings of the seals in force; (ISO instant UTC of its end, openings) of every earlier stretch, oldest first.
    """
    rolls = {str(one.facts.get("new")): one.facts for one in found if one.kind == "roll"}
    ends = {str(facts.get("seal")): str(facts.get("to")) for facts in rolls.values()}
    named = dict.fromkeys(seals)
    for name in tuple(named):
        before = name
        while before in rolls and str(rolls[before].get("seal")) not in named:
            before = str(rolls[before].get("seal"))
            named[before] = None
    earlier = sorted((ends[name], openings_of(found, [name])) for name in named if name in ends)
    return openings_of(found, [name for name in named if name not in ends]), tuple(earlier)


def named_seals(entry: Entry) -> Sequence[str]:
    """The seals that a plan or an opening names."""
    seals = entry.facts.get("seals")
    return [str(one) for one in seals] if isinstance(seals, list) else []


def openings(home: Home, sources: Mapping[str, str]) -> OpeningCount:
    """How often the holdout of a target was opened, for whatever target it was.

    Args:
        home: the home folder.
        sources: source series of the target -> fingerprint.

    Raises:
        DamagedError: the chain is broken.
    """
    found = entries(home)
    return openings_of(found, seals_in(found, sources))


def promised_manifest(found: Iterable[Entry], seal: str) -> str:
    """The hash of the list of a vault's files as it was last entered; "" = never."""
    told = [one for one in found if one.kind in ("seal", "batch") and one.facts.get("seal") == seal]
    return str(told[-1].facts.get("manifest", "")) if told else ""


def begun_sealings(found: Iterable[Entry]) -> tuple[str, ...]:
    """Ids of the sealings that were begun and are neither finished nor abandoned, oldest first."""
    begun = dict[str, None]()
    for one in found:
        name = str(one.facts.get("seal"))
        if one.kind == "sealing":
            begun[name] = None
        elif one.kind in ("seal", "abandoned"):
            begun.pop(name, None)
        elif one.kind == "roll":
            begun.pop(str(one.facts.get("new")), None)
    return tuple(begun)


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
