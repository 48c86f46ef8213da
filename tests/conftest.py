"""What the tests of every room share: home folders, and one archive of real vintages per worker."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

from harness.backtest.engine import ONE_THREAD
from harness.data.archive import Archive
from harness.data.ingest import ingest
from harness.record.home import Home

ROOT = Path(__file__).parents[1]
CASES = 4
"""Of a test with more cases than these, so many, evenly spread, run in `make test`, the others in `make test-slow`."""


def pytest_configure() -> None:
    """Libraries loaded later, worker processes and children have one thread, as a cell of a run has."""
    os.environ.update({name: number for name, number in ONE_THREAD.items() if not name.startswith("POLARS")})
    settings.register_profile("suite", deadline=None)  # how long an example takes tells of the machine's load
    settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Leave most cases of tests that have very many to the slow suite."""
    alike = defaultdict[str, list[pytest.Item]](list)
    for item in items:
        alike[item.nodeid.partition("[")[0]].append(item)
    for cases in alike.values():
        kept = {round(place * (len(cases) - 1) / (CASES - 1)) for place in range(CASES)}
        for place, item in enumerate(cases):
            if len(cases) > CASES and place not in kept and item.get_closest_marker("every_case") is None:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Libraries loaded already: threads of BLAS that wait for work take the processor from the other worker."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_stray_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A test that names no home folder writes into a temporary one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HOME", str(tmp_path_factory.mktemp("stray")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Tests kill processes, none cuts the power: what is written is seen by everyone without being on the disk yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr("harness.record.shelves.sync_filesystem", lambda _: None)
        yield


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home folder of the test's own."""
    return Home(tmp_path / "home")


@pytest.fixture(scope="session")
def uk_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home folder whose archive holds `uk_macro`; the tests of a worker share it and add runs, never data."""
    home = Home(tmp_path_factory.mktemp("uk_home"))
    ingest(ROOT / "datasets" / "uk_macro", Archive.open(home.archive), raw_dir=home.raw)
    return home
