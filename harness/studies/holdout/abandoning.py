"""Giving up a sealing that was interrupted while everything it would have taken away was still in its place."""

from __future__ import annotations

import shutil

from harness.core.errors import SealedError, UserError
from harness.data.archive import Archive
from harness.data.archive.sealing import seals_within
from harness.data.vault.files import MAKING, Vault
from harness.record.home import Home
from harness.record.ledger import begun_sealings, enter, entries, refusals
from harness.record.seals import unfinished
from harness.record.working import exclusively


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


def _within(home: Home) -> set[str]:
    return seals_within(Archive.open(home.archive, read_only=True)) if home.archive.exists() else set()


def _past(name: str, fix: str) -> SealedError:
    return SealedError(
        "this sealing cannot be given up",
        value=name,
        rule="the archive was split already: what is sealed lies in the vault alone",
        fix=fix,
    )
