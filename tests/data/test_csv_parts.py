"""A CSV file larger than memory is taken in part by part, as the batch that reading it at once makes."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from harness.core.errors import DataError
from harness.data import csv_text, streamed
from harness.data.csv_text import Lined, csv_parts, csv_table
from harness.data.dataset import load_dataset
from harness.data.declared import TextForm
from harness.data.ingest import lacks
from harness.data.tables import beyond_memory, read_content, unread
from harness.record.memory import LIMIT
from tests.data.test_streamed import (
    DATASET,
    EACH,
    EVERY,
    LAG,
    LITTLE,
    STAMPED,
    as_at_once,
    ingested,
    mixed,
    panel,
)

FIELDS = ["", " x ", "NA", "1.5", "é", '"a ""q"" b"', '"two\nlines, and more"', "12345678"]
ROW = some.tuples(*[some.sampled_from(FIELDS)] * 3)


def table_or_refusal(made: Callable[[], Lined]) -> object:
    try:
        frame, lines = made()
    except DataError as error:
        return error.what
    return frame.columns, frame.rows(), [*range(2, 2 + frame.height)] if lines is None else lines.to_list()


def joined(parts: Iterable[Lined]) -> Lined:
    frames, lines = zip(*parts, strict=True)
    return Lined(pl.concat(frames), pl.concat(lines))


@settings(max_examples=60, deadline=None)
@given(
    some.lists(ROW, max_size=12),
    some.sampled_from(["a, b ,c\n", 'a,"b\nb",c\n', "\n\na,b,c\n", "a,b,a\n"]),
    some.sampled_from(["utf-8", "latin-1", "utf-16"]),
    some.sampled_from(["\n", "\r\n", "\r"]),
    some.booleans(),
    some.sampled_from([1, 2, 5]),
)
def test_parts_of_a_text_are_what_all_of_it_is(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, ...]],
    head: str,
    encoding: str,
    end: str,
    zipped: bool,
    size: int,
) -> None:
    text = (head + "\n".join(map(",".join, rows))).replace("\n", end)
    raw = (csv_text.MARK * (encoding == "utf-8") + text).encode(encoding)
    path = tmp_path_factory.mktemp("csv") / ("file.csv.gz" if zipped else "file.csv")
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    form = TextForm(encoding, null_values=("NA",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_text, "LEAST", 10)
        patch.setattr(csv_text, "PER_ROW", 7)
        parts = table_or_refusal(lambda: joined(csv_parts(path, form, size)))
    assert parts == table_or_refusal(lambda: csv_table(path.name, path.read_bytes(), form))


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("a.csv", b"a\n" + b"1\n" * 60 + b"\xe9\n", "byte 0xe9 in line 62.*cp1252"),
        ("a.csv", "a\n1\n".encode("utf-16"), 'byte 0xff in line 1.*encoding = "utf-16"'),
        ("a.csv.gz", gzip.compress(b"a\n" + b"1\n" * 9000, mtime=0)[:-20], "not a readable gzip file"),
        ("a.csv", b'a\n1\n"never closed\n' + b"1\n" * 200, "is not closed"),
        ("a.csv", b"a,b\n" + b"1,2\n" * 60 + b"1,2,3\n", "line 62: more fields.*: 3, not 2"),
        ("a.csv", b"\n\na,b\n" + b"1,2\n" * 60 + b"1,2,3\n", "line 64: more fields.*: 3, not 2"),
        ("a.csv", b"a,b\n" + b"1,2\n" * 60 + b"3", "line 62: fewer fields.*: 1, not 2"),
        ("a.csv", b"\r\na,b\r\n" + b"1,\r\n" * 9 + b"\r\n3\r\n" + b"1,\r\n" * 60, "line 13: fewer fields.*: 1, not 2"),
        ("a.csv", b'a,b,c\n"1\n2,","",3\n' + b'"1,",2\n' * 60, "line 4: fewer fields.*: 2, not 3"),
        ("a.csv", b"\n\na,a\n" + b"1,2\n" * 60, "occurs twice: 'a'"),
        ("a.csv", b" \n", "empty"),
    ],
    ids=[
        "encoding",
        "marked encoding",
        "zip",
        "quotation",
        "ragged",
        "ragged after blanks",
        "cut",
        "cut after blanks",
        "cut with quotes",
        "twice after blanks",
        "empty",
    ],
)
def test_what_is_wrong_with_the_bytes_is_told(
    name: str, raw: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_text, "LEAST", 16)
    monkeypatch.setattr(csv_text, "PER_ROW", 1)
    monkeypatch.setattr(csv_text, "MOST", 64)
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(DataError, match=said):
        list(csv_parts(tmp_path / name, TextForm(), 16))
    if "closed" not in said:  # which only the parts tell: the whole has a row less
        with pytest.raises(DataError, match=said):
            csv_table(name, raw, TextForm())


def test_lines_that_end_as_on_old_machines_are_lines(tmp_path: Path) -> None:
    raw = b'a,b\r1,"x\ry"\r2,z\r'
    found = csv_table("a.csv", raw, TextForm())
    assert found.frame.rows() == [("1", "x\ny"), ("2", "z")]
    assert found.lines is not None
    assert found.lines.to_list() == [2, 4]
    (tmp_path / "a.csv").write_bytes(raw)
    assert joined(csv_parts(tmp_path / "a.csv", TextForm(), 16)).frame.equals(found.frame)
    with pytest.raises(DataError, match="rule: the names of its columns"):
        csv_table("a.csv", b"a,b\r1,2\r\n3,4\n", TextForm())


def test_blanks_at_the_end_are_no_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a\n1\n  ")
    whole = csv_table("a.csv", b"a\n1\n  ", TextForm()).frame
    assert whole.rows() == [("1",)]
    assert joined(csv_parts(tmp_path / "a.csv", TextForm(), 16)).frame.equals(whole)


def test_a_line_without_anything_and_a_field_without_a_value_are_not_too_short(tmp_path: Path) -> None:
    raw = b'a,b\n\n1,\n  \n"2\n3",\n,\n\n'
    whole = csv_table("a.csv", raw, TextForm()).frame
    assert [row for row in whole.rows() if any(row)] == [("1", None), ("2\n3", None)]
    (tmp_path / "a.csv").write_bytes(raw)
    assert joined(csv_parts(tmp_path / "a.csv", TextForm(), 16)).frame.equals(whole)


@pytest.mark.parametrize("name", ["values.pq", "values.parquet"])
def test_a_parquet_file_is_known_by_either_ending(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pl.DataFrame({"a": range(1000)}).write_parquet(tmp_path / name)
    monkeypatch.setenv(LIMIT, "0.000001")
    assert beyond_memory(tmp_path / name)
    assert unread(tmp_path / name).frame.schema == {"a": pl.Int64()}


# ---- datasets

ZONED = "2020-03-01T09:00:00+01:00"
CSV = DATASET.replace("values.parquet", "{file}")


def stamped(form: str) -> Callable[[], pl.DataFrame]:
    return lambda: mixed(panel()).with_columns(pl.col("published_at").dt.strftime(form))


def with_last(frame: pl.DataFrame, column: str, value: object) -> pl.DataFrame:
    last = pl.int_range(pl.len()) == pl.len() - 1
    return frame.with_columns(pl.when(last).then(pl.lit(value)).otherwise(pl.col(column).cast(pl.String)).alias(column))


INGESTS: dict[str, tuple[str, str, Callable[[], pl.DataFrame]]] = {
    "instants": ("values.csv", STAMPED, stamped("%Y-%m-%dT%H:%M:%SZ")),
    "days, zipped, and strangers": (
        "values.csv.gz",
        STAMPED,
        lambda: pl.concat([panel(), panel().head(30).with_columns(series_id=pl.lit("p/other"))]).with_columns(
            pl.col("published_at").dt.strftime("%Y-%m-%d")
        ),
    ),
    "a rule": ("values.csv", "", lambda: panel(1).drop("published_at")),
    "a number that is none, in the last row": ("values.csv", STAMPED, lambda: with_last(panel(), "value", "1,5")),
    "mixed zones": (
        "values.csv",
        STAMPED,
        lambda: with_last(stamped("%Y-%m-%dT%H:%M:%SZ")(), "published_at", ZONED),
    ),
}


def dataset(folder: Path, text: str, file: str, frame: pl.DataFrame) -> Path:
    (folder / "p").mkdir(parents=True)
    (folder / "p" / "dataset.toml").write_text(text.replace("{file}", file))
    columns = {"series_id": "id", "period": "day", "value": "number", "published_at": "seen"}
    named = frame.with_columns(pl.col("series_id").str.strip_prefix("p/")).rename(columns, strict=False)
    raw = named.write_csv().encode()
    (folder / "p" / file).write_bytes(gzip.compress(raw, mtime=0) if file.endswith(".gz") else raw)
    return folder / "p"


@pytest.mark.parametrize(
    "case", [pytest.param(one, marks=pytest.mark.slow if one in ("a rule", "mixed zones") else []) for one in INGESTS]
)
def test_a_dataset_of_text_is_ingested_part_by_part_as_at_once(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, stamp, made = INGESTS[case]
    text = CSV.format(series=EACH.format(lag="" if stamp else LAG), stamp=stamp, file="{file}")
    folder = dataset(tmp_path / "datasets", text, file, made())
    parts, second = as_at_once(folder, tmp_path, monkeypatch)
    if not isinstance(parts, str):
        assert not lacks(second, load_dataset(folder))
        kept = [
            {one.name: one.read_bytes() for one in (tmp_path / home / "raw").iterdir()} for home in ("whole", "parts")
        ]
        assert kept[0] == kept[1]


@pytest.mark.slow
def test_every_id_of_a_text_that_is_larger_than_memory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    months = panel().filter(pl.col("series_id") != "p/d")
    text = CSV.format(series=EVERY, stamp=STAMPED, file="{file}")
    folder = dataset(tmp_path / "datasets", text, "values.csv", months)
    monkeypatch.setenv(LIMIT, LITTLE)
    names = [one.id for one in load_dataset(folder).series]
    monkeypatch.setenv(LIMIT, "8")
    (folder / "values.csv").touch()
    assert names == [one.id for one in load_dataset(folder).series] == ["p/a", "p/b", "p/c"]


def test_what_only_the_whole_text_tells_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = CSV.format(series=EACH.format(lag=""), stamp=STAMPED, file="{file}")
    days = stamped("%Y-%m-%d")()
    asserted = plain + '[[assert]]\nkind = "range"\nleast = 0.0\nseverity = "warn"\n'
    monkeypatch.setattr(streamed, "FEWEST", 10)
    for text, frame, why in (
        (plain, with_last(days, "published_at", "2020-03-01T09:00:00Z"), "some of column 'seen' are days"),
        (asserted, days, "it has steps or assertions"),
    ):
        folder = dataset(tmp_path / f"datasets{len(text)}", text, "values.csv", frame)
        said, archive = ingested(folder, tmp_path / f"home{len(text)}", LITTLE, monkeypatch)
        assert "too large" in str(said)
        assert why in str(said)
        assert LIMIT in str(said)
        assert not archive.batches().height


def test_rows_of_the_future_are_counted_where_the_whole_file_is_needed_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = CSV.format(series=EACH.format(lag=""), stamp=STAMPED, file="{file}")
    early = mixed(panel()).with_columns(pl.col("published_at").dt.strftime("%Y-%m-%d"))
    place = pl.int_range(pl.len())
    late = early.with_columns(
        published_at=pl.when(place.is_in([20, 90])).then(pl.lit("2999-01-31")).otherwise("published_at")
    )
    first = late.row(20, named=True)
    folder = dataset(tmp_path / "datasets", plain, "values.csv", late)
    monkeypatch.setattr(streamed, "FEWEST", 10)
    said, archive = ingested(folder, tmp_path / "home", LITTLE, monkeypatch)
    assert "2 row(s) are published later than now" in str(said)
    assert f"the first: {first['series_id']}, period {first['period']}, published 2999-" in str(said)
    assert "values.csv: " in str(said)
    assert "taking it in needs about" in str(said)
    assert not archive.batches().height


def test_two_values_of_one_cell_in_a_file_read_in_parts_are_told_what_to_do_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = panel(1).drop("published_at")
    twice = pl.concat([once, once.head(1).with_columns(value=pl.lit(9.0))])
    text = CSV.format(series=EACH.format(lag=LAG), stamp="", file="{file}")
    folder = dataset(tmp_path / "datasets", text, "values.csv", twice)
    monkeypatch.setattr(streamed, "FEWEST", 10)
    said, _ = ingested(folder, tmp_path / "home", LITTLE, monkeypatch)
    assert "two different values" in str(said)
    assert "keep the right row, or give each its own publication date" in str(said)
    assert "home folder" not in str(said)


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b'a,b\n1,"x\ny"\n2,z\n', [2, 4]),
        (b'\r\n\r\na,b\r\n1,"x\r\n\r\ny"\r\n\r\n2,z', [4, 7, 8]),
        (b'"a\nc",b\n"1 ""\n""",2\n3,4', [3, 5]),
        (b"\n\na,b\n1,2\n", [4]),
        (b'a,b\n"1",2\n3,4\n', None),
    ],
)
def test_a_row_has_the_number_of_the_line_on_which_it_begins(raw: bytes, lines: list[int] | None) -> None:
    found = csv_table("a.csv", raw, TextForm()).lines
    assert (found if found is None else found.to_list()) == lines
    table = read_content("a.csv", raw)
    assert table.line_numbers().to_list() == (lines or [2, 3])
    assert f"line {table.line_numbers()[-1]}," in table.place(table.frame.height - 1, "b")
