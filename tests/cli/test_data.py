"""`harness data`: what an ingest did is found again, count by count and row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness as hs
from harness.cli import main
from tests.data.dirt import HEAD, KINDS, clean, text

DECLARED = HEAD + (
    '[[source.clean]]\nname = "wild"\nkind = "outliers"\nk = 12\n'
    '[[source.assert]]\nname = "sums"\nkind = "identity"\ntotal = "a"\nparts = ["b", "c"]\ntolerance = 0.05\n'
    'severity = "warn"\n'
)


@pytest.fixture
def ingested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_HOME", raising=False)
    folder = Path("datasets") / "mine"
    folder.mkdir(parents=True)
    (folder / "dataset.toml").write_text(DECLARED)
    (folder / "values.csv").write_text(text(KINDS["identity broken"].make(KINDS["outlier"].make(clean()))))
    assert main(["ingest", "mine"]) == 0
    return capsys.readouterr().out


def test_ingest_says_what_was_touched_and_what_failed(ingested: str) -> None:
    assert "values.csv: wild: 1 rows touched" in ingested
    assert "values.csv: sums (warn): failed, 3 rows" in ingested
    assert "1 rows: outside 25.9 to 71.5\n" in ingested
    assert "every row and its reason: harness data failures mine" in ingested


CARD = """
schema = 1
name = "mine"
question = "?"
datasets = ["mine"]

[target]
series = ["a"]
transform = { log_growth = 1 }

[origins]
every = "quarter end"
first = 2018-12-31

[horizons]
steps = [0]

[models.ar]
kind = "autoregression"
"""


def test_a_model_card_says_what_was_cleaned_asserted_and_set_aside(ingested: str) -> None:
    Path("mine.toml").write_text(CARD)
    run = hs.backtest("mine.toml", workers=1)
    data = run.model_card("ar").split("\n## Data\n", 1)[1].split("\n## ", 1)[0].replace("\\", "")
    assert "Rows set aside: batch 1: 1 of 717 rows." in data
    assert "| 1 | wild | outliers | action = set aside, k = 12.0, " in data
    assert "assertions: 0 of 1 passed" in data
    assert "| 1 | sums | identity | warn | failed | 716 | 3 | 2 |" in data
    touched = run.lineage("a", "2019-06-30", 0, model="ar").tables
    assert touched["touched"].height == 0  # of another series
    assert set(touched["failures"]["series"]) == {"mine/a"}


def test_status_counts_and_failures_lists(ingested: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "status", "mine"]) == 0
    status = capsys.readouterr().out
    assert "mine: values.csv" in status
    assert "outliers" in status
    assert "failed" in status
    assert main(["data", "failures", "mine"]) == 0
    failures = capsys.readouterr().out
    assert "3 row(s) failed an assertion" in failures
    assert "1 row(s) touched by a cleaning step" in failures
    assert "1 row(s) not taken" in failures
    assert "its parts make" in failures


def test_a_dataset_that_was_not_ingested_is_refused_with_the_way_to_do_it(
    ingested: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "status", "us_markets"]) == 2
    assert "harness ingest us_markets" in capsys.readouterr().err


def test_a_refused_ingest_is_found_again(ingested: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("datasets") / "mine" / "dataset.toml"
    file.write_text(DECLARED.replace('"warn"', '"refuse"'))
    values = file.with_name("values.csv")
    values.write_text(values.read_text() + "a,2019-12-31,2020-01-20T09:30:00,1.0,ok\n")
    assert main(["ingest", "mine"]) == 2
    assert "harness data failures" in capsys.readouterr().err
    assert main(["data", "status", "mine"]) == 0
    assert "refused, and not taken in" in capsys.readouterr().out
    assert main(["data", "failures", "mine"]) == 0
    assert "3 row(s) failed an assertion in an ingest that was refused" in capsys.readouterr().out


def test_corrected_stamps_are_told_by_ingest_and_by_status(ingested: str, capsys: pytest.CaptureFixture[str]) -> None:
    values = Path("datasets") / "mine" / "values.csv"
    values.write_text(values.read_text().replace("2013-06-20T09:30:00", "2013-06-21T09:30:00"))
    assert main(["ingest", "mine"]) == 0
    told = capsys.readouterr().out
    assert "6 value(s) were already there under another publication stamp" in told
    assert "--home DIR" in told
    assert main(["data", "status", "mine"]) == 0
    assert "6 value(s) were already there under another publication stamp" in capsys.readouterr().out


def test_stamps_that_are_unclear_are_told(ingested: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("datasets") / "mine"
    values = folder / "values.csv"
    values.write_text(values.read_text().replace("2013-06-20T09:30:00", "2013-10-27T01:30:00"))
    assert main(["ingest", "mine", "--home", "other"]) == 0
    assert "values.csv: 6 publication stamp(s) name a local time that the clocks" in capsys.readouterr().out


def test_announcements_of_the_future_are_told_with_the_reason(
    ingested: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path("datasets") / "mine" / "dataset.toml"
    file.write_text(file.read_text() + '\n[[events]]\nfile = "events.csv"\n')
    file.with_name("events.csv").write_text("series,kind,ex_date,value,announced_at\na,split,2999-01-01,2,2999-01-01\n")
    for _ in range(2):
        assert main(["ingest", "mine"]) == 0
    told = capsys.readouterr().out
    assert "  events.csv: 1 rows set aside" in told
    assert "  1 rows: published later than now" in told


def test_rows_that_are_gone_and_withdrawals_are_told(ingested: str, capsys: pytest.CaptureFixture[str]) -> None:
    values = Path("datasets") / "mine" / "values.csv"
    lines = values.read_text().splitlines(keepends=True)
    values.write_text("".join(lines[:-1]))
    assert main(["ingest", "mine"]) == 0
    gone = "1 rows that the archive has of it are not in it any more; they stay"
    assert f"0 new\n  values.csv: {gone}\n" in capsys.readouterr().out
    series, period, stamp, _, note = lines[-1].split(",")
    values.write_text("".join([*lines, f"{series},{period},{stamp.replace('2020', '2021')},,{note}"]))
    assert main(["ingest", "mine"]) == 0
    assert ", 1 withdrawals\n" in capsys.readouterr().out


def test_an_archive_without_a_dataset_folder_tells_all_the_same(
    ingested: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path("datasets") / "mine").rename("elsewhere")
    assert main(["data", "status", "mine"]) == 0
    assert "mine: values.csv" in capsys.readouterr().out
    assert main(["data", "failures", "mine"]) == 0
    assert "failed an assertion" in capsys.readouterr().out
    assert main(["data", "status", "mines"]) == 2
    assert "unknown dataset" in capsys.readouterr().err
