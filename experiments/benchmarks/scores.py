"""Score a whole panel from arrays: seconds and memory of one big panel, and of a bigger one that comes in blocks.

    python experiments/benchmarks/scores.py [--origins 12] [--horizons 12] [--threads 2] [--repeats 3]

The first line is 100,000 series that are in memory before the clock starts; the second, 1,000,000 series in blocks of
50,000, each made when it is asked for, twice (two looks at a panel): the seconds of making them are shown apart. Every
run is a process of its own that does nothing else. The last column is the most memory that was used above what the
process held with its input, the first 50,000 series of the stream counting as input. Two of four models are rivals; two
answers of a hundred are missing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.core.time import MICROS_PER_DAY
from harness.score.dense import Block, Entrant, Stage, tables
from harness.score.grid import STATUSES
from harness.score.spec import ScoreSpec

MODELS = ("ar", "drift", "gbm", "last_value")
RIVALS = ("drift", "last_value")
BLOCK = 50_000
SIZES = ((100_000, 100_000), (1_000_000, BLOCK))
"""Series, and series per block."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run cost.

    Attributes:
        seconds, processor: by the clock and on the processor, without making the input.
        making: seconds by the clock of making the input.
        held: memory of the process with its input, bytes.
        above: most memory above that, bytes.
    """

    seconds: float
    processor: float
    making: float
    held: int
    above: int


@dataclass(slots=True)
class Watch:
    """Adds up the seconds of making the input, by the clock and on the processor."""

    clock: float = 0.0
    processor: float = 0.0
    started: tuple[float, float] = field(default=(0.0, 0.0))

    def start(self) -> None:
        """From here on."""
        self.started = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """Up to here."""
        self.clock += time.perf_counter() - self.started[0]
        self.processor += time.process_time() - self.started[1]


def main(arguments: list[str]) -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("origins", 12), ("horizons", 12), ("threads", 2), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args(arguments)
    print(f"Scores of {options.origins} origins, {options.horizons} horizons, {len(MODELS)} models, pooled over series")
    print("\n| series | in blocks of | seconds | on the processor | making the input | input | above it |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for series, width in SIZES:
        one = measured(series, width, options)
        spent = f"{one.seconds:.2f} | {one.processor:.2f} | {one.making:.2f}"
        print(
            f"| {series:,} | {width:,} | {spent} | {one.held / 2**20:.0f} MB | {one.above / 2**20:.0f} MB |", flush=True
        )


def measured(series: int, width: int, options: argparse.Namespace) -> Measured:
    """The quickest of the repeats, with the memory of the worst, each in a new process."""
    apart, runs = multiprocessing.get_context("spawn"), []
    for _ in range(options.repeats):
        with ProcessPoolExecutor(1, mp_context=apart) as process:
            shape = (options.origins, options.horizons)
            runs.append(process.submit(once, series, width, shape, options.threads).result())
    best = min(runs, key=lambda run: run.seconds)
    return Measured(best.seconds, best.processor, best.making, best.held, max(run.above for run in runs))


def once(series: int, width: int, shape: tuple[int, int], threads: int) -> Measured:
    """One run in this process."""
    stage = staged(shape)
    watch = Watch()
    first = made_up(stage, 0, width)
    tables(staged((2, 1)), lambda: iter([made_up(staged((2, 1)), 0, 64)]), by_series=False)  # imports and first calls
    held = memory("VmRSS")

    def blocks() -> Iterator[Block]:
        yield first
        for start in range(width, series, width):
            watch.start()
            block = made_up(stage, start, width)
            watch.stop()
            yield block

    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    clock, processor = time.perf_counter(), time.process_time()
    tables(stage, blocks, by_series=False, threads=threads)
    seconds, used = time.perf_counter() - clock, time.process_time() - processor
    return Measured(seconds - watch.clock, used - watch.processor, watch.clock, held, memory("VmHWM") - held)


def staged(shape: tuple[int, int]) -> Stage:
    """Monthly origins and as many horizons as asked for."""
    every = np.ones(shape[0], dtype=np.bool_)
    models = tuple(Entrant(model, model in RIVALS, every) for model in MODELS)
    return Stage(
        ScoreSpec("mae"), np.arange(1, shape[1] + 1), MICROS_PER_DAY * (10_000 + 30 * np.arange(shape[0])), models
    )


def made_up(stage: Stage, start: int, count: int) -> Block:
    """Cells of some series, the same every time."""
    noise = np.random.default_rng(start)
    shape = (stage.origins.size, stage.horizons.size, count)
    outcome = noise.standard_normal(shape)
    value, status = {}, {}
    for model in MODELS:
        forecast = outcome + noise.standard_normal(shape)
        lost = noise.integers(0, 50, shape, dtype=np.uint8) == 0
        status[model] = np.where(lost, STATUSES.index("failed"), 0).astype(np.uint8)
        forecast[lost] = np.nan
        value[model] = forecast
    public = stage.origins[:, np.newaxis] + 30 * MICROS_PER_DAY * (stage.horizons + 1)
    scale = 1.0 + noise.random(count)
    return Block(
        tuple(f"series {number:08d}" for number in range(start, start + count)),
        planned=np.broadcast_to(np.True_, shape),
        outcome=outcome,
        outcome_status=np.broadcast_to(np.uint8(0), shape),
        published=np.broadcast_to(public[:, :, np.newaxis], shape),
        scale_mae=scale,
        scale_rmse=scale,
        value=value,
        status=status,
    )


def memory(what: str) -> int:
    """Memory of this process in bytes (Linux): now (`VmRSS`) or at its peak (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


if __name__ == "__main__":
    main(sys.argv[1:])
