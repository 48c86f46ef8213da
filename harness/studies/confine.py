"""Put this process out of reach of everything but its code: Landlock where the kernel has it, else a mount namespace.

It must be called before any thread is started, because threads that run already keep what they had. Only the standard
library is imported, for the same reason.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
NO_NEW_PRIVILEGES = 38
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
READ = EXECUTE | READ_FILE | READ_DIR
RIGHTS = ((1, 13), (2, 14), (3, 15), (5, 16))
"""(Landlock version, number of file rights it knows): older ones know fewer."""
NET_RIGHTS = 3
NEW_NAMESPACE, NEW_USER, NEW_NETWORK = 0x20000, 0x10000000, 0x40000000
PRIVATE, RECURSIVE = 1 << 18, 1 << 14
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/proc", "/sys", "/opt")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
SHARED = "/dev/shm"  # noqa: S108 - where semaphores of process pools live; whoever opens what others put there is noted


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def confine(readable: Sequence[str], listable: Sequence[str], work: str, hidden: Sequence[str]) -> str:
    """Leave this process its code and one folder, and hide some folders from it.

    Args:
        readable: folders and files it may read and run, beside the system's own.
        listable: folders whose names it may read, but no file in them.
        work: the folder it may write in.
        hidden: what must be out of sight; tried afterwards.

    Returns:
        How it was done: `Landlock`, `mount namespace`, or "" when neither could be had or what is hidden can still be
        read.
    """
    ways = (
        ("Landlock", partial(_landlock, readable, listable, work)),
        ("mount namespace", partial(_mounted, readable, hidden)),
    )
    for name, way in ways:
        try:
            done = way()
        except OSError:
            done = False
        if done and not any(_in_sight(Path(one)) for one in hidden):
            return name
    return ""


def _in_sight(place: Path) -> bool:
    """Whether any file under a place can be read."""
    try:
        if place.is_file():
            return os.access(place, os.R_OK) and _opens(place)
        inside = sorted(place.iterdir())
    except OSError:
        return False
    files = [one for one in inside if one.is_file()][:20]
    return any(_opens(one) for one in files)


def _opens(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            stream.read(1)
    except OSError:
        return False
    return True


def _landlock(readable: Sequence[str], listable: Sequence[str], work: str) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    call = _caller()
    version = call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    known = max(count for least, count in RIGHTS if version >= least)
    everything = (1 << known) - 1
    wanted = _Ruleset(everything, NET_RIGHTS if version >= 4 else 0)
    size = ctypes.c_size_t(16 if version >= 4 else 8)
    ruleset = call(CREATE_RULESET, ctypes.byref(wanted), size, ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    file_rights = everything & (EXECUTE | WRITE_FILE | READ_FILE | (1 << 14 if known > 14 else 0))
    allowed = [(one, READ) for one in (*SYSTEM, *readable)]
    allowed += [(one, READ_DIR) for one in listable] + [(place, everything) for place in (work, SHARED, *DEVICES)]
    for place, rights in allowed:
        _allow(call, ruleset, place, rights & (everything if Path(place).is_dir() else file_rights))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    return bool(call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)) == 0)


def _caller() -> Callable[..., int]:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long

    def call(number: int, *arguments: object) -> int:
        return int(libc.syscall(ctypes.c_long(number), *arguments))

    return call


def _allow(call: Callable[..., int], ruleset: int, place: str, rights: int) -> None:
    try:
        handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # not there, so nothing to allow
        return
    try:
        rule = _Beneath(rights, handle)
        if call(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), ctypes.byref(rule), ctypes.c_uint32(0)) != 0:
            raise OSError(ctypes.get_errno(), f"no rule for {place}")
    finally:
        os.close(handle)


def _mounted(readable: Sequence[str], hidden: Sequence[str]) -> bool:
    """Empty file systems over what is hidden, in a mount namespace of this process's own."""
    needed = any(Path(place) in (Path(code), *Path(code).parents) for place in hidden for code in readable)
    if needed or not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = NEW_NAMESPACE | NEW_NETWORK
    if libc.unshare(wanted) != 0 and libc.unshare(NEW_USER | wanted) != 0:
        return False
    if libc.mount(b"none", b"/", None, PRIVATE | RECURSIVE, None) != 0:
        return False
    for place in hidden:
        folder = Path(place) if Path(place).is_dir() else Path(place).parent
        if folder.is_dir() and libc.mount(b"none", str(folder).encode(), b"tmpfs", 0, None) != 0:
            return False
    return True
