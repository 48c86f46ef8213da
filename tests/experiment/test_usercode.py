from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.recipe import Experiment
from harness.experiment import usercode
from harness.experiment.usercode import code_of

OWN = "[features.own]\nlatest = [1]\n"
MINE = '[models.mine]\nkind = "mine:Mean"\n'


METHODS = "    def fit(self, rows, snapshot, *, seed): ...\n    def predict(self, rows, snapshot): ...\n"
MEAN = f"class Mean:\n{METHODS}"


def code(load: Callable[..., Experiment]) -> str:
    return load(MINE).models[0].code


def test_a_users_class_is_hashed_with_every_file_it_imports_from_the_folder(
    load: Callable[..., Experiment], folder: Path
) -> None:
    files = {
        "mine.py": f"import numpy\nfrom tools import level\nimport kit.inner\n\n\n{MEAN}",
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


def test_finding_the_files_behind_a_class_does_not_run_them(folder: Path) -> None:
    (folder / "mine.py").write_text(f"raise SystemExit('run')\n\n\n{MEAN}", encoding="utf-8")
    assert len(code_of("mine:Mean", folder)) == 32


def test_a_users_class_sees_features_only_when_it_names_them(load: Callable[..., Experiment], folder: Path) -> None:
    (folder / "mine.py").write_text(MEAN, encoding="utf-8")
    assert load(OWN + MINE).models[0].features == ()
    assert load(OWN + MINE + 'features = ["own"]\n').models[0].features == ("own",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no module mine"),
        ("class Median:\n    pass\n", "defines no Mean"),
        ("class Mean\n", "is not Python"),
        ("raise SystemExit(3)\n" + MEAN, "cannot be run: SystemExit: 3"),
        ("class Mean:\n    pass\n", "no method fit; it has fit and predict"),
        (f"class Mean:\n    def __init__(self, *, width): ...\n{METHODS}", "does not take these parameters"),
        (f"class Mean:\n    def __init__(self): [][1]\n{METHODS}", "cannot be made: IndexError"),
    ],
)
def test_a_users_class_that_is_not_there_is_refused(
    refused: Callable[..., list[str]], folder: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (folder / "mine.py").write_text(text, encoding="utf-8")
    (problem,) = refused(MINE)
    assert message in problem


def made_package(place: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def test_a_class_that_is_importable_but_not_installed_is_hashed_with_its_package_and_what_that_imports(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "far_models/__init__.py": "",
        "far_models/good.py": "import numpy\nimport far_tools\n\n\nclass Mean:\n    pass\n",
        "far_models/beside.py": "x = 1\n",
        "far_tools.py": "y = 1\n",
    }
    place = tmp_path / "elsewhere"
    made_package(place, files)
    (place / "unrelated.py").write_text("z = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(place))
    seen = {code_of("far_models.good:Mean", folder)}
    (place / "unrelated.py").write_text("z = 2\n", encoding="utf-8")
    assert {code_of("far_models.good:Mean", folder)} == seen
    for name, text in files.items():
        (place / name).write_text(text + "# changed\n", encoding="utf-8")
        now = code_of("far_models.good:Mean", folder)
        assert now not in seen, name
        seen.add(now)


def test_a_file_of_the_folder_is_hashed_with_what_it_imports_from_elsewhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_package(tmp_path / "elsewhere", {"far_level.py": "x = 1\n"})
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    (folder / "mine.py").write_text("import far_level\n\n\nclass Mean:\n    pass\n", encoding="utf-8")
    before = code_of("mine:Mean", folder)
    made_package(tmp_path / "elsewhere", {"far_level.py": "x = 2\n"})
    assert code_of("mine:Mean", folder) != before


def test_an_installed_class_is_hashed_with_its_distributions_version(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    seen = set[str]()
    for version, text in (("1.0", "a = 1"), ("1.1", "a = 1"), ("1.1", "a = 2")):
        made_package(
            site,
            {
                "sold_models.py": f"{text}\nclass Mean:\n    pass\n",
                "sold-1.dist-info/METADATA": f"Metadata-Version: 2.1\nName: sold\nVersion: {version}\n",
                "sold-1.dist-info/top_level.txt": "sold_models\n",
            },
        )
        usercode._distributions.cache_clear()
        seen.add(code_of("sold_models:Mean", folder))
    usercode._distributions.cache_clear()
    assert len(seen) == 3
