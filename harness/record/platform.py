"""What computed the numbers: code, installed packages and numeric platform."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.core.identity import digest

PACKAGE = Path(__file__).resolve().parents[1]
FACES = ("cli.py", "report")
"""Files that print what was computed; they cannot move a forecast."""


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Hash of every source file of the package that can move a number (`cli.py` and `report/` cannot)."""
    total = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        if relative.parts[0] not in FACES:
            total.update(f"{relative.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()[:32]


@lru_cache(maxsize=1)
def installed_packages() -> dict[str, str]:
    """Name and version of every installed distribution the harness depends on, directly or not."""
    versions = {_plain(dist.metadata["Name"]): dist for dist in metadata.distributions() if dist.metadata["Name"]}
    found: dict[str, str] = {}
    waiting = [name for name in ("harness-backtest",) if name in versions] or list(_DIRECT)
    while waiting:
        name = waiting.pop()
        if name in found or name not in versions:
            continue
        found[name] = versions[name].version
        waiting += [
            _plain(re.split(r"[ ;<>=!~\[(]", requirement, maxsplit=1)[0])
            for requirement in versions[name].requires or ()
            if "extra ==" not in requirement
        ]
    found.pop("harness-backtest", None)
    return dict(sorted(found.items()))


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
    import threadpoolctl  # noqa: PLC0415

    libraries = sorted(
        f"{info.get('internal_api')} {info.get('version')} {info.get('architecture', '')}".strip()
        for info in threadpoolctl.threadpool_info()
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


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def code_version() -> str:
    """Commit of the checkout the package runs from, with `+changes` when the tree differs; "" outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return ""
    try:
        commit = subprocess.run(  # noqa: S603 - fixed arguments
            [git, "-C", str(PACKAGE), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        dirty = subprocess.run(  # noqa: S603
            [git, "-C", str(PACKAGE), "status", "--porcelain", "--", "."],
            capture_output=True, text=True, check=True, timeout=10,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("+changes" if dirty else "")
