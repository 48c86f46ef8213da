from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.recipe import Experiment

OWN = "[features.own]\nlatest = [1]\n"
MINE = '[models.mine]\nkind = "mine:Mean"\n'


def code(load: Callable[..., Experiment]) -> str:
    return load(MINE).models[0].code


def test_a_users_class_is_hashed_with_every_file_it_imports_from_the_folder(
    load: Callable[..., Experiment], folder: Path
) -> None:
    files = {
        "mine.py": "import numpy\nfrom tools import level\nimport kit.inner\n\n\nclass Mean:\n    pass\n",
        "tools.py": "def level():\n    from deep import x\n    return x\n",
        "deep.py": "x = 1\n",
        "kit/__init__.py": "",
        "kit/inner.py": "from . import other\n",
        "kit/other.py": "y = 1\n",
    }
    (folder / "kit").mkdir()
    for name, text in {**files, "unrelated.py": "z = 1\n"}.items():
        (folder / name).write_text(text, encoding="utf-8")
    seen = {code(load)}
    (folder / "unrelated.py").write_text("z = 2\n", encoding="utf-8")
    assert {code(load)} == seen
    for name, text in files.items():
        (folder / name).write_text(text + "# changed\n", encoding="utf-8")
        now = code(load)
        assert now not in seen, name
        seen.add(now)


def test_reading_a_file_does_not_run_a_users_code(load: Callable[..., Experiment], folder: Path) -> None:
    (folder / "mine.py").write_text("raise SystemExit('run')\n\n\nclass Mean:\n    pass\n", encoding="utf-8")
    assert len(code(load)) == 32


def test_a_users_class_sees_features_only_when_it_names_them(load: Callable[..., Experiment], folder: Path) -> None:
    (folder / "mine.py").write_text("class Mean:\n    pass\n", encoding="utf-8")
    assert load(OWN + MINE).models[0].features == ()
    assert load(OWN + MINE + 'features = ["own"]\n').models[0].features == ("own",)


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no module mine"), ("class Median:\n    pass\n", "defines no Mean"), ("class Mean\n", "is not Python")],
)
def test_a_users_class_that_is_not_there_is_refused(
    refused: Callable[..., list[str]], folder: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (folder / "mine.py").write_text(text, encoding="utf-8")
    (problem,) = refused(MINE)
    assert message in problem


def test_an_installed_class_is_part_of_the_lock_and_has_no_hash_of_its_own(load: Callable[..., Experiment]) -> None:
    assert load('[models.mine]\nkind = "sklearn.dummy:DummyRegressor"\n').models[0].code == ""
