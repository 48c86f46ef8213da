"""An exported archive gives the same archive and runs elsewhere; damaged and foreign files change nothing."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest

import harness as hs
from harness.cli import main
from harness.core.errors import DamagedError, UserError
from harness.core.identity import digest
from harness.data.archive import Archive
from harness.data.archive.transfer import export_archive, import_archive
from harness.record.files import json_bytes, sealed
from harness.record.home import Home
from harness.record.registry import counts, effort_from
from harness.record.studies import chained
from harness.report.verify import verify
from tests.data.test_sql import EXPERIMENT as PLAIN

pytestmark = pytest.mark.slow

EXPERIMENT = (
    PLAIN
    + """
[features.own]
latest = [1, 2]
[models.tuned]
kind = "lightgbm"
params = { n_estimators = 5, num_leaves = 4, min_data_in_leaf = 5 }
[models.tuned.search]
trials = 3
folds = 2
retune_every = 4
[models.tuned.search.space]
num_leaves = { int = [2, 8] }
"""
)
TABLES = ("forecasts", "errors", "scores", "leaderboard", "against_rivals", "inputs", "origins", "common_sample")


@pytest.fixture(scope="module")
def origin(uk_home: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str, Path]:
    """A home of its own with one run, its id, and the experiment file."""
    folder = tmp_path_factory.mktemp("transfer")
    home = Home(folder / "home")
    home.root.mkdir()
    shutil.copy(uk_home.archive, home.archive)
    shutil.copytree(uk_home.raw, home.raw)
    file = folder / "asked.toml"
    file.write_text(EXPERIMENT)
    return home, hs.backtest(file, home=home.root, workers=1).id, file


@pytest.fixture(scope="module")
def exported(origin: tuple[Home, str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "all.zip"
    export_archive(origin[0], path, runs=True)
    return path


def test_another_machine_has_the_same_archive_and_makes_the_same_run(
    origin: tuple[Home, str, Path], tmp_path: Path
) -> None:
    home, run_id, file = origin
    done = export_archive(home, tmp_path / "archive.zip")
    there = Home(tmp_path / "there")
    assert import_archive(there, tmp_path / "archive.zip").change_file == done.change_file
    one, other = (Archive.open(place.archive, read_only=True) for place in (home, there))
    assert one.state() == other.state()
    assert one.export(home.changes).name == other.export(there.changes).name
    assert other.batches().equals(one.batches())
    assert {path.name for path in there.raw.iterdir()} == {path.name for path in home.raw.iterdir()}
    run = hs.backtest(file, home=there.root, workers=1)
    assert run.id == run_id
    for name in TABLES:
        left, right = ((place.runs / run_id / f"{name}.parquet").read_bytes() for place in (home, there))
        assert left == right
    assert verify(there).intact


def test_runs_travel_with_their_cells_and_can_be_derived_again_there(
    origin: tuple[Home, str, Path], exported: Path, tmp_path: Path
) -> None:
    there = Home(tmp_path / "there")
    assert import_archive(there, exported).runs == (origin[1],)
    assert verify(there).intact
    assert verify(there).found["cells"]
    assert verify(there).found["fits"]
    assert verify(there).found["studies"]
    one, other = (hs.Run(origin[1], home.root) for home in (origin[0], there))
    assert other.leaderboard().equals(one.leaderboard())
    assert one.trials().height
    assert other.trials().equals(one.trials())
    assert other.search_spaces().equals(one.search_spaces())
    again = hs.reproduce(origin[1], home=there.root, workers=1)
    assert again.reproduced
    assert again.trials == one.trials().height
    assert main(["trials", origin[1], "--all", "--home", str(there.root)]) == 0


def test_the_effort_of_runs_that_are_brought_in_is_counted(
    origin: tuple[Home, str, Path], exported: Path, tmp_path: Path
) -> None:
    there = Home(tmp_path / "there")
    export_archive(origin[0], tmp_path / "bare.zip")
    import_archive(there, tmp_path / "bare.zip")
    effort = effort_from(hs.Run(origin[1], origin[0].root).manifest)
    assert effort is not None
    assert counts(there, effort.fingerprints.values()).searched == 0
    import_archive(there, exported)
    here = counts(origin[0], effort.fingerprints.values())
    assert here.searched
    assert counts(there, effort.fingerprints.values()) == here


def test_a_search_interrupted_there_gives_way_to_the_whole_one(
    origin: tuple[Home, str, Path], exported: Path, tmp_path: Path
) -> None:
    there = Home(tmp_path / "there")
    shutil.copytree(origin[0].studies, there.studies)
    short, slower = sorted(there.studies.glob("*/trials.jsonl"))[:2]
    short.write_bytes(short.read_bytes().splitlines(keepends=True)[0])
    kept = slower.read_bytes()
    (slower.parent / "journal.log").write_text("mine")
    import_archive(there, exported)
    assert short.read_bytes() == (origin[0].studies / short.parent.name / "trials.jsonl").read_bytes()
    assert slower.read_bytes() == kept
    assert (slower.parent / "journal.log").read_text() == "mine"
    assert verify(there).intact


@pytest.mark.parametrize("damaged", [False, True])
def test_a_search_with_other_trials_is_neither_overwritten_nor_kept_in_silence(
    origin: tuple[Home, str, Path], exported: Path, tmp_path: Path, *, damaged: bool
) -> None:
    there = Home(tmp_path / "there")
    shutil.copytree(origin[0].studies, there.studies)
    path = min(there.studies.glob("*/trials.jsonl"))
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    lines[1]["value"] = 9.0
    chain, texts = digest(json.loads((path.parent / "study.json").read_text())), []
    for line in lines:
        chain, text = chained(chain, {name: value for name, value in line.items() if name != "chain"})
        texts.append(text)
    path.write_bytes(b"".join(texts[1:] if damaged else texts))
    kept = path.read_bytes()
    with pytest.raises(UserError, match=f"studies/{path.parent.name}"):
        import_archive(there, exported)
    assert path.read_bytes() == kept
    assert not there.archive.exists()
    assert not there.runs.exists()


def test_a_search_cut_short_before_the_export_is_still_noticed_after_the_import(
    origin: tuple[Home, str, Path], tmp_path: Path
) -> None:
    home, there = Home(tmp_path / "copy"), Home(tmp_path / "there")
    shutil.copytree(origin[0].root, home.root)
    path = min(home.studies.glob("*/trials.jsonl"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    export_archive(home, tmp_path / "short.zip", runs=True)
    import_archive(there, tmp_path / "short.zip")
    assert [one.place for one in verify(there).problems] == [f"studies/{path.parent.name}"]
    path.write_bytes(b"".join(lines[1:]))
    with pytest.raises(DamagedError, match="record of a search is damaged"):
        export_archive(home, tmp_path / "damaged.zip", runs=True)


def test_a_run_on_an_earlier_state_travels_with_its_change_file(origin: tuple[Home, str, Path], tmp_path: Path) -> None:
    home, there = Home(tmp_path / "copy"), Home(tmp_path / "there")
    shutil.copytree(origin[0].root, home.root)
    Archive.open(home.archive).define(hs.Series("later", "M"))
    export_archive(home, tmp_path / "later.zip", runs=True)
    import_archive(there, tmp_path / "later.zip")
    assert hs.reproduce(origin[1], home=there.root, models=["ar"], workers=1).reproduced
    assert verify(there).intact


def test_the_same_content_gives_the_same_file(origin: tuple[Home, str, Path], exported: Path, tmp_path: Path) -> None:
    export_archive(origin[0], tmp_path / "again.zip", runs=True)
    assert (tmp_path / "again.zip").read_bytes() == exported.read_bytes()
    there = Home(tmp_path / "there")
    import_archive(there, exported)
    export_archive(there, tmp_path / "third.zip", runs=True)
    assert (tmp_path / "third.zip").read_bytes() == exported.read_bytes()


def test_a_second_import_is_nothing_new_and_another_archive_is_not_overwritten(exported: Path, tmp_path: Path) -> None:
    there = Home(tmp_path / "there")
    Archive.open(there.archive)  # an empty one is no obstacle
    assert not import_archive(there, exported).already
    assert import_archive(there, exported).already
    other = Home(tmp_path / "other")
    Archive.open(other.archive).define(hs.Series("mine", "M"))
    before = other.archive.read_bytes()
    with pytest.raises(hs.UserError, match="another archive"):
        import_archive(other, exported)
    assert other.archive.read_bytes() == before
    assert not other.raw.exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
@pytest.mark.parametrize("how", ["flipped", "cut"])
def test_a_damaged_file_is_refused_and_leaves_nothing(exported: Path, tmp_path: Path, how: str, share: float) -> None:
    content = bytearray(exported.read_bytes())
    place = int(share * (len(content) - 1))
    if how == "cut":
        content = content[:place]
    else:
        content[place] ^= 0x10
    wrong, there = tmp_path / "wrong.zip", Home(tmp_path / "there")
    wrong.write_bytes(content)
    try:
        import_archive(there, wrong)
    except DamagedError:
        assert not there.root.exists() or list(there.root.iterdir()) == []
    else:  # a bit of the container that says nothing about the content
        assert how == "flipped"
        assert verify(there).intact


def rewritten(source: Path, target: Path, entries: dict[str, bytes], *, reseal: bool = True) -> Path:
    """The same file with some entries added or replaced, its list made anew as by someone who knows how."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        facts = json.loads(old.read("manifest.json"))
        content = {name: old.read(name) for name in old.namelist() if name != "manifest.json"} | entries
        for name, data in content.items():
            new.writestr(name, data)
        if reseal:
            import hashlib

            facts["entries"] = {
                name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in content.items()
            }
            facts = sealed(facts)
        new.writestr("manifest.json", json_bytes(facts))
    return target


