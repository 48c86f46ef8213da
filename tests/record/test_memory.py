"""What is mapped is given back, and nothing that cannot be read again."""

from __future__ import annotations

from mmap import ACCESS_COPY, ACCESS_READ, mmap
from pathlib import Path

import numpy as np
import pytest

from harness.record.memory import give_back

SIZE = 1 << 20


def resident(path: Path) -> int:
    """Bytes that mappings of a file take in this process."""
    total, mine = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.split()[0].endswith(":"):
            total += int(line.split()[1]) * 1024 if mine and line.startswith("Rss:") else 0
        else:
            mine = line.endswith(str(path))
    return total


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux tells what is resident")
def test_what_is_mapped_for_reading_is_given_back_and_all_else_is_kept(tmp_path: Path) -> None:
    for name in ("read", "written"):
        (tmp_path / name).write_bytes(b"a" * SIZE)
    with (
        (tmp_path / "read").open("rb") as one,
        (tmp_path / "written").open("rb") as other,
        mmap(one.fileno(), 0, access=ACCESS_READ) as read,
        mmap(other.fileno(), 0, access=ACCESS_COPY) as written,
    ):
        written[:3] = b"bcd"
        mapped, copied, held = np.frombuffer(read, np.uint8), np.frombuffer(written, np.uint8), np.ones(SIZE, np.uint8)
        assert mapped.sum() == ord("a") * SIZE
        assert resident(tmp_path / "read") == SIZE
        give_back(mapped, copied, held)
        assert resident(tmp_path / "read") == 0
        assert resident(tmp_path / "written") > 0
        assert (read[:3], written[:3], held.sum()) == (b"aaa", b"bcd", SIZE)
        del mapped, copied
