"""Cells and fits come back as they were stored; a damaged one is as good as none."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from polars.testing import assert_frame_equal

import harness.record.cells
from harness.core.errors import FullDiskError
from harness.core.names import Names
from harness.core.snapshot import NO_POSITION
from harness.record import cell_parts
from harness.record.cell_parts import CellInParts, Scratch
from harness.record.cells import (
    CELL_SCHEMA,
    PAUSE,
    Cell,
    read_cell,
    read_fit,
    read_written,
    tidy,
    write_cell,
    write_fit,
    write_large_cell,
)
from harness.record.panel_cells import ABSTAINED, OK, PanelAnswers
from harness.record.placed import write_at

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


def test_no_room_for_the_facts_of_a_large_cell_is_told(tmp_path: Path) -> None:
    whole = panel(datetime(2020, 4, 1, tzinfo=UTC), trained=None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))  # the matrices fit, the warnings do not
    try:
        with pytest.raises(FullDiskError, match="no room"):
            write_large_cell(tmp_path, "k", whole, {"warnings": ["constant" * 64] * 256})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_fit_comes_back_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    write_fit(tmp_path, "f", '{"a": 1.0}')
    assert read_fit(tmp_path, "f") == '{"a": 1.0}'
    (tmp_path / "f" / "fit.json").write_text('{"a": 2.0}')
    assert read_fit(tmp_path, "f") is None


def panel(moment: datetime, *, trained: datetime | None, reasons: tuple[str, ...] = ("",)) -> PanelAnswers:
    """Two series at two horizons; with reasons the first row has the newest of them."""
    why = np.zeros((2, 2), dtype=np.uint8)
    why[0, 0] = len(reasons) - 1
    return PanelAnswers(
        series=Names(("a", "b")),
        origin=moment,
        horizons=np.array([0, 1], dtype=np.int32),
        periods=np.array(["2020-06-30", "2020-09-30"], dtype="datetime64[D]"),
        ends=np.array([5, 6]),
        value=np.array([[np.nan, 1.5], [2.5, 3.5]]),
        status=np.where(why > 0, ABSTAINED, OK).astype(np.uint8),
        reason=why,
        reasons=reasons,
        answered=why == 0,
        trained_at=trained,
        last_known=np.array(["2020-03-31", "NaT"], dtype="datetime64[D]"),
        last=np.array([4, NO_POSITION]),
        phase=1,
        issue_age=np.array([np.nan, 2.0]),
    )


def row(series: str, horizon: int, moment: datetime, trained: datetime | None, reason: str | None) -> dict[str, object]:
    """One tidy row of `panel`, written out."""
    return {
        "series_id": series,
        "origin": moment,
        "horizon": horizon,
        "period": (date(2020, 6, 30), date(2020, 9, 30))[horizon],
        "quantile": None,
        "value": {("a", 0): None, ("a", 1): 1.5, ("b", 0): 2.5, ("b", 1): 3.5}[series, horizon],
        "status": "ok" if reason is None else "abstained",
        "reason": reason,
        "trained_at": trained if reason is None else None,
        "last_known_period": date(2020, 3, 31) if series == "a" else None,
        "info_gap": 1 + horizon if series == "a" else None,
        "phase": 1,
        "issue_age": None if series == "a" else 2.0,
    }


def test_cells_become_tidy_rows_one_after_the_other() -> None:
    one, two = datetime(2020, 4, 1, tzinfo=UTC), datetime(2020, 5, 1, tzinfo=UTC)
    cells = [
        Cell(panel(one, trained=None), {}),
        Cell(panel(two, trained=one, reasons=("", "spare", "too short")), {}),
        CELL,
        Cell(panel(one, trained=one, reasons=("", "late")), {}),
    ]
    rows = [
        [row(who, step, at, trained, why if (who, step) == ("a", 0) else None) for who in "ab" for step in (0, 1)]
        for at, trained, why in ((one, None, None), (two, one, "too short"), (one, one, "late"))
    ]
    expected = pl.concat([pl.DataFrame(some, schema=CELL_SCHEMA) for some in rows])
    expected = pl.concat([expected[:8], CELL.frame, expected[8:]])
    assert_frame_equal(tidy(cells), expected, check_exact=True)
    assert_frame_equal(pl.concat([cell.frame for cell in cells]), expected, check_exact=True)
    assert tidy([]).schema == CELL_SCHEMA


def test_a_large_cell_is_mapped_and_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2020, 4, 1, tzinfo=UTC)
    made = panel(moment, trained=moment, reasons=("", "too short"))
    write_cell(tmp_path, "matrices", Cell(made, {"warnings": []}))
    write_cell(tmp_path, "rows", Cell(made.frame(), {"warnings": []}))
    read = {key: read_cell(tmp_path, key) for key in ("matrices", "rows")}
    monkeypatch.setattr(harness.record.cells, "MAPPED", 0)
    for key, plain in read.items():
        mapped = read_cell(tmp_path, key)
        assert plain is not None
        assert mapped is not None
        assert callable(mapped.given) == (key == "matrices")
        assert mapped.checksum == plain.checksum
        assert mapped.frame.equals(plain.frame)
        stored = tmp_path / key / "forecasts.arrow"
        stored.write_bytes(stored.read_bytes()[:-1] + b"?")
        assert read_cell(tmp_path, key) is None


def test_a_large_cell_that_is_altered_after_its_writing_is_not_taken_for_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.record.cells, "MAPPED", 0)
    monkeypatch.setattr(harness.record.cells, "REMEMBERED", 2)
    monkeypatch.setattr(harness.record.cells, "_WRITTEN", {})
    moment = datetime(2020, 4, 1, tzinfo=UTC)
    made = panel(moment, trained=moment)
    for key in ("a", "b", "c"):
        write_large_cell(tmp_path, key, made, {})
    assert len(harness.record.cells._WRITTEN) <= 2
    file = tmp_path / "c" / "forecasts.arrow"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert [read_cell(tmp_path, key) is not None for key in ("a", "b", "c")] == [True, True, False]


UNLIKE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a status": {"status": np.array([[OK, OK], [OK, ABSTAINED], [OK, OK]], dtype=np.uint8)},
    "a period": {
        "last_known": np.array(["2020-03-31", "NaT", "2020-03-31"], dtype="datetime64[D]"),
        "last": np.array([4, NO_POSITION, 4]),
    },
}


@pytest.mark.parametrize("unlike", UNLIKE)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_a_cell_in_parts_is_the_one_of_the_whole_in_whatever_order_they_come(
    unlike: str, order: Sequence[int], tmp_path: Path
) -> None:
    whole = replace(
        panel(datetime(2020, 4, 1, tzinfo=UTC), trained=None),
        series=Names(("a", "b", "c")),
        value=np.array([[0.5, 1.5], [2.5, -0.0], [3.5, 4.5]]),
        last_known=np.array(["2020-03-31"] * 3, dtype="datetime64[D]"),
        last=np.array([4, 4, 4]),
        issue_age=np.full(3, np.nan),
        status=np.full((3, 2), OK, dtype=np.uint8),
        reason=np.zeros((3, 2), dtype=np.uint8),
        answered=np.ones((3, 2), dtype=bool),
    )
    whole = replace(whole, **UNLIKE[unlike])
    rows = ("value", "status", "reason", "answered", "last_known", "last", "issue_age")
    with Scratch(tmp_path) as scratch:
        cell = CellInParts(scratch, "parts", whole.series)
        for place in order:
            mine: dict[str, Any] = {name: getattr(whole, name)[place : place + 1] for name in rows}
            cell.add(replace(whole, series=Names(whole.series[place : place + 1]), **mine), place)
        cell.write({})
    write_large_cell(tmp_path, "whole", whole, {})
    parts, once = ((tmp_path / key / "forecasts.arrow").read_bytes() for key in ("parts", "whole"))
    assert parts == once
    assert (b'"status": 0' in once) == (unlike != "a status")


def test_rows_that_are_kept_apart_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count, written = 50, dict[str, int]()

    def counted(handle: int, place: int, values: NDArray[Any]) -> None:
        name = Path(f"/proc/self/fd/{handle}").readlink().suffix
        written[name] = written.get(name, 0) + values.nbytes
        write_at(handle, place, values)

    monkeypatch.setattr(cell_parts, "write_at", counted)
    one = replace(panel(datetime(2020, 4, 1, tzinfo=UTC), trained=None), issue_age=np.full(2, np.nan))
    with Scratch(tmp_path) as scratch:
        cell = CellInParts(scratch, "parts", Names(tuple(f"s{place}" for place in range(2 * count))))
        for place in range(count):
            cell.add(one, 2 * place)
        cell.write({})
    stored = read_cell(tmp_path, "parts")
    assert stored is not None
    assert stored.panel is not None
    assert np.array_equal(stored.panel.value, np.tile(one.value, (count, 1)), equal_nan=True)
    assert written == {f".{name}": count * getattr(one, name).nbytes for name in ("value", "last_known", "last")}


@pytest.mark.parametrize("comes", [True, False])
def test_a_cell_that_was_stored_and_is_absent_is_looked_for_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, comes: bool
) -> None:
    slept = list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if comes:
            write_cell(tmp_path, "k", CELL)

    monkeypatch.setattr(harness.record.cells.time, "sleep", sleep)
    found = read_written(tmp_path, "k")
    assert slept == [PAUSE]
    assert (found is not None and found.frame.equals(CELL.frame)) == comes
    assert read_written(tmp_path, "k") is not None or not comes
    assert len(slept) == (1 if comes else 2)  # what is there is not waited for
