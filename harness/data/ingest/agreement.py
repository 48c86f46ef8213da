"""Whether vault, ledger and archive of a home tell the same: before anything is added, and never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.core.errors import SealedError
from harness.data.archive import Archive
from harness.data.archive.covered import seals_within
from harness.data.archive.received import BATCH
from harness.data.vault.files import FILES, Vault
from harness.data.vault.manifest import MANIFEST, VaultFile, read_manifest
from harness.record.chain import Entry
from harness.record.home import Home
from harness.record.ledger import enter, entries, read_chain
from harness.record.seals import SEAL_FILE, Seal, refuse_unfinished, sealed_from, seals_of
from harness.record.told_seals import begun_sealings, promised_manifest

COPY = "bring the home folder back from a copy"


def told_seals(home: Home) -> tuple[Seal, ...]:
    """The seals in force as the vault's folder tells them, compared with nothing: for looking, not for adding."""
    rolled = _named(read_chain(home).entries, "roll", "seal")
    return tuple(one for one in seals_of(home) if one.id not in rolled)


def agreed_seals(home: Home, archive: Archive) -> tuple[Seal, ...]:
    """The seals in force in a home, after all that tells of them was compared; () = it is under none.

    An addition to the vault that was cut off before the ledger knew of it is entered now.

    Raises:
        SealedError: a vault is gone, was exchanged or rolled back; the ledger lacks a seal; a sealing is unfinished; or
            the archive is not the one that was sealed.
        DamagedError: the ledger's chain is broken, or the description of a seal is damaged.
    """
    within = seals_within(archive) if archive.path.exists() else set()
    if not (within or home.vault.is_dir() or home.ledger.exists()):
        return ()
    found = entries(home)
    refuse_unfinished(home)
    rolled = _named(found, "roll", "seal")
    seals = tuple(one for one in seals_of(home) if one.id not in rolled)
    _refuse_other_seals(seals, found, rolled)
    for seal in seals:
        _refuse_other_vault(home, seal, found)
    _refuse_strange(archive, within - {one.id for one in seals})
    lacking = [one for one in seals if one.id not in within]
    if lacking:
        raise SealedError(
            "this archive is not the one that was sealed",
            value=f"{archive.path}, seal {lacking[0].id} from {lacking[0].cut}",
            rule="what is sealed belongs to one archive, whose earlier part stays beside it",
            fix="bring the archive back from a copy; what is in the vault is not read in again",
        )
    return seals


def refuse_forgotten(archive: Archive) -> None:
    """Refuse to work on an archive that was split by a seal of which its home tells nothing any more.

    Raises:
        SealedError: its vault is gone; whether it was opened, nobody can tell then.
    """
    if archive.path.exists():
        told = {one.id for one in told_seals(Home(archive.path.absolute().parent))}
        _refuse_strange(archive, seals_within(archive) - told)


def _refuse_strange(archive: Archive, strange: set[str]) -> None:
    if strange:
        raise SealedError(
            "vault and ledger of a seal are gone",
            value=f"{archive.path}, seal {min(strange)}",
            rule="the archive lists the seals it was split by, so their series stay sealed",
            fix=COPY,
        )


def refuse_foreign(home: Home, archive: Archive, series: Iterable[str]) -> None:
    """Refuse to work with another archive in a home that sealed some of its series: there it would be in the clear.

    Args:
        home: where the work is recorded.
        archive: the archive in question.
        series: stored ids that it has, or will be given.

    Raises:
        SealedError: it is not the home's own, and a series is sealed.
    """
    if archive.path.absolute().parent == home.root.absolute():
        return
    seals = seals_of(home)
    for name in sorted(series) if seals else ():
        seal = sealed_from(seals, name)
        if seal is not None:
            raise SealedError(
                "another archive has a series that is sealed in this home",
                value=f"{name} in {archive.path}",
                rule=f"sealed from {seal.cut} on ({seal.told} {seal.id}): this home works on its own archive",
                fix="leave the archive out, or name its own home folder (--home DIR, home=DIR)",
            )


