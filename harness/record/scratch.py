"""Folders for what is not finished: whoever works in one holds it by a lock, so that nobody else's is ever removed.

A process number would not tell: containers and machines that share a home count theirs anew.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


def scratch_name() -> str:
    """A name that no other scratch folder has."""
    return f"{os.getpid()}-{secrets.token_hex(6)}"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make a folder, hold it until the block ends, and remove it then."""
    with ExitStack() as kept:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # taken for one that nobody holds, before it was
                handle = kept.enter_context(_opened(folder))
                with suppress(OSError):  # without locks nobody can take it for one that is not held, either
                    fcntl.flock(handle, fcntl.LOCK_SH)
                if os.path.samestat(os.fstat(handle), folder.stat()):
                    break
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def drop_left(parent: Path, pattern: str) -> None:
    """Remove the scratch folders that nobody holds any more, of whatever machine or container.

    Args:
        parent: where they lie.
        pattern: of their names.
    """
    for folder in parent.glob(pattern):
        with suppress(OSError), _opened(folder) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield handle
    finally:
        os.close(handle)
