"""Homes that many tests copy: one full of marked values, and one that is sealed, developed and planned."""

import shutil
from pathlib import Path

import pytest

from harness.record.plans import HoldoutPlan
from tests.backtest.made_runs import Ran
from tests.studies.holdout import marked
from tests.studies.holdout.made_holdouts import Made, opened, planned, sealed
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


@pytest.fixture(scope="session")
def _first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, HoldoutPlan]:
    made = sealed(tmp_path_factory.mktemp("holdout"))
    made.run()
    return made, planned(made)


def copied(made: Made, folder: Path) -> Made:
    """The same home and keys in another place."""
    mine = Made(type(made.home)(folder / "home"), folder / "keys")
    shutil.copytree(made.home.root, mine.home.root)
    shutil.copytree(made.keys, mine.keys)
    return mine


@pytest.fixture
def made(_first: tuple[Made, HoldoutPlan], tmp_path: Path) -> Made:
    """A home of the test's own: sealed, developed and planned, never opened."""
    return copied(_first[0], tmp_path)


@pytest.fixture(scope="session")
def closed(_first: tuple[Made, HoldoutPlan], tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Ran]:
    """A home whose holdout was opened, and the run that holds the answer; tests copy it before they change it."""
    mine = copied(_first[0], tmp_path_factory.mktemp("closed"))
    return mine, opened(mine, _first[1])


@pytest.fixture
def plan(_first: tuple[Made, HoldoutPlan]) -> HoldoutPlan:
    return _first[1]
