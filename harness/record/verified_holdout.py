"""Ledger, plans and vaults of a home against what was entered and listed of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.core.errors import DamagedError
from harness.record.files import KEEP, json_bytes, read_json, seal_holds, sha256_of
from harness.record.home import Home
from harness.record.ledger import read_chain, seal_folders, under_seal
from harness.record.ledger_check import MANIFEST_FILE, plan_faults, verify_ledger
from harness.record.seals import SEAL_FILE, Seal
from harness.record.unentered import unentered_plans
from harness.record.verified import Checked

FILES = "files"


def ledger(home: Home) -> Iterator[Checked]:
    """The ledger: its chain, and the vault against what it last said of it."""
    done, place = verify_ledger(home), home.ledger.name
    if not (home.ledger.exists() or seal_folders(home) or done.reasons):
        return
    found = read_chain(home).entries
    apart = {f"plan {name}: {fault}" for name, fault in plan_faults(home, found).items()}
    apart |= {*unentered_plans(home, found).values()}
    reasons = [reason for reason in done.reasons if reason not in apart]  # plans have lines of their own
    yield from (Checked(place, problem=reason) for reason in reasons)
    yield from (Checked(place, note=note) for note in done.notes)
    if not reasons:
        yield Checked(place, 1)


def plans(home: Home) -> Iterator[Checked]:
    """Plans: each against its digest and its name, and entered in the ledger; none that was entered is gone."""
    found = read_chain(home).entries
    entered, faults = {str(one.facts.get("plan")) for one in found if one.kind == "plan"}, plan_faults(home, found)
    files = sorted(home.plans.glob("*.json")) if home.plans.is_dir() else []
    for path in files:
        place = f"plans/{path.name}"
        try:
            record = read_json(path, fix=KEEP)
        except DamagedError as error:
            yield Checked(place, problem=error.what)
            continue
        if seal_holds(record) is not True or path.read_bytes() != json_bytes(record):
            yield Checked(place, problem="its digest does not hold: it was changed after it was written")
        elif path.stem not in entered:
            yield Checked(place, problem="it was never entered in the ledger")
        elif path.stem in faults:
            yield Checked(place, problem=faults[path.stem])
        else:
            yield Checked(place, 1)
    yield from (Checked(f"plans/{one}.json", problem="it is gone") for one in sorted(entered - {p.stem for p in files}))


def vaults(home: Home) -> Iterator[Checked]:
    """Vaults: the description against its digest, every file against the list (which the ledger entry vouches for)."""
    for folder in seal_folders(home):
        place = f"{home.vault.name}/{folder.name}"
        try:
            Seal.read(folder / SEAL_FILE)
        except DamagedError as error:
            yield Checked(f"{place}/{SEAL_FILE}", problem=error.what)
        else:
            yield Checked(f"{place}/{SEAL_FILE}", 1)
        listed = _listed(folder / MANIFEST_FILE)
        if listed is None:
            yield Checked(f"{place}/{MANIFEST_FILE}", problem="it is gone, or lists no files")
            continue
        yield from _files(folder, listed, place)
    if not seal_folders(home) and under_seal(home):
        yield Checked(home.vault.name, note="the seals that the ledger tells of have no vault here")


def _files(folder: Path, listed: Mapping[str, str], place: str) -> Iterator[Checked]:
    there = {path.name for path in (folder / FILES).iterdir()} if (folder / FILES).is_dir() else set()
    for name, promised in sorted(listed.items()):
        at = f"{place}/{FILES}/{name}"
        if name not in there:
            yield Checked(at, problem="it is gone")
        elif sha256_of(folder / FILES / name) != promised:
            yield Checked(at, problem="it is not the file that was listed")
        else:
            yield Checked(at, 1)
    strays = sorted(name for name in there - listed.keys() if not name.startswith("."))
    yield from (Checked(f"{place}/{FILES}/{name}", problem="the list does not name it") for name in strays)


def _listed(path: Path) -> dict[str, str] | None:
    """Name -> SHA-256 of the files of a vault; None = there is no such list."""
    try:
        files = json.loads(path.read_bytes())["manifest"]["files"]
        return {str(one["name"]): str(one["sha256"]) for one in files}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
