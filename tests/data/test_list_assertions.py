"""What is asserted of forecasts, events and members: asked like values, on record like values, refused like values."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import DataError, ExperimentError
from harness.data.archive import Archive
from harness.data.dataset import load_dataset
from harness.data.ingest import IngestReport, ingest, lacks
from harness.report.cleaning import failures_text, status_text

HEAD = """
schema = 1
name = "mine"
origin = "made"
licence = "none needed"
[defaults]
frequency = "D"
zone = "Europe/London"
lag = { kind = "calendar_days", n = 0 }
[series.a]
[series.b]
[[source]]
file = "values.csv"
"""
SECTIONS = {
    "forecasts": '[forecasts]\nfile = "list.csv"\nzone = "Europe/London"\n'
    "[forecasts.issuers.bank]\n[forecasts.issuers.desk]\n",
    "events": '[[events]]\nfile = "list.csv"\nzone = "Europe/London"\n',
    "members": '[[members]]\nfile = "list.csv"\nzone = "Europe/London"\n',
}
COLUMNS = {
    "forecasts": "source,series,issued_at,period,value,note",
    "events": "series,kind,ex_date,value,announced_at,note",
    "members": "universe,series,from,to,announced_at,note",
}
CLEAN = {
    "forecasts": (
        "bank,a,2020-03-02T10:00,2020-04-01,1.0,ok",
        "bank,a,2020-03-09T10:00,2020-04-01,1.5,ok",
        "bank,a,2020-03-09T10:00,2020-04-02,2.0,ok",
        "desk,a,2020-03-02T10:00,2020-04-03,2.0,ok",
        "bank,b,2020-03-02T10:00,2020-04-03,2.0,ok",
    ),
    "events": (
        "a,dividend,2020-03-04,0.5,2020-02-20T10:00,ok",
        "a,dividend,2020-06-03,0.5,2020-05-20T10:00,ok",
        "a,split,2020-06-04,2.0,2020-02-21T10:00,ok",
        "b,delisting,2020-06-05,,2020-06-01T10:00,ok",
    ),
    "members": (
        "all,a,2020-03-02,2020-05-29,2020-02-20T10:00,ok",
        "all,a,2020-06-01,,2020-05-20T10:00,ok",
        "all,b,2020-03-02,,2020-02-20T10:00,ok",
    ),
}
DIRT = {
    ("forecasts", 'kind = "range"\nmost = 50.0'): ("bank,a,2020-03-10T10:00,2020-04-03,200.0,ok", "above 50.0"),
    ("forecasts", 'kind = "range"\nleast = 0.0\nseries = ["b"]'): (
        "bank,b,2020-03-10T10:00,2020-04-04,-2.0,ok", "below 0.0",
    ),
    ("forecasts", 'kind = "unique"'): (CLEAN["forecasts"][0], "the same row is given again"),
    ("forecasts", 'kind = "published"\nopens = 09:00:00\ncloses = 18:00:00'): (
        "bank,a,2020-03-10T03:00,2020-04-05,2.0,ok", "published before 09:00:00",
    ),
    ("forecasts", 'kind = "published"\nearliest = -60'): (
        "bank,a,2020-01-06T10:00,2020-06-30,2.0,ok", "before the end of its period and -60 day(s)",
    ),
    ("forecasts", 'kind = "monotone"'): (
        "bank,a,2020-03-10T10:00,2020-03-31,2.0,ok", "first published after the later period 2020-04-02",
    ),
    ("forecasts", 'kind = "schema"\ncolumns = { value = "number", period = "date" }\nnullable = false'): (
        "bank,a,2020-03-10T10:00,2020-04-05,much,ok", "value: not a finite number",
    ),
    ("events", 'kind = "range"\nmost = 10.0'): ("b,dividend,2020-03-04,50.0,2020-02-20T10:00,ok", "above 10.0"),
    ("events", 'kind = "unique"'): (CLEAN["events"][1], "the same row is given again"),
    ("events", 'kind = "published"\ncloses = 18:00:00'): (
        "b,dividend,2020-03-04,0.5,2020-02-20T23:00,ok", "published after 18:00:00",
    ),
    ("events", 'kind = "monotone"'): (
        "a,dividend,2020-05-04,0.5,2020-05-21T10:00,ok", "first published after the later period 2020-06-03",
    ),
    ("events", 'kind = "sessions"\ncalendar = "XNYS"'): (
        "b,dividend,2020-03-07,0.5,2020-02-20T10:00,ok", "no business day of XNYS",
    ),
    ("members", 'kind = "unique"'): (CLEAN["members"][2], "the same row is given again"),
    ("members", 'kind = "published"\ncloses = 18:00:00'): (
        "other,a,2020-03-02,,2020-02-20T23:00,ok", "published after 18:00:00",
    ),
    ("members", 'kind = "monotone"'): (
        "all,a,2019-03-01,2019-04-30,2020-05-21T10:00,ok", "first published after the later period 2020-06-01",
    ),
    ("members", 'kind = "sessions"'): ("other,a,2020-03-07,,2020-02-20T10:00,ok", "no business day"),
    ("members", 'kind = "schema"\ncolumns = { note = "text" }'): (
        "other,a,2020-03-02,,2020-02-20T10:00,M\u00c3\u00bcller", "note: text damaged by a wrong encoding",
    ),
}  # fmt: skip
CASES = [
    pytest.param(*key, *dirt, id=f"{key[0]} {key[1].split(chr(10))[0][8:-1]} {place}")
    for place, (key, dirt) in enumerate(DIRT.items())
]


def taken_in(root: Path, section: str, asserts: str, rows: tuple[str, ...]) -> tuple[Archive, IngestReport]:
    folder = root / "mine"
    folder.mkdir(exist_ok=True)
    asked = f'[[{section}.assert]]\nname = "asked"\n{asserts}\n' if asserts else ""
    (folder / "dataset.toml").write_text(HEAD + SECTIONS[section] + asked)
    (folder / "values.csv").write_text("series,period,value\na,2020-03-02,1\nb,2020-03-02,2\n")
    (folder / "list.csv").write_text("\n".join([COLUMNS[section], *rows]) + "\n")
    archive = Archive.open(root / "archive.duckdb")
    return archive, ingest(folder, archive, raw_dir=root / "raw")


def severity(asserts: str, word: str) -> str:
    return f'{asserts}\nseverity = "{word}"'


def rows_of(archive: Archive, section: str) -> int:
    table = "forecasts_in" if section == "forecasts" else section
    import duckdb

    with duckdb.connect(str(archive.path), read_only=True) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


@pytest.mark.parametrize(("section", "asserts", "dirt", "why"), CASES)
def test_clean_rows_pass_and_a_dirty_one_is_refused_and_on_record(
    tmp_path: Path, section: str, asserts: str, dirt: str, why: str
) -> None:
    archive, _ = taken_in(tmp_path, section, severity(asserts, "refuse"), CLEAN[section])
    assert archive.assertions().select("assertion", "verdict", "failed").rows() == [("asked", "passed", 0)]
    state, held = archive.state(), rows_of(archive, section)
    with pytest.raises(DataError, match="asked: 1 row"):
        taken_in(tmp_path, section, severity(asserts, "refuse"), (*CLEAN[section], dirt))
    assert (archive.state(), rows_of(archive, section)) == (state, held)
    failed = archive.refused_failures().row(0, named=True)
    assert (failed["line"], archive.refused_failures().height) == (2 + len(CLEAN[section]), 1)
    assert why in failed["reason"]
    assert why in failures_text(archive, "mine")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "asserts", "dirt", "why"),
    [case for case in CASES if not case.id.startswith("members")],  # type: ignore[union-attr]
)
def test_a_dirty_row_is_set_aside_with_its_reason(
    tmp_path: Path, section: str, asserts: str, dirt: str, why: str
) -> None:
    archive, report = taken_in(tmp_path, section, severity(asserts, "set aside"), (*CLEAN[section], dirt))
    assert archive.assertions().select("verdict", "failed").rows() == [("failed", 1)]
    (failed,) = archive.failures().iter_rows(named=True)
    assert failed["line"] == 2 + len(CLEAN[section])
    assert why in failed["reason"]
    assert rows_of(archive, section) == len(CLEAN[section])
    assert sum(one.set_aside for one in report.sources) == archive.set_aside().height == 1
    assert "mine: list.csv" in status_text(archive, "mine")
    assert not lacks(archive, load_dataset(tmp_path / "mine"))
    assert taken_in(tmp_path, section, severity(asserts, "set aside"), (*CLEAN[section], dirt))[1].already


def test_a_row_that_only_warns_is_taken_in_as_it_is(tmp_path: Path) -> None:
    dirt, _ = DIRT["members", 'kind = "monotone"']
    asked = severity('kind = "monotone"', "warn")
    archive, report = taken_in(tmp_path, "members", asked, (*CLEAN["members"], dirt))
    assert rows_of(archive, "members") == len(CLEAN["members"]) + 1
    assert archive.failures()["before"].to_list() == archive.failures()["after"].to_list() == ["2019-04-30"]
    assert report.sources[-1].assertions == (("asked", "warn", "failed", 1),)


def test_an_assertion_can_be_added_to_a_list_later_and_is_recorded_once(tmp_path: Path) -> None:
    archive, _ = taken_in(tmp_path, "events", "", CLEAN["events"])
    state = archive.state()
    asked = severity('kind = "unique"', "warn")
    taken_in(tmp_path, "events", asked, CLEAN["events"])
    assert archive.assertions()["verdict"].to_list() == ["passed"]
    assert archive.state() != state
    assert rows_of(archive, "events") == len(CLEAN["events"])
    assert not lacks(archive, load_dataset(tmp_path / "mine"))
    assert taken_in(tmp_path, "events", asked, CLEAN["events"])[1].already


def test_a_row_without_a_date_is_refused_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"list.csv, line 6, column 'announced_at': an empty field"):
        taken_in(
            tmp_path, "events", severity('kind = "unique"', "warn"), (*CLEAN["events"], "b,dividend,2020-03-04,1.0,,ok")
        )


@pytest.mark.parametrize(
    ("section", "asserts", "said"),
    [
        ("members", 'kind = "unique"\nseverity = "set aside"', "a choice of survivors"),
        ("members", 'kind = "range"\nmost = 1.0\nseverity = "warn"', "of members these are asked"),
        ("events", 'kind = "revision"\nseverity = "warn"', "of events these are asked"),
        ("forecasts", 'kind = "jmp"\nseverity = "warn"', 'did you mean "jump"'),
        ("forecasts", 'kind = "range"\nmost = 1.0', 'severity = "refuse"'),
        ("events", 'kind = "range"\nmost = 1.0\nseries = ["z"]\nseverity = "warn"', "'z' is none of the series"),
    ],
)
def test_what_cannot_be_asked_of_a_list_is_told(tmp_path: Path, section: str, asserts: str, said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        taken_in(tmp_path, section, asserts, CLEAN[section])


def test_a_list_that_would_be_refused_is_lacking_so_that_ingest_refuses_it_on_record(tmp_path: Path) -> None:
    asked, (dirt, _) = 'kind = "range"\nmost = 10.0', DIRT["events", 'kind = "range"\nmost = 10.0']
    archive, _ = taken_in(tmp_path, "events", severity(asked, "refuse"), CLEAN["events"])
    (tmp_path / "mine" / "list.csv").write_text("\n".join([COLUMNS["events"], *CLEAN["events"], dirt]) + "\n")
    assert lacks(archive, load_dataset(tmp_path / "mine"))


@pytest.mark.parametrize("asserts", ['kind = "range"\nmost = -1.0', 'kind = "schema"\ncolumns = { note = "number" }'])
def test_a_list_of_which_nothing_is_left_is_refused_in_plain_words(tmp_path: Path, asserts: str) -> None:
    with pytest.raises(DataError, match=r"list.csv: its assertions set every row aside: 5 row"):
        taken_in(tmp_path, "forecasts", severity(asserts, "set aside"), CLEAN["forecasts"])
    assert "set every row aside" in Archive.open(tmp_path / "archive.duckdb").refusals()["reason"][0]
