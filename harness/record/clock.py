"""The clock: which instant it is, as rows and batches count it."""

from __future__ import annotations

from datetime import UTC, datetime

from harness.core.time import micros


def now() -> int:
    """Microseconds UTC of the present instant."""
    return micros(datetime.now(UTC))