def test_a_table_replaced_with_all_hashes_made_anew_does_not_give_the_promised_change_file(
    exported: Path, tmp_path: Path
) -> None:
    import io

    import polars as pl

    with zipfile.ZipFile(exported) as bundle:
        changes = pl.read_parquet(io.BytesIO(bundle.read("tables/changes.parquet")))
    buffer = io.BytesIO()
    changes.with_columns(pl.col("value") * 1.01).write_parquet(buffer)
    wrong = rewritten(exported, tmp_path / "wrong.zip", {"tables/changes.parquet": buffer.getvalue()})
    with pytest.raises(DamagedError, match="does not give the archive it promises"):
        import_archive(Home(tmp_path / "there"), wrong)
    assert not (tmp_path / "there" / "archive.duckdb").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/outside",
        "raw/../../outside",
        "other/file",
        "raw/0.csv",
        "tables/series.parquet/x",
        "cells/.hidden/x",
        "studies/key/other.py",
        "studies/key",
    ],
)
def test_an_entry_that_belongs_elsewhere_is_refused(exported: Path, tmp_path: Path, name: str) -> None:
    wrong = rewritten(exported, tmp_path / "wrong.zip", {name: b"content"})
    with pytest.raises(DamagedError):
        import_archive(Home(tmp_path / "there"), wrong)
    assert not (tmp_path / "there").exists()
    assert not (tmp_path / "outside").exists()


