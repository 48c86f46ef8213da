"""Measure our public path beside the peers, alternating in one run, and write the table.

    python experiments/benchmarks/measure.py [--only rivals-C boosting-A] [--share 0.1] [--repeats 3]

Every measurement is a process of its own: ours with this Python, the peers' with that of `make bench-peers-env`.
Seconds are the medians of the repeats, peak memory is that of the worst. A section of the table is replaced when it is
measured again; others stay. `--share` makes every panel smaller, and the sections say so.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from jobs import JOBS, Job, Side
from panels import write
from results import Machine, Row, replaced, section
from terms import OUTSIDE, SNAPSHOTS, UNITS, Panel, panel_of
from watched import Watched, watch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"


def main(arguments: list[str]) -> int:
    """Measure what is asked for; 1 when two sides did not come to the same."""
    options = parsed(arguments)
    chosen = [job for job in JOBS if not options.only or job.name in options.only]
    machine = Machine.of(options.peers_python, options.workers)
    agreed = True
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        for job in chosen:
            panel = shrunk(panel_of(job.panel, series=job.series), options.share)
            file = Path(folder) / f"{panel.name}-{panel.series}.parquet"
            if not file.exists():
                write(panel, file)
            rows = measured(job, panel, file, options)
            text, agrees = section(
                job.title, panel, rows, machine, agree=job.agree, repeats=options.repeats, unit=job.unit
            )
            agreed &= agrees
            print(text, flush=True)
            replaced(options.out, job.name, text)
    return 0 if agreed else 1


def parsed(arguments: list[str]) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[job.name for job in JOBS], default=[])
    parser.add_argument("--share", type=float, default=1.0, help="of each panel's series")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes or threads of either side")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds after which a job is stopped")
    parser.add_argument("--memory", type=float, default=14.0, help="GB above which a job is stopped")
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON)
    parser.add_argument("--skip", nargs="*", choices=["ours", "peers"], default=[], help="measure one side only")
    parser.add_argument("--scratch", type=Path, default=None, help="folder for panels (default: the system's)")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args(arguments)
    if "peers" not in options.skip and not options.peers_python.exists():
        parser.error(f"the peers are not installed ({options.peers_python}): make bench-peers-env, or --skip peers")
    return options


def shrunk(panel: Panel, share: float) -> Panel:
    """A panel with a share of its series."""
    return panel_of(panel.name, series=max(2, round(panel.series * share)))


def measured(job: Job, panel: Panel, file: Path, options: argparse.Namespace) -> list[Row]:
    """All sides in turn, as often as asked; a side that failed is not tried again."""
    sides = [
        side
        for side in (job.ours, *job.peers)
        if ("ours" if side.script[0] == "ours.py" else "peers") not in options.skip
    ]
    runs: dict[str, list[Watched]] = {side.name: [] for side in sides}
    load = os.getloadavg()[0]
    for _ in range(options.repeats):
        for side in sides:
            if any(run.failure for run in runs[side.name]):
                continue
            runs[side.name].append(once(side, panel, file, options))
            load = max(load, os.getloadavg()[0])
            print(f"{job.name} {side.name}: {runs[side.name][-1]}", file=sys.stderr, flush=True)
    return [row(side, job, runs[side.name], load) for side in sides]


def once(side: Side, panel: Panel, file: Path, options: argparse.Namespace) -> Watched:
    """One side, once."""
    script, *before = side.script
    own = script == "ours.py"
    python = sys.executable if own else str(options.peers_python)
    sizes = ["--series", str(panel.series), "--periods", str(panel.periods)]
    if panel.revisions > 1:
        sizes += ["--revisions", str(panel.revisions)]
    command = [python, str(HERE / script), *before, panel.name, str(file), *sizes, *side.told]
    command += ["--workers", str(options.workers)]
    if side.packages and options.peers_python.exists():
        command += ["--packages", packages(options.peers_python)]
    told = {
        "PYTHONPATH": str(ROOT) if own else "",
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": str(options.workers),  # linear algebra of peers that know no number of workers
    }
    return watch(command, timeout=options.timeout, memory=options.memory * 2**30, environment=told)


def packages(python: Path) -> str:
    """Where the packages of an environment lie."""
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - its Python


def row(side: Side, job: Job, runs: list[Watched], load: float) -> Row:
    """The figures of one side; those of one that is not to come to the same, or asked only some, are not compared."""
    good = [run for run in runs if not run.failure]
    first = good[0] if good else Watched(0.0, 0.0, 0)
    asked_all = first.check.get("asked", SNAPSHOTS) == SNAPSHOTS
    compared = {key: value for key, value in first.check.items() if key.split()[-1] in job.compared}
    return Row(
        side.name,
        seconds=[
            sum(took for stage, took in run.seconds.items() if stage in (job.stages or run.seconds)) for run in good
        ],
        wall=[run.wall for run in good],
        processor=[run.processor for run in good],
        peak=max((run.peak for run in runs), default=0),
        stages={stage: statistics.median(run.seconds[stage] for run in good) for stage in first.seconds},
        check=compared if asked_all and side.alike else {},
        load=load,
        units=first.check.get(UNITS, 0.0),
        outside=[run.check[OUTSIDE] for run in good if OUTSIDE in run.check],
        failure=next((run.failure for run in runs if run.failure), ""),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
