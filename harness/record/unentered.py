"""What a home holds of a sealed holdout that its ledger does not tell of: entries that were removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.core.errors import SealedError
from harness.record.chain import Entry
from harness.record.home import Home
from harness.record.runs import list_runs, plan_opened
from harness.record.seals import LEAVING, SEAL_FILE

OPENINGS = "openings"
"""Folder of a vault with the encrypted cells of its openings, by plan."""


def unentered(home: Home, found: Iterable[Entry]) -> tuple[str, ...]:
    """What tells of a seal, a plan or an opening of which a ledger has no entry, one clause each; () = nothing.

    A ledger that was cut short hangs together; what was written after the entries that are gone still lies there.

    Args:
        home: the home folder.
        found: entries of its ledger, one at least.
    """
    found = tuple(found)
    return (*_seals(home, found), *unentered_plans(home, found).values(), *_openings(home, found))


def unentered_plans(home: Home, found: Iterable[Entry]) -> dict[str, str]:
    """Plan without an entry -> the clause that says so."""
    entered = _named(found, "plan", "plan")
    return {name: f"plan {name}: it was never entered in the ledger" for name in _plans(home) if name not in entered}


def refuse_unentered(home: Home, found: Iterable[Entry], *, but: str = "") -> None:
    """Refuse to go on where the ledger lacks entries, since nobody knows then what was opened.

    Args:
        home: the home folder.
        found: entries of its ledger.
        but: a plan that may lack its entry: the one about to be entered.

    Raises:
        SealedError: something tells of an entry that is not there.
    """
    found = tuple(found)
    spared = unentered_plans(home, found).get(but)
    for clause in unentered(home, found):
        if clause != spared:
            raise SealedError(
                "the ledger lacks entries",
                value=clause,
                rule="what was sealed, planned or opened stands in the ledger, or it is not known what was seen",
                fix="bring ledger.jsonl back from a copy; harness ledger verify names all (a plan whose command was "
                "stopped before it was entered: make the same plan again, or delete plans/ID.json)",
            )


def left_over(home: Home) -> tuple[str, ...]:
    """What in a home without vault and ledger tells that it was under seal: plans, and runs that opened a holdout."""
    return (*(f"plan {name}" for name in _plans(home)), *(f"run {run}" for run, _ in _opened(home)))


def _seals(home: Home, found: tuple[Entry, ...]) -> Iterator[str]:
    """Vaults in force, whose sealing is over, of which only the beginning is entered."""
    begun = _named(found, "sealing", "seal") - _named(found, "seal", "seal")
    for name in sorted(begun):
        folder = home.vault / name
        if (folder / SEAL_FILE).is_file() and not (folder / LEAVING).exists():
            yield f"seal {name} is in force, but only its beginning was entered"


def _openings(home: Home, found: tuple[Entry, ...]) -> Iterator[str]:
    opened, closed = _named(found, "opening", "plan"), _named(found, "closing", "plan")
    for path in sorted(home.vault.glob(f"[!.]*/{OPENINGS}/*")):
        if path.name not in opened:
            yield f"vault/{path.relative_to(home.vault)} tells of an opening that is not in the ledger"
    for run, plan in _opened(home):
        if plan not in opened & closed:
            yield f"run {run} opened a holdout by plan {plan}, and the ledger does not tell of it"


def _opened(home: Home) -> Iterator[tuple[str, str]]:
    """Run -> plan of the runs that opened a holdout."""
    told = ((str(one.get("run_id")), plan_opened(one)) for one in list_runs(home))
    return ((run, plan) for run, plan in told if plan)


def _plans(home: Home) -> list[str]:
    return sorted(path.stem for path in home.plans.glob("[!.]*.json")) if home.plans.is_dir() else []


def _named(found: Iterable[Entry], kind: str, fact: str) -> set[str]:
    """What the entries of a kind name."""
    return {str(one.facts.get(fact)) for one in found if one.kind == kind}
