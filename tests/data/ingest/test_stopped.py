"""A sealed ingest that is stopped anywhere and repeated ends as if it had not been, and leaves nothing in the clear."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from harness.data.archive import Archive, books
from harness.data.ingest import ingest, vaults
from harness.data.vault import files
from harness.data.vault.files import Vault
from harness.record.home import Home
from harness.record.ledger_check import verify_ledger
from tests.data.ingest.sealed_homes import CUT, Sealed, before, content, dataset, made_values, sealed_home

VALUES = made_values(100)
EARLY, LATE = date(2019, 3, 1), date(2020, 3, 1)


class StoppedError(BaseException):
    """The process ends here."""


def taken(folder: Path, home: Home) -> None:
    ingest(folder, Archive.open(home.archive), raw_dir=home.raw)


def stop_at(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int, *, after: bool) -> None:
    """End at the `call`-th call of a function, before or after it did its work."""
    does: Callable[..., object] = getattr(owner, name)
    count = 0

    def stopping(*given: object, **named: object) -> object:
        nonlocal count
        count += 1
        if count == call and not after:
            raise StoppedError
        found = does(*given, **named)
        if count == call:
            raise StoppedError
        return found

    monkeypatch.setattr(owner, name, stopping)


FAST = {("write_file", 4, False), ("add", 2, True), ("enter", 2, True)}
"""Within an addition to the vault, between it and its entry, and between that and the archive's commit."""
POINTS = [
    pytest.param(
        (owner, name, call, after),
        id=f"{name}-{call}-{'after' if after else 'before'}",
        marks=() if (name, call, after) in FAST else pytest.mark.slow,
    )
    for owner, name, calls in (
        (files, "write_file", (1, 2, 3, 4)),
        (Vault, "add", (1, 2)),
        (vaults, "enter", (1, 2)),
        (Archive, "define", (1,)),
        (books, "insert", (1, 2)),
    )
    for call in calls
    for after in (False, True)
]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sealed, Path, dict[str, list[tuple[object, ...]]], bytes]:
    """A sealed home before an ingest, the dataset, and what the opening has and the archive says after it."""
    root = tmp_path_factory.mktemp("story")
    with pytest.MonkeyPatch.context() as patch:
        home = Home(root / "home")
        taken(dataset(root, before(VALUES, EARLY)), home)
        made = sealed_home(home, root / "keys", patch)
        whole = Home(root / "whole")
        shutil.copytree(home.root, whole.root)
        folder = dataset(root, before(VALUES, LATE))
        taken(folder, whole)
        done = Sealed(whole, made.keys, made.seal)
        return made, folder, content(done.opened()), done.archive.state().encode()


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_stopped_and_repeated(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    story: tuple[Sealed, Path, dict[str, list[tuple[object, ...]]], bytes],
    point: tuple[object, str, int, bool],
) -> None:
    made, folder, whole, state = story
    monkeypatch.setenv("HARNESS_KEYS", str(made.keys))
    home = Home(tmp_path / "home")
    shutil.copytree(made.home.root, home.root)
    mine = Sealed(home, made.keys, made.seal)
    owner, name, call, after = point
    with monkeypatch.context() as patch:
        stop_at(patch, owner, name, call, after=after)
        with pytest.raises(StoppedError):
            taken(folder, home)
    assert in_the_clear(home, VALUES) == []
    mine.opened()
    taken(folder, home)
    assert content(mine.opened()) == whole
    assert mine.archive.state().encode() == state
    assert in_the_clear(home, VALUES) == []
    assert not verify_ledger(home).broken
    kept = [one.facts.get("key") for one in mine.vault.files() if "key" in one.facts]
    assert len(kept) == len(set(kept)) == 2


def in_the_clear(home: Home, values: pl.DataFrame) -> list[str]:
    """Files of a home that hold a value which was first published from the cut on, as a number or as text."""
    known = set(values.filter(pl.col("published") < CUT.date())["value"].to_list())
    late = set(values.filter(pl.col("published") >= CUT.date())["value"].to_list()) - known
    marks = [struct.pack(form, value) for value in late for form in ("<d", ">d")]
    marks += [f"{value:.2f}".encode() for value in late]
    found = []
    for path in sorted(one for one in home.root.rglob("*") if one.is_file() and one.suffix != ".age"):
        content = path.read_bytes()
        if any(mark in content for mark in marks):
            found.append(str(path.relative_to(home.root)))
    return found


def test_the_search_finds_what_is_in_the_clear(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    taken(dataset(tmp_path, before(VALUES, LATE)), home)
    (home.root / "plain.bin").write_bytes(VALUES["value"].to_numpy().tobytes())
    found = in_the_clear(home, VALUES)
    assert "plain.bin" in found
    assert any(one.startswith("raw/") for one in found)
