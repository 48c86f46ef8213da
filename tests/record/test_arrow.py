"""Columns by their buffers are what Arrow's own conversions make, byte for byte, and pandas is not imported."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from harness.record import arrow

ARRAYS = (
    np.array([1.5, np.nan, -0.0]),
    np.arange(6, dtype=np.int32)[::2],
    np.array([3, 0, 255], dtype=np.uint8),
    np.empty(0, dtype=np.int64),
)
DAYS = (
    np.array(["2024-03-31", "1969-12-31"], dtype="datetime64[D]"),
    np.array(["2024-03-31", "NaT"], dtype="datetime64[D]"),
)
RUN = """
import sys, tempfile
from datetime import UTC, date, datetime, timedelta
import polars as pl, harness as hs
days = [date(2024, 1, 1) + timedelta(days=n) for n in range(60)]
noon = datetime(2024, 1, 2, 12, tzinfo=UTC)
rows = [("one", day, noon + timedelta(days=n), float(n)) for n, day in enumerate(days)]
columns = ["series_id", "period", "published_at", "value"]
with tempfile.TemporaryDirectory() as home:
    archive = hs.Archive.open(f"{home}/archive.duckdb")
    archive.define(hs.Series("one", "D", decimals=3))
    archive.append(pl.DataFrame(rows, schema=columns, orient="row"), source="test")
    asked = hs.Experiment(
        name="small", target=hs.Target(("one",), season=7), horizons=(0,),
        origins=hs.Origins(hs.Schedule("dates", dates=(days[50], days[55])), first=days[50], last=days[55]),
    )
    run = hs.backtest(asked, archive, home=home, workers=1)
    assert run.leaderboard().height and run.forecasts().height
# further
found = {"pandas", "pyarrow.compute", "sklearn", "statsmodels", "optuna", "harness.studies.audit"} & set(sys.modules)
assert not found, found
"""


def content(column: pa.Array) -> bytes:
    """A file with nothing but a column."""
    sink = pa.BufferOutputStream()
    table = pa.Table.from_arrays([column], names=["column"])
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    found: bytes = sink.getvalue().to_pybytes()
    return found


@pytest.mark.parametrize("values", ARRAYS)
def test_numbers_are_the_column_that_arrow_makes_and_come_back(values: NDArray[Any]) -> None:
    column = arrow.buffered(values)
    assert content(column) == content(pa.array(values))
    back = arrow.numbers(column)
    assert back.dtype == values.dtype
    assert not (len(back) and back.flags.writeable)
    assert np.array_equal(back, values, equal_nan=values.dtype.kind == "f")


@pytest.mark.parametrize("values", DAYS)
def test_days_are_the_column_that_arrow_makes_and_come_back(values: NDArray[np.datetime64]) -> None:
    column = arrow.days(values)
    assert content(column) == content(pa.array(values))
    back = arrow.numbers(column).astype("datetime64[D]")
    assert np.array_equal(np.isnat(back), np.isnat(values))
    assert (back[~np.isnat(back)] == values[~np.isnat(values)]).all()


def test_a_part_of_a_column_is_that_part() -> None:
    assert arrow.numbers(arrow.buffered(np.arange(5.0)).slice(2, 2)).tolist() == [2.0, 3.0]


def test_nulls_are_what_arrow_makes_of_them() -> None:
    assert np.isnan(arrow.numbers(pa.array([1.0, None]))).tolist() == [False, True]


WITH_NULLS = (
    pa.array([1, None, 3], pa.int64()),
    pa.array([None, 200, None], pa.uint8()),
    pa.array([1.5, None], pa.float32()),
    pa.array([None, date(2024, 2, 29), date(1899, 12, 31), None], pa.date32()),
    pa.array([True, False, True]),
    pa.array([None] * 3, pa.int32()),
)


@pytest.mark.parametrize("column", WITH_NULLS, ids=lambda one: str(one.type))
@pytest.mark.parametrize("start", [0, 1])
def test_numbers_days_and_truth_values_are_those_that_arrow_converts(column: pa.Array, start: int) -> None:
    many = pa.concat_arrays([column] * 9).slice(start)
    found, expected = arrow.numbers(many), many.to_numpy(zero_copy_only=False)
    np.testing.assert_array_equal(found, expected, strict=True)


CONVERTED = """
import sys
import numpy as np, polars as pl, pyarrow as pa
from harness.record import arrow
gaps = [arrow.with_nulls(pl.Series([place, None], dtype=kind)) for place, kind in (
    (1, pl.Int64), (1, pl.Int32), (1.5, pl.Float64), ("a", pl.String))]
days = arrow.days(np.array(["2024-03-31", "NaT"], dtype="datetime64[D]"))
for column in (*gaps[:3], days, pl.Series([True, False]).to_arrow()):
    assert len(arrow.numbers(arrow.whole(pa.chunked_array([column, column])))) == 4
    assert len(arrow.numbers(column)) == 2
assert arrow.words(pa.chunked_array([gaps[3]])).to_list() == ["a", None]
assert arrow.text(pl.Series(["a"])).to_pylist() == ["a"]
assert arrow.whole(pa.chunked_array([], pa.int64())).to_pylist() == []
assert "pandas" not in sys.modules
"""


def test_columns_with_nulls_are_converted_without_pandas() -> None:
    subprocess.run([sys.executable, "-c", CONVERTED], check=True)


def test_a_column_in_no_piece_in_one_and_in_several_is_whole() -> None:
    one = arrow.buffered(np.arange(2))
    assert arrow.whole(pa.chunked_array([], pa.int64())).to_pylist() == []
    assert arrow.whole(pa.chunked_array([one])).to_pylist() == [0, 1]
    assert arrow.whole(pa.chunked_array([one, one])).to_pylist() == [0, 1, 0, 1]


def test_text_is_the_column_that_arrow_makes_and_comes_back() -> None:
    words = ["a", "", "übel"]
    column = arrow.text(pl.Series(words))
    assert content(column) == content(pa.array(words, pa.large_string()))
    assert arrow.words(pa.chunked_array([column])).to_list() == words


@pytest.mark.parametrize("kind", [pl.Int64(), pl.Int32(), pl.Float64(), pl.String()])
@pytest.mark.parametrize("length", [1, 8, 9, 65])
def test_columns_with_nulls_are_those_that_arrow_makes(kind: pl.DataType, length: int) -> None:
    values = [place if place % 3 else None for place in range(length)]
    column = pl.Series(values, dtype=pl.Int64()).cast(kind)
    expected = pa.array(column.to_list(), type=column.to_arrow(compat_level=pl.CompatLevel.oldest()).type)
    assert content(arrow.with_nulls(column)) == content(expected)


def test_what_is_no_number_is_no_null() -> None:
    column = pl.Series([1.0, float("nan"), None])
    assert content(arrow.with_nulls(column)) == content(pa.array(column.to_list()))


@pytest.mark.slow
def test_a_run_imports_no_package_that_it_does_not_need() -> None:
    subprocess.run([sys.executable, "-c", RUN], check=True)


@pytest.mark.slow
def test_the_check_notices_pandas() -> None:
    script = RUN.replace("# further", "import pyarrow as pa; pa.array([1.0])")
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert "'pandas'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("values", [np.array([True, False]), np.arange(3, dtype=">i8")])
def test_numbers_that_arrow_holds_otherwise_are_not_handed_over(values: NDArray[Any]) -> None:
    with pytest.raises(TypeError, match="otherwise"):
        arrow.buffered(values)
