"""What Python warns of while something runs, told to the thread it is said in.

`warnings.catch_warnings` is one for all threads of a process: used in two of them at once, one hears the other's.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Said:
    """One warning."""

    message: Warning | str
    category: type[Warning]


@dataclass(slots=True)
class _Ears:
    """How many listen, and what is put back when nobody does any more."""

    count: int = 0
    before: ExitStack = field(default_factory=ExitStack)
    lock: threading.Lock = field(default_factory=threading.Lock)


_ears, _here = _Ears(), threading.local()


@contextmanager
def heard() -> Iterator[list[Said]]:
    """Keep what this thread warns of, every time it does, instead of showing it."""
    with _ears.lock:
        if not _ears.count:
            _ears.before.enter_context(warnings.catch_warnings())
            warnings.simplefilter("always")
            warnings.showwarning = _hear
        _ears.count += 1
    outer, _here.said = getattr(_here, "said", None), list[Said]()
    try:
        yield _here.said
    finally:
        _here.said = outer
        with _ears.lock:
            _ears.count -= 1
            if not _ears.count:
                _ears.before.close()


def _hear(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    said: list[Said] | None = getattr(_here, "said", None)
    if said is not None:
        said.append(Said(message, category))
    else:
        (file or sys.stderr).write(warnings.formatwarning(message, category, filename, lineno, line))
