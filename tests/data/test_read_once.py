"""A dataset is read in again where a file of it changed, once, whether or not the change brought anything new."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from harness.cli import main
from harness.core.time import micros
from harness.data.archive import Archive
from harness.data.dataset import load_dataset
from harness.data.ingest import IngestReport, ingest, lacks
from harness.record import clock
from harness.record.memory import LIMIT
from tests.data.test_dataset import LONG, panel
from tests.data.test_listings import CLOSES, EVENTS, FORECASTS, MEMBERS, TOML, Desk

EXPERIMENT = """
schema = 1
name = "trial"
pseudo_real_time = true
datasets = ["shares"]
[target]
series = "acme"
transform = "log_return"
[origins]
every = "friday"
first = 2020-01-03
[horizons]
steps = [1]
"""
ISSUES = "source,series,issued_at,period,value\ndesk,acme,2020-01-02,2020-01-05,3\ndesk,acme,2020-01-03,2020-01-06,4\n"


def cut(text: str) -> str:
    """A file without its last row."""
    return text[: text.rstrip("\n").rindex("\n") + 1]


CHANGES = {
    "values lost a row": ("closes.csv", cut(CLOSES)),
    "values written otherwise": ("closes.csv", CLOSES.replace("100", "100.0")),
    "events lost a row": ("events.csv", cut(EVENTS)),
    "members lost a row": ("members.csv", cut(MEMBERS)),
    "forecasts lost a row": ("forecasts.csv", cut(ISSUES)),
}
LONGER = {
    "events.csv": f"{EVENTS}ACM;dividend;02.01.2020;1,0;01.01.2020\n",
    "members.csv": f"{MEMBERS}small,ACM,2020-01-01,,2020-01-01\n",
    "forecasts.csv": f"{ISSUES}desk,acme,2020-01-04,2020-01-07,5\n",
}
UNRECORDED = [("plain", f"{one} lost a row") for one in ("events", "members", "forecasts")]
"""Lists of which nothing is asserted: what they hold tells whether the archive has all of it."""
ASSERTED = '[[{}.assert]]\nkind = "unique"\nseverity = "warn"\n'


def asserted(toml: str) -> str:
    """The same with an assertion on every file: their batches are called by what the files hold."""
    for section in ("source", "events", "members"):
        before, table, after = toml.partition(f"[[{section}]]")
        body, following, rest = after.partition("\n[")
        toml = f"{before}{table}{body}\n{ASSERTED.format(section)}{following}{rest}"
    return toml + ASSERTED.format("forecasts")


TOMLS = {"plain": TOML + FORECASTS, "asserted": asserted(TOML + FORECASTS)}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.write(toml=TOML + FORECASTS)
    (made.folder / "forecasts.csv").write_text(ISSUES)
    (made.root / "experiments" / "trial.toml").write_text(EXPERIMENT)
    return made


def said(desk: Desk, capsys: pytest.CaptureFixture[str], verb: str = "plan") -> str:
    """What a verb prints of the ingest it did first; "" = it did none."""
    code = main([verb, str(desk.root / "experiments" / "trial.toml"), "--home", str(desk.root)])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out.partition("\n")[0] if out.startswith("shares: ") else ""


def is_lacking(desk: Desk) -> bool:
    return lacks(desk.archive, load_dataset(desk.folder))


def test_a_run_reads_a_series_without_any_value_in_once(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    (desk.folder / "closes.csv").write_text(
        "date,ACM,zenith\n" + "".join(f"2020-01-0{day},{day},\n" for day in range(1, 9))
    )
    assert said(desk, capsys, "backtest") == "shares: 2 series, 14 rows in, 14 new"
    assert "shares/zenith" not in desk.archive.ingested()
    assert said(desk, capsys, "backtest") == ""
    assert not is_lacking(desk)
    with (desk.folder / "closes.csv").open("a") as file:
        file.write("2020-01-09,9,1\n")
    assert said(desk, capsys) == "shares: 2 series, 16 rows in, 2 new"


@pytest.mark.parametrize(
    ("toml", "change"), [(toml, change) for toml in TOMLS for change in CHANGES if (toml, change) not in UNRECORDED]
)
def test_a_run_reads_a_file_that_brings_nothing_new_in_once(
    toml: str, change: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk.folder / "dataset.toml").write_text(TOMLS[toml])
    assert said(desk, capsys).endswith(" 14 new")
    name, text = CHANGES[change]
    (desk.folder / name).write_text(text)
    assert said(desk, capsys).endswith(" 0 new")
    assert said(desk, capsys) == ""
    assert desk.ingest().already


@pytest.mark.parametrize(("toml", "change"), UNRECORDED)
def test_a_list_of_which_the_archive_has_every_row_is_not_read_in(
    toml: str, change: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk.folder / "dataset.toml").write_text(TOMLS[toml])
    assert said(desk, capsys).endswith(" 14 new")
    state, batches = desk.archive.state(), desk.archive.batches().height
    name, text = CHANGES[change]
    (desk.folder / name).write_text(text)
    assert said(desk, capsys) == ""
    assert desk.ingest().already
    assert (desk.archive.state(), desk.archive.batches().height) == (state, batches)
    (desk.folder / name).write_text(LONGER[name])
    assert said(desk, capsys).endswith(" 1 new")
    assert said(desk, capsys) == ""


def test_files_that_somebody_names_beside_rows_make_no_batch_of_their_own(two: Path, tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "x.duckdb")
    archive.define(*load_dataset(two).series)
    given = values("a")
    assert archive.append(given, source="desk", raw={"a.csv": "0" * 64}).batch == 1
    assert archive.append(given, source="other desk", raw={"b.csv": "1" * 64}).batch == 0
    assert archive.append(given, source="other desk", raw={"b.csv": "1" * 64}, record_empty=True).batch == 2
    assert archive.append(given, source="other desk", raw={"b.csv": "1" * 64}, record_empty=True).batch == 0


@pytest.mark.parametrize("more", [False, True])
def test_forecasts_that_were_set_aside_are_taken_in_once_of_the_dataset_that_has_them(
    more: bool, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Desk(tmp_path / "other")
    other.archive = desk.archive
    other.write(toml=(TOML + FORECASTS).replace('name = "shares"', 'name = "others"'))
    other.folder = other.folder.rename(other.folder.with_name("others"))
    (other.folder / "forecasts.csv").write_text(ISSUES)
    later = datetime.now(UTC) + timedelta(days=9)
    row = f"desk,acme,{later:%Y-%m-%d},{later:%Y-%m-%d},5\n"
    for one in (desk, other):
        (one.folder / "forecasts.csv").write_text(ISSUES)
        one.ingest()
    (desk.folder / "forecasts.csv").write_text(ISSUES + row)
    assert desk.ingest().set_aside == 1
    monkeypatch.setattr(clock, "now", lambda: micros(later + timedelta(days=2)))
    if more:
        (other.folder / "forecasts.csv").write_text(ISSUES + "desk,acme,2020-01-04,2020-01-07,5\n")
        assert not other.ingest().already
    for one, due in ((other, False), (desk, True)):
        assert is_lacking(one) is due
        assert one.ingest().already is not due
        assert not is_lacking(one)
    (desk.folder / "forecasts.csv").write_text(cut(ISSUES) + row)
    assert not is_lacking(desk)
    assert desk.ingest().already


def test_a_file_read_part_by_part_that_lost_a_row_is_read_in_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive.open(tmp_path / "archive.duckdb")
    taken_in(panel(tmp_path, values=LONG + "s2,2020-02-29,9\n"), archive)
    monkeypatch.setenv(LIMIT, "0.0000001")
    folder = panel(tmp_path, values=LONG)
    assert lacks(archive, load_dataset(folder))
    assert taken_in(folder, archive).kept == 0
    assert not lacks(archive, load_dataset(folder))
    assert taken_in(folder, archive).already


def taken_in(folder: Path, archive: Archive) -> IngestReport:
    return ingest(folder, archive, raw_dir=archive.path.parent / "raw")


def test_a_list_goes_back_and_forth_while_its_rows_come_to_lie_in_the_past(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = datetime.now(UTC) + timedelta(days=9)
    longer = f"{EVENTS}ACM;split;{later:%d.%m.%Y};3,0;{later:%d.%m.%Y}\n"
    for text, kept in ((EVENTS, 2), (longer, 0), (EVENTS, None), (longer, None)):
        desk.write(toml=TOML + FORECASTS, events=text)
        assert is_lacking(desk) is (kept is not None)
        assert {one.label: one.kept for one in desk.ingest().sources}["events.csv"] == (kept or 0)
    monkeypatch.setattr(clock, "now", lambda: micros(later + timedelta(days=2)))
    other = f"{longer}ACM;dividend;02.01.2020;1,0;01.01.2020\n"
    for text, kept in ((EVENTS, None), (other, 2), (longer, None), (EVENTS, None)):
        desk.write(toml=TOML + FORECASTS, events=text)
        assert is_lacking(desk) is (kept is not None)
        assert {one.label: one.kept for one in desk.ingest().sources}["events.csv"] == (kept or 0)
        assert not is_lacking(desk)


def test_a_list_without_any_row_is_refused_until_the_dataset_does_without_it(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(desk, capsys)
    (desk.folder / "forecasts.csv").write_text(ISSUES.partition("\n")[0] + "\n")
    batches = desk.archive.batches().height
    assert main(["plan", str(desk.root / "experiments" / "trial.toml"), "--home", str(desk.root)]) == 2
    assert "data file has no rows: forecasts.csv" in capsys.readouterr().err
    (desk.folder / "dataset.toml").write_text(TOML)
    assert said(desk, capsys) == ""
    assert desk.archive.batches().height == batches


# ---- what counts as taken in


TWO = """
schema = 1
name = "two"
origin = "made"
licence = "mine"

