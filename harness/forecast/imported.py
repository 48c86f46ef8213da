"""A model's library, imported when it is first fitted: who makes a model to see that it can be made does without."""

from __future__ import annotations

import sys
import threading
import warnings
from importlib import import_module
from typing import Any

_one_at_a_time = threading.Lock()


def imported(module: str, name: str) -> Any:
    """What a module of a library has under a name; what its import warns of is nothing that a model warns of.

    >>> imported("math", "sqrt")(4.0)
    2.0
    """
    found = sys.modules.get(module)
    if found is None or getattr(found.__spec__, "_initializing", False):  # another thread may be half way
        with _one_at_a_time, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = import_module(module)
    return getattr(found, name)
