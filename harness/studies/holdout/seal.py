"""Sealing a home: one cut, everything that lies past it into a vault, and nothing of it left in the clear.

The order of steps makes a stop at any point harmless. Until the archive is replaced nothing has been taken away, and
the same command begins anew; from then on everything is in the vault, and the same command removes what is left.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from harness.core.errors import DamagedError
from harness.core.recipe import Experiment
from harness.data.archive import Archive
from harness.data.archive.covered import HASHED, sealed_rows, seals_within
from harness.data.archive.sealing import seal_archive
from harness.data.changes import ChangeFile
from harness.data.ingest.copies import FEWEST
from harness.data.ingest.recognised import uncompared_within
from harness.data.vault.files import WRAPPED, Vault
from harness.data.vault.keys import (
    SIGNING,
    key_folder,
    needed_key,
    passphrase_asked,
    veiled,
)
from harness.data.vault.packing import Packer
from harness.record.files import json_bytes, write_file
from harness.record.home import Home
from harness.record.ledger import enter, entries, refusals
from harness.record.ledger import head as ledger_head
from harness.record.seals import CUSTODIAN, HONOUR, LEAVING, SEAL_FILE, Seal, seals_of, unfinished
from harness.record.told_seals import begun_sealings
from harness.record.uncompared import note_compared
from harness.record.working import exclusively, working
from harness.studies.holdout.leaving import (
    Leaving,
    leaving,
    others,
    read_leaving,
    refuse_links,
    remove,
    remove_scratch,
    write_leaving,
)
from harness.studies.holdout.locking import Lock, begin_vault, keyed
from harness.studies.holdout.scope import (
    Scope,
    copies_of,
    last_readable,
    origins_at_cut,
    readable_ahead,
    refuse_copies_of,
    refuse_empty,
    refuse_later_vintages,
    refuse_twice,
    scope_of,
    with_copies,
)

ROWS = "rows "
"""Begins the name of a count of rows of a table, among the counts of files."""


@dataclass(frozen=True, slots=True)
class Sealing:
    """What a sealing does, or did.

    Attributes:
        seal: what is sealed; without id and keys when it was only asked what would be.
        rows: sealed rows by table.
        leaves: files that leave the home.
        others: files in the home that the harness did not write there; they are left as they are.
        copies: series that repeat one of the sealed ones and are not sealed along, in words.
        done: it is sealed.
        finished: it was begun by an earlier command, and has been finished now.
        passphrase: it will open with a passphrase.
        readable: ISO instant of the last publication that stays in the clear; "" = not looked up.
        elsewhere: files of sealed datasets outside the home: they stay as they are, and readable.
        head: of the ledger, once it is sealed; "" = it is not yet.
        at_cut: origins that fall exactly on the cut, in words.
        ahead: values that were public before the cut, of periods that end after it; they stay in the clear.
        few: series with too few values in common with those sealed to be compared -> how many; they stay in the clear.
    """

    seal: Seal
    rows: Mapping[str, int]
    leaves: Mapping[str, int]
    others: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    done: bool = False
    finished: bool = False
    passphrase: bool = False
    readable: str = ""
    at_cut: tuple[str, ...] = ()
    ahead: int = 0
    elsewhere: tuple[str, ...] = ()
    head: str = ""
    few: Mapping[str, int] = field(default_factory=dict)


def seal(
    home: Home,
    experiments: Sequence[Experiment],
    day: date,
    changes: ChangeFile,
    *,
    lock: Lock | None = None,
    dry_run: bool = False,
    told: Callable[[Sealing], None] | None = None,
) -> Sealing:
    """Seal what the experiments' targets use, from a day on.

    Args:
        home: the home folder.
        experiments: resolved.
        day: the first sealed day, in the zone of the (earliest) target.
        changes: change file of the home's archive.
        lock: who can open it.
        dry_run: tell what would leave, and do nothing.
        told: called with what will leave, before anything is done.

    Raises:
        SealedError: some of it is sealed already, whatever the day, or has a copy that would not be sealed; entered in
            the ledger.
        UserError: there is nothing to seal, or nothing to develop on; the folder of keys lies in the home.
        ArchiveBusyError: a run, an audit, a plan or an ingest is under way.
    """
    with working(home) if dry_run else exclusively(home):
        return _sealed(home, experiments, day, changes, lock or Lock(), dry_run=dry_run, told=told)


def _sealed(
    home: Home,
    experiments: Sequence[Experiment],
    day: date,
    changes: ChangeFile,
    lock: Lock,
    *,
    dry_run: bool,
    told: Callable[[Sealing], None] | None,
) -> Sealing:
    refuse_links(home)
    archive = Archive.open(home.archive, read_only=True)
    with refusals(home, f"holdout seal --from {day}"):
        scope, seals = scope_of(experiments, day, archive, changes), seals_of(home)
        refuse_twice(scope, seals)
        refuse_empty(scope, changes)
        refuse_later_vintages(scope, changes)
        scope = with_copies(scope, archive, changes, seals) if lock.along else scope
        copies = () if lock.along else copies_of(scope, archive, seals)
        if not dry_run:
            refuse_copies_of(scope, copies)
    public = all(name.rpartition("/")[0] in lock.public for name in scope.series)
    bare = replace(scope.seal(""), public=public, grade=CUSTODIAN if lock.custodian else HONOUR)
    key = passphrase_asked(confirm=True) if lock.passphrase and not dry_run else ""
    left = leaving(home, archive, bare)
    if dry_run or told:
        ahead = Sealing(
            bare,
            _some(sealed_rows(archive, bare)),
            left.counts,
            others(home),
            tuple(one.told for one in copies),
            passphrase=lock.passphrase,
            readable=last_readable(scope, changes),
            at_cut=tuple(origins_at_cut(scope, experiments, changes)),
            ahead=readable_ahead(scope, changes),
            few=uncompared_within(archive, [*seals, bare]),
        )
        if dry_run:
            return ahead
        if told:
            told(ahead)
    return _taken_out(home, archive, scope, bare, left, lock, key)


def _taken_out(
    home: Home, archive: Archive, scope: Scope, bare: Seal, left: Leaving, lock: Lock, passphrase: str
) -> Sealing:
    """Fill a vault with what a seal covers, and put it in its place."""
    folder = key_folder(home, lock.keys)
    made = keyed(replace(bare, id=_begun(home, scope)), folder, lock)
    vault, wrapped = begin_vault(home, made, folder, lock, passphrase)
    packer = Packer(vault.put, home.root)
    for path in left.every:
        packer.add(home.root / path)
    packer.close()

    def ready(rows: Mapping[str, int]) -> None:
        raw = tuple(sorted(veil(HASHED["raw_files"], one) for one in left.raw))
        _publish(home, vault, replace(left, raw=raw), rows, wrapped)

    veil = veiled(needed_key(folder, f"{made.id}.{SIGNING}"))
    seal_archive(archive, made, vault.put, ready, veil)
    return finish(home, keys=lock.keys, resumed=False)


def finish(home: Home, *, keys: Path | None = None, resumed: bool = True) -> Sealing:
    """Remove what is left of a sealing whose archive is in place, and enter it in the ledger.

    Args:
        home: the home folder; a sealing is unfinished in it.
        keys: folder of keys; None = the usual one.
        resumed: an earlier command began it.

    Raises:
        SealedError: the key that signs the vault's list is not here.
    """
    vault = Vault.open(home, unfinished(home))
    archive = Archive.open(home.archive, read_only=True)
    archive.store.settle()  # checksums of what is sealed go with it
    _enter_roll(home, vault.seal)
    vault = Vault.open(home, vault.seal.id, signing=needed_key(key_folder(home, keys), f"{vault.seal.id}.{SIGNING}"))
    paths, recount = read_leaving(vault.folder / LEAVING)
    remove(home, paths)
    remove_scratch(home)
    if recount:
        home.registry.unlink(missing_ok=True)  # made again, under the fingerprints that hold from now on
    _sweep(home, vault)
    made, manifest = vault.seal, vault.manifest_hash
    if not any(one.kind == "seal" and one.facts.get("seal") == made.id for one in entries(home)):
        told = ("cut", "series", "targets", "grade", "public", "recipient", "signer", "description")
        facts = {name: getattr(made, name) for name in told}
        enter(home, "seal", {"seal": made.id, **facts, "manifest": manifest})
    few = note_compared(home, uncompared_within(archive, seals_of(home)), FEWEST)
    (vault.folder / LEAVING).unlink()
    rows = {name.removeprefix(ROWS): count for name, count in made.counts.items() if name.startswith(ROWS)}
    files = {name: count for name, count in made.counts.items() if not name.startswith(ROWS)}
    return Sealing(made, rows, files, others(home), done=True, finished=resumed, head=ledger_head(home), few=few)


def _enter_roll(home: Home, made: Seal) -> None:
    """Enter that the seal before is over, before its vault goes."""
    facts = {"seal": made.follows, "to": made.cut, "new": made.id}
    if made.follows and not any(one.kind == "roll" and one.facts == facts for one in entries(home)):
        enter(home, "roll", facts)


def resume(home: Home, *, keys: Path | None = None) -> Sealing | None:
    """Go on with a sealing that was interrupted after its vault was there; None = there is none, or it was undone.

    Where the archive was not replaced yet nothing has been taken away: the vault is dropped, to be filled anew.
    """
    found = unfinished(home)
    if not found:
        return None
    if found in seals_within(Archive.open(home.archive, read_only=True)):
        return finish(home, keys=keys)
    entered = any(one.kind == "seal" and one.facts.get("seal") == found for one in entries(home))
    if entered:
        raise DamagedError(
            "the archive is not the one that was sealed",
            value=found,
            rule="the ledger tells of a finished seal the archive knows nothing of",
            fix="bring archive.duckdb back from a copy made after the sealing",
        )
    Vault.open(home, found).withdraw(home)
    return None


def _begun(home: Home, scope: Scope) -> str:
    """Enter that a sealing begins; one that was begun for the same question goes on under its id."""
    found = entries(home)
    done = {one.facts.get("seal") for one in found if one.kind == "seal"}
    same = [one.facts for one in found if one.kind == "sealing" and one.facts.get("scope") == scope.identity]
    names = [str(facts["seal"]) for facts in same if "seal" in facts and facts["seal"] not in done]
    if names and names[-1] in begun_sealings(found):
        return names[-1]
    made = names[-1] if names else secrets.token_hex(6)
    enter(home, "sealing", {"seal": made, "cut": scope.cut.isoformat(), "scope": scope.identity})
    return made


def _publish(home: Home, vault: Vault, left: Leaving, rows: Mapping[str, int], wrapped: bytes) -> None:
    """Sign the list, and put the vault in its place: what is sealed is safe from here on."""
    vault.sign()
    if wrapped:
        write_file(vault.folder / WRAPPED, wrapped)
    effort = _renamed(left, vault.seal)
    recount = effort != left.effort
    write_leaving(vault.folder / LEAVING, left.every, recount=recount)
    counts = {f"{ROWS}{table}": count for table, count in _some(rows).items()} | left.counts
    vault.finish(home, replace(vault.seal, raw=left.raw, runs=left.runs, effort=effort, counts=counts))


def _some(rows: Mapping[str, int]) -> dict[str, int]:
    return {table: count for table, count in rows.items() if count}


def _renamed(left: Leaving, made: Seal) -> tuple[Mapping[str, object], ...]:
    """Effort under the fingerprints that the targets have from now on; those of a short history knew sealed values."""
    out = []
    for one in left.effort:
        told = one["effort"]
        if isinstance(told, dict):
            prints = {name: made.targets.get(name, found) for name, found in told["fingerprints"].items()}
            out.append({**one, "effort": {**told, "fingerprints": prints}})
    return tuple(out)


def _sweep(home: Home, vault: Vault) -> None:
    """Seal what another process wrote while the home was being sealed."""
    left = leaving(home, Archive.open(home.archive, read_only=True), vault.seal)
    fresh = tuple(path for path in left.every if not path.startswith("raw/"))
    if fresh:
        with vault.locked():
            packer = Packer(vault.put, home.root)
            for path in fresh:
                packer.add(home.root / path)
            packer.close()
            vault.sign()
        runs, effort = (*vault.seal.runs, *left.runs), (*vault.seal.effort, *_renamed(left, vault.seal))
        vault.seal = replace(vault.seal, runs=runs, effort=effort)
        write_file(vault.folder / SEAL_FILE, json_bytes(vault.seal.record()))
        remove(home, fresh)
