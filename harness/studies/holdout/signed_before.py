"""What a custodian signed before, remembered by seal and by ledger: the last head, every grant, what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import DamagedError
from harness.record.chain import Entry
from harness.record.files import KEEP, json_bytes, read_json, seal_holds, sealed, write_file
from harness.record.home import Home
from harness.record.shape import Shape, misshapen

CUSTODIAN_FOLDER = "custodian"
GRANTED = {**dict.fromkeys(("plan", "head", "once", "at"), str), "again": bool}
SHAPE: Shape = {"seal": str, "ledger": str, "head": str, "grants": [GRANTED]}
"""What `custodian/SEAL.json` holds."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed for one seal.

    Attributes:
        seal: id.
        ledger: hash of the first entry of the ledger that tells of it, by which its other seals are known.
        head: of that ledger, signed last; every later request must have it.
        grants: oldest first: `plan`, `head`, `once`, `again`, `at`.
    """

    seal: str
    ledger: str
    head: str
    grants: tuple[Mapping[str, object], ...]


def signed_for(home: Home, seals: Iterable[str], found: Sequence[Entry]) -> dict[str, Signed]:
    """What was signed for seals, for those they follow, and for every other seal of the same ledger.

    Args:
        home: the custodian's own home folder.
        seals: ids of those asked for.
        found: entries of the ledger that was sent.

    Raises:
        DamagedError: a record is not what was written.
    """
    told = {str(one.facts.get(name)) for one in found for name in ("seal", "new", "follows") if name in one.facts}
    folder = home.root / CUSTODIAN_FOLDER
    records = [_read(path) for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []
    wanted, ledger = {*seals, *told}, found[0].hash
    return {one.seal: one for one in records if one.seal in wanted or one.ledger == ledger}


def remember(home: Home, seal: str, before: Signed | None, grant: Mapping[str, object], ledger: str) -> None:
    """Write what is signed for a seal, before it is handed out.

    Args:
        home: the custodian's own home folder.
        seal: id.
        before: what was signed for it so far.
        grant: what is signed now.
        ledger: hash of the first entry of its ledger.
    """
    told = {name: grant[name] for name in ("plan", "head", "once", "again", "at")}
    grants = [*(before.grants if before else ()), told]
    record = {"seal": seal, "ledger": ledger, "head": grant["head"], "grants": grants}
    write_file(home.root / CUSTODIAN_FOLDER / f"{seal}.json", json_bytes(sealed(record)))


def became(signed: Iterable[Signed], found: Sequence[Entry]) -> tuple[str, ...]:
    """What a ledger says of every grant so far; an opening in a copy of the home, that was thrown away, it lacks."""
    granted = {(str(one["at"]), str(one["plan"])): None for each in signed for one in each.grants}
    return tuple(f"plan {plan}, granted on {at}: {_end_of(plan, found)}" for at, plan in sorted(granted))


def _end_of(plan: str, found: Sequence[Entry]) -> str:
    mine = {one.kind: one.facts for one in found if one.facts.get("plan") == plan}
    if "result" in mine:
        return f"its result is in the ledger ({mine['result'].get('verdict')})"
    if "void" in mine:
        return "its opening came to nothing"
    if "opening" in mine:
        return "its opening is in the ledger, and was not closed"
    return "NO OPENING IS IN THE LEDGER: the grant was not used, or opened a copy of the home"


def _read(path: Path) -> Signed:
    record = read_json(path, fix=KEEP)
    if seal_holds(record) is not True or misshapen(record, SHAPE):
        raise DamagedError(
            "what was signed for this seal is damaged",
            value=path,
            rule="the head signed last must be in every later ledger",
            fix="bring it back from a copy; without it nobody knows what was granted",
        )
    listed = record["grants"]
    grants = tuple(one for one in listed if isinstance(one, dict)) if isinstance(listed, list) else ()
    return Signed(str(record["seal"]), str(record["ledger"]), str(record["head"]), grants)
