"""Points of a process's life at which it can be stopped: all around whatever writes to the disk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

HOUSE = Path(__file__).parents[2] / "harness"
WRITERS = ("data/archive/", "data/saving.py", "data/inputs.py", "record/files.py", "record/folders.py",
           "record/registry.py")  # fmt: skip
"""Where files and databases are written; every call into and out of a function there is a point."""
SYSTEM = ("fsync", "replace", "rename")
"""Calls of the operating system that are points, too, whoever makes them."""


class Stopped(BaseException):
    """The process is gone."""


@contextmanager
def watched(act: Callable[[int, str], None]) -> Iterator[None]:
    """Call `act` with the number and the place of every point that is passed inside the block."""
    passed = 0

    def profile(frame: FrameType, event: str, called: Any) -> None:
        nonlocal passed
        code = frame.f_code
        if event.startswith("c_"):
            system = called.__name__ in SYSTEM and getattr(called.__self__, "__name__", "") == "posix"
            place = called.__name__ if system else ""
        else:
            house = code.co_filename.startswith(f"{HOUSE}/") and code.co_filename[len(str(HOUSE)) + 1 :]
            ours = bool(house) and str(house).startswith(WRITERS) and not code.co_name.startswith("<")
            table = f" {frame.f_locals['table']}" if code.co_name == "insert" else ""
            place = f"{Path(code.co_filename).stem}.{code.co_name}{table}" if ours else ""
        if place:
            passed += 1
            act(passed, f"{'before' if event.endswith('call') else 'after'} {place}")

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)
