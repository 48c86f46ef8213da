"""What the tests of every room share: home folders, and one archive of real vintages per worker."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.data.archive import Archive
from harness.data.ingest import ingest
from harness.record.home import Home

ROOT = Path(__file__).parents[1]


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
