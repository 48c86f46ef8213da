"""A model's library, imported when it is first fitted: who makes a model to see that it can be made does without."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from typing import Any


def imported(module: str, name: str) -> Any:
    """What a module of a library has under a name; what its import warns of is nothing that a model warns of.

    >>> imported("math", "sqrt")(4.0)
    2.0
    """
    if module not in sys.modules:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module(module)
    return getattr(sys.modules[module], name)
