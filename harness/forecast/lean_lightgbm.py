"""LightGBM without scikit-learn and pandas, which it imports for interfaces that are not used here: 1 s and 130 MB.

Whoever else imports `lightgbm` gets the whole of it, as a module of its own over the same library.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

WHOLE = "lightgbm"
UNUSED = ("sklearn", "pandas")
"""Packages that LightGBM does without when they are not installed."""


def lean() -> ModuleType:
    """The module `lightgbm`: the one that is there already, or one that was told its unused packages are missing."""
    if WHOLE in sys.modules:
        return sys.modules[WHOLE]
    hidden = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None = cannot be imported
    try:
        return import_module(WHOLE)
    finally:
        for name in hidden:
            del sys.modules[name]
        for name in [one for one in sys.modules if one.partition(".")[0] == WHOLE]:
            del sys.modules[name]


if TYPE_CHECKING:
    import lightgbm as lgb
else:
    lgb = lean()

__all__ = ["lgb"]
