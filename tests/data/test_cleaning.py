"""Declared cleaning: every step does what it says to the rows it says, writes it down, and looks at nothing later."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from harness.core.errors import DataError, ExperimentError, UserError
from harness.data.archive import Archive
from harness.data.dataset import load_dataset
from harness.data.ingest import ingest, lacks
from tests.data.dirt import DAILY_HEAD, HEAD, KINDS, clean, daily, text
from tests.data.test_dirt import in_file, stated, taken_in


def step(keys: str, *, head: str = HEAD) -> str:
    return f"{head}[[source.clean]]\n{keys}\n"


def values_of(archive: Archive, series: str) -> dict[date, float]:
    rows = archive.revisions(series).filter(pl.col("availability") != "assumed")
    return dict(rows.group_by("period", maintain_order=True).last().select("period", "value").rows())


def dirty(kind: str) -> str:
    return text(KINDS[kind].make(clean()))


def test_a_unit_is_changed_back_where_it_was_wrong_and_every_value_noted(tmp_path: Path) -> None:
    keys = 'kind = "scale"\nname = "thousands"\nseries = ["b"]\nfactor = 0.001\nfirst = 2013-05-31\nlast = 2013-08-31'
    archive, report = taken_in(tmp_path, step(keys), dirty("wrong unit for a stretch"))
    assert {name for name, _ in report.sources[0].steps} == {"thousands"}
    told = archive.cleaning().row(0, named=True)
    assert (told["kind"], told["touched"], told["rows_in"]) == ("scale", 8, told["rows_out"])
    assert json.loads(told["parameters"])["factor"] == 0.001
    assert told["hash_before"] != told["hash_after"]
    touched = archive.touched()
    assert touched.height == 8
    assert all(float(before) * 0.001 == float(after) for before, after in touched.select("before", "after").rows())
    expected = in_file(text(clean()), dated=True)
    assert {(name, round(value, 6)) for name, value in stated(archive)} == {(name, value) for name, value in expected}


@pytest.mark.parametrize(("keep", "place"), [("first", 0), ("last", 1)])
def test_of_contradicting_rows_the_one_declared_is_kept(keep: str, place: int, tmp_path: Path) -> None:
    content = dirty("contradictory duplicates")
    archive, _ = taken_in(tmp_path, step(f'kind = "deduplicate"\nkeep = "{keep}"'), content)
    rows = [line.split(",") for line in content.splitlines() if line.startswith("b,2013-05-31,2013-06-20")]
    assert archive.touched()["after"].to_list() == ["", ""]
    found = archive.revisions("mine/b").filter(pl.col("period") == date(2013, 5, 31))
    assert found["value"][0] == float(rows[place][3])
    assert archive.set_aside().height == 2


def test_outliers_are_judged_by_what_was_published_before_them(tmp_path: Path) -> None:
    keys = 'kind = "outliers"\nseries = ["c"]\nk = 12\naction = "{}"'
    archive, _ = taken_in(tmp_path, step(keys.format("set aside")), dirty("outlier"))
    touched = archive.touched().row(0, named=True)
    assert archive.touched().height == 1
    assert (touched["series"], touched["after"], touched["decided"]) == ("mine/c", "", touched["published"])
    (tmp_path / "clip").mkdir()
    clipped, _ = taken_in(tmp_path / "clip", step(keys.format("clip")), dirty("outlier"))
    row = clipped.touched().row(0, named=True)
    assert float(row["after"]) < float(row["before"])
    assert sum(stated(clipped).values()) == len(clean())


def test_what_comes_later_moves_no_verdict_on_what_came_before(tmp_path: Path) -> None:
    rows = clean()
    declared = step('kind = "outliers"\nk = 3') + (
        '[[source.assert]]\nkind = "revision"\nk = 1.2\nseverity = "set aside"\n'
        '[[source.assert]]\nkind = "jump"\nfactor = 1.1\nseverity = "set aside"\n'
    )
    wild = [*rows[: len(rows) // 2], *KINDS["wrong unit for a stretch"].make(rows)[len(rows) // 2 :]]
    wild = wild[: len(rows) // 2] + [
        type(row)(row.series, row.period, row.released, f"{float(row.value) * (7 if place % 3 else -5):.1f}")
        for place, row in enumerate(wild[len(rows) // 2 :])
    ]
    noted = []
    for name, content in (("plain", rows), ("wild", wild)):
        (tmp_path / name).mkdir()
        archive, _ = taken_in(tmp_path / name, declared, text(content))
        last = f"{rows[len(rows) // 2 - 1].released[:10]}"
        early = pl.col("published") < last
        noted.append([frame.filter(early).drop("batch") for frame in (archive.touched(), archive.failures())])
    assert noted[0][0].height + noted[0][1].height > 3
    for one, other in zip(*noted, strict=True):
        assert one.equals(other)


def test_a_value_is_carried_over_days_nobody_works_and_no_further(tmp_path: Path) -> None:
    declared = step('kind = "fill"\ncalendar = "XNYS"', head=DAILY_HEAD)
    archive, _ = taken_in(tmp_path, declared, text(daily(), dated=False))
    found = values_of(archive, "mine/d")
    assert found[date(2019, 7, 4)] == found[date(2019, 7, 3)]
    assert found[date(2019, 6, 9)] == found[date(2019, 6, 8)] == found[date(2019, 6, 7)]
    (tmp_path / "gap").mkdir()
    gone = [row for row in daily() if row.period != "2019-06-12"]
    archive, _ = taken_in(tmp_path / "gap", declared, text(gone, dated=False))
    assert date(2019, 6, 12) not in values_of(archive, "mine/d")


def test_a_filled_day_follows_the_revisions_of_what_it_carries(tmp_path: Path) -> None:
    head = HEAD.replace('"M"', '"D"').replace("[series.b]\n[series.c]\n", "").replace("[series.a]", "[series.d]")
    content = (
        "period,released,value\n2019-06-06,2019-06-06T18:00:00,1\n2019-06-07,2019-06-07T18:00:00,2\n"
        "2019-06-07,2019-06-11T18:00:00,3\n2019-06-06,2019-06-12T18:00:00,9\n2019-06-09,2019-06-13T18:00:00,5\n"
    )
    archive, _ = taken_in(tmp_path, step('kind = "fill"', head=head), content)
    rows = archive.revisions("mine/d").filter(pl.col("period") == date(2019, 6, 9))
    # Sunday is known when it is over, then as Friday is revised, then by its own value
    assert rows["value"].to_list() == [2.0, 3.0, 5.0]
    assert [str(at)[:16] for at in rows["published_at"]] == ["2019-06-09 23:00", "2019-06-11 17:00", "2019-06-13 17:00"]
    assert rows["availability"].to_list() == ["rule", "rule", "observed"]


def test_names_are_hashed_with_a_key_that_is_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "a secret of forty letters, never written"
    hashed = {
        who: hmac.new(key.encode(), who.encode(), hashlib.sha256).hexdigest()[:16] for who in ("Ann Example", *"bc")
    }
    content = text(clean()).replace("\na,", "\nAnn Example,")
    declared = step(
        'kind = "deidentify"\ncolumns = ["series"]\nkey_env = "NAMES_KEY"',
        head=HEAD.replace("[series.a]", f'[series.a]\nin_file = "{hashed["Ann Example"]}"')
        .replace("[series.b]", f'[series.b]\nin_file = "{hashed["b"]}"')
        .replace("[series.c]", f'[series.c]\nin_file = "{hashed["c"]}"'),
    )
    monkeypatch.delenv("NAMES_KEY", raising=False)
    with pytest.raises(UserError, match="NAMES_KEY"):
        taken_in(tmp_path, declared, content)
    monkeypatch.setenv("NAMES_KEY", key)
    archive, _ = taken_in(tmp_path, declared, content)
    assert len(values_of(archive, "mine/a")) == 120
    stored = archive.path.read_bytes()
    assert key.encode() not in stored
    assert b"Ann Example" not in stored
    told = archive.cleaning().row(0, named=True)
    assert (told["touched"], told["hash_before"]) == (len(clean()), "")
    assert set(archive.touched()["before"]) == {"(withheld)"}
    monkeypatch.setenv("NAMES_KEY", "another")
    with pytest.raises(UserError, match="another description"):
        ingest(tmp_path / "mine", archive, raw_dir=tmp_path / "raw")


def test_lines_columns_and_words_are_put_right_before_they_are_read(tmp_path: Path) -> None:
    content = dirty("NaN, inf and text in numbers").replace("note", "remark", 1).replace("\nb,", "\nBee,")
    declared = (
        step('kind = "rename"\ncolumns = { remark = "note" }')
        + '[[source.clean]]\nkind = "map"\ncolumn = "series"\nvalues = { Bee = "b" }\n'
        + '[[source.clean]]\nkind = "drop"\ncolumn = "value"\nnot_a_number = true\nreason = "no number"\n'
    )
    archive, _ = taken_in(tmp_path, declared, content)
    assert archive.cleaning().select("kind", "touched").rows() == [("rename", 1), ("map", 239), ("drop", 3)]
    dropped = archive.touched().filter(pl.col("reason") == "no number")
    assert sorted(dropped["before"]) == ["NaN", "inf", "n/a"]
    lines = content.splitlines()
    assert [lines[line - 1].split(",")[3] for line in dropped["line"]] == dropped["before"].to_list()
    assert archive.set_aside().filter(pl.col("reason") == "no number").height == 3


FUNCTION = """
import polars as pl
def halve(frame):
    kept = frame.filter(pl.col("series") != "c")
    return kept.with_columns(value=pl.when(pl.col("series") == "b").then(pl.col("value") / 2).otherwise("value"))
