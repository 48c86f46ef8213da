import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest

import harness as hs
from harness.backtest.engine import InProcess
from harness.cli import main
from harness.data.archive import Archive
from harness.record.home import Home

ROOT = Path(__file__).parents[2]
Capture = pytest.CaptureFixture[str]


def refused(arguments: list[str], capsys: Capture) -> str:
    """The one message of a refused command, which ends with code 2 and prints nothing else."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


def numbers(text: str) -> str:
    """A printed summary without what a clock or a meter adds."""
    return re.sub(r"^(time|memory) .*$", "", text, flags=re.MULTILINE)


def test_a_backtest_ends_with_leaderboards_and_is_found_again(small: Path, capsys: Capture) -> None:
    assert main(["backtest", "small", "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "Is AR better than the rivals?" in printed
    for rival in ("last_value", "seasonal_last_value", "drift", "historic_mean", "path_zero", "path_last_step"):
        assert len(re.findall(rf"^ +\d+ +{rival} .*naive rival$", printed, flags=re.MULTILINE)) == 2
    assert re.search(r"^ +\d+ +ar ", printed, flags=re.MULTILINE)
    run_id = re.search(r"^run +(\w+)$", printed, flags=re.MULTILINE).group(1)  # type: ignore[union-attr]

    assert main(["backtest", str(small), "--workers", "1"]) == 0
    again = capsys.readouterr().out
    assert numbers(again) == numbers(printed)

    assert main(["show", run_id[:6]]) == 0
    assert numbers(capsys.readouterr().out) == numbers(printed)

    assert main(["runs"]) == 0
    assert re.search(rf"^{run_id[:12]}\w* +small +complete", capsys.readouterr().out, flags=re.MULTILINE)

    assert main(["report", run_id, "--out", "page.html"]) == 0
    assert Path(capsys.readouterr().out.strip()) == Path("page.html").absolute()
    assert Path("page.html").read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_a_finished_run_says_that_an_engine_had_nothing_to_do(
    small: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backtest.runner.engine_for", lambda *_: InProcess())  # neither Ray nor Dask is needed
    told = "every cell was stored already: --engine ray had nothing to compute"
    small.write_text(small.read_text().replace('name = "small"', 'name = "small"\nseed = 79'))  # no other test's cells
    assert main(["backtest", "small", "--engine", "ray"]) == 0
    assert told not in capsys.readouterr().out
    assert main(["backtest", "small", "--engine", "ray", "--engine-address", "10.0.0.1:6379"]) == 0
    assert told in capsys.readouterr().out
    assert main(["backtest", "small"]) == 0
    assert told not in capsys.readouterr().out


def test_a_command_that_runs_out_of_memory_says_so(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("harness.record.runs.list_runs", none_left)
    assert "out of memory; what was finished is stored" in refused(["runs"], capsys)


def test_a_command_that_is_told_to_end_says_so(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr("harness.record.runs.list_runs", told)
    assert main(["runs"]) == 143
    assert capsys.readouterr().err == "harness: told to end; run the same command again to resume\n"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_an_option_that_names_a_file_needs_a_name(capsys: Capture) -> None:
    for given in (["new", "x", "--data", ""], ["report", "a", "--out", ""], ["export", "a", "--to", ""]):
        assert "the name is empty" in refused(given, capsys)


def test_an_empty_name_is_no_home(small: Path, capsys: Capture) -> None:
    before = sorted(Path().iterdir())
    assert "no home folder is named: ''" in refused(["backtest", str(small), "--home", ""], capsys)
    assert sorted(Path().iterdir()) == before


def test_what_cannot_be_meant_is_refused_before_data_are_read_in(small: Path, tmp_path: Path, capsys: Capture) -> None:
    for given, said in (
        (["--engine", "dask", "--engine-address", "foo"], "not an address of a Dask cluster: 'foo'"),
        (["--engine", "rya"], "did you mean 'ray'?"),
        (["--workers", "0"], "no worker at all"),
    ):
        assert said in refused(["backtest", str(small), "--home", str(tmp_path / "new"), *given], capsys)
        assert not (tmp_path / "new" / "archive.duckdb").exists()


def test_the_leaderboard_printed_is_the_leaderboard_stored(small: Path, uk_home: Home, capsys: Capture) -> None:
    run = hs.backtest(small, workers=1)
    main(["show", run.id])
    printed = capsys.readouterr().out
    for row in run.leaderboard().filter(model="ar").iter_rows(named=True):
        block = printed.split(f"\nh = {row['horizon']}", 1)[1]
        line = re.search(r"^ +(\d+) +ar +([\d.]+) +([-+][\d.]+) %", block, flags=re.MULTILINE)
        assert line is not None
        assert int(line.group(1)) == row["rank"]
        assert float(line.group(2)) == pytest.approx(row["value"], rel=1e-3)
        assert float(line.group(3)) == pytest.approx(100 * row["skill"], abs=0.051)


def test_a_plan_says_what_each_origin_knows_and_counts_what_is_public_already(small: Path, capsys: Capture) -> None:
    text = small.read_text().replace("quarter end", "month end").replace("steps = [0, 1]", "steps = [-1, 0]")
    small.write_text(text)
    assert main(["plan", "small", "--all"]) == 0
    printed = capsys.readouterr().out
    assert "46 scored origins, 2022-03-31 to 2025-12-31 (Europe/London), after 1 of warm-up" in printed
    backcast, nowcast = (printed.split(f"\nh = {step} ", 1)[1].split("\nh = ", 1)[0] for step in (-1, 0))
    # A quarter is in the vintage of the next quarter's end: at every third month end the backcast is no forecast.
    assert "16 cells of scored origins already public, not forecasts" in backcast
    assert re.search(r"^  2022-05-31 +2022-03-31 +\d+ +\d+ +\d+ +\d+ ", backcast, flags=re.MULTILINE)
    assert re.search(r"^  2022-06-30 +2022-03-31 +\d+ +\d+ +\d+ +1 +\d+ ", backcast, flags=re.MULTILINE)
    assert "; 0 cells of scored origins" in nowcast
    assert re.search(r"^  2022-05-31 +1 +2021-12-31$", printed, flags=re.MULTILINE)
    assert re.search(r"^  2022-06-30 +2 +2022-03-31$", printed, flags=re.MULTILINE)
    assert re.search(r"^  2022-05-31 .* other phase; 1 not matured", nowcast, flags=re.MULTILINE)


def test_a_long_plan_is_cut_unless_all_is_asked_for(small: Path, capsys: Capture) -> None:
    small.write_text(small.read_text().replace("2022-03-31", "2010-03-31"))
    main(["plan", "small"])
    cut = capsys.readouterr().out
    main(["plan", "small", "--all"])
    whole = capsys.readouterr().out
    assert "... 41 more" in cut
    assert "more" not in whole
    assert cut.count("2016-06-30") == 0
    assert whole.count("2016-06-30") >= 2


def test_all_problems_of_an_experiment_come_at_once(small: Path, capsys: Capture) -> None:
    small.write_text(small.read_text().replace('["cpi"]', '["cpl"]').replace("warm_up", "warmup"))
    message = refused(["backtest", "small"], capsys)
    assert "2 problem(s)" in message
    assert "did you mean" in message


def test_a_misspelt_name_is_met_with_the_right_one(small: Path, capsys: Capture) -> None:
    assert "did you mean 'uk_macro'" in refused(["ingest", "uk_marco"], capsys)
    assert "small" in refused(["plan", "smal"], capsys)
    assert "unknown run" in refused(["show", "nothing"], capsys)
    assert "unknown run" in refused(["report", ""], capsys)


def test_an_impossible_plan_is_refused_and_leaves_the_archive_alone(
    small: Path, uk_home: Home, capsys: Capture
) -> None:
    hs.backtest(small, workers=1)
    before = hashlib.sha256(uk_home.archive.read_bytes()).hexdigest()
    runs = sorted(uk_home.runs.iterdir())
    small.write_text(small.read_text().replace("steps = [0, 1]", "steps = [-1]"))
    assert "no matured outcome" in refused(["backtest", "small"], capsys)
    small.write_text(small.read_text().replace("first = 2022-03-31", "first = 2022-03-31\nlast = 2030-03-31"))
    assert "beyond what is known" in refused(["backtest", "small"], capsys)
    assert hashlib.sha256(uk_home.archive.read_bytes()).hexdigest() == before
    assert sorted(uk_home.runs.iterdir()) == runs


def test_more_workers_than_cores_are_refused(small: Path, capsys: Capture) -> None:
    assert "more threads than cores" in refused(["backtest", "small", "--workers", "4096"], capsys)
    assert "--workers" in refused(["backtest", "small", "--workers", "0"], capsys)


def test_a_memory_setting_that_is_none_is_no_fault_of_the_dataset(
    home: Home, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_MEMORY", "abc")
    said = refused(["ingest", "uk_macro", "--home", str(home.root)], capsys)
    assert said.startswith("harness: HARNESS_MEMORY is not a number of GB: 'abc'")


def test_ingest_says_what_it_did_and_that_there_was_nothing_to_do(home: Home, capsys: Capture) -> None:
    assert main(["ingest", "uk_macro", "--home", str(home.root)]) == 0
    assert re.match(r"uk_macro: 4 series, \d+ rows in, \d+ new\n", capsys.readouterr().out)
    assert main(["ingest", "uk_macro", "--home", str(home.root)]) == 0
    assert capsys.readouterr().out == "uk_macro: nothing new\n"


def test_datasets_are_listed_with_what_is_ingested(uk_home: Home, capsys: Capture) -> None:
    assert main(["datasets", "--home", str(uk_home.root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"uk_macro +4 +yes +United Kingdom", next(line for line in lines if line.startswith("uk_macro")))
    assert re.match(r"brazil_gdp +10 +no ", next(line for line in lines if line.startswith("brazil_gdp")))


def test_lags_are_measured_on_the_vintages(uk_home: Home, capsys: Capture) -> None:
    assert main(["lags", "uk_macro", "--home", str(uk_home.root)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("uk_macro/cpi"))
    assert re.search(r" 90\.0 +92\.0 +92\.0 ", line)  # a quarter is in the vintage of the next quarter's end


def test_no_runs_yet_is_no_error(home: Home, capsys: Capture) -> None:
    assert main(["runs", "--home", str(home.root)]) == 0
    assert "no runs yet" in capsys.readouterr().out


def test_an_interrupted_backtest_says_how_to_go_on_and_then_does(small: Path, uk_home: Home, capsys: Capture) -> None:
    (small.parent / "slow_model.py").write_text(
        "import polars as pl\nfrom pathlib import Path\n\n"
        "class Slow:\n"
        "    def fit(self, rows, snapshot, *, seed):\n"
        "        pass\n\n"
        "    def predict(self, rows, snapshot):\n"
        "        if Path(__file__).with_name('stop').exists() and snapshot.origin.year == 2024:\n"
        "            raise KeyboardInterrupt\n"
        "        null = pl.lit(None, pl.Float64)\n"
        "        answer = [null.alias('quantile'), pl.lit(2.0).alias('value')]\n"
        "        return rows.keys.select('series_id', 'horizon', 'period', *answer)\n"
    )
    small.write_text(small.read_text() + '\n[models.slow]\nkind = "slow_model:Slow"\n')
    stop = small.parent / "stop"
    stop.touch()
    assert main(["backtest", "small", "--workers", "1"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "harness: interrupted; run the same command again to resume\n"
    assert main(["runs"]) == 0
    assert "stopped" in capsys.readouterr().out
    stop.unlink()
    assert main(["backtest", "small", "--workers", "1"]) == 0
    assert re.search(r"^ +\d+ +slow ", capsys.readouterr().out, flags=re.MULTILINE)


@pytest.mark.slow
def test_a_progress_bar_counts_cells_and_quiet_has_none(small: Path, capsys: Capture) -> None:
    small.write_text(small.read_text().replace('name = "small"', 'name = "small"\nseed = 77'))
    assert main(["backtest", "small", "--workers", "1", "--progress"]) == 0
    assert re.search(r"cells: 100%.* \d+/\d+ \[", capsys.readouterr().err)
    small.write_text(small.read_text().replace("seed = 77", "seed = 78"))
    assert main(["backtest", "small", "--workers", "1", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_strangers_table_reaches_a_leaderboard(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_HOME", str(home.root))
    ends = [date(2014 + month // 12, month % 12 + 1, 1) - timedelta(days=1) for month in range(1, 85)]
    rows = [f"{end},{100 + (17 * place) % 23 + place / 7:.2f}" for place, end in enumerate(ends)]
    Path("sales.csv").write_text("\n".join(["date,sales", *rows]) + "\n")
    assert main(["new", "sales", "--data", "sales.csv"]) == 0
    assert "datasets/sales/dataset.toml" in capsys.readouterr().out
    assert "lag" in refused(["ingest", "sales"], capsys)
    assert Archive.open(home.archive).series() == []

    declared = Path("datasets/sales/dataset.toml")
    declared.write_text(
        declared.read_text().replace('lag = { kind = "FILL IN" }', 'lag = { kind = "calendar_days", n = 20 }')
    )
    file = Path("experiments/sales.toml")
    models = file.read_text().index("[models.")
    file.write_text(file.read_text()[:models] + '[models.ar]\nkind = "autoregression"\n')
    assert main(["backtest", "sales", "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "PSEUDO REAL TIME" in printed
    assert re.search(r"^ +\d+ +ar ", printed, flags=re.MULTILINE)
    before = declared.read_text()
    assert "datasets/sales" in refused(["new", "sales", "--data", "sales.csv"], capsys)
    assert declared.read_text() == before


@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_a_full_disk_is_one_message(small: Path, unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "harness", "runs"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
        )
    assert (done.returncode, done.stderr) == (2, "harness: cannot write or read a file: No space left on device\n")


def test_a_home_that_cannot_be_made_is_one_message(tmp_path: Path, capsys: Capture) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for place in (str(blocked), str(blocked / "below"), "/proc/nowhere"):
        assert "the archive cannot be created" in refused(["ingest", "uk_macro", "--home", place], capsys)
    assert blocked.read_text() == "in the way"


@pytest.mark.slow
def test_a_reader_that_stops_reading_is_no_error(uk_home: Home) -> None:
    command = f"{sys.executable} -m harness lags uk_macro --home {uk_home.root} | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_bug_is_not_dressed_up_as_a_mistake_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(args: argparse.Namespace) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("harness.cli_runs._runs", broken)
    with pytest.raises(ZeroDivisionError):
        main(["runs"])


OWN = """
schema = 1
name = "own"
origin = "made up"
licence = "none"
[defaults]
frequency = "M"
zone = "UTC"
lag = { kind = "calendar_days", n = 2 }
[series.sales]
[[source]]
file = "sales.csv"
"""


def test_what_changed_in_a_dataset_after_ingest_is_never_ignored(
    small: Path, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(home.root))
    ends = [date(2014 + month // 12, month % 12 + 1, 1) - timedelta(days=1) for month in range(1, 85)]
    rows = ["period,value", *(f"{end},{100 + (17 * place) % 23 + place / 7:.2f}" for place, end in enumerate(ends))]
    folder = small.parents[1] / "datasets" / "own"
    folder.mkdir(parents=True)
    declared, values = folder / "dataset.toml", folder / "sales.csv"
    declared.write_text(OWN)
    values.write_text("\n".join(rows[:-1]) + "\n")
    text = small.read_text().replace("uk_macro", "own").replace("cpi", "sales").replace("quarter end", "month end")
    small.write_text(
        text.replace("2022-03-31", "2020-01-31").replace("schema = 1", "schema = 1\npseudo_real_time = true")
    )

    assert main(["plan", "small"]) == 0
    assert "own: 1 series" in capsys.readouterr().out
    assert main(["plan", "small"]) == 0
    assert "own:" not in capsys.readouterr().out

    values.write_text("\n".join(rows) + "\n")
    assert main(["plan", "small"]) == 0
    assert "own: 1 series, 84 rows in, 1 new" in capsys.readouterr().out

    declared.write_text(OWN.replace("n = 2 ", "n = 40 "))
    for verb in ("plan", "backtest", "ingest"):
        message = refused([verb, "own" if verb == "ingest" else "small"], capsys)
        assert "already declared differently" in message
        assert "--home DIR, or HARNESS_HOME=DIR" in message

    declared.write_text(OWN)
    values.write_text("\n".join(rows).replace("2014-01-31,100.00", "2014-01-31,55.00") + "\n")
    assert "two different values" in refused(["backtest", "small"], capsys)
