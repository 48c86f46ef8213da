"""Lines that each carry the hash of the line before: what of them holds, and where they break."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from harness.record.shape import INSTANT, Shape, misshapen

GENESIS = "0" * 64
"""What stands for the hash of the line before the first."""
HASH = "hash"


FACTS: Mapping[str, Shape] = {
    **dict.fromkeys(
        ("seal", "plan", "run", "new", "follows", "scope", "manifest", "digest", "description", "verdict", "decision",
         "why", "reason", "request", "grant", "claim", "experiment", "grade", "recipient", "signer", "to", "what"), str
    ),
    **dict.fromkeys(("cut", "seen"), INSTANT),
    **dict.fromkeys(("exploratory", "again", "public"), bool),
    "targets": {str: str},
    "fingerprints": {str: str},
    "seals": [str],
    "series": [str],
}  # fmt: skip
"""What the facts of an entry are, by name, wherever they are given."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger.

    Attributes:
        number: of the line, from 1.
        at: ISO instant UTC at which it was entered.
        kind: `sealing`, `abandoned`, `seal`, `batch`, `plan`, `request`, `grant`, `opening`, `closing`, `result`,
            `void`, `roll`, `refusal`, `uncompared`, `compared`.
        facts: what was done, as JSON.
        previous: hash of the line before; `GENESIS` before the first.
        hash: SHA-256 (hex) of all of the above.
    """

    number: int
    at: str
    kind: str
    facts: Mapping[str, object]
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Chain:
    """The content of a ledger, as far as it holds.

    Attributes:
        entries: the lines up to the first fault.
        fault: what is wrong with the next line; "" = nothing.
        whole: bytes that the entries take.
        torn: bytes after them that a crash left of a line that was being written.
        unended: the last line is whole, but for the end of the line.
    """

    entries: tuple[Entry, ...] = ()
    fault: str = ""
    whole: int = 0
    torn: int = 0
    unended: bool = False

    @property
    def head(self) -> str:
        """Hash of the newest entry."""
        return self.entries[-1].hash if self.entries else GENESIS

    def holds(self, head: str) -> bool:
        """Whether a hash (or the first half of one, at least) is that of an entry."""
        return len(head) >= len(GENESIS) // 2 and any(one.hash.startswith(head.lower()) for one in self.entries)


def chain_of(content: bytes) -> Chain:
    """Read a ledger and stop at the first line that is not what was written, or does not follow the one before."""
    lines = content.split(b"\n")
    tail = lines.pop()
    found: list[Entry] = []
    previous, whole = GENESIS, 0
    for number, line in enumerate(lines, start=1):
        entry, fault = _entry(line, number, previous)
        if entry is None:
            return Chain(tuple(found), f"line {number} {fault}", whole)
        found.append(entry)
        previous, whole = entry.hash, whole + len(line) + 1
    last, _ = _entry(tail, len(found) + 1, previous) if tail else (None, "")
    if last is not None:
        return Chain((*found, last), "", whole + len(tail), unended=True)
    return Chain(tuple(found), "", whole, len(tail))


def _entry(line: bytes, number: int, previous: str) -> tuple[Entry | None, str]:
    """A line as an entry, or why it is none."""
    try:
        told = json.loads(line)
        entry = Entry(**told)
        again = written(entry)
    except (ValueError, TypeError, RecursionError):
        return None, "is not an entry"
    if not _is_entry(entry):
        return None, "is not an entry"
    if again != line + b"\n":
        return None, "is not what was written: it was edited"
    if (entry.number, entry.previous) != (number, previous):
        return None, f"does not follow line {number - 1}: a line was deleted, inserted or moved"
    return entry, ""


def _is_entry(entry: Entry) -> bool:
    """Whether everything in it has its type, so that whoever reads it need not ask again."""
    wanted: dict[str, object] = {"number": int, **dict.fromkeys(("at", "kind", "previous", "hash"), str)}
    if misshapen({name: getattr(entry, name) for name in wanted}, wanted) or not isinstance(entry.facts, dict):
        return False
    return not misshapen(entry.facts, {name: FACTS[name] for name in entry.facts if name in FACTS})


def written(entry: Entry) -> bytes:
    """The line of an entry, with the hash that its content has."""
    told = {name: getattr(entry, name) for name in ("number", "at", "kind", "facts", "previous")}
    text = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(", ", ": "))
    return f'{text[:-1]}, "{HASH}": "{hashlib.sha256(text.encode()).hexdigest()}"}}\n'.encode()
