"""Questions in SQL read archive and runs, and reach nothing else: no file, no network, no setting, no write."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import duckdb
import polars as pl
import pytest

import harness as hs
from harness.cli import main
from harness.data.archive import Archive
from harness.data.archive.sql import ask, lock, view_columns
from harness.record.home import Home

Capture = pytest.CaptureFixture[str]
EXPERIMENT = """
schema = 1
name = "asked"
datasets = ["uk_macro"]
[target]
series = ["cpi"]
transform = { log_growth = 4 }
[origins]
every = "quarter end"
first = 2023-03-31
[horizons]
steps = [0]
[models.ar]
kind = "autoregression"
"""
NOT_QUESTIONS = [
    "ATTACH '{outside}' AS other",
    "COPY (SELECT 1) TO '{outside}'",
    "COPY series TO '{outside}' (FORMAT csv)",
    "EXPORT DATABASE '{outside}'",
    "IMPORT DATABASE '{outside}'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "CALL pragma_version()",
    "CREATE TABLE mine AS SELECT 1",
    "CREATE OR REPLACE TABLE series AS SELECT 1",
    "DELETE FROM series",
    "UPDATE series SET unit = ''",
    "INSERT INTO series DEFAULT VALUES",
    "DROP TABLE series",
    "CHECKPOINT",
    "USE memory",
    "BEGIN",
    "CREATE SECRET (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY (SELECT 1) TO '{outside}'",
    ".import '{inside}' mine",
    ".read '{inside}'",
    ".shell ls",
    "",
    "SELECT 1) TO '{outside}' --",
]
REACHING_OUT = [
    "SELECT * FROM read_csv('{inside}')",
    "SELECT * FROM read_csv_auto('{inside}')",
    "SELECT * FROM sniff_csv('{inside}')",
    "SELECT * FROM read_text('{inside}')",
    "SELECT * FROM read_blob('{inside}')",
    "SELECT * FROM read_json('{inside}')",
    "SELECT * FROM read_parquet('{inside}')",
    "SELECT * FROM parquet_metadata('{inside}')",
    "SELECT * FROM '{inside}'",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM read_csv('https://example.org/x.csv')",
    "SELECT * FROM query('FROM read_text(''{inside}'')')",
    "SELECT * FROM query_table('{inside}')",
    "SELECT (SELECT content FROM read_text('{inside}'))",
    "WITH a AS (FROM read_text('{inside}')) SELECT * FROM a",
    "SELECT getenv('HOME')",
    "SELECT * FROM home",
    "SELECT * FROM secret_frame",
    "SELECT * FROM duckdb_scan('{archive}', 'series')",
    "SELECT load_extension('httpfs')",
    "SELECT * FROM sqlite_scan('{inside}', 'a')",
]


@pytest.fixture(scope="module")
def filled(uk_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    file = tmp_path_factory.mktemp("asked") / "asked.toml"
    file.write_text(EXPERIMENT)
    hs.backtest(file, home=uk_home.root, workers=1)
    return uk_home


def places(home: Home, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "secret.csv").write_text("word\nopen sesame\n")
    return {
        "inside": str(tmp_path / "secret.csv"),
        "outside": str(tmp_path / "written"),
        "folder": str(tmp_path),
        "archive": str(home.archive),
    }


def test_archive_and_runs_are_joined_in_one_question(filled: Home) -> None:
    found = ask(
        filled,
        "SELECT e.origin, e.outcome, c.value FROM errors e JOIN changes c "
        "ON c.series_id = e.series_id AND c.period = e.period AND c.published_at <= e.outcome_published_at "
        "WHERE e.model = 'ar' AND e.experiment = 'asked' ORDER BY e.origin, c.published_at",
    ).frame
    assert found.height
    assert found.schema["origin"] == pl.Datetime("us", "UTC")


def test_values_are_those_the_archive_gives(filled: Home) -> None:
    text = "SELECT period, published_at, value, availability FROM changes WHERE series_id = 'uk_macro/cpi' ORDER BY ALL"
    found = ask(filled, text, rows=None).frame
    expected = Archive.open(filled.archive, read_only=True).revisions("cpi")
    kept = expected.select("period", "published_at", "value", "availability").sort("period", "published_at")
    assert found.sort("period", "published_at").equals(kept)
    sources = ask(filled, "SELECT source FROM batches ORDER BY batch").frame["source"].to_list()
    assert sources == Archive.open(filled.archive).batches()["source"].to_list()


@pytest.mark.parametrize("text", NOT_QUESTIONS)
def test_what_is_no_question_is_refused(filled: Home, tmp_path: Path, text: str) -> None:
    asked = places(filled, tmp_path)
    before = hashlib.sha256(filled.archive.read_bytes()).hexdigest()
    with pytest.raises(hs.UserError):
        ask(filled, text.format(**asked))
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]
    assert hashlib.sha256(filled.archive.read_bytes()).hexdigest() == before


@pytest.mark.parametrize("text", REACHING_OUT)
def test_nothing_outside_is_reached(filled: Home, tmp_path: Path, text: str) -> None:
    secret_frame = pl.DataFrame({"word": ["open sesame"]})
    assert secret_frame.height
    with pytest.raises(hs.UserError) as caught:
        ask(filled, text.format(**places(filled, tmp_path)))
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("text", [*NOT_QUESTIONS[:10], *REACHING_OUT])
def test_the_locks_alone_hold_what_gets_past_the_first_refusal(filled: Home, tmp_path: Path, text: str) -> None:
    if text == "PRAGMA database_list":
        return  # harmless, and stopped by the first refusal
    with duckdb.connect(":memory:") as connection:
        lock(connection)
        with pytest.raises(duckdb.Error):
            connection.execute(text.format(**places(filled, tmp_path))).fetchall()
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_an_open_database_would_have_let_it_through(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("word\nopen sesame\n")
    with duckdb.connect(":memory:") as connection:
        assert connection.execute(f"SELECT * FROM '{tmp_path}/secret.csv'").fetchall() == [("open sesame",)]
        connection.execute(f"COPY (SELECT 1) TO '{tmp_path}/written'")
    assert (tmp_path / "written").exists()


def test_rows_are_bounded_and_it_says_so(filled: Home, capsys: Capture) -> None:
    assert ask(filled, "SELECT * FROM changes").frame.height == 200
    home = ["--home", str(filled.root)]
    assert main(["sql", "SELECT series_id FROM changes", "--rows", "3", "--csv", *home]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert "cut after 3 rows" in err
    assert main(["sql", "FROM range(5)", "--rows", "0", "--json", *home]) == 0
    out, err = capsys.readouterr()
    assert [row["range"] for row in json.loads(out)] == [0, 1, 2, 3, 4]
    assert err == ""
    assert main(["sql", "SELECT 1", "--rows", "-1", *home]) == 2


def test_views_are_listed_and_described(filled: Home, capsys: Capture) -> None:
    assert main(["sql", "--home", str(filled.root)]) == 0
    printed = capsys.readouterr().out
    for view in (
        "series",
        "changes",
        "publications",
        "batches",
        "forecasts",
        "errors",
        "scores",
        "leaderboards",
        "runs",
    ):
        assert f"\n{view} " in f"\n{printed}"
    assert "series_id" in view_columns(filled)["publications"]
    assert ask(filled, "DESCRIBE leaderboards").frame.height > 10
    assert ask(filled, "SELECT * FROM leaderboards ORDER BY rank; ").frame.height


def test_a_misspelt_view_is_met_with_the_right_one(filled: Home) -> None:
    with pytest.raises(hs.UserError, match="unknown view") as caught:
        ask(filled, "SELECT * FROM leaderbords")
    assert "leaderboards" in caught.value.fix
    with pytest.raises(hs.UserError, match="cannot be answered"):
        ask(filled, "SELECT nothing FROM series")


def test_a_home_without_archive_or_runs_still_answers(home: Home) -> None:
    assert ask(home, "SELECT count(*) AS n FROM runs").frame["n"].to_list() == [0]
