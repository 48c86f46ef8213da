"""`harness reproduce` derives a run again from its record alone, and says exactly what is not as recorded."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.cli import main
from harness.core.recipe import Experiment
from harness.core.restore import restored
from harness.data.archive import Archive
from harness.record.files import json_bytes, sealed, sha256_of
from harness.record.home import Home
from harness.record.runs import RunFiles, read_manifest
from harness.studies.compare import table_differences
from tests.backtest.made_runs import AR, MINE, exported, releases, run, small

Kept = tuple[Home, str]
Capture = pytest.CaptureFixture[str]


def rewrite(home: Home, run_id: str, **sections: object) -> None:
    """Change a manifest and seal it again, as someone would who knows how."""
    path = home.runs / run_id / "manifest.json"
    path.write_bytes(json_bytes(sealed({**json.loads(path.read_text()), **sections})))


def test_a_run_reproduces_bit_for_bit_without_its_cells_and_fits(kept: Kept, capsys: Capture) -> None:
    home, run_id = kept
    shutil.rmtree(home.cells)
    shutil.rmtree(home.fits)
    assert main(["reproduce", run_id[:6], "--home", str(home.root), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "reproduced bit for bit" in printed
    assert not home.cells.exists()
    assert not home.fits.exists()
    for name in ("forecasts", "errors", "scores", "leaderboard"):
        assert f"{name} " in printed


@pytest.mark.slow
def test_two_workers_reproduce_what_one_made(kept: Kept) -> None:
    home, run_id = kept
    done = hs.reproduce(run_id, home=home.root, workers=2)
    assert done.reproduced
    assert done.exact
    assert done.cells == sum(len(mine) for mine in hs.Run(run_id, home.root).manifest["cells"].values())  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_forecast_rewritten_with_all_its_hashes_does_not_reproduce(kept: Kept, capsys: Capture) -> None:
    home, run_id = kept
    path = home.runs / run_id / "forecasts.parquet"
    table = pl.read_parquet(path)
    gbm = (pl.col("model") == "gbm") & (pl.col("horizon") == 1)
    table.with_columns(
        pl.when(gbm).then(pl.col("value") * (1 + 1e-15)).otherwise("value").alias("value")
    ).write_parquet(path)
    files = {**read_manifest(RunFiles(run_id, path.parent))["files"], path.name: sha256_of(path)}  # type: ignore[dict-item]
    rewrite(home, run_id, files=files)
    assert main(["reproduce", run_id, "--home", str(home.root), "--workers", "1"]) == 1
    printed = capsys.readouterr().out
    assert "DOES NOT REPRODUCE" in printed
    assert "forecasts  model gbm, series_id uk_macro/cpi" in printed
    assert main(["reproduce", run_id, "--home", str(home.root), "--workers", "1", "--models", "ar"]) == 0
    assert "model gbm" not in capsys.readouterr().out


def test_other_code_or_packages_are_refused_by_name(
    kept: Kept, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, run_id = kept
    monkeypatch.setattr("harness.studies.recorded.code_hash", lambda: "another")
    monkeypatch.setattr("harness.studies.recorded.installed_packages", lambda: {"polars": "0.1"})
    assert main(["reproduce", run_id, "--home", str(home.root)]) == 2
    message = capsys.readouterr().err
    assert "harness code another, recorded" in message
    assert "recorded" in message.split("harness code", 1)[1].split(";", 2)[1]
    assert "more packages" in message
    assert "git checkout" in message


@pytest.mark.slow
def test_a_lost_change_file_comes_back_from_the_archive_unless_that_has_moved_on(kept: Kept, capsys: Capture) -> None:
    home, run_id = kept
    shutil.rmtree(home.changes)
    assert main(["reproduce", run_id, "--home", str(home.root), "--models", "ar", "--workers", "1"]) == 0
    shutil.rmtree(home.changes)
    capsys.readouterr()
    Archive.open(home.archive).define(hs.Series("more", "M"))
    assert main(["reproduce", run_id, "--home", str(home.root)]) == 2
    message = capsys.readouterr().err
    assert "recorded state" in message
    assert "harness archive import" in message


@pytest.mark.slow
def test_on_another_platform_numbers_are_compared_within_tolerances_and_it_says_so(kept: Kept, capsys: Capture) -> None:
    home, run_id = kept
    path = home.runs / run_id / "forecasts.parquet"
    table = pl.read_parquet(path).with_columns(pl.col("value") * (1 + 1e-9))
    table.write_parquet(path)
    manifest = read_manifest(RunFiles(run_id, path.parent))
    files = {**manifest["files"], path.name: sha256_of(path)}  # type: ignore[dict-item]
    rewrite(home, run_id, files=files, platform={**manifest["platform"], "machine": "riscv64"})  # type: ignore[dict-item]
    asked = ["reproduce", run_id, "--home", str(home.root), "--models", "ar", "--workers", "1"]
    assert main(asked) == 0
    printed = capsys.readouterr().out
    assert "reproduced within tolerances, on another numeric platform" in printed
    assert "recorded riscv64" in printed
    buffer = io.BytesIO()
    table.with_columns(pl.col("value") * (1 + 1e-4)).write_parquet(buffer)
    path.write_bytes(buffer.getvalue())
    rewrite(home, run_id, files={**files, path.name: sha256_of(path)})
    assert main(asked) == 1


@pytest.mark.slow
def test_a_users_class_is_run_from_its_folder_and_refused_once_it_has_changed(tmp_path: Path) -> None:
    changes = exported(releases(), tmp_path / "made")
    home = tmp_path / "home"
    run_id = run(small((AR, MINE), tmp_path), changes, home).files.run_id
    shutil.copytree(changes, home / "changes" / changes.name)
    assert hs.reproduce(run_id, home=home, workers=1).reproduced
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(tmp_path / "own_models.py", moved / "own_models.py")
    with pytest.raises(hs.UserError, match="not those the run was made with") as caught:
        hs.reproduce(run_id, home=home, workers=1)
    assert "own_models:Newest (model mine)" in caught.value.value
    (moved / "own_models.py").write_text((moved / "own_models.py").read_text() + "\n# changed\n")
    with pytest.raises(hs.UserError, match="not those the run was made with") as caught:
        hs.reproduce(run_id, home=home, workers=1, folder=moved)
    assert "have changed" in caught.value.value


def test_an_unknown_model_and_an_unfinished_run_are_refused(kept: Kept) -> None:
    home, run_id = kept
    with pytest.raises(hs.UserError, match="unknown model"):
        hs.reproduce(run_id, home=home.root, models=["arr"])
    rewrite(home, run_id, status="running")
    with pytest.raises(hs.UserError, match="not finished"):
        hs.reproduce(run_id, home=home.root)


def test_tables_differ_in_bits_that_equality_does_not_see() -> None:
    frame = pl.DataFrame({"model": ["a", "b"], "value": [0.0, 1.0]})
    assert table_differences("t", frame, frame, exact=True) == []
    signed = pl.DataFrame({"model": ["a", "b"], "value": [-0.0, 1.0]})
    (one,) = table_differences("t", frame, signed, exact=True)
    assert (one.row, one.column, one.cells) == ("model a", "value", 1)
    assert table_differences("t", frame, signed, exact=False) == []
    assert table_differences("t", frame, frame.head(1), exact=False)[0].column == "rows"
    absent = pl.DataFrame({"model": ["a", "b"], "value": [None, 1.0]})
    assert table_differences("t", frame, absent, exact=False)[0].recorded == "0.0"


def test_an_experiment_of_another_version_is_not_guessed(kept: Kept) -> None:
    home, run_id = kept
    record = read_manifest(RunFiles(run_id, home.runs / run_id))["experiment"]
    assert isinstance(record, dict)
    assert restored(Experiment, record).name == "kept"
    for wrong in ({**record, "surprise": 1}, {**record, "horizons": ["one"]}, [1]):
        with pytest.raises(hs.UserError, match="cannot be read back"):
            restored(Experiment, wrong)
