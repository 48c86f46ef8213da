"""What a task costs: seconds per model and stage, booked as they pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Spent:
    """What a task cost.

    Attributes:
        cells: cells written.
        seconds: seconds per (model, stage).
        peak: peak memory of the process in bytes, mapped files included.
        held: bytes that the process alone held at most; 0 = nobody looked.
    """

    cells: int = 0
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    peak: int = 0
    held: int = 0

    def add(self, model: str, stage: str, since: float) -> float:
        """Book the time since `since` and return now."""
        now = time.perf_counter()
        self.seconds[model, stage] = self.seconds.get((model, stage), 0.0) + now - since
        return now

    def join(self, other: Spent) -> None:
        """Book all seconds of another, which a thread of its own has kept."""
        for key, seconds in other.seconds.items():
            self.seconds[key] = self.seconds.get(key, 0.0) + seconds

    @contextmanager
    def within(self, model: str, outer: str, stage: str) -> Iterator[None]:
        """Book a part of another stage as a stage of its own; the other has the rest."""
        start = time.perf_counter()
        yield
        took = self.add(model, stage, start) - start
        self.seconds[model, outer] = self.seconds.get((model, outer), 0.0) - took
