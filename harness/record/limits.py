"""What the control groups of a process allow it: cores and memory, often less than the machine has (containers)."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from pathlib import Path

ROOT, MINE = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where Linux keeps control groups (both versions), and where it says in which a process is."""
RECLAIMED = ("active_file", "inactive_file", "total_active_file", "total_inactive_file")
"""Counters of pages of files: they count as used, and the system takes them back when it needs room."""


def allowed_cores(root: Path = ROOT, mine: Path = MINE) -> int | None:
    """Cores that the groups give time for, one begun counted whole; None = no group bounds it.

    Args:
        root: the tree of control groups.
        mine: the groups of this process.
    """
    found = []
    for folder in _groups(root, mine, "cpu"):
        quota, period = [*(_text(folder / "cpu.max") or "max").split(), "100000"][:2]
        if quota == "max":
            quota, period = _text(folder / "cpu.cfs_quota_us") or "-1", _text(folder / "cpu.cfs_period_us") or "0"
        if quota.isdecimal() and period.isdecimal() and int(period):
            found.append(max(1, ceil(int(quota) / int(period))))
    return min(found, default=None)


def allowed_memory(root: Path = ROOT, mine: Path = MINE) -> int | None:
    """Bytes that may still be taken before a group's limit is reached; None = no group bounds it.

    Args:
        root: the tree of control groups.
        mine: the groups of this process.
    """
    found = []
    for folder in _groups(root, mine, "memory"):
        for limit, used in ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"):
            most, taken = _text(folder / limit), _text(folder / used)
            if most.isdecimal() and taken.isdecimal():
                found.append(max(0, int(most) - int(taken) + _files(folder)))
    return min(found, default=None)


def _groups(root: Path, mine: Path, controller: str) -> Iterator[Path]:
    """Folders of the groups a process is in that bound something, and of all above them."""
    for line in _text(mine).splitlines():
        number, names, path = [*line.split(":", 2), "", ""][:3]
        if number != "0" and controller not in names.split(","):
            continue
        tops = [root] if number == "0" else [root / names, root / controller]
        for top in (one for one in tops if one.is_dir()):
            folder = top / path.lstrip("/")
            # within a container the path may be that of the machine: the group itself is then the root
            yield from (one for one in (folder, *folder.parents) if one.is_relative_to(top))
            break


def _files(folder: Path) -> int:
    """Bytes of a group's pages of files, in the whole tree below it where that is told apart."""
    lines = [line.split() for line in _text(folder / "memory.stat").splitlines()]
    told = {
        name: int(value)
        for name, value in (line for line in lines if len(line) == 2 and line[1].isdecimal())
        if name in RECLAIMED
    }
    whole = {name: value for name, value in told.items() if name.startswith("total_")}
    return sum((whole or told).values())


def _text(file: Path) -> str:
    """What the system tells in a file; "" = nothing."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