def shift(frame):
    return frame.with_columns(period=pl.col("period").dt.offset_by("1d"))
"""


def test_a_function_of_the_users_is_diffed_row_by_row_and_hashed(tmp_path: Path) -> None:
    head = HEAD.replace("[series.c]\n", "").replace("[[source]]", "[series.c]\n[[source]]")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "tidy.py").write_text(FUNCTION)
    archive, _ = taken_in(tmp_path, step('kind = "function"\nfunction = "tidy:halve"', head=head), text(clean()))
    told = archive.cleaning().row(0, named=True)
    third = len(clean()) // 3
    assert (told["rows_in"], told["rows_out"], told["touched"]) == (3 * third, 2 * third, 2 * third)
    assert archive.set_aside().height == third
    (folder / "tidy.py").write_text(FUNCTION.replace("/ 2", "/ 4"))
    with pytest.raises(UserError, match=r"another description.*cleaning steps"):
        ingest(folder, archive, raw_dir=tmp_path / "raw")
    (tmp_path / "moved" / "mine").mkdir(parents=True)
    (tmp_path / "moved" / "mine" / "tidy.py").write_text(FUNCTION)
    with pytest.raises(DataError, match="moved rows"):
        taken_in(tmp_path / "moved", step('kind = "function"\nfunction = "tidy:shift"'), text(clean()))


CLEANED = (
    step('kind = "outliers"\nk = 12') + '[[source.assert]]\nkind = "range"\nmost = 150.0\nseverity = "set aside"\n'
)


@pytest.mark.slow
def test_reading_the_raw_input_again_makes_the_same_archive(tmp_path: Path) -> None:
    first, _ = taken_in(tmp_path, CLEANED, dirty("outlier"))
    (raw,) = (tmp_path / "raw").iterdir()
    (tmp_path / "again").mkdir()
    second, _ = taken_in(tmp_path / "again", CLEANED, raw.read_bytes())
    assert first.state() == second.state()
    assert first.export(tmp_path / "changes").name == second.export(tmp_path / "again" / "changes").name
    for one, other in ((first.cleaning(), second.cleaning()), (first.failures(), second.failures())):
        assert one.equals(other)


def test_the_same_input_twice_changes_nothing(tmp_path: Path) -> None:
    archive, _ = taken_in(tmp_path, CLEANED, dirty("outlier"))
    state = archive.state()
    dataset = load_dataset(tmp_path / "mine")
    assert not lacks(archive, dataset)
    assert ingest(tmp_path / "mine", archive, raw_dir=tmp_path / "raw").already
    assert archive.state() == state
    assert archive.cleaning().height == 1


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('kind = "drop"\ncolumn = "value"\nmatches = "("', "not a regular expression that can be used: unclosed group"),
        ('kind = "drop"\ncolumn = "value"\nmatches = "(?=1)"', "look-around.* is not supported"),
        ('kind = "scale"\nfactor = 2\nfirst = 2013-05-31\nlast = 2013-04-30', "first = .*after last"),
        ('kind = "scale"\nfactor = 2\nsince = 2013-05-31\nuntil = 2013-04-30', "since = .*after until"),
    ],
)
def test_a_step_that_cannot_be_taken_is_a_problem_of_the_file(keys: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=said):
        taken_in(tmp_path, step(keys), text(clean()))


def test_a_scale_that_leaves_the_numbers_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too much makes values that are not finite"):
        taken_in(tmp_path, step('kind = "scale"\nname = "too much"\nfactor = 1e308'), text(clean()))


DOUBLED = '[[clean]]\nkind = "scale"\nfactor = 2\n'


@pytest.mark.parametrize(
    "other",
    [
        CLEANED.replace("12", "13"),
        CLEANED.replace("150.0", "151.0"),
        HEAD,
        CLEANED + DOUBLED,
    ],
)
@pytest.mark.slow
def test_another_cleaning_of_the_same_file_is_refused_and_another_archive_elsewhere(other: str, tmp_path: Path) -> None:
    archive, _ = taken_in(tmp_path, CLEANED, dirty("outlier"))
    state = archive.state()
    with pytest.raises(UserError, match="another home folder"):
        taken_in(tmp_path, other, dirty("outlier"))
    assert archive.state() == state
    (tmp_path / "other").mkdir()
    elsewhere, _ = taken_in(tmp_path / "other", other, dirty("outlier"))
    assert elsewhere.state() != state


def test_an_assertion_that_only_warns_can_be_added_later_and_is_recorded(tmp_path: Path) -> None:
    archive, _ = taken_in(tmp_path, HEAD, text(clean()))
    asked = HEAD + '[[source.assert]]\nkind = "range"\nleast = 0.0\nseverity = "warn"\n'
    taken_in(tmp_path, asked, text(clean()))
    assert archive.assertions()["verdict"].to_list() == ["passed"]
    assert not lacks(archive, load_dataset(tmp_path / "mine"))


def test_an_archive_begun_before_there_were_records_opens_and_takes_them(tmp_path: Path) -> None:
    import duckdb

    archive, _ = taken_in(tmp_path, HEAD, text(clean()))
    with duckdb.connect(str(archive.path)) as connection:
        for table in ("cleaning", "touched", "assertions", "failures"):
            connection.execute(f"DROP TABLE {table}")
    assert archive.cleaning().is_empty()
    assert archive.failures().is_empty()
    asked = HEAD + '[[source.assert]]\nkind = "unique"\nseverity = "warn"\n'
    taken_in(tmp_path, asked, text(clean()))
    assert archive.assertions().height == 1


def test_an_ingest_that_stops_in_the_middle_leaves_neither_values_nor_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.data.archive.books.record_treatment", stops)
    with pytest.raises(KeyboardInterrupt):
        taken_in(tmp_path, CLEANED, dirty("outlier"))
    archive = Archive.open(tmp_path / "archive.duckdb")
    assert archive.batches().height == archive.cleaning().height == archive.set_aside().height == 0
    assert not stated(archive)


def test_everything_wrong_with_the_tables_is_reported_at_once(tmp_path: Path) -> None:
    wrong = (
        HEAD
        + '[[source.clean]]\nkind = "outlier"\n[[source.clean]]\nkind = "scale"\nfactr = 2\nseries = ["d"]\n'
        + '[[source.clean]]\nkind = "rename"\ncolumns = { a = "b" }\n'
        + '[[source.clean]]\nkind = "function"\nfunction = "none:here"\n'
        + '[[assert]]\nkind = "range"\nseverity = "refused"\n[[assert]]\nkind = "jmp"\n'
        + '[[assert]]\nkind = "gap"\nseverity = "set aside"\n'
        + '[[assert]]\nkind = "identity"\ntotal = "a"\nparts = ["x"]\nseverity = "warn"\n'
    )
    with pytest.raises(ExperimentError) as caught:
        taken_in(tmp_path, wrong, text(clean()))
    said = "\n".join(caught.value.problems)
    for part in (
        'did you mean "outliers"', 'did you mean "factor"', "'d' is none of the series", "stands after scale",
        "none.py", 'did you mean "refuse"', "has no bound", 'did you mean "jump"', '"refuse" or "warn"', "'x' is none",
    ):  # fmt: skip
        assert part in said, part


WIDE = (
    'schema = 1\nname = "mine"\norigin = "made"\nlicence = "none needed"\n[defaults]\nfrequency = "M"\nzone = "UTC"\n'
    'lag = { kind = "calendar_days", n = 20 }\n[series.a]\n[series.b]\n[[source]]\n'
    'file = "values.csv"\nlayout = "wide"\n'
    '[[clean]]\nkind = "scale"\nseries = ["b"]\nfactor = 10.0\n'
    '[[assert]]\nname = "columns"\nkind = "declared"\nseverity = "warn"\n'
    '[[assert]]\nname = "total"\nkind = "identity"\ntotal = "b"\nparts = ["a"]\nseverity = "set aside"\n'
)


def test_a_wide_table_dated_by_a_rule_is_cleaned_and_asked_the_same_way(tmp_path: Path) -> None:
    archive, _ = taken_in(tmp_path, WIDE, "period,a,b,c\n2020-01-31,20,2,1\n2020-02-29,31,3,1\n2020-03-31,40,4,1\n")
    assert values_of(archive, "mine/b") == {date(2020, 1, 31): 20.0, date(2020, 3, 31): 40.0}
    assert archive.touched().select("line", "before", "after").rows() == [
        (2, "2.0", "20.0"), (3, "3.0", "30.0"), (4, "4.0", "40.0"),
    ]  # fmt: skip
    assert archive.assertions().select("assertion", "verdict", "failed").rows() == [
        ("columns", "failed", 1), ("total", "failed", 2),
    ]  # fmt: skip
    assert set(archive.failures()["before"]) == {"c", "30.0", "31.0"}


ADDING = """
from datetime import date
import polars as pl
from aside import EXTRA
def add(frame):
    last = frame.filter(pl.col("series") == "b").tail(1)
    new = last.with_columns(row=pl.lit(None, pl.Int64), value=EXTRA, period=pl.lit(date(2020, 1, 31)))
    return pl.concat([frame, new])
