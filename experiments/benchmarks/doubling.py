"""Our path over three doublings of series, origins and revisions each: what time and memory are multiplied by.

    python experiments/benchmarks/doubling.py [--series 500] [--origins 6] [--revisions 4] [--only series] [--write]

Monthly panels go from Parquet to a leaderboard of the naive rivals; with revisions the whole of them is ingested and
replayed. One of the three grows, the others stay. Every measurement is a process of its own, sizes in turn.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from alone import kept, parsed
from panels import write
from terms import Panel, panel_of
from watched import Watched, watch

HERE = Path(__file__).parent
PERIODS = 120
DOUBLINGS = 3


def main(arguments: list[str]) -> None:
    """Measure and print one table per thing that grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=500)
    parser.add_argument("--origins", type=int, default=6)
    parser.add_argument("--revisions", type=int, default=4)
    parser.add_argument("--periods", type=int, default=PERIODS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=GROWING, default=list(GROWING))
    options = parsed(parser, arguments)
    for growing in options.only:
        text = table(growing, grown(growing, options))
        print(text, flush=True)
        sizes = f"{options.series} series x {options.periods} months x {options.revisions} revisions, {options.origins}"
        kept(
            options,
            f"doubling-{growing}",
            f"Four naive rivals, {growing} doubled, from {sizes} origins x 12 months ahead",
            text,
        )


def grown(growing: str, options: argparse.Namespace) -> dict[int, list[Watched]]:
    """Measurements by size of what grows."""
    first = getattr(options, growing)
    sizes = [first * 2**doubling for doubling in range(DOUBLINGS + 1)]
    found: dict[int, list[Watched]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(options.repeats):
            for size in sizes:
                asked = {name: getattr(options, name) for name in GROWING} | {growing: size}
                panel = panel_of("R", series=asked["series"], periods=options.periods, revisions=asked["revisions"])
                file = Path(folder) / f"{panel.series}-{panel.revisions}.parquet"
                if not file.exists():
                    write(panel, file)
                found[size].append(once(panel, file, asked["origins"], options.workers))
                print(f"{growing} {size}, {repeat}: {found[size][-1]}", file=sys.stderr, flush=True)
    return found


def once(panel: Panel, file: Path, origins: int, workers: int) -> Watched:
    """One run in a process of its own.

    Raises:
        SystemExit: it failed.
    """
    sizes = ["--series", panel.series, "--periods", panel.periods, "--revisions", panel.revisions]
    command = [
        sys.executable,
        HERE / "ours.py",
        "rivals",
        "R",
        file,
        *sizes,
        "--origins",
        origins,
        "--workers",
        workers,
    ]
    path = {"PYTHONPATH": str(HERE.parents[1])}
    done = watch([str(one) for one in command], timeout=3600.0, memory=16.0 * 2**30, environment=path)
    if done.failure:
        sys.exit(done.failure)
    return done


def table(growing: str, found: dict[int, list[Watched]]) -> str:
    """The figures in Markdown: medians, and what each doubling multiplies them by."""
    lines = [
        f"| {growing} | seconds | x | on the processor | x | ingest | backtest | peak memory | x |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    less: tuple[float, float, float] | None = None
    for size, runs in found.items():
        ingest, backtest = (statistics.median(run.seconds[stage] for run in runs) for stage in ("ingest", "backtest"))
        seconds = statistics.median(sum(run.seconds.values()) for run in runs)
        processor = statistics.median(run.processor for run in runs)
        now = (seconds, processor, float(max(run.peak for run in runs)))
        by = ["" if less is None else f"{one / before:.2f}" for one, before in zip(now, less or now, strict=True)]
        spent = f"{seconds:.2f} | {by[0]} | {processor:.2f} | {by[1]} | {ingest:.2f} | {backtest:.2f}"
        lines.append(f"| {size:,} | {spent} | {now[2] / 2**20:,.0f} MB | {by[2]} |")
        less = now
    return "\n".join(lines) + "\n"


GROWING = ("series", "origins", "revisions")

if __name__ == "__main__":
    main(sys.argv[1:])
