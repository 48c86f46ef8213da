"""A refused ingest leaves a record of what was refused and why, and nothing else; corrected stamps do not go unsaid."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from harness.core.errors import DataError, UserError
from harness.data.archive import Archive
from harness.data.ingest import ingest
from harness.record.home import Home
from harness.report.cleaning import failures_text, status_text
from tests.data.dirt import HEAD, KINDS, clean, text
from tests.data.test_dirt import declared, dirty, taken_in
from tests.data.test_ingest import VINTAGE_ROWS, VINTAGES

OUTLIER = KINDS["outlier"]


def refused(root: Path, declaration: str, content: str) -> Archive:
    with pytest.raises(UserError):
        taken_in(root, declaration, content)
    return Archive.open(root / "archive.duckdb")


def test_a_refusal_says_when_which_file_which_assertion_and_which_rows(tmp_path: Path) -> None:
    content = dirty(OUTLIER)
    archive = refused(tmp_path, declared(OUTLIER, "refuse"), content)
    row = archive.refusals().row(0, named=True)
    assert (row["refusal"], row["dataset"]) == (1, "mine")
    assert row["source"].startswith("mine: values.csv [")
    assert row["sha256"] == hashlib.sha256(content.encode()).hexdigest()
    assert "asked: 1 row(s) fail" in row["reason"]
    verdict = archive.refused_assertions().row(0, named=True)
    assert (verdict["assertion"], verdict["verdict"], verdict["failed"]) == ("asked", "failed", 1)
    failed = archive.refused_failures().row(0, named=True)
    assert content.splitlines()[failed["line"] - 1].split(",")[3] == failed["before"]
    assert failed["reason"] == "above 120.0"
    status, failures = status_text(archive, "mine"), failures_text(archive, "mine")
    for part in ("nothing of mine was ingested", f"{row['refused']:%Y-%m-%d}", row["sha256"][:16], "asked", "range"):
        assert part in status
    assert "1 row(s) failed an assertion in an ingest that was refused" in failures
    assert "above 120.0" in failures


def test_a_refusal_changes_neither_values_nor_identity(tmp_path: Path) -> None:
    archive, _ = taken_in(tmp_path, declared(OUTLIER, "refuse"), text(clean()))
    state, change = archive.state(), archive.export(tmp_path / "changes").name
    raw = sorted(path.name for path in (tmp_path / "raw").iterdir())
    refused(tmp_path, declared(OUTLIER, "refuse"), dirty(OUTLIER))
    assert archive.refusals().height == 1
    assert (archive.state(), archive.export(tmp_path / "changes").name) == (state, change)
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == raw
    assert archive.assertions().height == 1
    assert archive.failures().is_empty()
    assert "values.csv" in status_text(archive, "mine").split("refused, and not taken in")[0]


def test_the_same_refusal_again_adds_its_instant_but_not_its_rows(tmp_path: Path) -> None:
    for _ in range(3):
        archive = refused(tmp_path, declared(OUTLIER, "refuse"), dirty(OUTLIER))
    assert archive.refusals()["refusal"].to_list() == [1, 1, 1]
    assert archive.refused_failures().height == archive.refused_assertions().height == 1
    refused(tmp_path, declared(OUTLIER, "refuse"), dirty(OUTLIER) + "b,2019-12-31,2020-01-20T09:30:00,999.0,ok\n")
    assert archive.refusals()["refusal"].to_list() == [1, 1, 1, 2]


def test_a_failing_step_and_an_unreadable_value_are_on_record_too(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "tidy.py").write_text("def broken(frame):\n    raise ValueError('no such thing')\n")
    step = f'{HEAD}[[source.clean]]\nkind = "function"\nfunction = "tidy:broken"\n'
    archive = refused(tmp_path, step, text(clean()))
    assert "no such thing" in archive.refusals()["reason"][0]
    refused(
        tmp_path, HEAD, text(clean()).replace("2013-05-31,2013-06-20T09:30:00,", "2013-05-31,2013-06-20T09:30:00,x")
    )
    assert "not a number" in archive.refusals()["reason"][1]
    assert "not a number" in failures_text(archive, "mine")


def test_a_value_that_contradicts_the_archive_is_on_record_and_the_rest_is_not_taken_in(tmp_path: Path) -> None:
    archive, _ = taken_in(tmp_path, VINTAGES, VINTAGE_ROWS)
    with pytest.raises(DataError, match="two different values"):
        taken_in(tmp_path, VINTAGES, VINTAGE_ROWS.replace("1.0", "1.1") + "2020-03-31,2020-04-22,3.0\n")
    assert "two different values" in archive.refusals()["reason"][0]
    assert archive.batches().height == 1


CHANGED = {
    "another cleaning step": (
        f'{HEAD}[[source.clean]]\nkind = "scale"\nseries = ["b"]\nfactor = 2.0\n',
        "another description",
    ),
    "a redeclared series": (HEAD.replace("[series.b]", '[series.b]\nunit = "apples"'), "declared differently"),
    "no key": (
        f'{HEAD}[[source.clean]]\nkind = "deidentify"\ncolumns = ["note"]\nkey_env = "NO_SUCH_KEY"\n',
        "key to de-identify",
    ),
}


@pytest.mark.parametrize("changed", CHANGED)
def test_what_is_refused_before_a_value_is_read_is_on_record_too(changed: str, tmp_path: Path) -> None:
    content = text(clean()[:60])
    archive, _ = taken_in(tmp_path, HEAD, content)
    declaration, said = CHANGED[changed]
    refused(tmp_path, declaration, content)
    row = archive.refusals().row(0, named=True)
    assert (row["source"], row["sha256"]) == ("mine: values.csv", hashlib.sha256(content.encode()).hexdigest())
    assert said in row["reason"]
    assert archive.batches().height == 1


def test_a_file_read_by_a_wrong_declaration_is_no_refused_ingest(tmp_path: Path) -> None:
    archive = refused(tmp_path, HEAD + "colour = 1\n", text(clean()))
    assert archive.refusals().is_empty()


def test_the_way_out_of_what_is_missing_is_a_warning_and_never_set_aside(tmp_path: Path) -> None:
    asked = f'{HEAD}[[source.assert]]\nkind = "gap"\nseverity = "refuse"\n'
    left_out = text([row for row in clean() if row.period != "2013-05-31"])
    with pytest.raises(DataError) as said:
        taken_in(tmp_path, asked, left_out)
    assert 'say severity = "warn";' in str(said.value)
    both = f'{asked}[[source.assert]]\nkind = "range"\nmost = 1.0\nseverity = "refuse"\n'
    with pytest.raises(DataError, match=r'"set aside" or "warn" \("warn" alone for gap'):
        taken_in(tmp_path, both, left_out)


def test_the_same_file_asked_again_counts_once_and_the_older_batch_is_told_of(tmp_path: Path) -> None:
    taken_in(tmp_path, declared(OUTLIER, "warn"), dirty(OUTLIER))
    archive, _ = taken_in(tmp_path, declared(OUTLIER, "warn").replace("120.0", "121.0"), dirty(OUTLIER))
    assert archive.failures().height == 2
    status, failures = status_text(archive, "mine"), failures_text(archive, "mine")
    assert "batch 1 by 2" in status
    assert '"most": 121.0' in status
    assert '"most": 120.0' not in status
    assert f"{archive.batches()['ingested'][1]:%Y-%m-%dT%H:%M}" in status
    assert failures.startswith("1 row(s) failed an assertion")
    assert "batch 1 by 2" in failures
    taken_in(tmp_path, declared(OUTLIER, "warn"), text(clean()[:60]))
    assert "batch 1 by 2;" in status_text(archive, "mine")


# ---- stamps corrected after an ingest

HISTORY = "period,released,value\n" + "".join(
    f"2020-{month:02d}-{day},2020-{month + 1:02d}-19,{month}.0\n"
    for month, day in ((1, 31), (2, 29), (3, 31), (4, 30), (5, 31))
)


def restamped(root: Path, first: str, second: str) -> int:
    taken_in(root, VINTAGES, first)
    archive, report = taken_in(root, VINTAGES, second)
    said = status_text(archive, "mine")
    count = report.sources[0].restamped
    assert (
        f"batch 2, mine: values.csv: {count} value(s) were already there under another publication stamp" in said
    ) == (count > 0)
    return count


@pytest.mark.parametrize(
    ("old", "new", "count"),
    [
        ("2020-03-19", "2020-03-20", 1),  # one in the middle
        ("2020-06-19", "2020-06-25", 1),  # the newest, to a later day
        ("2020-02-19", "2020-02-12", 1),  # the oldest, to an earlier day
        ("-19,", "-20,", 5),  # all of them, later
        ("-19,", "-18,", 5),  # all of them, earlier
    ],
)
def test_corrected_stamps_are_counted_and_the_way_out_told(tmp_path: Path, old: str, new: str, count: int) -> None:
    assert restamped(tmp_path, HISTORY, HISTORY.replace(old, new)) == count


@pytest.mark.slow
@pytest.mark.parametrize(
    "second",
    [
        HISTORY + "2020-06-30,2020-07-19,6.0\n",  # grown
        HISTORY + "2020-05-31,2020-07-19,5.0\n2020-06-30,2020-07-19,6.0\n",  # a new vintage that repeats a value
        "period,released,value\n2020-05-31,2020-07-19,5.0\n2020-06-30,2020-07-19,6.0\n",  # only the new vintage
        HISTORY.replace("2020-01-31,2020-02-19,1.0\n", "") + "2020-01-31,2020-07-19,1.0\n",  # a window that moved on
        HISTORY.replace("2020-03-19,2.0", "2020-03-20,2.5"),  # another value
    ],
)
def test_new_publications_are_no_corrections(tmp_path: Path, second: str) -> None:
    assert restamped(tmp_path, HISTORY, second) == 0


def test_the_same_values_in_another_dataset_are_its_own(tmp_path: Path) -> None:
    archive, _ = taken_in(tmp_path, VINTAGES, HISTORY)
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "dataset.toml").write_text(VINTAGES.replace('"mine"', '"other"'))
    (folder / "values.csv").write_text(HISTORY.replace("-19,", "-20,"))
    assert ingest(folder, archive, raw_dir=tmp_path / "raw").sources[0].restamped == 0


# ---- rows that are gone from a file, and rows without a value

GONE = [
    (HISTORY.replace("2020-03-31,2020-04-19,3.0\n", ""), 1),  # a line taken out
    (HISTORY.replace("2020-03-31,2020-04-19,3.0", "2020-03-31,2020-04-20,3.5"), 1),  # and another put there
    (HISTORY.replace("2020-01-31,2020-02-19,1.0\n", ""), 0),  # a window that moved on reaches back no further
    (HISTORY.replace("2020-04-19", "2020-04-20"), 0),  # a corrected stamp is told as such
    (HISTORY + "2020-06-30,2020-07-19,6.0\n", 0),
    # the oldest stamp corrected, which the file reaches back to no more, and another line taken out
    (HISTORY.replace("2020-02-19", "2020-02-20").replace("2020-03-31,2020-04-19,3.0\n", ""), 1),
]


@pytest.mark.parametrize(("second", "count"), GONE)
def test_rows_that_are_gone_from_a_file_are_counted(tmp_path: Path, second: str, count: int) -> None:
    taken_in(tmp_path, VINTAGES, HISTORY)
    archive, report = taken_in(tmp_path, VINTAGES, second)
    assert report.sources[0].gone == count
    assert archive.stated(["mine/cpi"]).height >= 5  # they stay


def test_rows_of_another_file_of_the_dataset_are_not_missed(tmp_path: Path) -> None:
    again = VINTAGES.partition("[[source]]")[2].replace("values.csv", "more.csv")
    two = f"{VINTAGES}\n[[source]]{again}"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "more.csv").write_text("period,released,value\n2020-03-31,2020-07-19,3.1\n")
    taken_in(tmp_path, two, HISTORY)
    _, report = taken_in(tmp_path, two, HISTORY + "2020-03-31,2020-08-19,3.2\n")
    assert [one.gone for one in report.sources] == [0, 0]


def test_withdrawals_are_counted_by_ingest_and_by_status(tmp_path: Path) -> None:
    archive, report = taken_in(tmp_path, VINTAGES, HISTORY.replace(",3.0", ",") + "2020-04-30,2020-07-19,\n")
    assert (report.kept, report.withdrawn) == (6, 2)
    assert "batch 1: 2 withdrawals" in status_text(archive, "mine")
    _, report = taken_in(tmp_path, VINTAGES, HISTORY.replace(",3.0", ",") + "2020-04-30,2020-08-19,4.0\n")
    assert (report.kept, report.withdrawn) == (1, 0)
    assert "batch 2: " not in status_text(archive, "mine")


def test_status_tells_of_forecasts_too(uk_home: Home) -> None:
    status = status_text(Archive.open(uk_home.archive), "uk_macro")
    assert re.search(r"uk_macro: forecasts.parquet +21,356 +21,356 ", status)
    with pytest.raises(UserError, match="nothing of this dataset"):
        status_text(Archive.open(uk_home.archive), "uk_mac")
