"""The benchmarks beside peers, small: every job runs, both sides come to the same, and a difference is noticed."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "experiments" / "benchmarks"
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
SCRIPTS = ("terms", "panels", "watched", "results", "jobs", "measure", "alone", "shipped")
with_peers = pytest.mark.skipif(not PEERS_PYTHON.exists(), reason="the peers are not installed: make bench-peers-env")
Script = Callable[[str], ModuleType]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """A benchmark script as a module, out of the way of other tests afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield import_module
    for name in SCRIPTS:
        sys.modules.pop(name, None)


def run(*command: object) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, *map(str, command)]
    return subprocess.run(whole, capture_output=True, text=True, check=True, env=environment())


def environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}


def panel_file(folder: Path, name: str, *sizes: object) -> Path:
    file = folder / f"{name}.parquet"
    run(FOLDER / "panels.py", name, file, *sizes)
    return file


def test_a_panel_is_the_same_every_time_and_of_every_number_of_series(script: Script, tmp_path: Path) -> None:
    terms, panels = script("terms"), script("panels")
    few, many = (terms.panel_of("C", series=size, periods=15) for size in (3, 5))
    for name, panel in (("one", few), ("two", few), ("more", many)):
        panels.write(panel, tmp_path / name)
    one, two, more = (pl.read_parquet(tmp_path / name) for name in ("one", "two", "more"))
    assert one.equals(two)
    assert more.head(one.height).equals(one)
    assert one.columns == ["series_id", "period", "published_at", "value"]
    assert (one.height, more.height) == (45, 75)
    assert (one["value"] > 0).all()
    assert one["period"][1].isoformat() == "2000-02-29"
    assert str(one["published_at"][1]) == "2000-03-11 00:00:00+00:00"
    assert not one["value"].equals(more["value"].tail(one.height))


def test_revisions_come_in_order_of_release_each_cell_as_often_as_asked(script: Script, tmp_path: Path) -> None:
    panel = script("terms").panel_of("R", series=2, periods=6, revisions=4)
    assert script("panels").write(panel, tmp_path / "r") == 48
    frame = pl.read_parquet(tmp_path / "r")
    assert frame["published_at"].is_sorted()
    cells = frame.group_by("series_id", "period").agg(pl.len(), pl.col("value").n_unique().alias("values"))
    assert (cells["len"] == 4).all()
    assert cells["values"].max() > 1


def ended(process: int) -> bool:
    """Whether a process is soon gone, or waits for nothing but to be forgotten."""
    for _ in range(100):
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False


