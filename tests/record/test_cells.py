"""Cells and fits come back as they were stored; a damaged one is as good as none."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from harness.record.cells import CELL_SCHEMA, Cell, read_cell, read_fit, write_cell, write_fit

CELL = Cell(
    pl.DataFrame(
        {
            "series_id": ["cpi", "cpi"],
            "origin": [datetime(2020, 4, 1, tzinfo=UTC)] * 2,
            "horizon": [0, 1],
            "period": [date(2020, 6, 30), date(2020, 9, 30)],
            "quantile": [None, None],
            "value": [0.1 + 0.2, None],
            "status": ["ok", "abstained"],
            "reason": [None, "too short"],
            "trained_at": [datetime(2020, 4, 1, tzinfo=UTC), None],
            "last_known_period": [date(2020, 3, 31)] * 2,
            "info_gap": [1, 2],
            "phase": [0, 0],
            "issue_age": [None, None],
        },
        schema=CELL_SCHEMA,
    ),
    {"seed": 7},
)


def test_a_cell_comes_back_bit_for_bit(tmp_path: Path) -> None:
    write_cell(tmp_path, "k", CELL)
    back = read_cell(tmp_path, "k")
    assert back is not None
    assert_frame_equal(back.frame, CELL.frame, check_exact=True)
    assert back.facts == {"seed": 7}


def test_no_cell_is_none(tmp_path: Path) -> None:
    assert read_cell(tmp_path, "k") is None


@pytest.mark.parametrize("name", ["forecasts.arrow", "cell.json"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone"])
def test_a_damaged_cell_is_not_used(tmp_path: Path, name: str, damage: str) -> None:
    write_cell(tmp_path, "k", CELL)
    path = tmp_path / "k" / name
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        place = content.index(b"7") if name == "cell.json" else len(content) // 2
        content[place] ^= 1
        path.write_bytes(content)
    back = read_cell(tmp_path, "k")
    # a changed fact in the JSON is caught by the same rule as changed numbers
    assert back is None


def test_a_cell_under_another_key_is_not_used(tmp_path: Path) -> None:
    write_cell(tmp_path, "k", CELL)
    (tmp_path / "k").rename(tmp_path / "other")
    assert read_cell(tmp_path, "other") is None


def test_a_fit_comes_back_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    write_fit(tmp_path, "f", '{"a": 1.0}')
    assert read_fit(tmp_path, "f") == '{"a": 1.0}'
    (tmp_path / "f" / "fit.json").write_text('{"a": 2.0}')
    assert read_fit(tmp_path, "f") is None
