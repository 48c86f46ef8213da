"""Sections of the table for what we measure without a peer: the figures, command, machine, versions, date and load."""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from results import Machine, Row, line, replaced
from watched import Watched

RESULTS = Path(__file__).parent / "RESULTS.md"
WRITE = "--write"
COLUMNS = ["| | seconds | of which | process | on the processor | peak memory |", "|---|--:|---|--:|--:|--:|"]


def parsed(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """What a script is told, `--write` among it; with the command and the load of the machine before."""
    told = "replace its sections of RESULTS.md (or of FILE), too"
    parser.add_argument(WRITE, type=Path, nargs="?", const=RESULTS, default=None, metavar="FILE", help=told)
    options = parser.parse_args(arguments)
    options.command = " ".join([parser.prog, *without_write(arguments)])
    options.load = load()
    return options


def without_write(arguments: Sequence[str]) -> list[str]:
    """What a script was told, but for where to write."""
    words, after = list[str](), False
    for word in arguments:
        named = after and not word.startswith("-")  # the file to write to
        after = word == WRITE
        if not (named or after or word.startswith(f"{WRITE}=")):
            words.append(word)
    return words


def load() -> float:
    """Processes that ran or waited to, over the last minute."""
    return os.getloadavg()[0]


def kept(options: argparse.Namespace, name: str, title: str, table: str) -> None:
    """Write a section where that was asked for.

    Args:
        options: as `parsed`; `workers` of them were used, and of repeats it tells where the script has them.
        name: of the section.
        title: what was measured.
        table: the figures, in Markdown.
    """
    if options.write is None:
        return
    machine = Machine.of(None, options.workers)
    busy = f"{getattr(options, 'repeats', 1)} x each; load up to {max(options.load, load()):.1f}"
    text = [
        f"{title}:",
        "",
        table.rstrip("\n"),
        "",
        f"- `python experiments/benchmarks/{options.command}`",
        f"- {datetime.now(UTC):%Y-%m-%d}, {machine.line.replace(' by a side', '')}; {busy}.",
        f"- {machine.ours}.",
    ]
    replaced(options.write, name, "\n".join(text) + "\n")


def row(name: str, runs: Sequence[Watched]) -> Row:
    """The figures of one job, from its repeats."""
    good = [run for run in runs if not run.failure]
    return Row(
        name,
        seconds=[sum(run.seconds.values()) for run in good],
        wall=[run.wall for run in good],
        processor=[run.processor for run in good],
        peak=max(run.peak for run in runs),
        stages={stage: statistics.median(run.seconds[stage] for run in good) for stage in (good or runs)[0].seconds},
        check={},
        load=load(),
        failure=next((run.failure for run in runs if run.failure), ""),
    )


def jobs_table(rows: Sequence[Row]) -> str:
    """A table of jobs, as those beside the peers have it."""
    return "\n".join([*COLUMNS, *map(line, rows)])
