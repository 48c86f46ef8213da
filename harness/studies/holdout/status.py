"""What is sealed in a home, and whether vault, ledger and keys are as they should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.core.errors import DamagedError, SealedError, UserError
from harness.data.archive import Archive
from harness.data.archive.covered import seals_within
from harness.data.vault.files import WRAPPED, Vault
from harness.data.vault.keys import IDENTITY, SIGNING, get_key, key_folder, recipient_of, signer_of
from harness.record.chain import GENESIS, Entry
from harness.record.home import Home
from harness.record.ledger import read_chain, seal_folders
from harness.record.ledger_check import BROKEN, LedgerCheck, unfinished_work, verify_ledger
from harness.record.seals import CUSTODIAN, Seal, seals_of, unfinished
from harness.record.told_seals import OpeningCount, promised_manifest, stretches_of
from harness.record.uncompared import not_compared
from harness.record.unentered import unentered


@dataclass(frozen=True, slots=True)
class SealStatus:
    """One seal as it is.

    Attributes:
        seal: what everyone may know of it.
        files: files in its vault.
        opened: how often it was opened; None = not known, as the ledger is gone or damaged.
        earlier: (ISO instant UTC at which it ended, openings) of the stretches before it that were rolled on.
        opens: what opens it.
        problems: what is wrong, one clause each.
    """

    seal: Seal
    files: int
    opened: OpeningCount | None
    earlier: tuple[tuple[str, OpeningCount], ...]
    opens: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """The sealed holdouts of a home.

    Attributes:
        seals: oldest first.
        head: of the ledger; "" = there is none.
        unfinished: id of a seal whose sealing was interrupted; "" = none.
        left: everything else that was begun and is not over, and how it goes on, one sentence each.
        problems: of the ledger, and of the seals.
        few: series that have too few values in common with sealed ones to be compared -> how many, by the ledger.
    """

    seals: tuple[SealStatus, ...]
    head: str
    unfinished: str
    left: tuple[str, ...]
    problems: tuple[str, ...]
    few: Mapping[str, int] = field(default_factory=dict)


def status(home: Home, *, keys: Path | None = None) -> Status:
    """Look at every seal of a home; nothing is decrypted.

    Args:
        home: the home folder.
        keys: folder of keys; None = the usual one.
    """
    checked, chain, stopped = verified(home), read_chain(home), unfinished(home)
    left = tuple(one for one in unfinished_work(chain.entries) if not stopped or f"seal {stopped}," not in one)
    broken = bool(chain.fault or unentered(home, chain.entries))
    found = tuple(_status(home, seal, keys, () if broken else chain.entries) for seal in seals_of(home))
    told = [f"seal {one.seal.id}: {problem}" for one in found for problem in one.problems]
    head = checked.head if checked.head != GENESIS else ""
    return Status(found, head, stopped, left, (*checked.reasons, *told), not_compared(chain.entries))


def verified(home: Home, head: str = "") -> LedgerCheck:
    """As `verify_ledger`, and held against the archive, which lists the seals it was split by.

    Args:
        home: the home folder.
        head: a hash noted earlier; "" = none was.

    Raises:
        UserError: the head is not a full hash.
    """
    done = verify_ledger(home, head)
    within = seals_within(Archive.open(home.archive, read_only=True)) if home.archive.exists() else set()
    lost = sorted(within - {path.name for path in seal_folders(home)})
    told = tuple(f"seal {name}: the archive was split by it, but its vault is gone" for name in lost)
    if not told:
        return done
    notes = done.notes if done.entries else ()  # that there is no entry is no harmless note then
    return replace(done, verdict=BROKEN, reasons=(*done.reasons, *told), notes=notes)


def _status(home: Home, seal: Seal, keys: Path | None, chain: Sequence[Entry]) -> SealStatus:
    vault = Vault.open(home, seal.id)
    promised = promised_manifest(chain, seal.id) or None
    problems = list(vault.check(promised))
    opens, wrong = _opens(home, seal, keys)
    try:
        files = len(vault.files())
    except (SealedError, DamagedError):
        files = 0
    opened, earlier = stretches_of(chain, [seal.id]) if chain else (None, ())
    return SealStatus(seal, files, opened, earlier, opens, (*problems, *wrong))


def _opens(home: Home, seal: Seal, keys: Path | None) -> tuple[str, list[str]]:
    """What opens a seal, and what is wrong with the keys here."""
    try:
        folder = key_folder(home, keys)
        identity, signing = (get_key(folder, f"{seal.id}.{kind}") for kind in (IDENTITY, SIGNING))
    except UserError as error:
        return "not known", [str(error)]
    wrong = []
    if signing is None:
        wrong.append(f"the key {seal.id}.{SIGNING} is not in {folder}: later data cannot be added to the vault")
    elif signer_of(signing) != seal.signer:
        wrong.append(f"the key {folder / f'{seal.id}.{SIGNING}'} is that of another seal")
    if seal.grade == CUSTODIAN:
        return "a grant of its custodian", wrong
    if (home.vault / seal.id / WRAPPED).exists():
        return "a passphrase", wrong
    if identity is None:
        wrong.append(f"the key {seal.id}.{IDENTITY} is not in {folder}: without it the seal cannot be opened")
    elif recipient_of(identity) != seal.recipient:
        wrong.append(f"the key {folder / f'{seal.id}.{IDENTITY}'} is that of another seal")
    return f"the key in {folder}", wrong
