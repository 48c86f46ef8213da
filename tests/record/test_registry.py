"""The registry counts each search and each look once, over all runs of a home, and is made again when it is lost."""

import json
from pathlib import Path

import duckdb
import pytest

from harness.record.home import Home
from harness.record.registry import Effort, counts, details, effort_from, note, stored_rows
from tests.read_only import powerless, read_only

MARK = {"uk/cpi": "f1"}


def test_the_same_again_adds_nothing_and_names_do_not_matter(home: Home) -> None:
    first = Effort(MARK, [("l1", "ar", "run")], [("s1", "gbm", "2010", 40)])
    note(home, first, "run1")
    note(home, first, "run1")
    note(home, Effort({"other/prices": "f1"}, [("l1", "renamed", "run"), ("l2", "ets", "run")]), "run2")
    note(home, Effort({"us/cpi": "f2"}, [("l9", "ar", "run")]), "run3")
    found = counts(home, ["f1"])
    assert (found.searched, found.looked, found.looks) == (40, 2, {"run": 2})
    assert found.series == ("other/prices", "uk/cpi")
    assert details(home, ["f1"])[1] == [("run1", "gbm", 1, 40)]
    assert counts(home, ["unseen"]).looked == 0
    with duckdb.connect(str(home.registry), read_only=True) as registry:
        rows = {name: len(registry.execute(f"from {name}").fetchall()) for name in ("targets", "looks", "searches")}
    assert rows == {"targets": 3, "looks": 3, "searches": 1}


def test_of_two_looks_with_one_recipe_the_first_is_kept(home: Home) -> None:
    note(home, Effort(MARK, [("l1", "ar", "run"), ("l1", "again", "run")]), "run1")
    note(home, Effort(MARK, [("l1", "renamed", "run")]), "run2")
    told = stored_rows(home)
    assert told is not None
    assert told["looks"] == {("f1", "l1", "ar", "run", "run1")}


def test_several_source_series_count_a_study_once(home: Home) -> None:
    effort = Effort({"a": "f1", "b": "f2"}, [("l1", "ar", "run")], [("s1", "gbm", "2010", 40)])
    note(home, effort, "run1")
    found = counts(home, ["f1", "f2"])
    assert (found.searched, found.looked) == (40, 1)


def recorded(home: Home) -> Effort:
    effort = Effort(MARK, [("l1", "ar", "run")], [("s1", "gbm", "2010", 40)])
    folder = home.runs / "run1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"effort": effort.record()}))
    (home.runs / "old").mkdir()
    (home.runs / "old" / "manifest.json").write_text("{}")
    (home.audits / "run1").mkdir(parents=True)
    stress = Effort(MARK, [("l2", "ar", "stress 30")])
    (home.audits / "run1" / "audit.json").write_text(json.dumps({"effort": stress.record()}))
    return effort


def test_a_lost_or_damaged_registry_is_made_again_from_runs_and_audits(home: Home) -> None:
    assert effort_from({"effort": recorded(home).record()}) == recorded_again(home)
    for damage in (lambda _: None, Path.unlink, lambda path: path.write_bytes(b"no database")):
        found = counts(home, ["f1"])
        assert (found.searched, found.looked, found.looks) == (40, 2, {"run": 1, "stress 30": 1})
        damage(home.registry)
    assert counts(home, ["f1"]).looked == 2


def test_what_is_on_record_is_counted_though_the_first_note_was_interrupted(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(home)
    home.registry.unlink(missing_ok=True)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("harness.record.registry._insert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            note(home, Effort(MARK, [("l3", "ar", "stress 9")]), "run1")
    assert home.registry.exists()
    assert counts(home, ["f1"]).looks == {"run": 1, "stress 30": 1}


def recorded_again(home: Home) -> Effort | None:
    return effort_from(json.loads((home.runs / "run1" / "manifest.json").read_text()))


def test_what_other_records_tell_is_there_when_a_run_makes_the_registry(home: Home) -> None:
    recorded(home)
    note(home, Effort(MARK, [("l1", "ar", "run")]), "run1", all_of_run=True)  # its record is not read: no search
    assert counts(home, ["f1"]).looks == {"run": 1, "stress 30": 1}
    assert counts(home, ["f1"]).searched == 0
    home.registry.unlink()
    note(home, Effort(MARK, [("l3", "ar", "stress 9")]), "run1")  # an audit's: the record of the run tells more
    assert counts(home, ["f1"]).looks == {"run": 1, "stress 30": 1, "stress 9": 1}
    assert counts(home, ["f1"]).searched == 40


ASKED = """
import sys
from pathlib import Path
from harness.record.home import Home
from harness.record.registry import Effort, counts, derived_rows, details, note, stored_rows
home = Home(Path(sys.argv[1]))
found = counts(home, ["f1"])
same = stored_rows(home) == derived_rows(home)
print(found.searched, found.looked, dict(found.looks), details(home, ["f1"])[1], same)
try:
    note(home, Effort({"uk/cpi": "f1"}), "run2")
except OSError:
    print("cannot be written")
"""


@pytest.mark.parametrize("registry", ["there", "absent", "damaged", "without tables"])
@pytest.mark.slow
def test_a_home_that_cannot_be_written_is_asked_as_it_is(home: Home, registry: str) -> None:
    recorded(home)
    if registry == "there":
        counts(home, ["f1"])
    if registry == "damaged":
        home.registry.write_bytes(b"no database")
    if registry == "without tables":
        duckdb.connect(str(home.registry)).close()
    files = {path: path.is_file() and path.read_bytes() for path in home.root.rglob("*")}
    with read_only(home.root):
        if registry in ("damaged", "without tables"):
            told = powerless(ASKED.replace("stored_rows(home) == derived_rows(home)", "None"), home.root)
        else:
            told = powerless(ASKED, home.root)
    same = {"there": True, "absent": False, "damaged": None, "without tables": None}[registry]
    assert told.splitlines() == [
        f"40 2 {{'run': 1, 'stress 30': 1}} [('run1', 'gbm', 1, 40)] {same}",
        "cannot be written",
    ]
    assert {path: path.is_file() and path.read_bytes() for path in home.root.rglob("*")} == files


def test_a_question_makes_no_home(home: Home) -> None:
    assert counts(home, ["f1"]).looked == 0
    assert not home.root.exists()
