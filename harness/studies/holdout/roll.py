"""Rolling a holdout on: what an opening has seen becomes development, what came since stays sealed under a new key.

The same steps as a sealing, and the same harmlessness of a stop: until the archive is replaced nothing has changed but
a vault that is dropped again; from then on the same command finishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from harness.backtest.effort import fingerprint
from harness.core.errors import SealedError, UnknownNameError, UserError
from harness.core.identity import digest
from harness.core.time import end_of_day, instant, micros
from harness.data.archive import Archive
from harness.data.archive.covered import DECLARED, HASHED, raw_of
from harness.data.archive.sealing import split
from harness.data.changes import ChangeFile
from harness.data.vault.files import WRAPPED, Vault
from harness.data.vault.keys import SIGNING, key_folder, needed_key, passphrase_asked, veiled
from harness.data.vault.packing import PACKED
from harness.record.chain import Entry
from harness.record.files import unused_name, write_file
from harness.record.home import Home
from harness.record.ledger import enter, entries, refusals
from harness.record.seals import CUSTODIAN, LEAVING, Seal, seals_of
from harness.record.told_seals import begun_sealings, named_seals
from harness.record.unentered import refuse_unentered
from harness.record.working import exclusively
from harness.studies.holdout.abandoning import OVER, give_up_begun
from harness.studies.holdout.checking import Granted, checked_vault, identities_of
from harness.studies.holdout.leaving import blind_runs, write_leaving
from harness.studies.holdout.locking import Lock, begin_vault, keyed
from harness.studies.holdout.open import ARCHIVED, alone, opened_archive
from harness.studies.holdout.scope import changes_before
from harness.studies.holdout.seal import ROWS, finish, resume


@dataclass(frozen=True, slots=True)
class Rolled:
    """What a roll did.

    Attributes:
        old: the seal that is over.
        new: the seal of what came since.
        to: from when on everything stays sealed.
        rows: rows that stay sealed.
    """

    old: str
    new: str
    to: datetime
    rows: int


def roll(home: Home, day: date, *, seal: str = "", granted: Granted | None = None, keys: Path | None = None) -> Rolled:
    """Release what an opening has seen into development; newer data get a seal of their own, that confirms again.

    Args:
        home: the home folder.
        day: the first day that stays sealed, in the zone of the (earliest) target.
        seal: the seal, where the home has several.
        granted: what a custodian granted; None = no grant was given.
        keys: folder of keys; None = the default.

    Raises:
        SealedError: the seal was not opened and closed, an opening of it is unfinished or under way, the day is not
            after all that was seen, or nothing would stay sealed; entered in the ledger.
        ArchiveBusyError: a run, an audit, a plan or an ingest is under way.
        UnknownNameError: there is no such seal.
    """
    with refusals(home, f"holdout roll --to {day}"), alone(home, "roll"), exclusively(home):
        done = resume(home, keys=keys)
        if done is not None and done.seal.follows:
            return _rolled(done.seal)
        old, found = _chosen(home, seal), entries(home)
        refuse_unentered(home, found)
        seen = _seen(found, old)
        checked_vault(home, old, found)
        identity = identities_of(home, [old], granted, keys, rolling=True)[old.id]
        whole = opened_archive(home, [old], {old.id: identity})
        changes = whole.changes()
        cut = min(end_of_day(day - timedelta(days=1), changes.series[name].zone) for name in old.targets)
        _refuse_day(changes, old, cut, seen)
        made = _following(old, changes, cut)
        give_up_begun(home, but=made.id)
        if made.id not in begun_sealings(found):
            enter(home, "sealing", {"seal": made.id, "cut": made.cut, "follows": old.id})
        _replace(home, whole, (old, identity), made, keys)
        return _rolled(finish(home, keys=keys, resumed=False).seal)


def _chosen(home: Home, name: str) -> Seal:
    seals = seals_of(home)
    if not seals:
        raise SealedError(
            "nothing is sealed in this home, so nothing can be rolled on",
            value=home.root,
            rule="a roll releases the stretch of a seal that was opened and closed",
            fix="name the home (--home DIR), or seal first: harness holdout seal --from DATE EXPERIMENT...",
        )
    hits = [one for one in seals if one.id.startswith(name)] if name else list(seals)
    if not name and len(hits) > 1:
        raise UserError(
            "it is not said which seal is rolled on",
            value=", ".join(f"{one.id} from {one.cut} for {', '.join(one.experiments)}" for one in seals),
            rule="one seal at a time",
            fix="add --seal ID",
        )
    if len(hits) != 1:
        raise UnknownNameError("seal", name, [one.id for one in seals])
    return hits[0]


def _seen(found: Sequence[Entry], seal: Seal) -> datetime:
    """Up to when the openings of a seal have seen what was published; what a void one decrypted counts as seen."""
    mine = dict.fromkeys(
        str(one.facts.get("plan")) for one in found if one.kind == "opening" and seal.id in named_seals(one)
    )
    told = [one for one in found if str(one.facts.get("plan")) in mine]
    left = [plan for plan in mine if not any(one.kind in OVER and one.facts.get("plan") == plan for one in told)]
    if left:
        raise SealedError(
            "an opening of this holdout was begun and not closed",
            value=f"plan {left[0]}",
            rule="what it has seen is not known before it is over, and may not be sealed again",
            fix=f"finish it first: harness holdout open --plan {left[0]} (where it cannot be any more: --give-up)",
        )
    if not mine:
        raise SealedError(
            "the holdout was not opened and closed",
            value=seal.id,
            rule="only a spent stretch is released into development",
            fix="harness holdout plan EXPERIMENT, then harness holdout open --plan ID",
        )
    return max(datetime.fromisoformat(str(one.facts["seen"])) for one in told if "seen" in one.facts)


def _refuse_day(changes: ChangeFile, old: Seal, cut: datetime, seen: datetime) -> None:
    if cut <= max(old.instant, seen):
        raise SealedError(
            "what was opened cannot be sealed again" if cut > old.instant else "this day is not after the seal's",
            value=cut.isoformat(),
            rule=f"sealed from {old.cut}, and the opening saw what was published through {seen.isoformat()}",
            fix=f"name a day after {seen.date().isoformat()}",
        )
    newest = max(int(changes.published[changes.code == changes.codes[name]].max(initial=0)) for name in old.series)
    if micros(cut) > newest:
        raise SealedError(
            "nothing would stay sealed",
            value=cut.isoformat(),
            rule=f"the newest sealed publication is of {instant(newest).isoformat()}",
            fix="ingest newer data first: they go into the vault",
        )


def _following(old: Seal, changes: ChangeFile, cut: datetime) -> Seal:
    """The seal of what came since, without its keys."""
    early = changes_before(changes, micros(cut))
    known = {name: instant(changes.known_through[name]).isoformat() for name in old.series if name in changes.ids}
    return replace(
        old,
        id=digest("roll", old.id, cut.isoformat())[:12],
        cut=cut.isoformat(),
        targets={name: fingerprint(early, name) for name in old.targets},
        known_through=known,
        follows=old.id,
    )


def _replace(home: Home, whole: Archive, old: tuple[Seal, str], made: Seal, keys: Path | None) -> None:
    """Fill the new vault, put it in its place, and the archive without what it holds in the place of the old one."""
    folder = key_folder(home, keys)
    before = Vault.open(home, old[0].id)
    locked = (before.folder / WRAPPED).exists() and made.grade != CUSTODIAN
    passphrase = passphrase_asked(confirm=True) if locked else ""
    lock = Lock(made.custodian or None, bool(passphrase), keys=keys)
    vault, wrapped = begin_vault(home, keyed(made, folder, lock), folder, lock, passphrase)
    unseeing = set[str]()
    for one in before.files():
        if one.kind not in ARCHIVED:  # files that left the home
            content = before.read(old[1], one.name)
            unseeing |= set(blind_runs(content, made)) if one.kind == PACKED else set()
            vault.put(one.kind, content, dict(one.facts))
    out = unused_name(home.root)
    try:
        veil = veiled(needed_key(folder, f"{made.id}.{SIGNING}"))
        rows = split(whole, out, vault.seal, vault.put, veil)
        vault.sign()
        if wrapped:
            write_file(vault.folder / WRAPPED, wrapped)
        write_leaving(vault.folder / LEAVING, (str(before.folder.relative_to(home.root)),), recount=False)
        files = {name: count for name, count in made.counts.items() if not name.startswith(ROWS)}
        counts = files | {f"{ROWS}{table}": count for table, count in rows.items() if count}
        runs = tuple(name for name in vault.seal.runs if name not in unseeing)
        raw = tuple(sorted(veil(HASHED["raw_files"], one) for one in raw_of(whole, made)[0]))
        vault.finish(home, replace(vault.seal, counts=counts, raw=raw, runs=runs))
        Archive.open(home.archive, read_only=True).store.replace(out)
    finally:
        for left in (out, out.with_name(f"{out.name}.wal")):
            left.unlink(missing_ok=True)


def _rolled(made: Seal) -> Rolled:
    rows = sum(count for name, count in made.counts.items() if name.startswith(ROWS) and name != f"{ROWS}{DECLARED}")
    return Rolled(made.follows, made.id, made.instant, rows)