def lines(table):
    return table.filter(pl.col("series") != "c").with_columns(note=pl.lit("read"))
"""


def test_a_function_may_add_rows_and_what_it_imports_is_part_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "tidy.py").write_text(ADDING)
    (folder / "aside.py").write_text("import polars as pl\nEXTRA = pl.lit(7.0)\n")
    archive, _ = taken_in(tmp_path, step('kind = "function"\nfunction = "tidy:add"'), text(clean()))
    added = archive.touched().row(0, named=True)
    assert (added["line"], added["before"], added["after"], added["series"]) == (None, "", "7.0", "mine/b")
    assert values_of(archive, "mine/b")[date(2020, 1, 31)] == 7.0
    (folder / "aside.py").write_text("import polars as pl\nEXTRA = pl.lit(8.0)\n")
    with pytest.raises(UserError, match="another description"):
        ingest(folder, archive, raw_dir=tmp_path / "raw")


def test_a_function_on_lines_is_diffed_field_by_field(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "tidy.py").write_text(ADDING)
    (folder / "aside.py").write_text("EXTRA = 0\n")
    declared = step('kind = "function"\nfunction = "tidy:lines"\non = "table"', head=HEAD.replace("[series.c]\n", ""))
    archive, _ = taken_in(tmp_path, declared, text(clean()))
    third = len(clean()) // 3
    told = archive.cleaning().row(0, named=True)
    assert (told["rows_in"], told["rows_out"], told["touched"]) == (3 * third, 2 * third, 3 * third)
    changed = archive.touched().filter(pl.col("after") != "")
    assert set(changed.select("before", "after").rows()) == {("ok", "read")}
    assert archive.set_aside().height == third
