"""A million series of 60 months with the naive rivals and their scores, within a bound of memory.

    python experiments/benchmarks/million.py [--series 1000000] [--origins 1] [--horizons 3] [--memory 8] [--write]

The panel is streamed to Parquet, then one process takes it to a leaderboard; it is stopped when it and its workers hold
more than `--memory` GB, of which it is told (`HARNESS_MEMORY`), and what it had come to is said. Ends with exit code 1
then.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from alone import jobs_table, kept, parsed, row
from panels import write
from terms import panel_of
from watched import watch

HERE = Path(__file__).parent


def main(arguments: list[str]) -> int:
    """Run it and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=1_000_000)
    parser.add_argument("--origins", type=int, default=1)
    parser.add_argument("--horizons", type=int, default=3)
    parser.add_argument("--memory", type=float, default=8.0, help="GB")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds")
    parser.add_argument("--workers", type=int, default=2)
    options = parsed(parser, arguments)
    panel = panel_of("D", series=options.series)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "panel.parquet"
        write(panel, file)
        told = ["--series", options.series, "--origins", options.origins, "--horizons", options.horizons]
        command = [sys.executable, HERE / "ours.py", "rivals", "D", file, *told, "--workers", options.workers]
        done = watch(
            [str(one) for one in command],
            timeout=options.timeout,
            memory=options.memory * 2**30,
            environment={"PYTHONPATH": str(HERE.parents[1]), "HARNESS_MEMORY": str(options.memory)},
        )
    size = f"{panel.series:,} series x {panel.periods} months, {options.origins} origins x {options.horizons} horizons"
    kept(
        options,
        "million",
        f"Four naive rivals and their scores within {options.memory:g} GB",
        jobs_table([row(size, [done])]),
    )
    if done.failure:
        print(f"{size}: {done.failure}, {done.wall:.0f} s, peak {done.peak / 2**20:,.0f} MB")
        return 1
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in done.seconds.items())
    print(f"{size}: {sum(done.seconds.values()):.1f} s ({stages}), peak {done.peak / 2**20:,.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
