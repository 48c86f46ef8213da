"""What control groups allow, read from a folder that stands for the system's."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from harness.record import memory, platform
from harness.record.limits import allowed_cores, allowed_memory

GB = 10**9
V2, V1 = "0::/job/mine\n", "4:memory:/job/mine\n3:cpu,cpuacct:/job/mine\n9:name=systemd:/\n0::/\n"


def made(folder: Path, files: dict[str, str], mine: str) -> tuple[Path, Path]:
    root = folder / "cgroup"
    root.mkdir()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    (folder / "mine").write_text(mine)
    return root, folder / "mine"


@pytest.mark.parametrize(
    ("files", "mine", "cores"),
    [
        ({"job/mine/cpu.max": "150000 100000"}, V2, 2),
        ({"job/mine/cpu.max": "10000 100000"}, V2, 1),
        ({"job/mine/cpu.max": "max 100000", "job/cpu.max": "300000 100000"}, V2, 3),
        ({"cpu.max": "400000 100000"}, V2, 4),
        ({"job/mine/cpu.max": "max 100000"}, V2, None),
        ({"job/other/cpu.max": "100000 100000"}, V2, None),
        ({f"cpu,cpuacct/job/mine/cpu.cfs_{name}_us": one for name, one in (("quota", "5"), ("period", "2"))}, V1, 3),
        ({f"cpu/job/cpu.cfs_{name}_us": one for name, one in (("quota", "4"), ("period", "2"))}, V1, 2),
        ({f"cpu/job/mine/cpu.cfs_{name}_us": one for name, one in (("quota", "-1"), ("period", "2"))}, V1, None),
        ({}, "", None),
    ],
    ids=["a part", "below one", "of the group above", "a container's own", "no limit", "another's",
         "v1", "v1 above", "v1 no limit", "no groups"],
)  # fmt: skip
def test_cores_are_those_that_the_narrowest_group_gives(
    files: dict[str, str], mine: str, cores: int | None, tmp_path: Path
) -> None:
    assert allowed_cores(*made(tmp_path, files, mine)) == cores


@pytest.mark.parametrize(
    ("files", "mine", "spare"),
    [
        ({"memory.max": 4 * GB, "memory.current": 3 * GB}, V2, 1 * GB),
        ({"memory.max": 4 * GB, "memory.current": 3 * GB,
          "memory.stat": f"anon 5\ninactive_file {GB // 2}\nactive_file {GB // 4}\nfile 9"}, V2, GB + 3 * GB // 4),
        ({"memory.max": 2 * GB, "memory.current": 3 * GB}, V2, 0),
        ({"memory.max": "max", "memory.current": 3 * GB}, V2, None),
        ({"memory.limit_in_bytes": 4 * GB, "memory.usage_in_bytes": GB,
          "memory.stat": f"inactive_file {GB}\ntotal_inactive_file 7\ntotal_active_file 5"}, V1, 3 * GB + 12),
        ({}, V1, None),
    ],
    ids=["v2", "pages of files", "nothing left", "no limit", "v1", "nothing told"],
)  # fmt: skip
def test_memory_is_what_is_left_below_the_limit(
    files: dict[str, object], mine: str, spare: int | None, tmp_path: Path
) -> None:
    folder = "job/mine/" if mine == V2 else "memory/job/mine/"
    root, own = made(tmp_path, {f"{folder}{name}": str(text) for name, text in files.items()}, mine)
    assert allowed_memory(root, own) == spare


def test_a_run_asks_its_groups_for_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    cores, free = platform.available_cores(), memory.free_memory()
    assert free is not None
    assert free > GB // 100
    monkeypatch.setattr(platform, "allowed_cores", lambda: 1)
    monkeypatch.setattr(memory, "allowed_memory", lambda: GB // 100)
    assert platform.available_cores() == 1
    assert memory.spare_memory() == memory.available_memory() == GB // 100
    monkeypatch.setattr(platform, "allowed_cores", lambda: None)
    monkeypatch.setattr(memory, "allowed_memory", lambda: None)
    assert platform.available_cores() == cores
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert platform.available_cores() == 1
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "many")
    assert platform.available_cores() == cores


def test_threads_are_those_that_were_given_and_never_more_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "available_cores", lambda: 4)
    assert platform.threads_here() == platform.threads_for(platform.LARGE) == 4
    assert platform.threads_for(platform.LARGE - 1) == 1
    with platform.threads_within(2):
        assert platform.threads_here() == platform.threads_for(platform.LARGE) == 2
        with platform.threads_within(None):
            assert platform.threads_here() == 2
        with platform.threads_within(9):
            assert platform.threads_here() == 4
        monkeypatch.setenv("HARNESS_WORKER", "1")
        assert platform.threads_here() == 1


def test_a_process_of_somebodys_pool_has_one_thread() -> None:
    assert not platform.is_nested()  # the specimen
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(platform.is_nested).result()
        assert pool.submit(platform.threads_here).result() == 1
