"""`harness audit` and `hs.audit`: verdicts, exit codes, what is kept beside a run and shown with it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.cli import main
from harness.core.errors import DamagedError
from harness.record.audits import AuditRecord, read_audit, write_audit
from harness.record.home import Home
from harness.report.audit import audit_section, audit_text
from harness.studies.audit import Asked
from harness.studies.verdict import NOT_PROVABLE, Finding, findings_frame

Capture = pytest.CaptureFixture[str]
CHECKS = ("scramble", "control", "isolation")
READING = '''
from pathlib import Path

import polars as pl


class Reading:
    """Answers the length of a file that lies beside it."""

    def fit(self, rows, snapshot, *, seed):
        pass

    def predict(self, rows, snapshot):
        value = float(len(Path(__file__).with_name("small.toml").read_text()))
        return rows.keys.select("series_id", "horizon", "period").with_columns(
            pl.lit(None, dtype=pl.Float64).alias("quantile"), pl.lit(value).alias("value")
        )
'''


def seeded(file: Path, seed: int) -> Path:
    """The same experiment as a run of its own: the archive's home is shared by all tests."""
    file.write_text(file.read_text().replace('name = "small"', f'name = "small"\nseed = {seed}'))
    return file


def stored(home: Home, run_id: str) -> AuditRecord:
    record = read_audit(home, run_id)
    assert record is not None
    return record


