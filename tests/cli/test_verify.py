"""`harness verify` notices a changed byte in any kind of record, and what was rewritten with its own hash."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest

from harness.cli import main
from harness.core.identity import digest
from harness.record.cells import Cell, read_cell, write_cell
from harness.record.files import json_bytes, sealed
from harness.record.home import Home
from harness.record.studies import chained
from harness.report.verify import verify

Kept = tuple[Home, str]
Capture = pytest.CaptureFixture[str]


def first(folder: Path, pattern: str) -> Path:
    return min(folder.glob(pattern))


def run_folder(home: Home) -> Path:
    return first(home.runs, "*")


FILES: dict[str, Callable[[Home], Path]] = {
    "raw input": lambda home: first(home.raw, "*"),
    "cell": lambda home: first(home.cells, "*/forecasts.arrow"),
    "facts of a cell": lambda home: first(home.cells, "*/cell.json"),
    "fit": lambda home: first(home.fits, "*/fit.json"),
    "facts of a fit": lambda home: first(home.fits, "*/meta.json"),
    "manifest": lambda home: run_folder(home) / "manifest.json",
    "table": lambda home: run_folder(home) / "scores.parquet",
    "audit": lambda home: first(home.audits, "*/audit.json"),
    "table of an audit": lambda home: first(home.audits, "*/findings.parquet"),
    "change file": lambda home: first(home.changes, "*/changes.arrow"),
    "manifest of a change file": lambda home: first(home.changes, "*/manifest.json"),
}


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def problems(home: Home) -> dict[str, str]:
    return {one.place: one.problem for one in verify(home).problems}


def test_an_untouched_home_is_intact(kept: Kept, capsys: Capture) -> None:
    home, _ = kept
    assert main(["verify", "--home", str(home.root)]) == 0
    printed = capsys.readouterr().out
    assert "everything recorded is as it was written" in printed
    for kind in ("raw", "archive", "changes", "cells", "fits", "runs", "audits"):
        assert f"{kind:<8} 0 files" not in printed


@pytest.mark.parametrize("share", [0.0, 0.31, 0.5, 0.99])
@pytest.mark.parametrize("kind", FILES)
def test_a_flipped_bit_in_any_file_is_noticed_there(kept: Kept, kind: str, share: float) -> None:
    home, _ = kept
    path = FILES[kind](home)
    flip(path, int(share * (path.stat().st_size - 1)))
    found = problems(home)
    assert any(str(path.relative_to(home.root)).startswith(place) for place in found), found


def test_the_command_lists_all_problems_and_ends_with_1(kept: Kept, capsys: Capture) -> None:
    home, run_id = kept
    flip(FILES["table"](home), 100)
    FILES["raw input"](home).unlink()
    assert main(["verify", "--home", str(home.root)]) == 1
    printed = capsys.readouterr().out
    assert f"runs/{run_id}/scores.parquet: it is not what the record lists" in printed
    assert "is gone" in printed
    assert "2 problems" in printed


def test_every_block_of_the_archive_in_use_is_read(kept: Kept) -> None:
    home, _ = kept
    with duckdb.connect(str(home.archive), read_only=True) as connection:
        rows = connection.execute(
            "SELECT DISTINCT block_id FROM pragma_storage_info('changes') WHERE persistent AND block_id >= 0"
        ).fetchall()
    whole = home.archive.read_bytes()
    for (block,) in rows:
        flip(home.archive, 3 * 4096 + block * 262_144 + 1000)
        assert "archive.duckdb" in problems(home)
        home.archive.write_bytes(whole)
    assert rows
    assert problems(home) == {}


def test_a_value_changed_through_the_database_itself_is_noticed(kept: Kept) -> None:
    home, _ = kept
    with duckdb.connect(str(home.archive)) as connection:
        connection.execute("UPDATE changes SET value = value + 0.1 WHERE period = (SELECT max(period) FROM changes)")
    assert "not those exported" in problems(home)["archive.duckdb"]


def test_a_cell_rewritten_with_a_checksum_of_its_own_is_not_the_one_the_run_recorded(kept: Kept) -> None:
    home, run_id = kept
    key = json.loads((run_folder(home) / "manifest.json").read_text())["cells"]["ar"][0]
    cell = read_cell(home.cells, key)
    assert cell is not None
    write_cell(home.cells, key, Cell(cell.frame.with_columns(pl.col("value") + 0.01), cell.facts))
    assert problems(home) == {f"cells/{key}": f"not the cell that run {run_id} recorded for ar"}


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("packages", {"polars": "0.1"}),
        ("experiment", {"name": "another"}),
        ("code", {"hash": "0"}),
        ("archive", {"change_file": "0"}),
    ],
)
def test_a_manifest_resealed_after_a_change_no_longer_gives_its_run_id(kept: Kept, section: str, value: object) -> None:
    home, run_id = kept
    path = run_folder(home) / "manifest.json"
    path.write_bytes(json_bytes(sealed({**json.loads(path.read_text()), section: value})))
    assert "run id does not follow" in problems(home)[f"runs/{run_id}/manifest.json"]


def test_a_digest_taken_out_a_table_added_and_a_missing_file_are_problems(kept: Kept) -> None:
    home, run_id = kept
    folder = run_folder(home)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["digest"]
    (folder / "manifest.json").write_bytes(json_bytes(manifest))
    (folder / "extra.parquet").write_bytes(b"PAR1")
    (folder / "errors.parquet").unlink()
    assert set(problems(home)) == {
        f"runs/{run_id}/{name}" for name in ("manifest.json", "extra.parquet", "errors.parquet")
    }


def test_deleted_cells_are_noted_and_are_no_problem(kept: Kept) -> None:
    home, run_id = kept
    for path in first(home.cells, "*").iterdir():
        path.unlink()
    first(home.cells, "*").rmdir()
    done = verify(home)
    assert done.intact
    assert any("1 of its cells are gone" in one.note for one in done.found["runs"] if one.place == f"runs/{run_id}")


def test_a_chain_of_trials_shows_a_changed_head_and_a_changed_lost_or_swapped_line(home: Home) -> None:
    folder = home.root / "studies" / "key"
    folder.mkdir(parents=True)
    head: dict[str, object] = {"space": {"low": 1}}
    (folder / "study.json").write_bytes(json_bytes(head))
    lines, chain = [], digest(head)
    for number in range(4):
        chain, line = chained(chain, {"number": number, "value": 0.5})
        lines.append(line)
    trials = folder / "trials.jsonl"
    trials.write_bytes(b"".join(lines) + b'{"number": 4')
    assert problems(home) == {}
    for wrong in (
        [lines[0].replace(b"0.5", b"0.4"), *lines[1:]],
        [lines[0], *lines[2:]],
        [lines[0], lines[2], lines[1], lines[3]],
        [*lines[:3], b"{\n"],
        [lines[0].replace(b", ", b",  ", 1), *lines[1:]],
    ):
        trials.write_bytes(b"".join(wrong))
        assert list(problems(home)) == ["studies/key/trials.jsonl"]
    trials.write_bytes(b"".join(lines))
    (folder / "study.json").write_bytes(json_bytes({"space": {"low": 2}}))
    assert list(problems(home)) == ["studies/key/trials.jsonl"]
