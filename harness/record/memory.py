"""How much memory there is, so that a file too large for it is refused before the machine swaps."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import resource
import sys
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Self

from numpy.typing import NDArray

from harness.core.errors import UserError
from harness.record.limits import allowed_memory

LIMIT = "HARNESS_MEMORY"
PASSED = "memory_passed"
"""In what was measured of a run: stages that took more private memory than was allowed, each with the bytes."""
BEFORE = "memory_before_bytes"
"""In what was measured of a run: private memory before any of its data were read."""
LOOK_EVERY = 0.05
"""Seconds between two looks at what is in use."""
MEMINFO = Path("/proc/meminfo")
FREE, GIVEN = "what is free now", "the memory that was given"
MAPS, STATUS = Path("/proc/self/maps"), Path("/proc/self/status")
_given: ContextVar[float | None] = ContextVar("GB that were given for a command", default=None)
_before: ContextVar[int | None] = ContextVar("bytes that were held when a command began", default=None)


@contextmanager
def within(given: float | None) -> Iterator[None]:
    """Bound whatever asks within the block.

    Args:
        given: GB, in place of `HARNESS_MEMORY`; None = as outside the block.
    """
    outside = _given.set(_given.get() if given is None else given)
    held = _before.set(held_before())
    try:
        yield
    finally:
        _before.reset(held)
        _given.reset(outside)


def held_before() -> int:
    """Bytes of private memory when the outermost block of `within` began; outside of any, those of now."""
    before = _before.get()
    return private_memory() if before is None else before


def limit_source() -> str:
    """What the limit comes from, in words: a setting's name, what was given, or what is free."""
    if _given.get() is not None:
        return GIVEN
    return LIMIT if os.environ.get(LIMIT) else FREE


def available_memory() -> int | None:
    """Bytes that may be used: as given to `within`, else by `HARNESS_MEMORY` (GB), else what is free; None = unknown.

    Raises:
        UserError: the setting is no positive number.
    """
    limit = memory_limit()
    return free_memory() if limit is None else limit


def free_memory() -> int | None:
    """Bytes that are free: on the machine, and within the limits of the process's control groups; None = unknown."""
    told = (_told_by(MEMINFO, "MemAvailable:"), allowed_memory())
    return min((one for one in told if one is not None), default=None)


def memory_limit(told: float | None = None) -> int | None:
    """Bytes of memory there may be in use: what is told or was given (in GB), else `HARNESS_MEMORY`; None = neither.

    Raises:
        UserError: it is no positive number.
    """
    told = _given.get() if told is None else told
    named, text = ("memory", str(told)) if told is not None else (LIMIT, os.environ.get(LIMIT, ""))
    if not text:
        return None
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        example = "--memory 8, in Python memory=8" if named == "memory" else f"{named}=8"
        raise UserError(
            f"{named} is not a number of GB", value=repr(text), rule="above 0", fix=f"for example {example}"
        )
    return int(limit * 1e9)


def spare_memory(told: float | None = None) -> int | None:
    """Bytes that may be used besides what this process holds; None = unknown.

    Args:
        told: GB there may be in use in all; None = `HARNESS_MEMORY`, else what is free now is to spare.

    Raises:
        UserError: the setting is no positive number.
    """
    limit = memory_limit(told)
    if limit is None:
        return free_memory()
    return max(0, limit - private_memory())


def peak_memory() -> int:
    """Bytes that this process had in use at most; what its parent had when it was begun does not count."""
    return _told_by(STATUS, "VmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def private_memory() -> int:
    """Bytes that this process alone holds, without mapped files, which the system takes back when it needs room."""
    return _told_by(STATUS, "RssAnon:") or 0


class Watch:
    """The most private memory of this process, looked at many times a second for the length of a block."""

    def __init__(self) -> None:
        """Look at it once."""
        self._most, self._turn = private_memory(), Lock()
        self._over = Event()
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def most(self) -> int:
        """Bytes at most since this was asked last."""
        now = private_memory()
        with self._turn:
            found, self._most = max(self._most, now), 0
        return found

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY):
            with self._turn:  # else what was held before it was asked would count for what comes after
                self._most = max(self._most, private_memory())


def passed_text(measured: Mapping[str, object]) -> str:
    """What is said of a run that took more memory than it was allowed; "" = it did not.

    >>> passed_text({"memory_limit_bytes": 2 * 10**9, PASSED: [["plan", 2.5e9], ["score", 3.25e9]]})
    'up to 3.25 GB of memory were in use and 2 GB are allowed, which was passed in: plan, score'
    >>> passed_text({"memory_limit_bytes": 10**8, BEFORE: 3 * 10**8, PASSED: [["plan", 5e8]]}).partition(" which ")[2]
    'was passed in: plan (0.3 GB before any data were read)'

    Args:
        measured: what was measured of the run.
    """
    passed, limit = measured.get(PASSED), measured.get("memory_limit_bytes")
    if not isinstance(passed, list) or not passed or not isinstance(limit, int):
        return ""
    used, stages = max(size for _, size in passed) / 1e9, ", ".join(stage for stage, _ in passed)
    before = measured.get(BEFORE)
    at_first = (
        f" ({before / 1e9:.3g} GB before any data were read)" if isinstance(before, int) and before > limit else ""
    )
    allowed = f"{limit / 1e9:.3g} GB are allowed, which was passed in: {stages}{at_first}"
    return f"up to {used:.3g} GB of memory were in use and {allowed}"


def _told_by(file: Path, name: str) -> int | None:
    """A number of bytes that the system tells in a file of its own."""
    try:
        lines = file.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(name)]
    return int(found[0]) * 1024 if found else None


def give_back(*arrays: NDArray[Any]) -> None:
    """Let go of the memory that mapped files take up: what is looked at again is read again.

    Args:
        arrays: parts of files mapped for reading; others are left alone.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "madvise") or not MAPS.exists():  # Linux has both
        return
    files = _mapped_files()  # in order of their places, and none lies within another
    for array in arrays:
        start, size = array.__array_interface__["data"][0], array.nbytes
        before = bisect_right(files, (start, sys.maxsize)) - 1
        if before >= 0 and start + size <= files[before][1]:
            whole = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
            length = max(0, (start + size - whole) // mmap.PAGESIZE * mmap.PAGESIZE)
            library.madvise(ctypes.c_void_p(whole), ctypes.c_size_t(length), mmap.MADV_DONTNEED)


@contextmanager
def left_alone() -> Iterator[None]:
    """Have the collector of cycles pass over what is there already, as modules are, for the length of the block.

    It looks through everything again and again while many small objects are made, and finds nothing.
    """
    mine = gc.get_freeze_count() == 0  # else somebody else has a use for it
    if mine:
        gc.freeze()
    try:
        yield
    finally:
        if mine:
            gc.unfreeze()


def trim_heap() -> None:
    """Give back what was freed to the system, where the allocator keeps it otherwise (glibc)."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _mapped_files() -> list[tuple[int, int]]:
    """Where files are mapped into this process that it cannot write to."""
    found = []
    for line in MAPS.read_text(encoding="ascii", errors="replace").splitlines():
        span, rights, _, _, inode, *_ = line.split()
        if rights.startswith("r-") and inode != "0":
            first, _, last = span.partition("-")
            found.append((int(first, 16), int(last, 16)))
    return found
