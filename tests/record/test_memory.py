"""What is mapped is given back, and nothing that cannot be read again."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from mmap import ACCESS_COPY, ACCESS_READ, mmap
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from harness.record import memory
from harness.record.memory import BEFORE, PASSED, Watch, give_back, held_before, passed_text, peak_memory, within

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


def test_what_was_held_before_a_watch_was_asked_does_not_count_after(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, go_on, looks = Event(), Event(), 0

    def held() -> int:
        nonlocal looks
        looks += 1
        if looks != 2:  # the first look is that of the watch's beginning
            return 100
        seen.set()
        assert go_on.wait(60)
        return 2_000_000_000

    monkeypatch.setattr(memory, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(memory, "private_memory", held)
    with Watch() as watch, ThreadPoolExecutor(1) as pool:
        assert seen.wait(60)
        asked = pool.submit(watch.most)
        wait([asked], timeout=0.1)  # one that does not wait for the look under way has answered by then
        go_on.set()
        assert asked.result(60) == 2_000_000_000
        assert watch.most() == 100


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells a process's own peak")
def test_the_peak_of_a_process_is_not_that_of_its_parent() -> None:
    held = np.ones(20_000_000)
    asked = "from harness.record.memory import peak_memory; print(peak_memory())"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert 1_000_000 < int(told) < held.nbytes < peak_memory()


def test_what_is_held_before_data_is_that_of_the_outermost_command(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [1]
    monkeypatch.setattr(memory, "private_memory", lambda: held[0])
    with within(None):
        held[0] = 2
        with within(3):
            assert held_before() == 1
        assert held_before() == 1
    assert held_before() == 2


@pytest.mark.parametrize(("before", "said"), [(2 * 10**9, ""), (2_500_000_000, " (2.5 GB before any data were read)")])
def test_what_was_held_before_data_is_told_where_it_was_too_much_already(before: int, said: str) -> None:
    measured = {"memory_limit_bytes": 2 * 10**9, BEFORE: before, PASSED: [["plan", 3e9]]}
    assert passed_text(measured).partition("passed in: plan")[2] == said
