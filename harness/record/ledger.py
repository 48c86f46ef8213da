"""The ledger: what was done about holdouts, line after line, each with the hash of the line before it.

Nothing in it is ever changed or removed, so whoever noted a hash earlier can tell whether anything was.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from harness.core.errors import DamagedError, SealedError
from harness.core.identity import canonical
from harness.record.chain import GENESIS, Chain, Entry, chain_of, written
from harness.record.files import sync_folder
from harness.record.home import Home

LONGEST = 300
"""Characters of a refused value that are kept."""
FOLDER = "it is a folder, not a file"
GONE = "the ledger is gone, or was emptied, while sealed holdouts are in the vault"


def read_chain(home: Home) -> Chain:
    """The ledger of a home as far as it holds; an empty one where there is none."""
    if home.ledger.is_dir():
        return Chain(fault=FOLDER)
    try:
        handle = os.open(home.ledger, os.O_RDONLY)
    except FileNotFoundError:
        return Chain()
    with os.fdopen(handle, "rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        return chain_of(stream.read())


def entries(home: Home) -> tuple[Entry, ...]:
    """Every entry of a home's ledger, oldest first.

    Raises:
        DamagedError: a line is not what was written, or does not follow the one before.
    """
    chain = read_chain(home)
    if chain.fault:
        raise _damaged(chain.fault, home.ledger)
    return chain.entries


def head(home: Home) -> str:
    """Hash of the newest entry; `GENESIS` when there is none.

    Raises:
        DamagedError: the chain is broken.
    """
    found = entries(home)
    return found[-1].hash if found else GENESIS


def enter(home: Home, kind: str, facts: Mapping[str, object]) -> Entry:
    """Append one entry; it is on the disk when this returns.

    What a crash left of a line is cut off first.

    Args:
        home: the home folder.
        kind: what was done; see `Entry`.
        facts: JSON values.

    Raises:
        DamagedError: the chain is broken, or the ledger is gone while the vault has seals; nothing is written.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    if not home.ledger.exists() and seal_folders(home):
        raise _damaged(GONE, home.ledger)
    if home.ledger.is_dir():
        raise _damaged(FOLDER, home.ledger)
    with os.fdopen(os.open(home.ledger, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644), "rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        chain = chain_of(stream.read())
        if chain.fault:
            raise _damaged(chain.fault, home.ledger)
        if not chain.entries and seal_folders(home):
            raise _damaged(GONE, home.ledger)
        bare = canonical(
            {
                "number": len(chain.entries) + 1,
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "kind": kind,
                "facts": facts,
                "previous": chain.head,
            }
        )
        line = written(Entry(**bare, hash=""))  # type: ignore[arg-type]
        _append(stream.fileno(), chain.whole, b"\n" * chain.unended + line)
    sync_folder(home.root)
    return Entry(**json.loads(line))


def _append(file: int, whole: int, line: bytes) -> None:
    """Write a line after `whole` bytes and sync it; where the disk refuses, the file is as long as before."""
    os.ftruncate(file, whole)
    try:
        written = 0
        while written < len(line):
            written += os.write(file, line[written:])
        os.fsync(file)
    except OSError:
        os.ftruncate(file, whole)
        raise


def _damaged(fault: str, path: Path) -> DamagedError:
    return DamagedError(
        "the ledger is damaged",
        value=f"{path}: {fault}",
        rule="it is only ever appended to, each line with the hash of the line before",
        fix="bring it back from a copy; harness ledger verify --head HASH tells whether the copy is whole",
    )


def seal_folders(home: Home) -> tuple[Path, ...]:
    """The folders of the seals in a home's vault."""
    found = sorted(home.vault.iterdir()) if home.vault.is_dir() else []
    return tuple(path for path in found if path.is_dir() and not path.name.startswith("."))


def under_seal(home: Home) -> bool:
    """Whether a home has anything to do with a seal: one in its vault, or one its ledger tells of."""
    return bool(seal_folders(home)) or any(one.kind in ("sealing", "seal") for one in read_chain(home).entries)


def refuse(home: Home, error: SealedError, command: str) -> None:
    """Enter what was refused, once, where the home has a seal or a ledger; the error says so when it cannot be.

    Args:
        home: the home folder.
        error: the refusal.
        command: what was asked, in words.
    """
    if error.entered or not (home.ledger.exists() or seal_folders(home)):
        return
    told = {"what": error.what, "value": error.value[:LONGEST], "command": command}
    try:
        enter(home, "refusal", {name: text.encode(errors="replace").decode() for name, text in told.items()})
    except (DamagedError, OSError) as fault:
        error.fix = "; ".join(part for part in (error.fix, f"and see to the ledger, it cannot be written: {fault}"))
    error.entered = True


@contextmanager
def refusals(home: Home, command: str) -> Iterator[None]:
    """Enter every refusal that the block raises, and raise it on."""
    try:
        yield
    except SealedError as error:
        refuse(home, error, command)
        raise
