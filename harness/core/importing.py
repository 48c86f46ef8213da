"""Modules of the user's own, which lie in a folder of theirs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Let modules of a folder be imported for a moment, then forget path and modules again."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            source = getattr(sys.modules[name], "__file__", None)
            if source is not None and folder.resolve() in Path(source).resolve().parents:
                del sys.modules[name]
