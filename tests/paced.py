"""Cases of one test of which the fast suite runs a few and the slow suite the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def paced(cases: Iterable[Any], fast: int = 1) -> list[Any]:
    """The first cases as they are, the others marked slow."""
    return [
        case if place < fast else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for place, case in enumerate(cases)
    ]
