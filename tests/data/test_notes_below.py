"""Notes below (or within) the table of a CSV file: refused as torn lines, unless a step leaves them out on record."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from harness.core.errors import DataError
from harness.data.archive import Archive
from harness.data.csv_text import csv_table
from harness.data.declared import TextForm
from harness.data.guessing import guess
from harness.data.ingest import ingest
from harness.data.scaffold import new_dataset

HEAD = """
schema = 1
name = "mine"
origin = "made"
licence = "none needed"

[defaults]
frequency = "M"
zone = "UTC"
lag = { kind = "calendar_days", n = 20 }

[series.a]
[series.b]

[[source]]
file = "FILE"
layout = "wide"
columns = { period = "month" }
"""
ROWS = [f"{2010 + place // 12}-{place % 12 + 1:02},{place},{2 * place}" for place in range(60)]
TABLE = "\n".join(["month,a,b", *ROWS]) + "\n"
NOTES = "\nSource: ONS\nNotes: revised, chained, adjusted\n"
STEP = '[[source.clean]]\nkind = "drop"\ncolumn = "month"\nreason = "a note"\n'
OURS = STEP + 'matches = "^(Source|Notes):"\n'


def taken_in(root: Path, step: str, content: str, file: str = "values.csv", head: str = HEAD) -> Archive:
    folder = root / "mine"
    folder.mkdir()
    (folder / "dataset.toml").write_text(head.replace("FILE", file) + step)
    raw = content.encode()
    (folder / file).write_bytes(gzip.compress(raw) if file.endswith(".gz") else raw)
    archive = Archive.open(root / "archive.duckdb")
    ingest(folder, archive, raw_dir=root / "raw")
    return archive


@pytest.mark.parametrize("file", ["values.csv", "values.csv.gz"])
def test_notes_are_left_out_by_a_step_and_each_is_on_record(file: str, tmp_path: Path) -> None:
    archive = taken_in(tmp_path, OURS, TABLE + NOTES, file)
    assert archive.cleaning().select("kind", "rows_in", "rows_out", "touched").rows() == [("drop", 63, 61, 2)]
    assert archive.touched().select("line", "before", "reason").rows() == [
        (63, "Source: ONS", "a note"),
        (64, "Notes: revised", "a note"),
    ]
    assert archive.set_aside()["reason"].to_list() == ["a note"] * 2
    (tmp_path / "plain").mkdir()
    plain = taken_in(tmp_path / "plain", "", TABLE)
    for name in ("a", "b"):
        assert archive.revisions(f"mine/{name}").equals(plain.revisions(f"mine/{name}"))


def test_the_refusal_names_a_step_that_works(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 63: fewer fields than the first line has names: 1, not 3") as refused:
        taken_in(tmp_path, "", TABLE + "\nSource: ONS\n")
    assert refused.value.value == "1, not 3"
    assert "ONS" not in f"{refused.value.what} {refused.value.rule} {refused.value.fix}"  # told of data under seal, too
    step = refused.value.fix.rpartition("by a step on the [[source]]: ")[2].replace("...", "Source: ONS")
    declared = step.replace(" kind", "\nkind").replace(", ", "\n")
    (tmp_path / "again").mkdir()
    archive = taken_in(tmp_path / "again", f"{declared}\n", TABLE + "\nSource: ONS\n")
    assert archive.touched()["before"].to_list() == ["Source: ONS"]


@pytest.mark.parametrize(
    ("torn", "said"),
    [
        ("2015-01,7", "line 63: fewer fields than the first line has names: 2, not 3"),
        ("2015-01,7,1,4", "line 63: more fields than the first line has names: 4, not 3"),
    ],
)
def test_a_line_that_no_step_leaves_out_is_refused_beside_notes_that_are(torn: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said) as refused:
        taken_in(tmp_path, OURS, f"{TABLE}Source: ONS\n{torn}\n")
    assert "[[source.clean]]" not in refused.value.fix


def test_a_function_on_the_table_may_leave_notes_out(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.py").write_text(
        "def rows(frame):\n    return frame.filter(~frame['month'].fill_null('').str.contains(':'))\n"
    )
    (tmp_path / "mine").rename(tmp_path / "kept")
    step = '[[source.clean]]\nkind = "function"\nfunction = "own:rows"\non = "table"\n'
    (tmp_path / "kept" / "dataset.toml").write_text(HEAD.replace("FILE", "values.csv").replace("mine", "kept") + step)
    (tmp_path / "kept" / "values.csv").write_text(TABLE + NOTES)
    archive = Archive.open(tmp_path / "archive.duckdb")
    ingest(tmp_path / "kept", archive, raw_dir=tmp_path / "raw")
    assert archive.cleaning()["touched"].to_list() == [2]


def test_names_are_hashed_in_a_file_with_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTES_KEY", "a key of more than sixteen characters")
    hashed = '[[source.clean]]\nkind = "deidentify"\ncolumns = ["b"]\nkey_env = "NOTES_KEY"\n'
    head = HEAD.replace("[series.b]\n", "")
    archive = taken_in(tmp_path, hashed + OURS, TABLE + NOTES, head=head)
    assert archive.cleaning()["kind"].to_list() == ["deidentify", "drop"]
    (tmp_path / "torn").mkdir()
    with pytest.raises(DataError, match="line 65: fewer fields"):
        taken_in(tmp_path / "torn", hashed + OURS, TABLE + NOTES + "2015-01,7\n", head=head)


def test_ids_of_a_panel_are_not_looked_for_in_notes(tmp_path: Path) -> None:
    head = HEAD.replace("[series.a]\n[series.b]", '[series."*"]').replace('layout = "wide"\n', "")
    head = head.replace('period = "month"', 'series = "shop", period = "month"')
    rows = "shop,month,value\n" + "".join(f"{shop},2010-{month:02},{month}\n" for shop in "xy" for month in range(1, 9))
    step = STEP.replace('"month"', '"shop"') + 'equals = ["Source: ONS"]\n'
    archive = taken_in(tmp_path, step, rows + "Source: ONS\n", head=head)
    assert sorted(archive.declared()) == ["mine/x", "mine/y"]


def test_a_line_with_quoted_ends_of_lines_is_still_named(tmp_path: Path) -> None:
    noted: dict[int, DataError] = {}
    frame, lines = csv_table("a.csv", b'\nn,a\n"x\ny",1\nSource: me\n\n2,3,4\n', TextForm(), noted)
    assert frame.rows() == [("x\ny", "1"), ("Source: me", None), (None, None), ("2", "3")]
    assert [(row, str(one).partition(":")[0]) for row, one in noted.items()] == [
        (1, "a.csv, line 5"),
        (3, "a.csv, line 7"),
    ]
    assert lines is not None
    assert lines.to_list() == [3, 5, 6, 7]


def test_harness_new_takes_notes_for_what_they_are_and_declares_the_step(tmp_path: Path) -> None:
    (tmp_path / "retail.csv").write_text(TABLE + NOTES)
    assert guess(tmp_path / "retail.csv").footer == ("Source: ONS", "Notes: revised")
    new_dataset("retail", tmp_path / "retail.csv", tmp_path)
    file = tmp_path / "datasets" / "retail" / "dataset.toml"
    file.write_text(
        file.read_text().replace('kind = "FILL IN"', 'kind = "calendar_days", n = 20').replace("FILL IN", "x")
    )
    archive = Archive.open(tmp_path / "archive.duckdb")
    ingest(file.parent, archive, raw_dir=tmp_path / "raw")
    assert archive.touched()["before"].to_list() == ["Source: ONS", "Notes: revised"]


def test_harness_new_takes_no_series_with_a_colon_for_a_note(tmp_path: Path) -> None:
    rows = "".join(f"CPI: {name},2010-{month:02},{month}\n" for name in "xy" for month in range(1, 13))
    (tmp_path / "retail.csv").write_text(f"series,month,value\n{rows}Source: ONS\n")
    found = guess(tmp_path / "retail.csv")
    assert (found.names, found.footer) == (("CPI: x", "CPI: y"), ("Source: ONS",))


@pytest.mark.parametrize("torn", ["2015-0", "2015-01,7", "x y,2"])
def test_harness_new_takes_no_torn_line_for_a_note(torn: str, tmp_path: Path) -> None:
    (tmp_path / "retail.csv").write_text(TABLE + torn)
    with pytest.raises(DataError, match="line 62: fewer fields"):
        guess(tmp_path / "retail.csv")
