"""A folder in which nothing can be written, and a process whose user is bound by that, root included."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITE = 0o222
POWERLESS = """
import ctypes, os
if os.geteuid() == 0:  # modes do not bind root, but for its capabilities (version 3: two words of three sets)
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None, use_errno=True).capset(header, none) == 0
"""


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take from everyone the right to write in a folder, and give it back."""
    before = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    try:
        for path, mode in before.items():
            path.chmod(mode & ~WRITE)
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


def powerless(code: str, *arguments: object) -> str:
    """What a process prints that modes of files bind."""
    done = subprocess.run(
        [sys.executable, "-c", POWERLESS + code, *map(str, arguments)],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
