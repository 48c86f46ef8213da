"""The threat table names the test that shows each outcome; every one of them is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TABLE = (ROOT / "harness" / "README.md").read_text(encoding="utf-8").partition("### What the seal withstands")[2]
ROWS = [line for line in TABLE.partition("\n## ")[0].splitlines() if line.startswith("| ")][1:]
SOURCES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")}


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip()[:50] for row in ROWS])
def test_every_outcome_is_shown_by_a_test_or_is_out_of_reach(row: str) -> None:
    _, _, outcome, shown, _ = row.split("|")
    named = re.findall(r"`([^`]+)`", shown)
    assert named or "out of reach" in outcome
    for name in named:
        if name.endswith(".py"):
            assert (ROOT / name).is_file(), name
        else:
            assert any(f"def {name}(" in text for text in SOURCES.values()), name


def test_the_table_says_what_no_program_can_prevent() -> None:
    assert len(ROWS) >= 15
    assert "can always peek" in TABLE
