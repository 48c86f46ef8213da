"""One home full of marked values, which every test that touches it copies."""

from pathlib import Path

import pytest

from tests.studies.holdout import marked
from tests.studies.holdout.marked import Marked


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Marked:
    """With a run."""
    return marked.made(tmp_path_factory.mktemp("marked") / "whole")


@pytest.fixture(scope="session")
def unrun(tmp_path_factory: pytest.TempPathFactory) -> Marked:
    """Without a run: an archive and its raw input."""
    return marked.made(tmp_path_factory.mktemp("unrun") / "whole", run=False)


@pytest.fixture
def bare(unrun: Marked, tmp_path: Path) -> Marked:
    """A copy of it of the test's own."""
    return unrun.copied(tmp_path / "bare")
