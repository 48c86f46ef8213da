"""What computed the numbers: code, installed packages and numeric platform."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from email import message_from_string
from functools import lru_cache
from importlib import metadata
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement

from harness.core.identity import digest
from harness.record.limits import allowed_cores

STARTED_WITH = dict(os.environ)
"""The environment before any model ran: what a user's class has put into it since is handed to no child of an audit."""
PACKAGE = Path(__file__).resolve().parents[1]
FACES = (
    "cli.py",
    "cli_data.py",
    "cli_ending.py",
    "cli_holdout.py",
    "cli_records.py",
    "cli_runs.py",
    "cli_searches.py",
    "cli_shared.py",
    "holdout.py",
    "report",
)
"""Files that ask, or print what was computed: no other file imports them, so that they cannot move a number."""
DIFF_BYTES = 1_000_000
"""Longest uncommitted difference that is kept with a run."""


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Hash of every source file of the package that can move a number: all of them but `FACES`."""
    total = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        if relative.parts[0] not in FACES:
            total.update(f"{relative.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()[:32]


@lru_cache(maxsize=1)
def installed_packages() -> dict[str, str]:
    """Name and version of every installed distribution the harness depends on here, directly or not.

    What is needed on other systems only does not count, even where some other package brought it along.
    """
    found: dict[str, str] = {}
    waiting = [OURS] if _told_of(OURS) is not None else list(_DIRECT)
    while waiting:
        name = waiting.pop()
        told = None if name in found else _told_of(name)
        if told is None:
            continue
        found[name] = told.version
        waiting += [
            _plain(needed.name)
            for needed in map(Requirement, told.requires)
            if needed.marker is None or needed.marker.evaluate({"extra": ""})
        ]
    found.pop(OURS, None)
    return dict(sorted(found.items()))


class _Told(NamedTuple):
    """What a distribution says of itself."""

    version: str
    requires: Sequence[str]


def _told_of(name: str) -> _Told | None:
    """What an installed distribution tells of itself, without the long description, which takes most of the time.

    Looked up by its name, as reading all that are there is slow.
    """
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    text = found.read_text("METADATA")
    if text is None:  # of an older form
        return _Told(found.version, found.requires or ())
    head = message_from_string(text.partition("\n\n")[0])
    return _Told(head["Version"] or "", head.get_all("Requires-Dist") or ())


OURS = "harness-backtest"
_DIRECT = ("polars", "duckdb", "lightgbm", "statsmodels", "arch", "numpy", "scipy", "scikit-learn", "pandas",
           "pandas-market-calendars", "holidays")  # fmt: skip


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@lru_cache(maxsize=1)
def lock_hash() -> str:
    """Identity of the installed dependency closure: what the lock file pins, as it really is installed."""
    return digest(installed_packages())


@lru_cache(maxsize=1)
def numeric_platform() -> dict[str, object]:
    """BLAS and its core type, CPU features, libc: what equal bits also depend on (recorded, law 11)."""
    import numpy as np  # noqa: PLC0415 - heavy, and only a run needs it
    import scipy.linalg  # noqa: F401, PLC0415 - loads its own BLAS, so that the list does not depend on the models run
    import threadpoolctl  # noqa: PLC0415

    libraries = sorted(
        f"{info.get('internal_api')} {info.get('version')} {info.get('architecture', '')}".strip()
        for info in threadpoolctl.threadpool_info()
        if info.get("user_api") == "blas"
    )
    config: Any = np.show_config(mode="dicts")
    found = config.get("SIMD Extensions", {}).get("found", [])
    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "libraries": libraries,
        "simd": list(found),
        "cores": available_cores(),
    }


COMPUTES = ("machine", "libc", "python", "libraries", "simd")
"""What of the platform bits depend on; the kernel and the number of cores move none."""


def platform_differences(recorded: Mapping[str, object]) -> list[str]:
    """In what this machine's numeric platform differs from a recorded one, in words; [] = bits must be equal."""
    mine = numeric_platform()
    return [
        f"{name}: {mine.get(name)}, recorded {recorded.get(name)}"
        for name in COMPUTES
        if mine.get(name) != recorded.get(name)
    ]


