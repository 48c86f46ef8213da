"""`harness --help`, usage errors and `import harness` are quick: they import nothing heavy."""

import json
import subprocess
import sys

import pytest

import harness as hs

HEAVY = [
    "numpy",
    "polars",
    "pandas",
    "duckdb",
    "pyarrow",
    "optuna",
    "lightgbm",
    "statsmodels",
    "sklearn",
    "scipy",
    "matplotlib",
]
SCRIPT = """
import json, sys
{body}
print(json.dumps(sorted(name for name in {heavy} if name in sys.modules)), file=sys.stderr)
"""


def imported_by(body: str) -> list[str]:
    """Heavy packages that are loaded after running some lines in a new interpreter."""
    script = SCRIPT.format(body=body, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return list(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["backtest", "--help"], 0),
        ([], 2),
        (["bactest", "uk_inflation"], 2),
        (["show"], 2),
        (["backtest", "uk_inflation", "--workers", "two"], 2),
        (["new", "mine"], 2),
    ],
)
def test_help_and_usage_errors_import_nothing_heavy(arguments: list[str], code: int) -> None:
    body = f"from harness.cli import main\nassert main({arguments!r}) == {code}"
    assert imported_by(body) == []


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert imported_by("import harness as hs; dir(hs); hs.UserError") == []


def test_the_check_notices_a_heavy_import() -> None:
    assert "polars" in imported_by("import harness as hs; hs.Archive")


def test_every_public_name_exists() -> None:
    for name in hs.__all__:
        assert getattr(hs, name) is not None, name
        assert name in dir(hs)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'backtests'"):
        _ = hs.backtests  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "lines",
    [
        "import harness as hs; verb = hs.backtest; from harness.backtest import splits",
        "from harness.backtest import splits; import harness as hs; verb = hs.backtest",
        "import harness.backtest.splits as splits; from harness import backtest as verb",
    ],
)
def test_backtest_is_a_room_and_a_verb_in_any_order_of_imports(lines: str) -> None:
    imported_by(f"{lines}\nassert callable(verb) and splits.Plan and verb.splits is splits")


def test_the_command_line_is_a_module_too() -> None:
    done = subprocess.run([sys.executable, "-m", "harness.cli", "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:6]) == (0, "usage:")
    done = subprocess.run([sys.executable, "-m", "harness.cli", "nosuch"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
