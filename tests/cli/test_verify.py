"""`harness verify` notices a changed byte in any kind of record, and what was rewritten with its own hash."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest

import harness as hs
from harness.cli import main
from harness.core.errors import DamagedError
from harness.core.identity import digest
from harness.record.cells import Cell, read_cell, write_cell
from harness.record.files import json_bytes, sealed
from harness.record.home import Home
from harness.record.registry import counts
from harness.record.studies import chained
from harness.record.verified_effort import effort
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
    "trials of a search": lambda home: first(home.studies, "*/trials.jsonl"),
    "head of a search": lambda home: first(home.studies, "*/study.json"),
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
    for kind in ("raw", "archive", "changes", "cells", "fits", "runs", "audits", "studies"):
        assert f"{kind:<8} 0 files" not in printed


@pytest.mark.slow
@pytest.mark.parametrize("shares", [[0.31], pytest.param([0.0, 0.5, 0.99], marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", FILES)
def test_a_flipped_bit_in_any_file_is_noticed_there(kept: Kept, kind: str, shares: list[float]) -> None:
    home, _ = kept
    path = FILES[kind](home)
    for share in shares:
        place = int(share * (path.stat().st_size - 1))
        flip(path, place)
        found = problems(home)
        assert any(str(path.relative_to(home.root)).startswith(one) for one in found), (share, found)
        flip(path, place)


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


def written(head: dict[str, object], lines: list[dict[str, object]]) -> bytes:
    """Lines of trials with a chain that holds."""
    chain, texts = digest(head), []
    for line in lines:
        chain, text = chained(chain, {name: value for name, value in line.items() if name != "chain"})
        texts.append(text)
    return b"".join(texts)


def shorter(path: Path) -> bytes:
    """Trials without the last one, whose end and whole chain were made anew."""
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    head = json.loads((path.parent / "study.json").read_text())
    return written(head, [*lines[:-2], {**lines[-1], "trials": len(lines) - 2}])


def cut(count: int) -> Callable[[Path], bytes]:
    return lambda path: b"".join(path.read_bytes().splitlines(keepends=True)[:-count])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (cut(1), "4 trials and no end, recorded 4"),
        (cut(2), "3 trials and no end, recorded 4"),
        (lambda _: b"", "0 trials and no end, recorded 4"),
        (shorter, "3 trials, recorded 4"),
        (lambda path: path.read_bytes().replace(b'"complete"', b'"pruned"', 1), "line 1 is not what was written"),
    ],
    ids=["last line", "last two lines", "all lines", "a shorter chain that holds", "a changed line"],
)
def test_a_search_of_a_run_that_lost_lines_is_noticed(
    kept: Kept, change: Callable[[Path], bytes], found: str, capsys: Capture
) -> None:
    home, run_id = kept
    path = FILES["trials of a search"](home)
    path.write_bytes(change(path))
    assert main(["verify", "--home", str(home.root)]) == 1
    printed = capsys.readouterr().out
    assert f"studies/{path.parent.name}: not the search that run {run_id} rests on" in printed
    assert found in printed


def test_the_line_of_a_search_that_was_changed_with_all_hashes_is_told_also_by_trials(kept: Kept) -> None:
    home, run_id = kept
    path = FILES["trials of a search"](home)
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    lines[2]["value"] = 9.0
    path.write_bytes(written(json.loads((path.parent / "study.json").read_text()), lines))
    said = "4 trials, recorded 4; line 3 is the first that differs"
    assert problems(home)[f"studies/{path.parent.name}"].endswith(said)
    run = hs.Run(run_id, home)
    with pytest.raises(DamagedError, match=rf"(?s){run_id}.*{path.parent.name}.*line 3"):
        run.trials()


@pytest.mark.parametrize("gone", ["lines", "trials.jsonl", "study.json"])
def test_trials_and_spaces_refuse_a_search_that_lacks_something_by_run_and_study(
    kept: Kept, gone: str, capsys: Capture
) -> None:
    home, run_id = kept
    path = FILES["trials of a search"](home)
    if gone == "lines":
        path.write_bytes(cut(2)(path))
    else:
        (path.parent / gone).unlink()
    for verb in ("trials", "spaces"):
        assert main([verb, run_id, "--home", str(home.root)]) == 2
        printed = capsys.readouterr()
        assert run_id in printed.out + printed.err
        assert path.parent.name in printed.out + printed.err


@pytest.mark.parametrize("gone", ["trials.jsonl", "study.json", "both"])
def test_a_search_of_a_run_that_is_gone_is_noticed(kept: Kept, gone: str) -> None:
    home, run_id = kept
    folder = FILES["trials of a search"](home).parent
    for path in [*folder.iterdir()]:
        if gone in (path.name, "both"):
            path.unlink()
    if gone == "both":
        folder.rmdir()
    found = problems(home)
    assert found.pop(f"studies/{folder.name}") == f"the search that run {run_id} rests on is gone, 4 trials"
    assert set(found) == (set() if gone == "both" else {f"studies/{folder.name}/{gone}"})


def test_a_search_made_again_with_other_durations_is_noted_and_is_no_problem(kept: Kept) -> None:
    home, run_id = kept
    path = FILES["trials of a search"](home)
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    slower = [{**line, "seconds": 9.0} if "seconds" in line else line for line in lines]
    path.write_bytes(written(json.loads((path.parent / "study.json").read_text()), slower))
    done = verify(home)
    assert done.intact
    assert any(f"search of run {run_id} with other durations" in one.note for one in done.found["runs"])


def test_what_a_run_says_of_its_searches_cannot_be_taken_out_unnoticed(kept: Kept) -> None:
    home, run_id = kept
    path = run_folder(home) / "manifest.json"
    manifest = json.loads(path.read_text())
    bare = {name: value for name, value in manifest.items() if name != "study_records"}
    path.write_bytes(json_bytes(bare))
    assert "digest does not hold" in problems(home)[f"runs/{run_id}/manifest.json"]
    path.write_bytes(json_bytes(sealed(bare)))
    done = verify(home)
    assert any("no number of trials of its searches" in one.note for one in done.found["runs"])


@pytest.mark.slow
def test_the_chain_of_a_search_that_no_run_used_is_checked_and_its_open_end_noted(kept: Kept) -> None:
    home, _ = kept
    made = FILES["trials of a search"](home).parent
    folder = home.studies / "interrupted"
    shutil.copytree(made, folder)
    path = folder / "trials.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    done = verify(home)
    assert done.intact
    assert [one.note for one in done.found["studies"] if one.place == "studies/interrupted"] == [
        "a search that is not over, so nothing says how many trials it had"
    ]
    path.write_bytes(b"".join([lines[0], lines[2]]))
    assert "line 2" in problems(home)["studies/interrupted/trials.jsonl"]
    head = json.loads((folder / "study.json").read_text())
    whole = [json.loads(text) for text in lines]
    path.write_bytes(written(head, [*whole, whole[1]]))
    assert "follows the end" in problems(home)["studies/interrupted/trials.jsonl"]
    path.write_bytes(written(head, [*whole[:2], whole[-1]]))
    assert "2 trials, its end says 4" in problems(home)["studies/interrupted/trials.jsonl"]


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("delete from looks; delete from searches; delete from targets", "are missing"),
        ("delete from looks where look = (select min(look) from looks)", "1 looks that runs"),
        ("update searches set trials = 1", "3 searches are not as runs"),
        ("update looks set how = 'ablation'", "looks are not as runs"),
        ("drop table looks", "the registry cannot be read"),
    ],
)
def test_effort_that_was_lowered_in_the_registry_is_noticed(kept: Kept, text: str, said: str) -> None:
    home, _ = kept
    with duckdb.connect(str(home.registry)) as connection:
        connection.execute(text)
    found = [one for one in effort(home) if one.problem]
    assert found
    assert said in found[0].problem + found[-1].problem
    home.registry.unlink()
    counts(home, ["any"])
    assert not any(one.problem for one in effort(home))


def test_show_tells_of_a_damaged_table_that_it_does_not_show(kept: Kept, capsys: Capture) -> None:
    home, run_id = kept
    assert main(["show", run_id, "--home", str(home.root)]) == 0
    assert capsys.readouterr().err == ""
    flip(FILES["table"](home), 100)
    assert main(["show", run_id, "--home", str(home.root)]) == 2
    printed = capsys.readouterr()
    assert "Every model answered" in printed.out
    assert f"files of the run are damaged, though none that is shown here: {run_id}/scores.parquet" in printed.err
    assert main(["show", run_id, "--profile", "--home", str(home.root)]) == 0