HUNGRY = "import os, time; print(os.getpid(), flush=True); x = bytes(300 << 20) + b'1'; time.sleep(60)"
FEW = """schema = 1
name = "few"
question = "What does a first run cost?"
datasets = ["uk_macro"]
[target]
series = ["cpi"]
transform = { log_growth = 4 }
[origins]
every = "quarter end"
first = 2020-03-31
[horizons]
steps = [1]
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], stdout=open(sys.argv[2], 'w'))"


@pytest.mark.slow
def test_a_job_that_takes_too_much_memory_or_time_is_stopped_with_its_children(script: Script, tmp_path: Path) -> None:
    watch, told = script("watched").watch, tmp_path / "child"
    hungry = [sys.executable, "-c", PARENT, HUNGRY, str(told)]
    full = watch(hungry, timeout=20.0, memory=2.0**27, environment={})
    assert full.failure == "stopped above 0.125 GB"
    assert full.peak > 2**27
    assert ended(int(told.read_text()))
    slow = watch([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.3, memory=2.0**33, environment={})
    assert slow.failure == "stopped after 0.3 s"
    wrong = watch([sys.executable, "-c", "raise SystemExit('no data')"], timeout=9.0, memory=2.0**33, environment={})
    assert wrong.failure == "exit code 1: no data"
    said = 'print(\'{"seconds": {"all": 1.5}, "check": {"n": 2.0}}\')'
    right = watch([sys.executable, "-c", said], timeout=9.0, memory=2.0**33, environment={})
    assert (right.seconds, right.check, right.failure) == ({"all": 1.5}, {"n": 2.0}, "")


@pytest.mark.parametrize(("mae", "agrees"), [(2.0, True), (2.1, False)])
def test_two_sides_that_came_to_different_scores_are_noticed(script: Script, mae: float, agrees: bool) -> None:
    results, terms = script("results"), script("terms")
    ours = results.Row("ours", [1.0, 3.0, 2.0], [4.0], [5.0], 2**20, {"all": 2.0}, {"gbm mae": mae}, 1.0)
    peer = results.Row("peer", [8.0], [9.0], [7.0], 2**22, {"all": 8.0}, {"gbm mae": 2.0}, 1.5)
    machine = results.Machine("a machine", "a 1", "b 2")
    text, found = results.section("Job", terms.panel_of("A"), [ours, peer], machine, agree=1e-9, repeats=3)
    assert found is agrees
    assert "| ours | 2.00 (1.00-3.00) | all 2.00 | 4.00 | 5.00 | 1 MB |" in text
    assert "4.00 x as fast, 0.25 of the memory" in text


def test_a_side_that_failed_is_shown_and_not_compared(script: Script) -> None:
    results, terms = script("results"), script("terms")
    ours = results.Row("ours", [1.0], [1.0], [1.0], 2**20, {"all": 1.0}, {"n": 1.0}, 1.0)
    peer = results.Row("peer", [], [], [], 2**34, {}, {}, 1.0, failure="stopped above 14 GB")
    machine = results.Machine("a machine", "a 1", "b 2")
    text, found = results.section("Job", terms.panel_of("A"), [ours, peer], machine, agree=0.0, repeats=1)
    assert found
    assert "| peer | - | stopped above 14 GB | - | - | 16,384 MB |" in text
    assert "Against" not in text


def test_a_side_that_failed_in_a_later_repeat_is_shown_as_failed_and_not_set_against_ours(script: Script) -> None:
    results, terms = script("results"), script("terms")
    ours = results.Row("ours", [1.0], [1.0], [1.0], 2**20, {"all": 1.0}, {"n": 1.0}, 1.0, units=4.0)
    ended = results.Row("quick", [2.0], [2.0], [2.0], 2**20, {"all": 2.0}, {}, 1.0, units=8.0)
    failed = replace(ended, name="slow", failure="stopped after 9 s")
    machine = results.Machine("a machine", "a 1", "b 2")
    rows = [ours, ended, failed]
    text, _ = results.section("Job", terms.panel_of("A"), rows, machine, agree=0.0, repeats=3, unit="fit")
    assert "| slow | - | stopped after 9 s | - | - | 1 MB |" in text
    assert "Against quick: 2.00 x as fast" in text
    assert "Against slow" not in text
    assert "- Milliseconds per fit: ours 250; quick 250.\n" in text


def test_sides_take_turns_and_the_worst_memory_and_every_failure_are_told(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, jobs, watched, terms = (script(name) for name in ("measure", "jobs", "watched", "terms"))
    peers = tuple(jobs.Side(name, ("peer.py",)) for name in ("one", "two"))
    job = jobs.Job("job", "Job", "A", jobs.Side("ours", ("ours.py",)), peers)
    asked: list[str] = []

    def once(side: object, *_: object) -> object:
        asked.append(side.name)  # type: ignore[attr-defined]
        number = asked.count(asked[-1])
        failure = "stopped" if (asked[-1], number) == ("two", 2) else ""
        return watched.Watched(9.0, 9.0, [5, 7, 6][number - 1], {"all": [4.0, 1.0, 2.0][number - 1]}, failure=failure)

    monkeypatch.setattr(measure, "once", once)
    options = argparse.Namespace(skip=[], repeats=3)
    ours, one, two = measure.measured(job, terms.panel_of("A"), tmp_path / "a", options)
    assert asked == ["ours", "one", "two", "ours", "one", "two", "ours", "one"]  # one that failed is not tried again
    assert (ours.seconds, ours.stages, ours.peak) == ([4.0, 1.0, 2.0], {"all": 2.0}, 7)
    assert "| one | 2.00 (1.00-4.00) |" in script("results").line(one)
    assert (two.failure, two.peak) == ("stopped", 7)
    assert measure.parsed(["--skip", "peers"]).repeats == 3


def test_what_is_not_to_come_to_the_same_or_was_asked_in_part_is_not_compared(script: Script) -> None:
    measure, jobs, watched = script("measure"), script("jobs"), script("watched")
    job = jobs.Job("job", "Job", "A", jobs.Side("ours", ("ours.py",)), ())
    run = watched.Watched(1.0, 1.0, 1, {"all": 1.0}, {"a mae": 2.0, "units": 3.0})
    part = replace(run, check={**run.check, "asked": 2.0})
    plain, other = jobs.Side("one", ("peer.py",)), jobs.Side("one", ("peer.py",), alike=False)
    found = [measure.row(side, job, [one], 0.0) for side, one in ((plain, run), (other, run), (plain, part))]
    assert [one.check for one in found] == [{"a mae": 2.0}, {}, {}]
    assert found[0].units == 3.0


def test_what_is_not_training_is_shown_as_a_share(script: Script) -> None:
    results = script("results")
    told = results.Row("ours", [1.0], [1.0], [1.0], 2**20, {"all": 1.0}, {}, 1.0, outside=[0.1, 0.124, 0.3])
    assert "| all 1.00; 12 % outside training |" in results.line(told)
    assert "outside" not in results.line(replace(told, outside=[]))  # the specimen


def test_a_section_is_replaced_and_others_stay(script: Script, tmp_path: Path) -> None:
    replaced, file = script("results").replaced, tmp_path / "R.md"
    for name, text in (("a", "first\n"), ("b", "second\n"), ("a", "third\n")):
        replaced(file, name, text)
    whole = file.read_text(encoding="utf-8")
    assert whole.startswith("# What it costs")
    assert "first" not in whole
    assert whole.endswith("\n## a\n\nthird\n\n## b\n\nsecond\n")


def test_what_is_measured_alone_is_written_where_that_is_asked_for(script: Script, tmp_path: Path) -> None:
    alone, watched, file = script("alone"), script("watched"), tmp_path / "R.md"
    runs = [watched.Watched(2.0, 3.0, 2**20, {"ingest": one, "backtest": 1.0}) for one in (1.0, 0.5)]
    table = alone.jobs_table([alone.row("million", runs)])
    assert "| million | 1.75 (1.50-2.00) | ingest 0.75, backtest 1.00 | 2.00 | 3.00 | 1 MB |" in table
    for told, asked in (([], False), (["--write", str(file)], True), ([f"--write={file}"], True)):
        parser = argparse.ArgumentParser(prog="million.py")
        parser.add_argument("--repeats", type=int)
        parser.add_argument("--workers", type=int, default=2)
        alone.kept(alone.parsed(parser, ["--repeats", "2", *told]), "million", "A million", table)
        assert file.exists() is asked
    text = file.read_text(encoding="utf-8")
    assert text.count("## million") == 1
    assert (
        text.index("A million:")
        < text.index("| million |")
        < text.index("`python experiments/benchmarks/million.py --r")
    )
    assert "million.py --repeats 2`" in text
    assert f"- {datetime.now(UTC):%Y-%m-}" in text
    assert "2 x each; load up to" in text
    assert "(2 used)" in text
    assert "polars " in text
    parser = argparse.ArgumentParser()
    assert alone.parsed(parser, ["--write"]).write == FOLDER / "RESULTS.md"  # what `make bench` rewrites
    stopped = alone.row("million", [watched.Watched(2.0, 3.0, 2**33, failure="stopped above 8 GB")])
    assert "| million | - | stopped above 8 GB | - | - | 8,192 MB |" in alone.jobs_table([stopped])


def test_a_shipped_experiment_is_run_anew_and_again_each_in_a_process_of_its_own(
    script: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped, watched, asked = script("shipped"), script("watched"), list[tuple[str, bool]]()

    def watch(command: list[str], **_: object) -> object:
        home = Path(command[command.index("--once") + 1])
        asked.append((str(home), not any(home.iterdir())))
        (home / "found").touch()
        return watched.Watched(9.0, 9.0, 1, {"ingest and backtest": 8.0 if asked[-1][1] else 1.0 + len(asked)})

    monkeypatch.setattr(shipped, "watch", watch)
    assert shipped.main(["--repeats", "3"]) == 0
    assert [empty for _, empty in asked] == [True, False] * 3
    assert [len({home for home, _ in asked[:count]}) for count in (2, 4, 6)] == [1, 2, 3]
    table = capsys.readouterr().out
    assert "| uk_inflation, nothing found ready | 8.00 (8.00-8.00) |" in table
    assert "| uk_inflation, all of it found | 5.00 (3.00-7.00) |" in table


def test_every_benchmark_that_writes_its_section_does_so_when_made(script: Script) -> None:
    scripts = [path.name for path in FOLDER.glob("*.py") if "kept(" in path.read_text() and path.name != "alone.py"]
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert sorted(scripts) == ["doubling.py", "engines.py", "million.py", "origins.py", "shipped.py"]
    assert all(f"experiments/benchmarks/{name} --write\n" in made for name in scripts)
    assert (FOLDER / "RESULTS.md").read_text(encoding="utf-8").startswith(script("results").HEAD)


@pytest.mark.slow
def test_our_scores_of_the_rivals_are_those_of_the_plain_definition(tmp_path: Path) -> None:
    file = panel_file(tmp_path, "C", "--series", 3, "--periods", 60)
    job = run(FOLDER / "ours.py", "rivals", "C", file, "--series", 3, "--periods", 60, "--workers", 1)
    check = json.loads(job.stdout.splitlines()[-1])["check"]
    values = pl.read_parquet(file)["value"].to_numpy().reshape(3, 60)
    errors = [values[:, t + h] - values[:, t - 1] for t in range(60 - 23, 60 - 11) for h in range(12)]
    assert check["last_value n"] == 12 * 12 * 3
    assert check["last_value mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-12)
    assert check["last_value rmse"] == pytest.approx(np.sqrt(np.square(errors).mean()), rel=1e-12)


@pytest.mark.slow
def test_our_replay_knows_what_the_plain_definition_knows(script: Script, tmp_path: Path) -> None:
    sizes = ["--series", 4, "--periods", 12, "--revisions", 3]
    file = panel_file(tmp_path, "R", *sizes)
    job = run(FOLDER / "ours.py", "replay", "R", file, *sizes, "--origins", 7)
    check = json.loads(job.stdout.splitlines()[-1])["check"]
    frame = pl.read_parquet(file).sort("published_at", maintain_order=True)
    panel = script("terms").panel_of("R", series=4, periods=12, revisions=3)
    known = [
        frame.filter(pl.col("published_at") <= origin).unique(["series_id", "period"], keep="last")["value"]
        for origin in script("panels").snapshot_origins(panel, 7)
    ]
    assert check["known"] == sum(map(len, known))
    assert check["total"] == pytest.approx(sum(float(values.sum()) for values in known), rel=1e-12)


@pytest.mark.slow
def test_our_side_of_lightgbm_runs(tmp_path: Path) -> None:
    file = panel_file(tmp_path, "A", "--series", 3, "--periods", 80)
    told = ["--series", 3, "--periods", 80, "--origins", 2, "--workers", 1]
    report = json.loads(run(FOLDER / "ours.py", "boosting", "A", file, *told).stdout.splitlines()[-1])
    assert list(report["seconds"]) == ["ingest", "backtest", "leaderboard"]
    assert report["check"]["gbm n"] == 6
    assert 0.0 < report["check"]["gbm smape"] < 0.5
    own, wall = (report["check"][f"gbm seconds in {one}"] for one in ("bin", "train")), sum(report["seconds"].values())
    assert report["check"]["outside training"] == pytest.approx(1.0 - sum(own) / wall, abs=1e-4)


@pytest.mark.slow
@with_peers
def test_every_way_of_asking_what_was_known_comes_to_the_same(tmp_path: Path) -> None:
    sizes = ["--series", 4, "--periods", 12, "--revisions", 3]
    file = panel_file(tmp_path, "R", *sizes)
    told = [str(one) for one in ("R", file, *sizes, "--origins", 7)]
    found = {}
    for way in ("window", "newest", "intervals", "asof", "merge_asof"):
        command = [str(PEERS_PYTHON), str(FOLDER / "peer_replay.py"), way, *told]
        job = subprocess.run(command, capture_output=True, text=True, check=True)
        found[way] = json.loads(job.stdout.splitlines()[-1])["check"]
    assert found["window"]["known"] > 0
    assert all(one == pytest.approx(found["window"], rel=1e-12) for one in found.values())


@pytest.mark.slow
@with_peers
def test_what_the_scripts_of_the_peers_share_does_as_its_examples_say() -> None:
    command = [str(PEERS_PYTHON), "-m", "doctest", "-v", str(FOLDER / "peer_side.py")]
    job = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "3 passed" in job.stdout


COMPARED = {
    "rivals-B": 3,
    "rivals-slow": 3,
    "rivals-C": 1,
    "boosting-A": 5,
    "boosting-A-coded": 1,
    "boosting-B": 3,
    "boosting-C": 2,
    "replay": 1,
    "ets": 1,
    "ses": 1,
}
"""Sides of each job that must come to the same as ours."""


@pytest.mark.slow
@with_peers
@pytest.mark.parametrize("job", COMPARED)
def test_both_sides_of_a_job_come_to_the_same(job: str, tmp_path: Path) -> None:
    shares = {
        "rivals-B": 0.0005,
        "rivals-slow": 0.01,
        "rivals-C": 0.00005,
        "boosting-A": 0.05,
        "ets": 0.01,
        "ses": 0.01,
    }
    share = shares.get(job, 0.002)
    out = tmp_path / "R.md"
    asked = ["--only", job, "--share", share, "--repeats", 1, "--workers", 1, "--out", out, "--scratch", tmp_path]
    run(FOLDER / "measure.py", *asked)
    text = out.read_text(encoding="utf-8")
    assert text.count("largest relative difference") == COMPARED[job]
    assert "| - |" not in text


@pytest.mark.slow
def test_the_benchmark_of_doublings_prints_what_each_multiplies_by(tmp_path: Path) -> None:
    sizes = ["--series", 2, "--origins", 1, "--revisions", 2, "--repeats", 1, "--only", "series"]
    sizes += ["--write", tmp_path / "R.md"]
    rows = run(FOLDER / "doubling.py", *sizes).stdout.splitlines()[2:6]
    assert [row.split("|")[1].strip() for row in rows] == ["2", "4", "8", "16"]
    assert all(float(row.split("|")[3]) > 0 for row in rows[1:])
    assert "## doubling-series\n" in (tmp_path / "R.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_benchmark_of_many_origins_prints_what_each_costs(tmp_path: Path) -> None:
    told = ["--counts", 3, 6, "--days", 90, "--workers", 1, "--write", tmp_path / "R.md"]
    rows = run(FOLDER / "origins.py", *told).stdout.splitlines()[2:]
    assert rows[1] in (tmp_path / "R.md").read_text(encoding="utf-8")
    assert [row.split("|")[1].strip() for row in rows] == ["3", "6"]


@pytest.mark.slow
def test_a_first_run_of_an_experiment_that_ships_is_measured(tmp_path: Path) -> None:
    few = tmp_path / "experiments" / "few.toml"
    few.parent.mkdir()
    few.write_text(FEW, encoding="utf-8")
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    asked = ["--experiment", few, "--repeats", 1, "--workers", 1, "--write", tmp_path / "R.md"]
    assert "ingest and backtest" in run(FOLDER / "shipped.py", *asked).stdout
    assert "## few\n" in (tmp_path / "R.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_benchmark_of_a_million_series_stops_at_its_bound_of_memory(tmp_path: Path) -> None:
    done = run(FOLDER / "million.py", "--series", 20, "--workers", 1)
    assert "20 series x 60 months, 1 origins x 3 horizons: " in done.stdout
    bound = [sys.executable, FOLDER / "million.py", "--series", "20", "--memory", "0.1", "--write", tmp_path / "R.md"]
    stopped = subprocess.run(bound, capture_output=True, text=True, check=False, env=environment())
    assert stopped.returncode == 1
    assert "stopped above 0.1 GB" in stopped.stdout
    assert "| - | stopped above 0.1 GB | - | - |" in (tmp_path / "R.md").read_text(encoding="utf-8")