def entered_files(vault: Vault, archive: Archive) -> tuple[VaultFile, ...]:
    """The files of a vault, oldest first, without batches that the archive does not know.

    An ingest that was stopped after it wrote to the vault and never repeated leaves such a batch: nothing of it is in
    the archive, so it is none of its history.
    """
    known = set(archive.batches()["sha256"].to_list())
    return tuple(one for one in vault.files() if one.kind != BATCH or one.facts.get("key") in known)


def _named(found: Sequence[Entry], kind: str, fact: str) -> set[str]:
    return {str(one.facts.get(fact)) for one in found if one.kind == kind}


def _refuse_other_seals(seals: Sequence[Seal], found: Sequence[Entry], rolled: set[str]) -> None:
    """The vault's seals are those the ledger tells of."""
    told = _named(found, "seal", "seal")
    entered = told | _named(found, "roll", "new")
    begun = begun_sealings(found)
    present = {one.id for one in seals}
    if begun:
        rolls = any(one.facts.get("seal") == begun[0] and one.facts.get("follows") for one in found)
        same = "roll --to DATE" if rolls else "seal --from DATE EXPERIMENT..."
        raise SealedError(
            f"a {'roll' if rolls else 'sealing'} was begun and is not finished",
            value=begun[0],
            rule="nothing is added in between",
            fix=f"give the same command again (harness holdout {same}), or give it up: harness holdout seal --abandon",
        )
    gone = sorted(told - present - rolled)
    if gone:
        raise SealedError(
            "the vault of a seal is gone",
            value=gone[0],
            rule="the ledger tells of this seal, so its series stay sealed",
            fix=COPY,
        )
    unknown = sorted(present - entered)
    if unknown:
        raise SealedError(
            "the ledger does not know this seal",
            value=unknown[0],
            rule="every seal is entered when it is made: the ledger was removed, cut short or exchanged",
            fix=COPY,
        )


def _refuse_other_vault(home: Home, seal: Seal, found: Sequence[Entry]) -> None:
    """The vault is as the ledger noted it last, and has all its files."""
    promised = promised_manifest(found, seal.id)
    vault = Vault.open(home, seal.id)
    here = vault.manifest_hash
    if promised and here and promised != here:
        manifest, signed = read_manifest((vault.folder / MANIFEST).read_bytes(), seal.signer)
        if signed and manifest.previous == promised:
            rows = manifest.files[-1].facts.get("rows", 0)
            enter(home, "batch", {"seal": seal.id, "manifest": here, "rows": rows, "resumed": True})
            promised = here
    _refuse_other_description(vault, found)
    lost = [one.name for one in vault.files() if not _there(vault, one.name, one.size)] if here else [MANIFEST]
    if lost or promised != here:
        raise SealedError(
            "the vault is not the one the ledger noted last",
            value=f"{seal.id}: {f'{lost[0]} is gone or shortened' if lost else 'it was changed or rolled back'}",
            rule="a vault is only ever added to, and each addition is entered",
            fix=f"{COPY}; harness ledger verify tells what differs",
        )


def _refuse_other_description(vault: Vault, found: Sequence[Entry]) -> None:
    """What the seal says it covers is what was signed and entered."""
    told = [one.facts for one in found if one.kind == "seal" and one.facts.get("seal") == vault.seal.id]
    entered = {str(facts["description"]) for facts in told if "description" in facts}
    path = vault.folder / MANIFEST
    signed = {read_manifest(path.read_bytes(), vault.seal.signer)[0].description} if path.exists() else set()
    if path.exists() and entered | signed != {vault.seal.description}:
        raise SealedError(
            "the description of a seal is not the one it was sealed with",
            value=f"{vault.seal.id}: {SEAL_FILE} was edited",
            rule="what a seal covers, and from when, is signed with its vault and entered in the ledger",
            fix=COPY,
        )


def _there(vault: Vault, name: str, size: int) -> bool:
    path = vault.folder / FILES / name
    return path.is_file() and path.stat().st_size == size
