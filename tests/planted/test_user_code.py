"""Leaks in users' own classes: each is caught, by the check it belongs to, at `module:name`."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.core.recipe import Recipe, Step
from harness.studies import alone, children, isolation
from harness.studies.checks import isolation_check
from harness.studies.scramble import scramble
from harness.studies.verdict import FAILED, NOT_SHOWN, Check
from tests.backtest.made_runs import MINE, RIDGE, exported, releases, small
from tests.planted.made_audits import Made, of_model

pytestmark = pytest.mark.slow

ALONE, REVERSED, CONFINED = isolation.ALONE, isolation.REVERSED, isolation.CONFINED
LEAKS: dict[str, tuple[str, str]] = {
    # class: how it is caught (one of several ways), and what the evidence names
    "InBuiltins": (ALONE, ""),
    "OnALibrary": (ALONE, ""),
    "InACache": (ALONE, ""),
    "InTheEnvironment": (ALONE, ""),
    "LaterOnes": (ALONE, ""),
    "Counting": (ALONE, ""),
    "InTheWorkingFolder": (CONFINED, ""),
    "Opens": (CONFINED, "small.toml"),
    "OpensByPath": (CONFINED, "small.toml"),
    "BesideIt": (CONFINED, "answers.txt"),
    "ByWorkingFolder": (CONFINED, "answers.txt"),
    "ReadsCsv": (CONFINED, "elsewhere.csv"),
    "ReadsParquet": (CONFINED, "elsewhere.parquet"),
    "ReadsTheArchive": (CONFINED, "archive.duckdb"),
    "ReadsSqlite": (CONFINED, "unable to open database file"),
    "ReadsNumpy": (CONFINED, "elsewhere.npy"),
    "ReadsPickle": (CONFINED, "elsewhere.pickle"),
    "Maps": (CONFINED, "elsewhere.csv"),
    "Cats": (CONFINED, ""),
    "Lists": (CONFINED, "data"),
    "OnThePath": (CONFINED, "on_path.txt"),
    "InSharedMemory": (CONFINED, "harness_planted"),
    "Fetches": (CONFINED, "127.0.0.1"),
    "Resolves": (CONFINED, "127.0.0.1"),
    "Swallows": (CONFINED, "small.toml"),
    "Ordered": (REVERSED, ""),
    "Nudged": (REVERSED, ""),
}
STEPS = {"Hoard": ALONE, "Peeks": CONFINED}


def planted(folder: Path, models: tuple[Recipe, ...]) -> Made:
    """An experiment of leaking classes, with what they are to reach for: beside it, in its data and elsewhere."""
    place, elsewhere, data, library = (folder / name for name in ("experiments", "elsewhere", "data", "library"))
    for one in (place, elsewhere, data, library, folder / "home"):
        one.mkdir()
    small((), place)  # writes the honest module
    shutil.copy(Path(__file__).with_name("leaking_models.py"), place / "leaks.py")
    (place / "small.toml").write_text("schema = 1\n")
    (place / "answers.txt").write_text("2.5")
    (data / "values.csv").write_text("value\n1\n")
    frame = pl.DataFrame({"value": [1.5, 2.5]})
    frame.write_csv(elsewhere / "elsewhere.csv")
    frame.write_parquet(elsewhere / "elsewhere.parquet")
    np.save(elsewhere / "elsewhere.npy", frame["value"].to_numpy())
    (elsewhere / "elsewhere.pickle").write_bytes(pickle.dumps(4.0))
    with sqlite3.connect(elsewhere / "told.sqlite") as connection:
        connection.execute("create table told as select 3.5 as value")
    connection.close()
    (library / "on_path.txt").write_text("4.5")
    shared = Path(f"/dev/shm/harness_planted_{os.getpid()}")
    shared.write_text("5.5")
    known = {
        "toml": place / "small.toml",
        "dataset": data,
        "archive": folder / "home" / "archive.duckdb",
        "csv": elsewhere / "elsewhere.csv",
        "parquet": elsewhere / "elsewhere.parquet",
        "npy": elsewhere / "elsewhere.npy",
        "pickle": elsewhere / "elsewhere.pickle",
        "sqlite": elsewhere / "told.sqlite",
        "on_path": library / "on_path.txt",
        "shared": shared,
    }
    (place / "places.py").write_text("".join(f"{name} = {str(path)!r}\n" for name, path in known.items()))
    return Made(folder, small(models, place), exported(releases(), folder / "home"))


def leaking(*names: str) -> tuple[Recipe, ...]:
    return tuple(Recipe(name, f"leaks:{name}", (("scale", 0.5),), ("own",)) for name in names)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Check]:
    """One isolation check of all of them, an honest class among them."""
    folder = tmp_path_factory.mktemp("planted")
    steps = (replace(RIDGE, name=name, steps=(Step("impute"), Step(f"leaks:{name}"))) for name in STEPS)
    made = planted(folder, (MINE, *steps, *leaking(*LEAKS)))
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        (folder / "working").mkdir()
        patch.chdir(folder / "working")
        Path("answers.txt").write_text("2.0")
        patch.syspath_prepend(str(folder / "library"))
        made.work((3,))  # the session has seen a later origin, as after a run
        yield next(isolation_check(made.work((0, 3), datasets=(str(folder / "data"),))))
    os.environ.clear()
    os.environ.update(before)
    Path(f"/dev/shm/harness_planted_{os.getpid()}").unlink()


@pytest.mark.parametrize("name", LEAKS)
def test_a_class_that_knows_more_than_it_was_handed_is_caught_at_its_own_name(name: str, judged: Check) -> None:
    how, named = LEAKS[name]
    found = of_model(judged, name)
    assert {one.place for one in found} == {f"leaks:{name}"}
    assert how in {one.how for one in found}, found
    assert any(named in one.found for one in found), [one.found for one in found]


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_remembers_rows_or_reads_a_file_is_caught_at_its_own_name(name: str, judged: Check) -> None:
    found = of_model(judged, name)
    assert {one.place for one in found} == {f"leaks:{name}"}
    assert STEPS[name] in {one.how for one in found}


def test_an_honest_class_among_leaking_ones_is_not_accused(judged: Check) -> None:
    assert judged.verdict == FAILED
    assert of_model(judged, "mine") == []
    assert "Landlock" in judged.said or "mount namespace" in judged.said


def test_a_class_that_climbs_the_stack_to_later_outcomes_is_caught_by_the_scramble_of_them(tmp_path: Path) -> None:
    ground = planted(tmp_path, (MINE, *leaking("Climbs"))).ground()
    found = scramble(ground, ground.plan.first_scored).findings
    assert {(one.model, one.place) for one in found} == {("Climbs", "leaks:Climbs")}
    assert "outcomes not matured" in {one.how for one in found}


@pytest.mark.slow
def test_a_class_that_finds_the_plan_in_memory_is_caught_where_there_is_none(tmp_path: Path) -> None:
    check = next(isolation_check(planted(tmp_path, (MINE, *leaking("Collects"))).work((0,))))
    assert {(one.place, one.how) for one in check.findings} == {("leaks:Collects", CONFINED)}


def test_where_nothing_can_be_hidden_it_is_not_shown_rather_than_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = planted(tmp_path, (MINE, *leaking("ReadsCsv")))
    places = children._code_places

    def all_in_sight(hidden: list[str]) -> tuple[list[str], list[str]]:
        readable, listable = places(hidden)
        return [*readable, *hidden, str(tmp_path)], listable

    monkeypatch.setattr(children, "_code_places", all_in_sight)
    check = next(isolation_check(made.work((0,))))
    assert (check.verdict, check.findings) == (NOT_SHOWN, ())
    assert "could not be confined" in check.said


CONFINED_ALONE = """
import sys
from harness.studies import confine
confine._landlock = lambda *_: False
hidden, free, work = sys.argv[1:]
print(confine.confine([], [], work, [hidden]))
for place in (hidden, free):
    try:
        print(len(open(place + "/file.txt").read()))
    except OSError:
        print("refused")
