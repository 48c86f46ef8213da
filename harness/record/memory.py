"""How much memory there is, so that a file too large for it is refused before the machine swaps."""

from __future__ import annotations

import os
from pathlib import Path

from harness.core.errors import UserError

LIMIT = "HARNESS_MEMORY"
MEMINFO = Path("/proc/meminfo")


def available_memory() -> int | None:
    """Bytes that may be used: `HARNESS_MEMORY` (in GB) where it is set, else what is free now; None = unknown.

    Raises:
        UserError: the setting is no positive number.
    """
    told = os.environ.get(LIMIT, "")
    if told:
        try:
            limit = float(told)
        except ValueError:
            limit = 0.0
        if not 0 < limit < float("inf"):
            raise UserError(f"{LIMIT} is not a number of GB", value=repr(told), rule="above 0", fix=f"{LIMIT}=8")
        return int(limit * 1e9)
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None
