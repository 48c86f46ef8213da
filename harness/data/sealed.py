"""What of a batch went into a vault instead of the archive: how many rows, and under which key they are found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sealed:
    """The sealed part of one batch, as far as the archive may know of it.

    Attributes:
        rows: how many rows it has.
        key: keyed hash of the whole batch; stands in the archive for the content hash, which would let short contents
            be guessed.
        keep: puts it into the vault; called last before the archive commits, when nothing can be refused any more.
        known: series code -> microseconds UTC up to which the archive knows its sealed series by this batch.
    """

    rows: int
    key: str
    keep: Callable[[], None]
    known: Mapping[int, int] = field(default_factory=dict)
