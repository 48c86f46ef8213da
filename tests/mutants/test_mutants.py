"""Every patch fits the present source, and the runner tells a mutant that was noticed from one that was not."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants.run import Verdict, copied, red, shares, verdict
from tests.mutants.table import Mutant, PatchError, patched, read_table

ROOT = Path(__file__).parents[2]
MUTANTS = read_table()
PRICE = '''\
"""What a thing costs."""


def due(price, paid):
    return price - paid
'''
TESTS = """\
from shop.price import due


def test_what_was_paid_is_not_due():
    assert due(5, 2) == 3
"""
SPECIMEN = Mutant(
    "paid twice", "law 0: what was paid is not due", "shop/price.py", "return price - paid", "return price + paid",
    ("tests/test_price.py",),
)  # fmt: skip


@pytest.mark.every_case
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_patch_fits_the_source_once_and_leaves_valid_python(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    broken = ast.parse(patched(source, mutant))
    assert ast.dump(broken) != ast.dump(ast.parse(source))
    assert mutant.killed_by
    assert all((ROOT / test.partition("::")[0]).is_file() for test in mutant.killed_by)


def test_there_are_enough_mutants_under_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 15
    laws = {mutant.rule.partition(":")[0] for mutant in MUTANTS}
    assert {f"law {number}" for number in (1, 3, 4, 5, 6, 7, 8, 11, 12)} <= laws


@pytest.mark.parametrize(("source", "times"), [("x = 2\n", 0), ("x = 1\nif x:\n    x = 1\n", 2)])
def test_a_line_that_is_gone_or_not_the_only_one_is_no_place_for_a_patch(source: str, times: int) -> None:
    mutant = replace(SPECIMEN, before="x = 1", after="x = 3")
    assert patched("y = 1\nif y:\n    x = 1\n", mutant) == "y = 1\nif y:\n    x = 3\n"
    with pytest.raises(PatchError, match=f"no longer applies: its line stands {times} times"):
        patched(source, mutant)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A tree of a made-up package with one test."""
    for name, content in (("shop/price.py", PRICE), ("tests/test_price.py", TESTS)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content)
    return tmp_path


def test_a_broken_law_is_killed_and_the_source_restored(shop: Path) -> None:
    found = verdict(shop, SPECIMEN)
    assert (found.killed, found.by) == (
        True,
        "tests/test_price.py::test_what_was_paid_is_not_due (AssertionError)",
    )
    assert (shop / "shop/price.py").read_text() == PRICE
    assert red(shop, [SPECIMEN], 1) == []


@pytest.mark.parametrize(
    ("after", "tests", "why"),
    [
        ("return -paid + price", SPECIMEN.killed_by, "SURVIVED 1 tests"),
        ("return price - payed", SPECIMEN.killed_by, "bad mutant, NameError"),
        ("return price -", SPECIMEN.killed_by, "bad mutant, it cannot be imported (SyntaxError"),
        ("return price + paid", ("tests/test_cost.py",), "exit code 4"),
        ("return price - paid", SPECIMEN.killed_by, "the patch changes nothing"),
    ],
    ids=["no-op", "undefined name", "not Python", "no such test", "same line"],
)
@pytest.mark.slow
def test_what_proves_nothing_is_not_killed(shop: Path, after: str, tests: tuple[str, ...], why: str) -> None:
    found = verdict(shop, replace(SPECIMEN, after=after, killed_by=tests))
    assert isinstance(found, Verdict)
    assert not found.killed
    assert why in found.by


@pytest.mark.slow
def test_a_test_that_is_red_anyway_or_cannot_be_collected_is_told_beforehand(shop: Path) -> None:
    (shop / "tests/test_price.py").write_text(TESTS.replace("== 3", "== 4"))
    assert red(shop, [SPECIMEN], 1) == ["tests/test_price.py::test_what_was_paid_is_not_due"]
    (shop / "tests/test_price.py").write_text("import nothing_of_that_name\n")
    assert red(shop, [SPECIMEN], 1) == ["tests/test_price.py"]
    uncollected = verdict(shop, SPECIMEN)
    assert (uncollected.killed, uncollected.by) == (False, "no answer, not collected: tests/test_price.py")


def test_outside_a_checkout_the_named_folders_are_copied(tmp_path: Path) -> None:
    for name in ("harness/core/a.py", "tests/b.py", "pyproject.toml", "other/c.py", "tests/__pycache__/b.pyc"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).touch()
    copy = copied(tmp_path / "tree", tmp_path / "copy")
    there = sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file())
    assert there == ["harness/core/a.py", "pyproject.toml", "tests/b.py"]


def test_tests_of_one_file_stay_together() -> None:
    assert shares(["a::1", "b", "a::2", "c", "a::1"], 2) == [["a::1", "a::2", "c"], ["b"]]
    assert shares(["a"], 2) == [["a"]]
