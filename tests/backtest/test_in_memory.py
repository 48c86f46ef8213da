"""A walk through a change file held in memory, with encrypting shelves: the bits of a plain run, nothing in clear."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pyrage
import pytest

from harness.backtest.engine import InProcess
from harness.backtest.place import Place
from harness.backtest.planning import build_plan
from harness.backtest.runner import board_of, cells_of, with_rivals
from harness.core.recipe import Experiment
from harness.core.search import Domain, Search
from harness.data.archive import Archive
from harness.data.changes import FILES, ChangeFile
from harness.record.cells import Cell
from harness.record.home import Home
from harness.record.shelves import Shelves, sealed_shelves
from tests.backtest.made_runs import AR, TREES, exported, releases, small

SEARCH = Search((Domain("num_leaves", "int", 2, 6, default=3),), trials=3, sampler="random", folds=2, retune_every=4)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("memory")


@pytest.fixture(scope="module")
def folder(place: Path) -> Path:
    return exported(releases(), place / "archive")


@pytest.fixture(scope="module")
def held(folder: Path, place: Path) -> ChangeFile:
    return Archive.open(next(place.rglob("*.duckdb")), read_only=True).changes()


@pytest.fixture(scope="module")
def asked(place: Path) -> Experiment:
    return small((AR, replace(TREES, search=SEARCH)), place)


def walked(asked: Experiment, changes: Path | ChangeFile, shelves: Shelves, work: Path | None) -> list[Cell]:
    opened = changes if isinstance(changes, ChangeFile) else ChangeFile.open(changes)
    plan = build_plan(with_rivals(asked), opened)
    cells = cells_of(plan, board_of(plan.experiment), Place(changes, shelves, work), InProcess())[1]
    return [cell for mine in cells.values() for cell in mine]


def test_a_change_file_held_in_memory_is_the_one_in_the_folder(folder: Path, held: ChangeFile) -> None:
    mapped = ChangeFile.open(folder)
    assert (held.hash, held.state, held.ids) == (mapped.hash, mapped.state, mapped.ids)
    assert held.value.tobytes() == mapped.value.tobytes()
    assert held.publications.published.tobytes() == mapped.publications.published.tobytes()
    assert held.known_through == mapped.known_through
    assert held.forecasts.equals(mapped.forecasts)
    assert held.members.equals(mapped.members)
    assert len(FILES) == 6
    assert held.place is None
    with pytest.raises(ValueError, match="memory"):
        _ = held.folder
    with pytest.raises(ValueError, match="read-only"):
        held.value[0] = 1.0


def test_cells_made_in_memory_have_the_bits_of_a_plain_run(
    asked: Experiment, folder: Path, held: ChangeFile, tmp_path: Path
) -> None:
    plain = walked(asked, folder, Home(tmp_path / "plain"), tmp_path / "work")
    shelves = sealed_shelves(tmp_path / "sealed", str(pyrage.x25519.Identity.generate()))
    sealed = walked(asked, held, shelves, None)
    assert [one.checksum for one in sealed] == [one.checksum for one in plain]
    assert any(one.facts.get("tuned") for one in sealed)
    assert {path.name for path in tmp_path.iterdir()} == {"plain", "work", "sealed"}
    word = b"trained_at"
    assert any(word in path.read_bytes() for path in (tmp_path / "plain").rglob("*") if path.is_file())
    written = [path for path in (tmp_path / "sealed").rglob("*") if path.is_file()]
    assert written
    heads = {path.read_bytes()[:22] for path in written if path.name != "trials.jsonl"}
    assert heads == {b"age-encryption.org/v1\n"}
    assert not any(b"complete" in path.read_bytes() for path in written)


def test_damaged_and_missing_sealed_cells_come_back_with_the_same_bits(
    asked: Experiment, held: ChangeFile, tmp_path: Path
) -> None:
    shelves = sealed_shelves(tmp_path, str(pyrage.x25519.Identity.generate()))
    first = walked(asked, held, shelves, None)
    damaged = 0
    for number, path in enumerate(sorted(one for one in tmp_path.rglob("*") if one.is_file())):
        if number % 3 == 0:
            path.write_bytes(path.read_bytes()[:-7])
            damaged += 1
    assert damaged > 10
    again = walked(asked, held, shelves, None)
    assert [one.checksum for one in again] == [one.checksum for one in first]
    assert pl.concat(one.frame for one in again).equals(pl.concat(one.frame for one in first))
