"""Run one job as a process of its own, and watch what it and its children take."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

PAUSE, LONGEST = 0.1, 2.0
"""Least and most seconds between two looks at the memory of a job."""
SHARE = 0.02
"""Of the time that looking may take: counting the pages of many gigabytes is work, beside the job on the same cores."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What became of a job.

    Attributes:
        wall: seconds from start to end, imports included.
        processor: seconds on the processor, of it and its children; busy neighbours disturb them less.
        peak: most bytes that it and its children held together; pages they share count once.
        seconds: by stage, as the job reports them.
        check: figures to compare, as the job reports them.
        failure: why there is no report; "" = there is.
    """

    wall: float
    processor: float
    peak: int
    seconds: dict[str, float] = field(default_factory=dict)
    check: dict[str, float] = field(default_factory=dict)
    failure: str = ""


def watch(command: list[str], *, timeout: float, memory: float, environment: dict[str, str]) -> Watched:
    """Run a command to its end, or until it needs more than it may; then it and its children are stopped.

    Args:
        command: what to run; its last line on stdout is a report (`terms.Report`).
        timeout: seconds it may take.
        memory: bytes it may hold.
        environment: set for it besides what is set here.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        started, peak, stopped = time.perf_counter(), 0, ""
        job = subprocess.Popen(  # noqa: S603 - our own scripts
            command, stdout=out, stderr=errors, start_new_session=True, env={**os.environ, **environment}
        )
        while not (ended := os.wait4(job.pid, os.WNOHANG))[0]:
            looked = time.process_time()
            peak = max(peak, held(job.pid))
            took = time.process_time() - looked
            if peak > memory or time.perf_counter() - started > timeout:
                stopped = f"stopped above {memory / 2**30:g} GB" if peak > memory else f"stopped after {timeout:g} s"
                os.killpg(job.pid, signal.SIGKILL)
                ended = os.wait4(job.pid, 0)
                break
            time.sleep(min(max(PAUSE, took / SHARE), LONGEST))
        wall = time.perf_counter() - started
        job.returncode = os.waitstatus_to_exitcode(ended[1])
        peak, processor = max(peak, ended[2].ru_maxrss * 1024), ended[2].ru_utime + ended[2].ru_stime
        if stopped or job.returncode:
            return Watched(wall, processor, peak, failure=stopped or f"exit code {job.returncode}: {last_line(errors)}")
        report = json.loads(last_line(out))
        return Watched(wall, processor, peak, report["seconds"], report["check"])


def last_line(stream: object) -> str:
    """The last line written to a file."""
    stream.seek(0)  # type: ignore[attr-defined]
    lines = stream.read().decode(errors="replace").strip().splitlines()  # type: ignore[attr-defined]
    return lines[-1] if lines else "it said nothing"


def held(root: int) -> int:
    """Bytes held by a process and all its descendants, shared pages split between those that share them."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = place.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents.setdefault(int(after_name[1]), []).append(int(place.parent.name))
    total, open_ones = 0, [root]
    while open_ones:
        one = open_ones.pop()
        open_ones += parents.get(one, [])
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
