"""Ray and Dask on a real cluster of this machine: the bits of a local run, also when workers are killed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.backtest.engines import Where
from harness.core.errors import UserError
from harness.experiment.launch import launch
from harness.record.home import Home
from harness.record.runs import find_run, read_manifest
from tests.backtest.made_clusters import deadly, looking, mixed, run_on
from tests.backtest.made_runs import Ran, exported, releases

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # what Ray and Dask say of themselves; models' warnings are compared as bits
]
MODULES = {"ray": "ray", "dask": "distributed"}


@pytest.fixture(scope="module", params=["ray", "dask"])
def engine(request: pytest.FixtureRequest) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(MODULES[request.param], reason="make test-slow installs .ci/requirements-engines.lock")
    return str(request.param)


@pytest.fixture(scope="module", autouse=True)
def _two_cores() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.backtest.engines.available_cores", lambda: 2)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clusters")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


@pytest.fixture(scope="module")
def whole(place: Path, changes: Path) -> Ran:
    return run_on(Where(), mixed(place), changes, place / "whole", 1)


def checksums(ran: Ran) -> object:
    return read_manifest(ran.files)["cell_checksums"]


def test_a_shipped_experiment_has_the_same_bits(engine: str, uk_home: Home, place: Path, tmp_path: Path) -> None:
    shipped = (ROOT / "experiments" / "uk_inflation.toml").read_text(encoding="utf-8")
    shorter = re.sub(r"^first = .*$", "first = 2020-03-31\nlast = 2021-12-31", shipped, flags=re.MULTILINE)
    (place / "experiments").mkdir(exist_ok=True)
    if not (place / "datasets").exists():
        (place / "datasets").symlink_to(ROOT / "datasets")
    file = place / "experiments" / "short.toml"
    file.write_text(shorter, encoding="utf-8")
    shutil.copytree(uk_home.root, tmp_path / "home", ignore=shutil.ignore_patterns("cells", "fits", "runs"))
    other, there = Home(tmp_path / "home"), Home(uk_home.root)
    found = Ran(find_run(other, launch(file, other, workers=2, where=Where(engine))))
    plain = Ran(find_run(there, launch(file, there, workers=2)))
    assert found.files.run_id == plain.files.run_id
    assert checksums(found) == checksums(plain)
    assert len(found.keys) > 10


def test_searches_fits_and_own_classes_come_back_through_a_store(
    engine: str, place: Path, changes: Path, whole: Ran, tmp_path: Path
) -> None:
    store = Where(engine, store=f"file://{tmp_path}/store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
        found = run_on(store, mixed(place), changes, tmp_path / "home", 2)
    assert checksums(found) == checksums(whole)
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["changes", "code", "files"]
    for kind in ("fits", "studies"):
        mine, theirs = (
            sorted(path.name for path in (ran.files.folder.parents[1] / kind).iterdir()) for ran in (found, whole)
        )
        assert mine == theirs


@pytest.mark.parametrize("stored", [False, True])
def test_killed_workers_are_survived_and_the_bits_are_the_same(
    engine: str, stored: bool, place: Path, changes: Path, tmp_path: Path
) -> None:
    dying = deadly(place, tmp_path / "deaths", 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
        where = Where(engine, store=str(tmp_path / "store") if stored else "")
        killed = run_on(where, dying, changes, tmp_path / "killed", 2)
    dead = {int(path.name) for path in (tmp_path / "deaths").iterdir()}
    assert len(dead) == 2
    assert os.getpid() not in dead
    assert checksums(killed) == checksums(run_on(Where(), dying, changes, tmp_path / "whole", 1))


def test_workers_that_die_again_and_again_end_the_run_in_one_message(
    engine: str, place: Path, changes: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="killed again and again"):
        run_on(Where(engine), deadly(place, tmp_path / "deaths", 99), changes, tmp_path / "killed", 2)


def test_workers_have_one_thread_and_no_duckdb(engine: str, place: Path, changes: Path, tmp_path: Path) -> None:
    ran = run_on(Where(engine), looking(place, tmp_path / "seen"), changes, tmp_path / "home", 2)
    assert set(ran.of("looking")["status"]) == {"ok"}, ran.of("looking")["reason"].unique().to_list()
    seen = {int(path.name) for path in (tmp_path / "seen").iterdir()}
    assert seen
    assert os.getpid() not in seen


def test_no_cluster_at_an_address_is_said_in_one_message(
    engine: str, place: Path, changes: Path, tmp_path: Path
) -> None:
    address = "127.0.0.1:1" if engine == "ray" else "tcp://127.0.0.1:1"
    with pytest.raises(UserError, match=r"no (Ray cluster|Dask scheduler) there"):
        run_on(Where(engine, address=address), mixed(place), changes, tmp_path / "home")


def test_somebody_else_at_an_address_is_said_soon(engine: str, place: Path, changes: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as line:  # it takes calls and says nothing
        where = Where(engine, address=f"127.0.0.1:{line.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(UserError, match=r"no (Ray cluster|Dask scheduler) there"):
            run_on(where, mixed(place), changes, tmp_path / "home")
    assert time.monotonic() - began < 30


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """A Dask cluster that somebody else started: one worker."""
    pytest.importorskip("distributed", reason="make test-slow installs .ci/requirements-engines.lock")
    with cluster_of(tmp_path, 1) as address:
        yield address


class cluster_of:  # noqa: N801 - used as a function
    """A Dask scheduler with one worker, as separate processes."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.file, self.threads = folder / f"scheduler-{threads}.json", threads

    def __enter__(self) -> str:
        here = {**os.environ, "POLARS_MAX_THREADS": "1", "PYTHONPATH": str(ROOT)}
        base = [sys.executable, "-W", "ignore", "-m", "distributed.cli"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": here}
        file = ["--scheduler-file", str(self.file)]
        one = [".dask_scheduler", "--no-dashboard", "--host", "127.0.0.1", "--port", "0", *file]
        two = [".dask_worker", "--nthreads", str(self.threads), "--no-dashboard", *file]
        self.started = [
            subprocess.Popen([*base[:-1], base[-1] + part[0], *part[1:]], start_new_session=True, **quiet)  # type: ignore[call-overload]
            for part in (one, two)
        ]
        deadline = time.monotonic() + 60
        while not (self.file.exists() and self.file.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.1)
        import json

        from distributed import Client

        address = str(json.loads(self.file.read_text())["address"])
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
        return address

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.started):
            os.killpg(process.pid, 15)
            process.wait(timeout=30)


def test_an_existing_dask_cluster_is_used(
    scheduler: str, place: Path, changes: Path, whole: Ran, tmp_path: Path
) -> None:
    found = run_on(Where("dask", address=scheduler), mixed(place), changes, tmp_path / "home")
    assert checksums(found) == checksums(whole)


def test_an_existing_dask_cluster_that_runs_too_much_at_once_is_refused(
    place: Path, changes: Path, tmp_path: Path
) -> None:
    pytest.importorskip("distributed", reason="make test-slow installs .ci/requirements-engines.lock")
    with cluster_of(tmp_path, 3) as address, pytest.raises(UserError, match="run too much at once"):
        run_on(Where("dask", address=address), mixed(place), changes, tmp_path / "home")
