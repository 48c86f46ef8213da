"""Cleaning functions called again: which tables are theirs, and when two answers are the same."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from harness.data.dataset import load_dataset
from harness.studies import cleanings
from harness.studies.cleanings import Cleaning, call_again, own_tables, rows_otherwise
from tests.data.dirt import HEAD

MADE = pl.DataFrame({"row": [0, 1, None, None], "series": ["a", "b", "a", "b"], "value": [0.1 + 0.2, None, 3.0, 4.0]})


@pytest.mark.parametrize(
    ("other", "rows"),
    [
        (MADE, 0),
        (MADE.reverse(), 0),
        (MADE.with_columns(value=pl.Series([0.3, None, 3.0, 4.0])), 0),
        (MADE.with_columns(value=pl.Series([0.3001, None, 3.0, 4.0])), 1),
        (MADE.with_columns(value=pl.Series([0.3, 0.0, 3.0, 4.5])), 2),
        (MADE.with_columns(series=pl.Series(["a", None, "a", "b"])), 1),
        (MADE.head(3), 1),
    ],
    ids=["same", "another order", "rounding", "a value", "no value", "a text", "a row less"],
)
def test_answers_differ_by_rows_not_by_their_order_or_rounding(other: pl.DataFrame, rows: int) -> None:
    assert rows_otherwise(MADE, other) == rows


def test_rows_that_a_function_added_are_told_apart_by_what_is_exact() -> None:
    added = pl.DataFrame({"row": [None, None], "value": [0.1 + 0.2, 0.3], "series": ["a", "b"]})
    assert rows_otherwise(added, added.with_columns(value=pl.Series([0.3, 0.1 + 0.2]))) == 0


def test_tables_of_its_own_are_neither_declared_nor_copies_nor_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    (folder / "home").mkdir(parents=True)
    (folder / ".cache").mkdir()
    (folder / "dataset.toml").write_text(HEAD + 'publications = "told.csv"\ncoverage = "changes"\n')
    for name in ("values.csv", "copy.csv", "told.csv", "home/kept.csv", ".cache/old.csv"):
        (folder / name).write_text("told" if name == "told.csv" else "x" * 300)
    (folder / "map.json").write_text("{}")
    (folder / "linked.csv").symlink_to(folder / "home" / "other.csv")
    (folder / "home" / "other.csv").write_text("other")
    (folder / "large.csv").write_text("y" * 2000)
    monkeypatch.setattr(cleanings, "OWN_TABLES", 1500)
    found = own_tables(load_dataset(folder), folder / "home")
    assert [Path(one).name for one in found] == ["map.json", "dataset.toml"]
    (folder / "own.csv").write_text("z" * 900)
    (folder / "copy.csv").write_text("x" * 800)  # takes no room, as it is not handed over
    (folder / "values.csv").write_text("x" * 800)
    found = own_tables(load_dataset(folder), folder / "home")
    assert [Path(one).name for one in found] == ["map.json", "dataset.toml", "own.csv"]


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("raise FileNotFoundError(2, 'none', 'y.csv')", "FileNotFoundError: [Errno 2] none: 'y.csv'"),
        (
            "open(__file__.replace('tidy.py', 'y.csv'))",
            "FileNotFoundError: [Errno 2] No such file or directory: 'y.csv'",
        ),
        ("raise ValueError(str(frame['value'].to_list()))", "ValueError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("return 7", "tidy:f gave back no frame"),
    ],
)
def test_why_a_function_failed_is_told_without_values(does: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "tidy.py").write_text(f"def f(frame):\n    {does}\n")
    answered = call_again(Cleaning("mine: y.csv", "tidy:f", MADE, MADE), str(tmp_path))
    assert (answered.failure, answered.frame.height) == (told, 0)
