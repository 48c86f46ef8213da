"""The table of measurements: one Markdown section per comparison, with machine, versions and load."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from terms import Panel

HEAD = """# What it costs, alone and beside the peers

Written by `make bench-peers` (`measure.py`: ours beside the peers) and `make bench` (origins, doublings, a million
series, engines, a shipped experiment), each of which replaces the sections it measures; `README.md` says what is
compared. Seconds are medians after imports, from the Parquet file to the result, with the least and the most in
brackets; *process* is the whole process, imports and compilation included, by the clock and on the processor (where
busy neighbours disturb less). Peak memory is that of the process and its children, shared pages counted once.
"""
OURS = ("lightgbm", "statsmodels", "polars", "duckdb", "numpy")
THEIRS = (
    *("statsforecast", "utilsforecast", "mlforecast", "fev", "functime", "darts", "sktime", "skforecast"),
    *("statsmodels", "lightgbm", "duckdb", "pandas", "polars", "numba"),
)
ASKED = """
import importlib.metadata as m, sys
for name in sys.argv[1:]:
    try: print(name, m.version(name))
    except m.PackageNotFoundError: pass
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured, and with what.

    Attributes:
        line: processor, cores there are and cores that a side uses, memory, Python.
        ours, theirs: versions.
    """

    line: str
    ours: str
    theirs: str

    @classmethod
    def of(cls, peers_python: Path | None, workers: int) -> Machine:
        """This machine, how many of its cores a side may use, and the peers' environment if there is one."""
        cores = len(os.sched_getaffinity(0))
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        place = f"{processor()}, {cores} cores ({workers} used by a side), {memory:.0f} GB"
        line = f"{place}, Python {platform.python_version()}"
        theirs = "not installed"
        if peers_python is not None and peers_python.exists():
            asked = [str(peers_python), "-c", ASKED, *THEIRS]
            lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S603
            theirs = ", ".join(lines)
        return cls(line, ", ".join(f"{name} {known(name)}" for name in OURS), theirs)


@dataclass(frozen=True, slots=True)
class Row:
    """One side of a comparison.

    Attributes:
        name: who.
        seconds, wall, processor: by repeat, those that count, those of the process by the clock and on the processor.
        peak: bytes, of the worst repeat.
        stages: median seconds by stage.
        check: figures to compare.
        outside: share of the time outside LightGBM's own training, by repeat; nothing where nobody tells.
        units: how many of what the job is counted by it did; 0 = it does not tell.
        load: highest load of the machine seen meanwhile (1-minute average).
        failure: why it did not come to an end.
    """

    name: str
    seconds: list[float]
    wall: list[float]
    processor: list[float]
    peak: int
    stages: dict[str, float]
    check: dict[str, float]
    load: float
    failure: str = ""
    outside: list[float] = field(default_factory=list)
    units: float = 0.0


def section(
    title: str, panel: Panel, rows: list[Row], machine: Machine, *, agree: float, repeats: int, unit: str = ""
) -> tuple[str, bool]:
    """The section of one comparison, and whether its sides came to the same."""
    size = f"{panel.series:,} series x {panel.periods} {'days' if panel.frequency == 'D' else 'months'}"
    size += f" x {panel.revisions} revisions" if panel.revisions > 1 else ""
    lines = [
        f"{title}: panel {panel.name}, {size}",
        "",
        "| | seconds | of which | process | on the processor | peak memory |",
        "|---|--:|---|--:|--:|--:|",
        *(line(row) for row in rows),
        "",
    ]
    ours, *peers = rows if rows and rows[0].name.startswith("ours") else (None, *rows)
    worst = {peer.name: differing(ours, peer) for peer in peers if ours and ours.check and peer.check}
    lines += [against(ours, peer, worst.get(peer.name)) for peer in peers if ours and ended(ours) and ended(peer)]
    lines += [each(rows, unit)] if unit else []
    load = max(row.load for row in rows)
    lines += [
        f"- {datetime.now(UTC):%Y-%m-%d}, {machine.line}; {repeats} x each, alternating; load up to {load:.1f}.",
        f"- Ours: {machine.ours}. Peers: {machine.theirs}.",
    ]
    return "\n".join(lines) + "\n", all(found[0] <= agree for found in worst.values())


def ended(row: Row) -> bool:
    """Whether all repeats of a side came to an end."""
    return bool(row.seconds) and not row.failure


def each(rows: list[Row], unit: str) -> str:
    """What one of what the job is counted by takes, by side; fixed costs included."""
    took = [(row.name, 1e3 * statistics.median(row.seconds) / row.units) for row in rows if ended(row) and row.units]
    return f"- Milliseconds per {unit}: " + "; ".join(f"{name} {value:.3g}" for name, value in took) + "."


def line(row: Row) -> str:
    """One side as a row of the table."""
    memory = f"{row.peak / 2**20:,.0f} MB"
    if row.failure:
        return f"| {row.name} | - | {row.failure.replace('|', '/')[:120]} | - | - | {memory} |"
    middle = statistics.median(row.seconds)
    spread = f"{middle:.2f} ({min(row.seconds):.2f}-{max(row.seconds):.2f})"
    stages = ", ".join(f"{name} {value:.2f}" for name, value in row.stages.items())
    if row.outside:
        stages += f"; {100 * statistics.median(row.outside):.0f} % outside training"
    process, processor = statistics.median(row.wall), statistics.median(row.processor)
    return f"| {row.name} | {spread} | {stages} | {process:.2f} | {processor:.2f} | {memory} |"


def against(ours: Row, peer: Row, worst: tuple[float, str] | None) -> str:
    """Ours beside a peer, in words."""
    ratio = statistics.median(peer.seconds) / statistics.median(ours.seconds)
    text = f"- Against {peer.name}: {ratio:.2f} x as fast, {ours.peak / peer.peak:.2f} of the memory"
    return text + (f"; largest relative difference {worst[0]:.1e} ({worst[1]})." if worst else ".")


def differing(ours: Row, peer: Row) -> tuple[float, str]:
    """The largest relative difference of the figures both have, and which one; without any, infinity."""
    both = sorted(ours.check.keys() & peer.check.keys())
    found = [(abs(ours.check[key] - peer.check[key]) / max(abs(peer.check[key]), 1e-300), key) for key in both]
    return max(found, default=(float("inf"), "nothing to compare"))


def replaced(file: Path, name: str, text: str) -> None:
    """Write a section in place of the one of that name, or at the end."""
    parts = file.read_text(encoding="utf-8").split("\n## ") if file.exists() else [HEAD.rstrip("\n") + "\n"]
    sections = {part.split("\n", 1)[0]: part for part in parts[1:]}
    sections[name] = f"{name}\n\n{text}"
    whole = "\n## ".join([parts[0].rstrip("\n") + "\n", *(part.rstrip("\n") + "\n" for part in sections.values())])
    unfinished = file.with_name(f"{file.name}.tmp")
    with unfinished.open("w", encoding="utf-8") as out:
        out.write(whole)
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(file)


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((one.partition(":")[2].strip() for one in lines if one.startswith("model name")), platform.machine())


def known(name: str) -> str:
    """Version of a package of this environment."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"