@pytest.mark.slow
def test_an_audit_passes_is_kept_and_is_shown_wherever_the_run_is(small: Path, uk_home: Home, capsys: Capture) -> None:
    run = hs.backtest(seeded(small, 101), workers=1)
    assert main(["show", run.id]) == 0
    assert "not audited for leakage: harness audit small" in capsys.readouterr().out
    assert "not audited" in run.report("before.html").read_text()

    assert main(["audit", "small", "--origins", "2", "--workers", "1", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for check in CHECKS:
        assert f"\n{check}: pass within the pipeline\n" in out
    for limit in NOT_PROVABLE:
        assert f"- {limit}" in out
    told = re.search(r"^More tables: (\S+),.*\n  each as NAME.parquet in (\S+),", out, flags=re.MULTILINE)
    assert told is not None
    assert (Path(told[2]) / f"{told[1]}.parquet").is_file()
    record = stored(uk_home, run.id)
    assert (uk_home.audits / run.id / "audit.json").is_file()
    assert record.facts["verdict"] == "pass"
    assert record.facts["not_provable"] == list(NOT_PROVABLE)

    for verb in (["show", run.id], ["backtest", "small", "--workers", "1", "--quiet"]):
        assert main(verb) == 0
        assert "leakage audit: pass within the pipeline (scramble pass" in capsys.readouterr().out
    page = run.report("after.html").read_text()
    assert "not audited" not in page
    assert "pass within the pipeline" in page
    assert NOT_PROVABLE[0] in page


@pytest.mark.slow
def test_a_leaking_class_ends_with_one_and_is_named(small: Path, uk_home: Home, capsys: Capture) -> None:
    (small.parent / "reading.py").write_text(READING)
    seeded(small, 102).write_text(small.read_text() + '[models.reading]\nkind = "reading:Reading"\n')
    assert main(["audit", "small", "--origins", "2", "--workers", "1"]) == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert "isolation" in err
    assert "\nisolation: fail\n" in out
    assert "reading:Reading" in out
    assert "small.toml" in out
    assert "\nscramble: pass within the pipeline\n" in out
    assert "leakage audit: fail (scramble pass, control pass, isolation fail" in out


@pytest.mark.parametrize("wrong", ["0", "1", "-3", "1.5", "every"])
def test_a_number_of_origins_that_is_none_is_refused(wrong: str, small: Path, capsys: Capture) -> None:
    assert main(["audit", "small", f"--origins={wrong}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("harness: an audit compares several origins")
    assert "a number of at least 2, or all" in err


def test_no_worker_at_all_is_refused(small: Path, capsys: Capture) -> None:
    assert main(["audit", "small", "--workers", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err


@pytest.mark.slow
def test_an_audit_in_python_gives_verdicts_evidence_and_figures_and_keeps_what_is_not_done_again(
    small: Path, uk_home: Home
) -> None:
    run = hs.backtest(seeded(small, 103), workers=1)
    earlier = {"verdict": "not shown", "said": "done another day", "cells": 3, "seconds": 1.0}
    figures = pl.DataFrame({"horizon": [0, 1], "premium": [0.1, 0.2]})
    evidence = findings_frame([Finding("premium", found="worth keeping"), Finding("scramble", found="out of date")])
    checks = {"premium": earlier, "scramble": {"verdict": "fail", "said": "out of date"}}
    write_audit(uk_home, run.id, {"checks": checks}, {"findings": evidence, "premium.premium": figures})

    said: list[str] = []
    found = hs.audit(small, origins=2, workers=1, say=said.append)
    assert (found.run_id, found.passed, found.verdict) == (run.id, True, "pass")
    assert {check.name for check in found.checks} >= set(CHECKS)
    assert found.check("scramble").cells > 0
    assert found.table("scramble")["removed"].max() > 0  # type: ignore[operator]
    assert found.findings.schema == findings_frame(()).schema
    assert any("scramble" in line for line in said)
    for name, call in (("scramle", found.check), ("figures", found.table)):
        with pytest.raises(hs.UserError, match=name):
            call(name)

    after = stored(uk_home, run.id)
    assert isinstance(after.facts["checks"], dict)
    assert after.facts["checks"]["premium"] == earlier
    assert after.facts["checks"]["scramble"]["verdict"] == "pass"
    assert after.tables["premium.premium"].equals(figures)
    assert after.tables["findings"].filter(check="premium")["found"].to_list() == ["worth keeping"]
    assert "out of date" not in after.tables["findings"]["found"].to_list()
    assert after.facts["verdict"] == "not shown"  # that of all checks together
    assert "done another day" in audit_text(after)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("a table", marks=pytest.mark.slow),
        pytest.param("a lost table", marks=pytest.mark.slow),
        pytest.param("the record", marks=pytest.mark.slow),
        "another record",
    ],
)
def test_a_damaged_audit_is_told_in_one_line_beside_the_results_and_a_new_one_heals_it(
    damage: str, small: Path, uk_home: Home, capsys: Capture
) -> None:
    run = hs.backtest(seeded(small, 104), workers=1)
    findings = findings_frame([Finding("scramble", found="moved")])
    facts = {"name": "small", "verdict": "fail", "checks": {"scramble": {"verdict": "fail", "said": "moved"}}}
    folder = write_audit(uk_home, run.id, facts, {"findings": findings})
    assert "leakage audit: fail" in shown(run.id, capsys)
    if damage == "a table":
        (folder / "findings.parquet").write_bytes(b"PAR1 and no more")
    elif damage == "a lost table":
        (folder / "findings.parquet").unlink()
    elif damage == "the record":
        (folder / "audit.json").write_bytes((folder / "audit.json").read_bytes()[:40])
    else:
        (folder / "audit.json").write_text(json.dumps(["not", "an", "audit"]))
    text = shown(run.id, capsys)
    assert "leakage audit: its record cannot be used" in text
    assert "leakage audit: fail" not in text
    assert "its record cannot be used" in run.report().read_text()
    with pytest.raises(DamagedError):
        run.audit()
    write_audit(uk_home, run.id, {**facts, "verdict": "pass"}, {"findings": findings})
    assert "leakage audit: pass" in shown(run.id, capsys)


@pytest.mark.slow
def test_an_audit_that_was_made_before_the_run_says_what_it_could_not_compare(
    small: Path, uk_home: Home, capsys: Capture
) -> None:
    run = hs.backtest(seeded(small, 105), workers=1)
    facts = {"name": "small", "verdict": "pass", "checks": {"scramble": {"verdict": "pass", "said": "the same"}}}

    def beside(cells: dict[str, int]) -> str:
        compared = pl.DataFrame({"model": list(cells), "cells": list(cells.values()), "origins": [2] * len(cells)})
        write_audit(uk_home, run.id, facts, {"findings": findings_frame(()), "scramble.stored_cells": compared})
        return next(line for line in shown(run.id, capsys).splitlines() if line.startswith("leakage audit: "))

    passed = "leakage audit: pass within the pipeline (scramble pass)"
    missed = "; not compared with the forecasts{} shown here, which were not stored then: harness audit small"
    assert beside({"ar": 2, "drift": 2}) == passed
    assert beside({"ar": 1, "drift": 2}) == passed + missed.format(" of ar")
    assert beside({"ar": 0, "drift": 0}) == passed + missed.format("")
    assert missed.format("") in run.report().read_text()


SLY = """
import sys

import polars as pl


class Sly:
    def fit(self, rows, snapshot, *, seed):
        pass

    def predict(self, rows, snapshot):
        value = 2.0 if "backtest" in sys.argv else 1.0
        return rows.keys.select("series_id", "horizon", "period").with_columns(
            pl.lit(None, dtype=pl.Float64).alias("quantile"), pl.lit(value).alias("value")
        )
"""


@pytest.mark.slow
def test_a_class_that_behaves_while_it_is_audited_is_caught_once_it_was_run(
    small: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small.parent / "sly.py").write_text(SLY)
    seeded(small, 106).write_text(small.read_text() + '[models.sly]\nkind = "sly:Sly"\n')
    audit = ["audit", "small", "--origins", "2", "--workers", "1", "--quiet"]
    assert main(audit) == 0
    assert "not compared" not in capsys.readouterr().out  # nothing is shown beside it
    monkeypatch.setattr("sys.argv", ["harness", "backtest", "small"])
    assert main(["backtest", "small", "--workers", "1", "--quiet"]) == 0
    assert re.search(r"audit: pass .*; not compared with the forecasts( of .*sly)? shown", capsys.readouterr().out)
    monkeypatch.setattr("sys.argv", ["harness", "audit", "small"])
    assert main(audit) == 1
    assert "stored cell of the run" in capsys.readouterr().out
    assert main(["backtest", "small", "--workers", "1", "--quiet"]) == 0
    assert "not compared" not in capsys.readouterr().out


def shown(run_id: str, capsys: Capture) -> str:
    assert main(["show", run_id]) == 0
    return capsys.readouterr().out


def test_names_and_values_from_data_are_escaped_on_the_page() -> None:
    wild = "<b>wild</b> & 'so'"
    finding = Finding(
        "scramble", wild, None, "forecast", wild, wild, wild, wild, wild, expected="<i>1</i>", found="<script>"
    )
    record = AuditRecord(
        {
            "name": wild,
            "verdict": "fail",
            "checks": {"scramble": {"verdict": "fail", "said": wild}},
            "not_provable": [wild],
        },
        {"findings": findings_frame([finding]), f"scramble.{wild}": pl.DataFrame({wild: [wild]})},
    )
    page = "".join(audit_section(record, wild))
    assert "&lt;b&gt;wild&lt;/b&gt; &amp;" in page
    for tag in ("<b>", "<i>", "<script"):
        assert tag not in page
    assert "".join(audit_section(None, wild)).count("<b>") == 0


def test_the_default_asks_for_five_origins() -> None:
    assert Asked().origins == 5
