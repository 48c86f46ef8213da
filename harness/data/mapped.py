"""Letting go of what was read of a mapped change file: it counts as memory in use as long as it is looked at."""

from __future__ import annotations

from harness.data.changes import ChangeFile
from harness.record.memory import give_back

COLUMNS = ("code", "period", "published", "value", "vintage", "availability")
PUBLICATIONS = ("code", "published", "first", "last", "complete", "captured", "countable")


def let_go(changes: ChangeFile, *, at_least: int = 0) -> None:
    """Give back the memory that a mapped change file takes up; what is looked at again is read again.

    Args:
        changes: the change file; one that is held in memory stays as it is.
        at_least: changes below which nothing is done.
    """
    if changes.place is not None and len(changes.code) >= at_least:
        give_back(*(getattr(changes, name) for name in COLUMNS))
        give_back(*(getattr(changes.publications, name) for name in PUBLICATIONS))