[defaults]
frequency = "D"
zone = "UTC"
lag = { kind = "calendar_days", n = 0 }

[series.a]
[series.b]
[series.idle]

[[source]]
file = "first.csv"
layout = "wide"
series = ["a", "idle"]

[[source]]
file = "second.csv"
layout = "wide"
series = ["b"]
"""


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A dataset of two files, of which the first has a column without values."""
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "dataset.toml").write_text(TWO)
    (folder / "first.csv").write_text("period,a,idle\n2020-01-01,1,\n")
    (folder / "second.csv").write_text("period,b\n2020-01-01,2\n")
    return folder


def values(*names: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"series_id": [f"two/{name}" for name in names], "period": [date(2020, 1, 1)] * len(names), "value": 1.0}
    )


def test_an_ingest_that_stopped_before_its_last_source_is_lacking(two: Path, tmp_path: Path) -> None:
    whole, archive, dataset = (
        Archive.open(tmp_path / "whole.duckdb"),
        Archive.open(tmp_path / "x.duckdb"),
        load_dataset(two),
    )
    assert lacks(archive, dataset)
    archive.define(*dataset.series)
    assert lacks(archive, dataset)
    taken_in(two, whole)
    first, second = whole.batches()["source"]
    archive.append(values("a"), source=first)
    assert lacks(archive, dataset)
    archive.append(values("b").with_columns(value=2.0), source=second)
    assert not lacks(archive, dataset)


def test_values_that_came_by_other_means_are_not_lacking_but_a_series_without_any_is(two: Path, tmp_path: Path) -> None:
    archive, dataset = Archive.open(tmp_path / "x.duckdb"), load_dataset(two)
    archive.define(*dataset.series)
    archive.append(values("a", "b"), source="desk")
    assert lacks(archive, dataset)
    archive.append(values("idle"), source="desk")
    assert not lacks(archive, dataset)
    assert archive.append(values("a", "b", "idle"), source="other desk").batch == 0


def test_values_that_came_by_other_means_first_are_read_in_from_their_files_once(two: Path, tmp_path: Path) -> None:
    archive, dataset = Archive.open(tmp_path / "x.duckdb"), load_dataset(two)
    archive.define(*dataset.series)
    archive.append(values("a", "b").with_columns(value=pl.Series([1.0, 2.0])), source="desk")
    assert taken_in(two, archive).kept == 0
    assert not lacks(archive, dataset)
    assert taken_in(two, archive).already
