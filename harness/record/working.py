"""Who works in a home folder: many at once, or one alone that rewrites it; everyone else waits, and is told for whom.

The lock is on the folder itself, so that there is no file to be deleted under a process that holds it. The system lets
go of it when a process ends, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.core.errors import ArchiveBusyError, UserError
from harness.record.home import Home

WAIT = 10.0
"""Seconds to wait for others before giving up."""
PATIENCE = 1.0
"""Seconds after which it is said what is waited for."""
TURN = 0.02
LOCK_TABLE = Path("/proc/locks")
LONGEST = 80
"""Characters of another process's command line that are told."""
_held = threading.local()


@contextmanager
def working(home: Home, *, wait: float | None = None) -> Iterator[None]:
    """Work in a home beside others, while nobody seals it, opens its holdout or rolls it on.

    A block within another of the same thread goes by that one. A home that is not there yet needs no lock: nothing in
    it can be sealed.

    Args:
        home: the home folder.
        wait: seconds to wait for another process; None = `WAIT`.

    Raises:
        ArchiveBusyError: another process works there alone; its id is in the message.
    """
    with _locked(home.root, fcntl.LOCK_SH, WAIT if wait is None else wait):
        yield


@contextmanager
def exclusively(home: Home, *, wait: float | None = None) -> Iterator[None]:
    """Work in a home with nobody else in it: no run, audit, plan, ingest, opening or roll.

    Args:
        home: the home folder.
        wait: seconds to wait for other processes; None = `WAIT`.

    Raises:
        ArchiveBusyError: another process works there; its id is in the message.
        UserError: the folder lies where none can be locked.
    """
    with _locked(home.root, fcntl.LOCK_EX, WAIT if wait is None else wait):
        yield


def holders(handle: int) -> list[int]:
    """Ids of the processes that hold a lock on an open file, or folder, by the system's table; [] = it does not say."""
    inode = os.fstat(handle).st_ino
    with suppress(OSError):
        # 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
        fields = [line.split() for line in LOCK_TABLE.read_text().splitlines()]
        return sorted({int(row[4]) for row in fields if row[1] == "FLOCK" and row[5].endswith(f":{inode}")})
    return []


@contextmanager
def _locked(root: Path, mode: int, wait: float) -> Iterator[None]:
    mine: dict[Path, int] = _held.__dict__.setdefault("homes", {})
    place = root.resolve()
    if mine.get(place) in (fcntl.LOCK_EX, mode):
        yield
        return
    try:
        handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        yield
        return
    before = mine.get(place)
    try:
        _acquire(handle, place, mode, wait)
        mine[place] = mode
        yield
    finally:
        os.close(handle)
        if before is None:
            mine.pop(place, None)
        else:
            mine[place] = before


def _acquire(handle: int, place: Path, mode: int, wait: float) -> None:
    begun, said = time.monotonic(), False
    while True:
        try:
            fcntl.flock(handle, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - begun
            if waited >= wait:
                raise _busy(handle, place, mode) from None
            if waited >= PATIENCE and not said:
                said = True
                sys.stderr.write(f"harness: waiting for {_who(handle)}, at work in {place}\n")
                sys.stderr.flush()
            time.sleep(TURN)
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            if mode == fcntl.LOCK_SH:
                return  # where no folder can be locked, nobody seals
            raise UserError(
                "this home folder cannot be locked",
                value=place,
                rule="a holdout is sealed, opened and rolled on with nobody else at work there",
                fix="move the home folder to a local disk",
            ) from error
        else:
            return


def _busy(handle: int, place: Path, mode: int) -> ArchiveBusyError:
    who = _who(handle)
    if mode == fcntl.LOCK_SH:
        rule = "nobody adds to a home while it is sealed, its holdout opened, or rolled on"
    else:
        rule = "a holdout is sealed, opened and rolled on while no run, audit, plan or ingest is under way"
    return ArchiveBusyError("the home folder is in use", value=f"{place} by {who}", rule=rule, fix="wait for it to end")


def _who(handle: int) -> str:
    return ", ".join(f"process {one}{_command(one)}" for one in holders(handle)) or "another process"


def _command(process: int) -> str:
    """What a process was started as, in brackets; "" where the system does not say."""
    with suppress(OSError):
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
        text = " ".join(" ".join([Path(words[0]).name, *words[1:]]).split())
        return f" ({text[:LONGEST]})" if text else ""
    return ""
