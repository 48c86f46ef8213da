"""What a run costs: seconds by stage and model, memory against the limit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.backtest.spent import Spent
from harness.record.memory import BEFORE, PASSED, Watch, held_before, peak_memory

CELLS = "cells"


@dataclass(slots=True)
class Stages:
    """Seconds per stage of a run, and its peak memory.

    Attributes:
        seconds: per stage of this process, one after the other.
        models: per model and stage, added up over the workers.
        slots: tasks that ran at once.
        idle: the model whose single fit had one thread and nothing beside it, and how many cores there were.
        peak_worker: bytes of the largest worker process; 0 = there was none.
        killed: how often workers were killed, and their tasks given to new ones.
        watch: looks at the memory this process holds; None = nobody said how much it may be.
        limit: bytes it may be.
        before: bytes it was before any data were read.
        held_by_workers: bytes that worker processes held at most, all together.
        passed: stages that took more than the limit, with the bytes.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    models: dict[str, dict[str, float]] = field(default_factory=dict)
    slots: int = 1
    idle: dict[str, int] = field(default_factory=dict)
    peak_worker: int = 0
    killed: int = 0
    watch: Watch | None = None
    limit: int = 0
    before: int = 0
    held_by_workers: int = 0
    passed: list[tuple[str, int]] = field(default_factory=list)
    _since: float = field(default_factory=time.perf_counter)
    _began: float = field(default_factory=time.perf_counter)

    @contextmanager
    def watched(self, limit: int | None) -> Iterator[None]:
        """Look, for the length of the block, at how much memory is held; None = it may be any."""
        if limit is None:
            yield
            return
        self.before = held_before()
        with Watch() as self.watch:
            self.limit = limit
            yield

    def done(self, stage: str) -> None:
        """Book the time since the last stage."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now
        if self.watch is not None:
            most = self.watch.most() + (self.held_by_workers if stage == CELLS else 0)
            if most > self.limit:
                self.passed.append((stage, most))

    def add(self, spent: Spent, *, apart: bool) -> None:
        """Book what a task cost, and the memory of the process that did it where that was `apart`, a worker."""
        for (model, stage), seconds in spent.seconds.items():
            mine = self.models.setdefault(model or "all models", {})
            mine[stage] = mine.get(stage, 0.0) + seconds
        if apart:
            self.peak_worker = max(self.peak_worker, spent.peak)
        if self.slots > 1:
            self.held_by_workers = max(self.held_by_workers, self.slots * spent.held)

    def record(self) -> dict[str, object]:
        """JSON form: seconds per stage and per model, in all, peak memory in bytes of this process and of a worker.

        Asked last: the time since the last stage was spent on writing.
        """
        self.done("write")
        allowed: dict[str, object] = {}
        if self.watch is not None:
            allowed = {"memory_limit_bytes": self.limit, PASSED: self.passed, BEFORE: self.before}
        return {
            **allowed,
            "wall_seconds": round(self._since - self._began, 3),
            "slots": self.slots,
            **({"idle": self.idle} if self.idle else {}),
            "seconds": {stage: round(value, 3) for stage, value in self.seconds.items()},
            "models": {m: {s: round(v, 3) for s, v in stages.items()} for m, stages in sorted(self.models.items())},
            "peak_memory_bytes": peak_memory(),
            "peak_worker_bytes": self.peak_worker,
            **({"workers_killed": self.killed} if self.killed else {}),
        }
