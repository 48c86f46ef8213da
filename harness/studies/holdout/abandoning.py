"""Giving up what was begun: a sealing that has taken nothing away yet, an opening that cannot be finished any more.

Neither is forgotten: the ledger tells of both, and an opening counts all the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from harness.core.errors import SealedError, UnknownNameError, UserError
from harness.data.archive import Archive
from harness.data.archive.covered import seals_within
from harness.data.vault.files import MAKING, WRAPPED, Vault
from harness.record.chain import Entry
from harness.record.home import Home
from harness.record.ledger import enter, entries, refusals
from harness.record.seals import seals_of, unfinished
from harness.record.told_seals import begun_sealings, named_seals
from harness.record.working import exclusively
from harness.studies.holdout.checking import identities_of
from harness.studies.holdout.open import alone, opened_archive, seen_of

OVER = ("result", "void")
"""Kinds of entries by which an opening is over."""


def abandon(home: Home) -> tuple[str, ...]:
    """Give up what was begun; the keys made for it stay where they are. Returns the ids.

    Raises:
        UserError: no sealing was begun and left.
        SealedError: one is past that point, or its vault is gone; entered in the ledger.
    """
    with refusals(home, "holdout seal --abandon"), exclusively(home):
        found = unfinished(home)
        if found:
            if found in _within(home):
                raise _past(found, "give the same harness holdout seal (or roll) command again: it finishes")
            Vault.open(home, found).withdraw(home)
        done = give_up_begun(home)
    if not done:
        raise UserError(
            "there is no sealing to give up",
            value=home.root,
            rule="only one that was interrupted, before anything was taken away, can be given up",
            fix="harness holdout status tells what is sealed",
        )
    return done


def give_up_begun(home: Home, *, but: str = "") -> tuple[str, ...]:
    """Enter that every sealing that was begun, and whose vault was never put in place, is given up. Returns the ids.

    Args:
        home: the home folder.
        but: id of one that goes on.

    Raises:
        SealedError: the archive was split by one whose vault is gone.
    """
    begun = tuple(name for name in begun_sealings(entries(home)) if name != but)
    within = _within(home) if begun else set()
    for name in begun:
        if name in within or (home.vault / name).exists():
            raise _past(name, "bring the home folder back from a copy")
        left = home.vault / f"{MAKING}{name}"
        if left.exists():
            shutil.rmtree(left)
        enter(home, "abandoned", {"seal": name})
    return begun


def give_up_opening(home: Home, name: str, reason: str, *, keys: Path | None = None) -> str:
    """Give up an opening that was begun and cannot be finished; it counts, and its plan is void.

    What it may have seen stays spent: everything that had reached the vault when it began.

    Args:
        home: the home folder.
        name: the plan of the opening, or the beginning of its id; its file may be gone.
        reason: why it cannot be finished.
        keys: folder of keys; None = the default.

    Returns:
        Id of the plan.

    Raises:
        UnknownNameError: no opening that was begun and is not over is called so, or several are.
        UserError: there is no reason.
        SealedError: another opening or a roll is under way; entered in the ledger.
    """
    with refusals(home, f"holdout open --plan {name} --give-up"), alone(home, f"give up {name}"), exclusively(home):
        found = entries(home)
        opening = _to_give_up(found, name)
        plan = str(opening.facts["plan"])
        if not reason.strip():
            raise UserError("giving an opening up needs a reason", value=plan, fix='add --reason "..."')
        seen = _seen_at_most(home, found, opening, keys)
        enter(home, "void", {"plan": plan, "why": f"given up: {reason}", "seen": seen.isoformat()})
    return plan


def _to_give_up(found: Sequence[Entry], name: str) -> Entry:
    """The only opening, begun and not over, whose plan is called so or begins so."""
    over = {str(one.facts.get("plan")): one for one in found if one.kind in OVER}
    begun = {str(one.facts.get("plan")): one for one in found if one.kind == "opening"}
    left = [plan for plan in begun if plan not in over]
    hits = [plan for plan in left if plan.startswith(name)]
    if len(hits) == 1:
        return begun[hits[0]]
    closed = [plan for plan in over if name and plan.startswith(name)]
    planned = [str(one.facts.get("plan")) for one in found if one.kind == "plan"]
    if not hits and closed:
        end = over[closed[0]]
        became = f"closed, its answer is {end.facts.get('verdict')}" if end.kind == "result" else "void already"
        raise UserError(
            "this opening is over",
            value=f"{closed[0]}: {became}",
            rule="only an opening that was begun and is not over can be given up; what is over counts, and stays",
            fix="harness holdout status; to make another plan: harness holdout plan EXPERIMENT",
        )
    if not hits and any(name and plan.startswith(name) for plan in planned):
        raise UserError(
            "this plan was never opened",
            value=name,
            rule="only an opening that was begun can be given up; a plan that was not opened has seen nothing",
            fix="leave the plan as it is, or open it: harness holdout open --plan ID",
        )
    raise UnknownNameError("opening to give up", name, left)


def _seen_at_most(home: Home, found: Sequence[Entry], opening: Entry, keys: Path | None) -> datetime:
    """Up to when an opening can have seen what was published.

    Nothing is taken that lies in the future, so it is no later than anything that was entered until it began; nor than
    the newest of what the vault has, where its key is at hand.
    """
    bound = max(datetime.fromisoformat(one.at) for one in found[: opening.number])
    named = set(named_seals(opening))
    with suppress(UserError, OSError):
        seals = [one for one in seals_of(home) if one.id in named and not (home.vault / one.id / WRAPPED).exists()]
        if {one.id for one in seals} == named:
            archive = opened_archive(home, seals, identities_of(home, seals, keys=keys))
            bound = min(bound, seen_of(archive, archive.changes(), seals))
    return bound


def _within(home: Home) -> set[str]:
    return seals_within(Archive.open(home.archive, read_only=True)) if home.archive.exists() else set()


def _past(name: str, fix: str) -> SealedError:
    return SealedError(
        "this sealing cannot be given up",
        value=name,
        rule="the archive was split already: what is sealed lies in the vault alone",
        fix=fix,
    )