def available_cores() -> int:
    """Cores this process may use: of the machine, by its control groups, and by `LOKY_MAX_CPU_COUNT`."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = os.environ.get(MOST_CORES, "")
    return min(mine, allowed_cores() or mine, max(1, int(told)) if told.isdecimal() else mine)


MOST_CORES = "LOKY_MAX_CPU_COUNT"
"""A setting of the library that runs workers."""
_bound: ContextVar[int | None] = ContextVar("threads that may compute beside one another", default=None)


@contextmanager
def threads_within(count: int | None) -> Iterator[None]:
    """Bound the threads of this process that compute beside one another within the block.

    Args:
        count: of threads, as many as there are cores at most; None = as outside the block.
    """
    outside = _bound.set(_bound.get() if count is None else max(1, count))
    try:
        yield
    finally:
        _bound.reset(outside)


def are_bounded() -> bool:
    """Whether somebody has said how many threads may compute beside one another."""
    return _bound.get() is not None


def is_nested() -> bool:
    """Whether a pool of somebody's program has started this process: its others are to have the other cores."""
    return parent_process() is not None


def threads_here() -> int:
    """Threads that may compute in this process: a worker has one, the run itself as many as it was given, or cores."""
    if os.environ.get("HARNESS_WORKER"):
        return 1
    bound = _bound.get()
    if bound is None:
        return 1 if is_nested() else available_cores()
    return min(bound, available_cores())


SPINS = "2000"
"""Rounds that a waiting thread of LightGBM stays awake. Trees by two threads on 499,000 rows, seconds on two idle cores
of a virtual machine, where waking a thread is dear, and beside a process that keeps one busy: 2.6 and 5.9; with 300
rounds 5.0 and 4.5; with GNU's own number (300,000) 2.2 and 15.6. One thread takes 3.8."""
LARGE = 1 << 21
"""Elements from which on work is shared by threads."""


def threads_for(size: int) -> int:
    """Threads to work through arrays with: one for small ones.

    Args:
        size: elements.
    """
    return 1 if size < LARGE else threads_here()


def wait_briefly() -> None:
    """Let OpenMP threads that wait for one another go to sleep soon, unless the environment says otherwise.

    By default they spin for long, and where something else is busy on a core a fit by two threads takes twice as long
    and more. It is heeded by what is loaded later, and by child processes; bits are the same.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


@lru_cache(maxsize=1)
def code_version() -> str:
    """Commit of the checkout the package runs from, with `+changes` when the tree differs; "" outside a checkout."""
    commit, dirty = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", ".")
    return "" if not commit else commit.strip() + ("+changes" if dirty.strip() else "")


@lru_cache(maxsize=1)
def code_diff() -> str:
    """What the package's own Python sources differ in from the commit, new files whole; "" = nothing, or no checkout.

    Only `.py` files of the package are looked at, so that no settings or secrets of a checkout get into a record. Cut
    off, saying so, after `DIFF_BYTES`.
    """
    text = _git("diff", "HEAD", "--no-color", "--no-ext-diff", "--", "*.py")
    for name in _git("ls-files", "--others", "--exclude-standard", "--", "*.py").splitlines():
        added = (PACKAGE / name).read_text(encoding="utf-8", errors="replace").splitlines()
        text += f"--- /dev/null\n+++ b/harness/{name}\n" + "".join(f"+{line}\n" for line in added)
    kept = text.encode()[:DIFF_BYTES].decode(errors="ignore")
    return kept if kept == text else f"{kept}\n[cut off: {len(text)} characters in all]\n"


def _git(*arguments: str) -> str:
    """What git says about the package's folder; "" where there is no git or no checkout."""
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "-c", "core.quotePath=false", "-C", str(PACKAGE), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=10)  # noqa: S603 - fixed arguments
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")
