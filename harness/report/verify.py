"""`harness verify`: every recorded file against its hash, and what it prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from harness.data.archive import verified as data
from harness.record import verified as record
from harness.record import verified_holdout as holdout
from harness.record.home import Home
from harness.record.verified import Checked
from harness.record.verified_effort import effort

Verifier = Callable[[Home], Iterator[Checked]]
VERIFIERS: Mapping[str, Verifier] = {
    "raw": record.raw_files,
    "archive": data.archive_file,
    "changes": data.change_folders,
    "cells": record.cells,
    "fits": record.fits,
    "runs": record.runs,
    "audits": record.audit_records,
    "studies": record.studies,
    "effort": effort,
    "ledger": holdout.ledger,
    "plans": holdout.plans,
    "vaults": holdout.vaults,
}
"""What is verified, in order; a new kind of record is one line here."""
LIMIT = (
    "Hashes show what was changed afterwards. Who rewrites a record and every hash that names it (for the archive, "
    "archive.sums.json too) is found by harness reproduce, or by ingesting raw/ into another home, not here."
)


@dataclass(frozen=True, slots=True)
class Verification:
    """What became of every kind of record.

    Attributes:
        found: what was found, by kind of record.
    """

    found: Mapping[str, tuple[Checked, ...]]

    @property
    def problems(self) -> tuple[Checked, ...]:
        """Everything that is wrong."""
        return tuple(one for mine in self.found.values() for one in mine if one.problem)

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(home: Home) -> Verification:
    """Read every recorded file of a home folder and compare it with its hash; nothing is repaired.

    Raises:
        ArchiveBusyError: another process is writing the archive.
    """
    return Verification({kind: tuple(check(home)) for kind, check in VERIFIERS.items()})


def verification_text(done: Verification) -> str:
    """How many files hold, every problem, and what could not be told."""
    lines = []
    for kind, mine in done.found.items():
        wrong = sum(bool(one.problem) for one in mine)
        counted = f"{sum(one.files for one in mine)} files as written"
        lines.append(f"{kind:<8} {counted}" + (f", {wrong} PROBLEMS" if wrong else ""))
    lines += [f"  {one.place}: {one.problem}" for one in done.problems]
    lines += [f"  note, {one.place}: {one.note}" for mine in done.found.values() for one in mine if one.note]
    total = len(done.problems)
    lines.append(f"{total} problem{'s' * (total != 1)}" if total else "everything recorded is as it was written")
    return "\n".join([*lines, LIMIT])
