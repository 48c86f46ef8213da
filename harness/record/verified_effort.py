"""The registry of effort against what runs, audits and seals say was done."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.errors import DamagedError
from harness.record.home import Home
from harness.record.registry import derived_rows, stored_rows
from harness.record.verified import Checked

KEY = 2
"""Columns, the first of each table, that tell its rows apart."""
REMEDY = "delete it: it is made again"


def effort(home: Home) -> Iterator[Checked]:
    """The registry: it counts nothing less, and nothing else, than runs, audits and seals tell."""
    place = home.registry.name
    try:
        stored = stored_rows(home)
    except DamagedError as error:
        yield Checked(place, problem=f"{error.what} ({REMEDY})")
        return
    if stored is None:
        return
    yield Checked(place, 1)
    told = derived_rows(home)
    for table, rows in stored.items():
        have, want = ({row[:KEY] for row in some} for some in (rows, told[table]))
        lacking = len(want - have)
        other = sum(row[:KEY] in want and row not in told[table] for row in rows)
        if lacking:
            yield Checked(place, problem=f"{lacking} {table} that runs, audits or seals tell of are missing ({REMEDY})")
        if other:
            yield Checked(place, problem=f"{other} {table} are not as runs, audits or seals tell them ({REMEDY})")
        if have - want:
            said = f"{len(have - want)} {table} of no run, audit or seal here: of openings, or of deleted runs"
            yield Checked(place, note=said)
