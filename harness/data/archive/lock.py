"""The lock beside an archive's file: many read, or one writes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.errors import ArchiveBusyError
from harness.record.working import holders


@contextmanager
def locked(path: Path, wait: float, *, shared: bool) -> Iterator[None]:
    """Hold the lock file beside the archive, with the last writer's process id in it, for the length of the block.

    Args:
        path: the archive's file.
        wait: seconds to wait for another process.
        shared: for reading.

    Raises:
        ArchiveBusyError: another process holds it for longer.
    """
    handle = _lock_file(path, shared=shared)
    if handle is None:
        yield
        return
    try:
        _acquire(handle, path, wait, shared=shared)
        if not shared:
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _lock_file(path: Path, *, shared: bool) -> int | None:
    place = path.with_name(path.name + ".lock")
    try:
        return os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        if not shared:
            raise
    try:
        return os.open(place, os.O_RDONLY)
    except OSError:
        # a folder in which no lock can be made has no writer to wait for
        return None


def _acquire(handle: int, path: Path, wait: float, *, shared: bool) -> None:
    deadline = time.monotonic() + wait
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        try:
            fcntl.flock(handle, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise busy(path, _holder(handle)) from None
            time.sleep(0.02)
        else:
            return


def _holder(handle: int) -> str:
    """Process ids of those who hold the lock: from the system's table, or else the last writer's word."""
    return ", ".join(map(str, holders(handle))) or os.pread(handle, 32, 0).decode()


def busy(path: Path, holder: str) -> ArchiveBusyError:
    """What is said of an archive that somebody else has open.

    Args:
        path: the archive's file.
        holder: process ids, in words; "" = unknown.
    """
    who = f"process {holder}" if holder else "another process"
    return ArchiveBusyError(
        "the archive is in use",
        value=f"{path} by {who}",
        rule="one process writes at a time",
        fix="wait for it to end, or open the archive with a longer wait",
    )