"""


def test_a_mount_namespace_hides_where_landlock_is_not_to_be_had(tmp_path: Path) -> None:
    for name in ("hidden", "free", "work"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.txt").write_text("known")
    folders = [str(tmp_path / name) for name in ("hidden", "free", "work")]
    done = subprocess.run([sys.executable, "-c", CONFINED_ALONE, *folders], capture_output=True, text=True, check=True)
    how, hidden, free = done.stdout.split("\n")[:3]
    if not how:
        pytest.skip("no mount namespace to be had here")
    assert (how, hidden, free) == ("mount namespace", "refused", "5")
    assert (tmp_path / "hidden" / "file.txt").read_text() == "known"


SPYING = '''
import os

import polars as pl
from own_models import Newest


class Spying(Newest):
    """Tells the names and values of its environment in its failure."""

    def predict(self, rows, snapshot):
        raise RuntimeError(" ".join(f"{name}={value}" for name, value in sorted(os.environ.items()) if "HOME" in name))
'''


def test_a_child_is_not_told_where_the_home_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = planted(tmp_path, leaking("Opens"))
    (Path(made.experiment.folder) / "spying.py").write_text(SPYING)
    monkeypatch.setitem(children.STARTED_WITH, "HARNESS_HOME", str(made.home.root))
    ground = replace(made, experiment=small((Recipe("spy", "spying:Spying", (), ("own",)),), tmp_path / "experiments"))
    work = ground.work((0,))
    _, replies, _ = children.ask_confined(work.bases[0].questions, work.places)
    assert "HOME=" in replies[0].failure
    assert "HARNESS_HOME" not in replies[0].failure
    assert str(made.home.root) not in replies[0].failure


@pytest.mark.slow
def test_a_secret_of_the_environment_is_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for where in (children.STARTED_WITH, os.environ):
        monkeypatch.setitem(where, "API_TOKEN", "hush-4711")
    made = planted(tmp_path, (MINE, *leaking("Opens")))
    made.audit()
    written = [path for path in made.home.root.rglob("*") if path.is_file()]
    assert json.loads(next(path for path in written if path.name == "audit.json").read_text())["verdict"] == FAILED
    assert not [path for path in written if b"hush-4711" in path.read_bytes()]


def test_the_working_folder_of_a_child_is_emptied_between_questions(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    for path in (tmp_path / "left.txt", tmp_path / "library" / "left.txt"):
        path.write_text("labels")
    alone._emptied(str(tmp_path))
    assert [path.name for path in tmp_path.rglob("*")] == ["library"]
