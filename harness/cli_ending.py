"""A process that is told to end (SIGTERM: a scheduler, `timeout`, a shutdown) ends as an interrupted one does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """The process was told to end; nothing that catches what a model raises catches it."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` within the block where the process is told to end; what it holds is then put in order."""
    usual = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if usual:
        signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        if usual:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raise(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whoever asks twice is obeyed at once
    raise Terminated
