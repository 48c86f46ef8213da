"""The threat table names the test that shows each outcome: every one is collected, not skipped, and can fail."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.studies.holdout.shown import Sources, collected, problem

ROOT = Path(__file__).parents[3]
TABLE = (ROOT / "harness" / "README.md").read_text(encoding="utf-8").partition("### What the seal withstands")[2]
ROWS = [line for line in TABLE.partition("\n## ")[0].splitlines() if line.startswith("| ")][1:]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


SOURCES = Sources(
    {module_of(path): path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("*.py"))}
)


def named_in(row: str) -> list[tuple[str, str]]:
    """Module and name of every test that a row names, by itself or with its whole file."""
    found = []
    for name in re.findall(r"`([^`]+)`", row.split("|")[3]):
        if name.endswith(".py"):
            module = module_of(ROOT / name)
            mine = [(module, one) for one in SOURCES.functions(module) if one.startswith("test_")]
        else:
            mine = [(module, name) for module, text in SOURCES.texts.items() if f"def {name}(" in text]
        assert len(mine) == 1 or (mine and name.endswith(".py")), f"{name} is there {len(mine)} times"
        found += mine
    return found


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip()[:50] for row in ROWS])
def test_every_outcome_is_shown_by_tests_that_can_fail_or_is_out_of_reach(row: str) -> None:
    named = named_in(row)
    assert named or "out of reach" in row.split("|")[2]
    assert {one: why for one in named if (why := problem(SOURCES, *one))} == {}


@pytest.mark.slow
def test_every_test_that_the_table_names_is_collected() -> None:
    named = {f"{module.replace('.', '/')}.py::{name}" for row in ROWS for module, name in named_in(row)}
    assert len(named) > 50
    assert named - collected(ROOT, sorted({one.partition("::")[0] for one in named})) == set()


def test_the_table_says_what_no_program_can_prevent() -> None:
    assert len(ROWS) >= 15
    assert "can always peek" in TABLE


SPECIMENS = """
import pytest
from far import checked, told
if False:
    def test_hidden(): assert told()
def test_sound(): assert told()
def test_raising():
    with pytest.raises(ValueError): told()
def test_by_another(): checked()
class TestIt:
    def test_inside(self): assert told()
def helper(): assert told()
def test_empty(): told()
def test_said_outright(): assert True
@pytest.mark.skip
def test_skipped(): assert told()
@pytest.mark.skipif(told(), reason="")
def test_sometimes(): assert told()
@pytest.mark.xfail
def test_expected(): assert told()
def test_skips_itself():
    pytest.skip("now")
    assert told()
@pytest.fixture
def leaving():
    pytest.importorskip("nothing")
def test_left_by_a_fixture(leaving): assert told()
def test_in_circles(): test_in_circles()
"""
FAR = "def checked(): return deeper()\ndef deeper(): assert told()\ndef told(): return 1\n"
SOUND = {"test_sound", "test_raising", "test_by_another", "test_inside"}
UNSOUND = {
    "test_hidden": "no test",
    "helper": "no test",
    "test_gone": "no test",
    "test_empty": "nothing in it can fail",
    "test_said_outright": "nothing in it can fail",
    "test_in_circles": "nothing in it can fail",
    "test_skipped": "left out (skip)",
    "test_sometimes": "left out (skipif)",
    "test_expected": "left out (xfail)",
    "test_skips_itself": "left out (skip)",
    "test_left_by_a_fixture": "left out (importorskip)",
}


def test_a_test_that_shows_something_is_told_from_one_that_does_not() -> None:
    sources = Sources({"near": SPECIMENS, "far": FAR})
    assert {name: problem(sources, "near", name) for name in SOUND} == dict.fromkeys(SOUND, "")
    for name, why in UNSOUND.items():
        assert why in problem(sources, "near", name), name
    everywhere = Sources({"near": f"{SPECIMENS}\npytestmark = pytest.mark.skip\n", "far": FAR})
    assert "left out" in problem(everywhere, "near", "test_sound")


@pytest.mark.slow
def test_a_test_that_is_not_collected_is_missed(tmp_path: Path) -> None:
    (tmp_path / "test_near.py").write_text(
        "def test_here():\n    assert 1\nclass Other:\n    def test_not(self): ...\n"
    )
    assert collected(tmp_path, ["test_near.py"], "-c", "/dev/null", "--rootdir", ".") == {"test_near.py::test_here"}