def test_foreign_files_are_refused(tmp_path: Path, exported: Path) -> None:
    (tmp_path / "pickle").write_bytes(pickle.dumps({"what": "harness archive"}))
    (tmp_path / "empty").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "zip", "w") as other:
        other.writestr("manifest.json", "{}")
    with zipfile.ZipFile(tmp_path / "list", "w") as other:
        other.writestr("manifest.json", json_bytes(sealed({"what": "harness archive", "format": 99, "entries": {}})))
    rewritten(exported, tmp_path / "unsealed", {"raw/x": b""}, reseal=False)
    for name in ("pickle", "empty", "zip", "list", "unsealed"):
        with pytest.raises(DamagedError):
            import_archive(Home(tmp_path / "there"), tmp_path / name)
    with pytest.raises(hs.UserError, match="no such file"):
        import_archive(Home(tmp_path / "there"), tmp_path / "nothing")


def test_an_unknown_table_is_of_another_version(exported: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(exported) as bundle:
        table = bundle.read("tables/known.parquet")
    wrong = rewritten(exported, tmp_path / "wrong.zip", {"tables/surprise.parquet": table})
    with pytest.raises(DamagedError, match="another version"):
        import_archive(Home(tmp_path / "there"), wrong)


def test_damaged_raw_input_is_not_exported(origin: tuple[Home, str, Path], tmp_path: Path) -> None:
    home = Home(tmp_path / "copy")
    shutil.copytree(origin[0].root, home.root)
    min(home.raw.iterdir()).write_bytes(b"other")
    with pytest.raises(DamagedError, match="raw file"):
        export_archive(home, tmp_path / "archive.zip")
    assert not (tmp_path / "archive.zip").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_the_commands_write_and_read(
    origin: tuple[Home, str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "a.zip")
    assert main(["archive", "export", file, "--runs", "--home", str(origin[0].root)]) == 0
    assert origin[1] in capsys.readouterr().out
    assert main(["archive", "import", file, "--home", str(tmp_path / "there")]) == 0
    assert "changes 16" in capsys.readouterr().out
    assert main(["archive", "import", file, "--home", str(tmp_path / "there")]) == 0
    assert "already" in capsys.readouterr().out
    assert main(["archive", "export", file, "--home", str(tmp_path / "nowhere")]) == 2
