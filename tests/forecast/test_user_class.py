"""A user's class is found beside the experiment first, apart from everybody else's, and mistakes are explained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.core.errors import UnknownNameError, UserError
from harness.core.recipe import Recipe
from harness.forecast.catalog import build, resolve_params

MODULE = """
import shape
from dataclasses import dataclass

@dataclass
class Own:
    factor: float = 1.0
    name: str = shape.NAME

    def fit(self, rows, snapshot, *, seed):
        pass

    def predict(self, rows, snapshot):
        return rows.keys

class Half:
    def fit(self, rows, snapshot, *, seed):
        pass

NUMBER = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return _written(tmp_path / "here", "here")


def _written(folder: Path, name: str) -> Path:
    folder.mkdir()
    (folder / "models_of_mine.py").write_text(MODULE)
    (folder / "shape.py").write_text(f"NAME = {name!r}\n")
    return folder


def own(kind: str, folder: Path | str, **params: object) -> object:
    return build(Recipe("own", kind, resolve_params(kind, params)), folder=str(folder))


def test_a_class_beside_the_experiment_gets_its_parameters(folder: Path) -> None:
    made = own("models_of_mine:Own", folder, factor=2.5)
    assert made.factor == 2.5  # type: ignore[attr-defined]


def test_two_folders_each_have_their_own_module_and_siblings(folder: Path, tmp_path: Path) -> None:
    other = _written(tmp_path / "there", "there")
    names = [own("models_of_mine:Own", place).name for place in (folder, other, folder)]  # type: ignore[attr-defined]
    assert names == ["here", "there", "here"]


def test_nothing_is_left_behind_on_the_import_path(folder: Path) -> None:
    before = list(sys.path)
    own("models_of_mine:Own", folder)
    assert sys.path == before
    assert "shape" not in sys.modules
    assert "models_of_mine" not in sys.modules


def test_the_folder_goes_before_installed_packages(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text(MODULE.replace("import shape\n", "").replace("shape.NAME", "'mine'"))
    assert own("json:Own", tmp_path).name == "mine"  # type: ignore[attr-defined]
    assert sys.modules["json"].loads("1") == 1


def test_an_installed_module_is_found_without_a_folder() -> None:
    made = own("harness.forecast.external:External", "", source="bank")
    assert made.source == "bank"  # type: ignore[attr-defined]


def test_a_module_in_a_package_of_the_folder_is_found(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "__init__.py").write_text("")
    (folder / "mine" / "deep.py").write_text(MODULE)
    assert own("mine.deep:Own", folder).name == "here"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("kind", "params", "error", "match"),
    [
        ("models_of_mind:Own", {}, UserError, "no such module"),
        ("models_of_mine:Oen", {}, UnknownNameError, "did you mean 'Own'"),
        ("models_of_mine:NUMBER", {}, UserError, "class in module"),
        ("models_of_mine:Half", {}, UserError, "no method predict"),
        ("models_of_mine:Own", {"size": 2}, UserError, "does not take these parameters"),
        ("broken:Own", {}, UserError, "ZeroDivisionError"),
        ("needs_more:Own", {}, UserError, "not_installed_anywhere"),
    ],
)
def test_mistakes_are_explained(
    folder: Path, kind: str, params: dict[str, object], error: type[UserError], match: str
) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "needs_more.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(error, match=match):
        own(kind, folder, **params)
