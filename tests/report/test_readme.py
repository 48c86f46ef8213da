import argparse
import re
import tomllib
from pathlib import Path

import pytest

import harness as hs
from harness import cli
from harness.data.archive.schema import LATER_TABLES
from harness.record.home import Home
from harness.record.tables import run_views

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLES = [
    "forecasts",
    "statuses",
    "errors",
    "scores",
    "leaderboard",
    "against_rivals",
    "inputs",
    "origins",
    "trials",
    "search_spaces",
]


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def documented(table: str) -> list[str]:
    """Columns named in the first cells of the table under a heading, in order."""
    section = README.split(f"\n### {table}\n", 1)[1].split("\n#", 1)[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def verbs() -> list[str]:
    parser = cli._parser()
    (choices,) = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return list(choices)


@pytest.mark.parametrize("table", TABLES)
def test_the_column_reference_is_complete_and_true(toy: hs.Run, table: str) -> None:
    expected = list(getattr(toy, table)().columns)
    if table == "errors":
        expected = [name for name in expected if name not in toy.forecasts().columns]
    assert sorted(documented(table)) == sorted(expected)


def test_the_list_of_views_is_complete(tmp_path: Path) -> None:
    told = README.split('**`harness sql "SELECT ..."`**', 1)[1].split("\n\n", 1)[0]
    views = {*LATER_TABLES, *run_views(Home(tmp_path))} - {"seals"}
    assert sorted(views - set(re.findall(r"`(\w+)`", told))) == []


def test_errors_have_the_columns_of_forecasts(toy: hs.Run) -> None:
    assert set(toy.forecasts().columns) <= set(toy.errors().columns)


def test_the_common_sample_has_the_columns_of_scores(toy: hs.Run) -> None:
    assert toy.common_sample().columns == toy.scores().columns


def test_every_status_that_occurs_is_explained(toy: hs.Run) -> None:
    section = README.split("\n### forecasts\n", 1)[1].split("\n### ", 1)[0]
    for status in toy.forecasts()["status"].unique():
        assert f"`{status}`" in section


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_is_documented(verb: str) -> None:
    assert re.search(rf"^\$ harness {verb}\b", README, flags=re.MULTILINE)


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_is_a_make_target(verb: str) -> None:
    assert re.search(rf"^{verb}:.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def test_no_verb_is_promised_that_does_not_exist() -> None:
    assert set(
        re.findall(r"\bharness ([a-z-]+)\b(?=.*#)", "\n".join(re.findall(r"^\$ (.*)$", README, re.MULTILINE)))
    ) <= {*verbs()}


def run_example(number: int, folder: Path, experiments: Path, home: Home, patch: pytest.MonkeyPatch) -> None:
    """Execute a block of the README in a folder that has these experiments."""
    patch.chdir(folder)
    patch.setenv("HARNESS_HOME", str(home.root))
    patch.setenv("HARNESS_WORKER", "1")  # in this process: the suite has one pool of workers
    patch.setattr("harness.studies.audit.available_cores", lambda: 1)
    (folder / "datasets").symlink_to(ROOT / "datasets")
    if experiments != folder / "experiments":
        (folder / "experiments").symlink_to(experiments)
    exec(compile(python_blocks(README)[number], "README.md", "exec"), {})


SHORT = [pytest.param(n, marks=pytest.mark.slow) if n in (0, 5) else n for n in range(len(python_blocks(README)))]
"""Every example; the two that take longest are slow."""


@pytest.mark.parametrize("number", SHORT)
def test_the_python_examples_run_on_a_short_history(
    number: int, uk_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = (ROOT / "experiments" / "uk_inflation.toml").read_text(encoding="utf-8")
    shorter = re.sub(r"^first = .*$", "first = 2019-03-31\nlast = 2021-12-31", shipped, flags=re.MULTILINE)
    assert shorter != shipped
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "uk_inflation.toml").write_text(shorter, encoding="utf-8")
    run_example(number, tmp_path, tmp_path / "experiments", uk_home, monkeypatch)
    assert capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("number", [n for n, block in enumerate(python_blocks(README)) if "experiments/" in block])
def test_the_python_examples_run_on_the_shipped_experiments(
    number: int, uk_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_example(number, tmp_path, ROOT / "experiments", uk_home, monkeypatch)
    assert capsys.readouterr().out


def test_every_name_of_the_package_named_here_exists() -> None:
    for name in set(re.findall(r"\bhs\.([A-Za-z_]\w*)", README)):
        assert hasattr(hs, name), name


def test_the_links_lead_to_files() -> None:
    for document in [README, (ROOT / "harness" / "README.md").read_text(encoding="utf-8")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document):
            assert (ROOT / target).exists(), target


def test_what_the_examples_write_is_no_part_of_the_clone() -> None:
    written = re.findall(
        r'(?:\.open|export_archive|\.report)\("([^"/]+)"|home="([^"/]+)"', "".join(python_blocks(README))
    )
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    names = {name for pair in written for name in pair if name}
    assert {"archive.duckdb", "archive.zip", "elsewhere", "uk_inflation.html"} <= names
    assert [name for name in sorted(names) if not {f"/{name}", f"/{name}*", f"/{name}/"} & set(ignored)] == []


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert hs.__version__ == declared
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"harness {declared}\n"
