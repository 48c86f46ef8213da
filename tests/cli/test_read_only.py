"""A home folder that cannot be written (an auditor's copy, a disk mounted for reading) is read all the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.record.home import Home
from tests.read_only import powerless, read_only

ASKED = """
import contextlib, io, json, sys
from harness.cli import main
told = []
for line in json.loads(sys.argv[2]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*line, "--home", sys.argv[1]])
    told.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(told))
"""
Told = tuple[int, str, str]


def asked(home: Home, *lines: list[str]) -> list[Told]:
    """What verbs say of a home in which nobody can write: code, answer, message."""
    with read_only(home.root):
        return [(code, out, err) for code, out, err in json.loads(powerless(ASKED, home.root, json.dumps(lines)))]


@pytest.mark.slow
def test_every_verb_that_reads_works_where_nothing_can_be_written(kept: tuple[Home, str], tmp_path: Path) -> None:
    home, run = kept
    home.registry.with_suffix(".lock").unlink(missing_ok=True)
    before = {path: path.is_file() and path.read_bytes() for path in home.root.rglob("*")}
    reading = [
        ["runs"], ["show", run], ["show", run, "--profile"], ["report", run, "--out", str(tmp_path / "page.html")],
        ["lineage", run], ["lineage", run, "--forecast", "cpi", "2023-06-30", "1", "--model", "gbm"], ["verify"],
        ["export", run, "--to", str(tmp_path / "exported")], ["ledger", "verify"], ["effort", "cpi"], ["sql"],
        ["sql", "SELECT * FROM runs, effort"], ["trials", run], ["spaces", run], ["model-card", run],
        ["holdout", "status"], ["data", "status", "uk_macro"], ["data", "failures", "uk_macro"], ["lags", "uk_macro"],
        ["archive", "export", str(tmp_path / "archive.zip"), "--runs"],
    ]  # fmt: skip
    answers = asked(home, *reading)
    assert [(line[0], err) for line, (code, _, err) in zip(reading, answers, strict=True) if code] == []
    assert "tuned" in answers[1][1]
    assert "everything recorded is as it was written" in answers[6][1]
    assert (tmp_path / "page.html").stat().st_size > 10_000
    assert {path: path.is_file() and path.read_bytes() for path in home.root.rglob("*")} == before


@pytest.mark.slow
def test_what_must_write_is_refused_before_it_computes_with_the_way_out(
    whole: tuple[Home, str], tmp_path: Path
) -> None:
    home, run = whole
    file = home.root.parent / "kept.toml"
    shown, page, backtest, audit, ingest = asked(
        home, ["show", run], ["report", run], ["backtest", str(file)], ["audit", str(file)], ["ingest", "brazil_gdp"]
    )
    assert shown[0] == 0
    assert "gbm" in shown[1]
    assert [one[0] for one in (page, backtest, audit, ingest)] == [2] * 4
    assert "no page can be written into the folder of the run" in page[2]
    assert "fix: name a file elsewhere: harness report RUN --out FILE" in page[2]
    for one in (backtest, audit):
        assert f"harness: nothing can be written in this home folder: {home.root}; rule: " in one[2]
        assert "fix: name another one (--home DIR, HARNESS_HOME=DIR), or work on a copy of it" in one[2]
    assert "Permission denied; fix: name a home folder in which you may write" in ingest[2]
