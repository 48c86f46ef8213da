"""Whether a run that was begun is still under way: its process holds a lock on the run's folder, and dies with it.

A process id says little: it is given again to others, and means nothing on another machine. The system lets go of a
lock however its holder ends.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.record.working import holders

BEGUN_BY = "begun_by"
RUNNING, STOPPED, BEGUN = "running", "stopped", "begun"
"""A process is at work on it; none is any more; it was begun, and from here nobody can tell."""
BOOT = Path("/proc/sys/kernel/random/boot_id")
GLANCES, APART = 3, 0.02
"""How often a lock that is held is looked at, as another glance holds it for an instant; seconds between."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a run that is not finished.

    Attributes:
        status: `RUNNING`, `STOPPED` or `BEGUN`.
        told: the same in words, with the process or the machine.
    """

    status: str
    told: str


@contextmanager
def under_way(folder: Path) -> Iterator[bool]:
    """Hold a run's folder, beside others that compute the same run; it is made when it is absent.

    Args:
        folder: of the run.

    Yields:
        Whether it could be locked: some network drives lock no folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _locks(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Keep others from changing the record of a run in the meantime; where folders cannot be locked, nobody is kept.

    Args:
        folder: of the run, beside those of others: they wait for one another, for an instant.
    """
    handle = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _locks(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def begun_by(*, locked: bool) -> dict[str, object]:
    """Who begins a run here, as its record says it.

    Args:
        locked: whether this process holds the run's folder.
    """
    return {"host": socket.gethostname(), "boot": _boot(), "process": os.getpid(), "locked": locked}


def standing(folder: Path, record: Mapping[str, object]) -> Standing:
    """What is known of a run that was begun and not finished.

    It is called stopped only where a lock of its process would be seen: on the same start of the same system.

    Args:
        folder: of the run.
        record: its manifest.
    """
    said = record.get(BEGUN_BY)
    begun: Mapping[str, object] = said if isinstance(said, dict) else {}
    held, who = _held(folder)
    if held:
        return Standing(RUNNING, f"{who} is at work on it")
    if not begun:
        return Standing(BEGUN, "begun by a version that did not say by which process")
    process = f"process {begun.get('process')} on {begun.get('host')}"
    if held is None or not begun.get("locked"):
        return Standing(BEGUN, f"begun by {process}, where folders cannot be locked: it may be at work, or gone")
    if begun.get("boot") and begun.get("boot") == _boot():
        return Standing(STOPPED, f"{process} is no longer at work on it")
    return Standing(
        BEGUN, f"begun by {process}, another machine or an earlier start of this one: from here nobody can tell more"
    )


def _held(folder: Path) -> tuple[bool | None, str]:
    """Whether a process holds a folder, and which; None = folders cannot be locked there, or it cannot be read."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None, ""
    who = ""
    try:
        for _ in range(GLANCES):
            try:
                return (False if _locks(handle, fcntl.LOCK_EX | fcntl.LOCK_NB) else None), ""
            except BlockingIOError:
                who = ", ".join(f"process {one}" for one in holders(handle)) or "another process"
            time.sleep(APART)
    finally:
        os.close(handle)
    return True, who


def _locks(handle: int, mode: int) -> bool:
    """Lock an open folder; whether the system can.

    Raises:
        BlockingIOError: another process holds it, and nobody waits.
    """
    try:
        fcntl.flock(handle, mode)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _boot() -> str:
    """Which start of which system this is; "" = it does not say."""
    with suppress(OSError):
        return BOOT.read_text().strip()
    return ""
