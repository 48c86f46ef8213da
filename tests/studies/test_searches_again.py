"""`harness reproduce` makes every search again, and names what is not as recorded: model, origin, trial, field."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import harness as hs
from harness.backtest.tuning import study as study_module
from harness.cli import main
from harness.core.identity import digest
from harness.core.search import Search
from harness.record.files import json_bytes, sealed
from harness.record.home import Home
from harness.record.studies import chained, read_study, study_told
from harness.record.verified import runs, studies
from harness.studies.searches_again import compared, differences
from tests.backtest.made_runs import AR, TREES, exported, releases, run
from tests.backtest.test_tuning import ORDERS, SEARCH, TUNED, few

Line = dict[str, Any]
Capture = pytest.CaptureFixture[str]
SHORT = replace(TUNED, search=replace(SEARCH, trials=6, retune_every=6))
GRID = replace(ORDERS, search=replace(ORDERS.search, retune_every=6))  # type: ignore[type-var]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str]:
    """A home with one run of two tuned models, one search each; tests copy it before they touch it."""
    place = tmp_path_factory.mktemp("again")
    home = Home(place / "home")
    changes = exported(releases(), place / "archive")
    shutil.copytree(changes, home.changes / changes.name)
    return home, run(few((SHORT, GRID), place), changes, home.root).files.run_id


@pytest.fixture
def kept(whole: tuple[Home, str], tmp_path: Path) -> tuple[Home, str]:
    home = Home(tmp_path / "copy")
    shutil.copytree(whole[0].root, home.root)
    return home, whole[1]


def key_of(home: Home, run_id: str, model: str = "tuned") -> str:
    (key,) = json.loads((home.runs / run_id / "manifest.json").read_text())["studies"][model].values()
    return str(key)


def rewrite(home: Home, key: str, change: Callable[[list[Line]], list[Line]], **head: object) -> None:
    """Change a record and make its chain anew, as someone would who knows how."""
    folder = home.studies / key
    top = {**json.loads((folder / "study.json").read_text()), **head}
    lines = [json.loads(text) for text in (folder / "trials.jsonl").read_text().splitlines()]
    chain, texts = digest(top), []
    for line in change([{name: value for name, value in one.items() if name != "chain"} for one in lines]):
        chain, text = chained(chain, line)
        texts.append(text)
    (folder / "study.json").write_bytes(json_bytes(top))
    (folder / "trials.jsonl").write_bytes(b"".join(texts))
    assert not read_study(home.studies, key).problem


def told(home: Home, run_id: str, made: Home) -> dict[tuple[str, str], tuple[str, str]]:
    """(where within the search, field) -> (recorded, made again), against the searches as they were made."""
    manifest = json.loads((home.runs / run_id / "manifest.json").read_text())
    keys = json.loads((made.runs / run_id / "manifest.json").read_text())["studies"]
    found = compared(manifest, home, (made, keys)).differences
    assert {one.table for one in found} <= {"searches"}
    return {(", ".join(one.row.split(", ")[2:]), one.column): (one.recorded, one.found) for one in found}


@pytest.mark.slow
def test_a_run_reproduces_without_its_searches_being_read(kept: tuple[Home, str], capsys: Capture) -> None:
    home, run_id = kept
    before = {path: path.read_bytes() for path in home.studies.rglob("*") if path.is_file()}
    assert main(["reproduce", run_id, "--home", str(home.root), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "reproduced bit for bit" in printed
    assert "2 searches with 10 trials" in printed
    assert before == {path: path.read_bytes() for path in home.studies.rglob("*") if path.is_file()}


def changed(name: str, value: object) -> Callable[[list[Line]], list[Line]]:
    return lambda lines: [*lines[:3], {**lines[3], name: value}, *lines[4:]]


def fewer(lines: list[Line], gone: int = 3) -> list[Line]:
    return [*lines[:gone], *lines[gone + 1 : -1], {**lines[-1], "trials": len(lines) - 2}]


def more(lines: list[Line]) -> list[Line]:
    return [*lines[:6], {**lines[5], "number": 6}, {**lines[6], "trials": 7}]


SPECIMENS: dict[str, tuple[Callable[[list[Line]], list[Line]], set[tuple[str, str]]]] = {
    "a changed value": (changed("value", 9.5), {("trial 3", "value")}),
    "a changed parameter": (
        changed("params", {"num_leaves": 3, "learning_rate": 0.0201}),
        {("trial 3", "params.num_leaves"), ("trial 3", "params.learning_rate")},
    ),
    "a changed state": (changed("state", "failed"), {("trial 3", "state")}),
    "changed folds": (changed("folds", [1.0, 2.0]), {("trial 3", "folds.0"), ("trial 3", "folds.1")}),
    "a missing trial": (fewer, {("trial 3", "trial"), ("end", "trials")}),
    "an added trial": (more, {("trial 6", "trial"), ("end", "trials")}),
    "a repeated trial": (
        lambda lines: [*lines[:6], lines[5], {**lines[6], "trials": 7}],
        {("trial 5 once more (1)", "trial"), ("end", "trials")},
    ),
    "trials in another order": (lambda lines: [lines[1], lines[0], *lines[2:]], {("trials", "order")}),
    "an end taken away": (lambda lines: lines[:6], {("end", "trials"), ("end", "best"), ("end", "end")}),
}


@pytest.mark.parametrize("what", SPECIMENS)
def test_what_is_not_as_recorded_is_named_by_trial_and_field(
    whole: tuple[Home, str], tmp_path: Path, what: str
) -> None:
    change, wanted = SPECIMENS[what]
    made = read_study(whole[0].studies, key_of(*whole))
    home = Home(tmp_path / "copy")
    shutil.copytree(whole[0].studies, home.studies)
    rewrite(home, made.key, change)
    found = {(trial, name) for trial, name, _, _ in differences(study_told(home.studies, made.key), made)}
    assert wanted <= found
    assert found - wanted <= {("end", "chosen setting")}


def test_the_command_ends_with_1_and_names_trials_changed_added_and_taken_away(
    kept: tuple[Home, str], capsys: Capture
) -> None:
    home, run_id = kept
    rewrite(home, key_of(*kept), lambda lines: fewer(more(changed("value", 9.5)(lines)), gone=1))
    assert main(["reproduce", run_id, "--home", str(home.root), "--workers", "1"]) == 1
    printed = capsys.readouterr().out
    assert "DOES NOT REPRODUCE" in printed
    assert "searches  model tuned, origin 20" in printed
    for trial, field in (("trial 1", "trial"), ("trial 3", "value"), ("trial 6", "trial")):
        assert re.search(rf"{trial} +{field} ", printed), printed
    assert main(["reproduce", run_id, "--home", str(home.root), "--workers", "1", "--models", "orders"]) == 0


def test_another_seed_or_space_in_the_head_is_named(kept: tuple[Home, str], whole: tuple[Home, str]) -> None:
    home, run_id = kept
    key = key_of(*kept)
    space = json.loads((home.studies / key / "study.json").read_text())["space"]
    space[0]["high"] = 9
    rewrite(home, key, lambda lines: lines, seed=1, space=space)
    found = told(home, run_id, whole[0])
    assert set(found) == {("head", "seed"), ("head", "space.0.high")}
    assert found["head", "space.0.high"] == ("9", "8")


def test_a_changed_line_is_named_though_its_chain_no_longer_holds(
    kept: tuple[Home, str], whole: tuple[Home, str]
) -> None:
    home, run_id = kept
    path = home.studies / key_of(*kept) / "trials.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2].replace(b'"complete"', b'"pruned"'), *lines[3:]]))
    assert set(told(home, run_id, whole[0])) == {("trial 2", "state")}
    path.write_bytes(b"".join([lines[0].replace(b", ", b",  ", 1), *lines[1:]]))  # the same content, other bytes
    assert set(told(home, run_id, whole[0])) == {("", "record")}
    shutil.rmtree(path.parent)
    assert told(home, run_id, whole[0]) == {("", "record"): ("unreadable record", "6 trials")}


def test_what_the_run_kept_of_a_search_is_compared_too(kept: tuple[Home, str], whole: tuple[Home, str]) -> None:
    home, run_id = kept
    path = home.runs / run_id / "manifest.json"
    manifest = json.loads(path.read_text())
    key = key_of(*kept)
    for name, value in (("trials", 5), ("content", "0" * 32)):
        kept_of = {**manifest["study_records"], key: {**manifest["study_records"][key], name: value}}
        path.write_bytes(json_bytes(sealed({**manifest, "study_records": kept_of})))
        assert set(told(home, run_id, whole[0])) == {("", f"{name}, by the manifest")}
    path.write_bytes(json_bytes(sealed({**manifest, "studies": {**manifest["studies"], "orders": {}}})))
    assert ("", "key") in told(home, run_id, whole[0])


def test_a_search_that_is_made_otherwise_does_not_reproduce(
    kept: tuple[Home, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, run_id = kept
    real = study_module.hopeless
    monkeypatch.setattr(study_module, "hopeless", lambda *given: real(*given) or "for no reason")
    done = hs.reproduce(run_id, home=home.root, workers=1)
    assert ("searches", "state") in {(one.table, one.column) for one in done.differences}


@pytest.mark.slow
def test_a_search_limited_by_seconds_is_made_again_up_to_where_its_time_was_over(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    changes = exported(releases(), tmp_path / "archive")
    shutil.copytree(changes, home.changes / changes.name)
    timed = replace(TUNED, search=replace(SEARCH, trials=None, seconds=0.05, retune_every=6))
    patient = replace(
        timed, name="patient", search=replace(SEARCH, trials=None, seconds=90.0, patience=3, retune_every=6)
    )
    run_id = run(few((timed, patient), tmp_path), changes, home.root).files.run_id
    ends = {str(read_study(home.studies, key_of(home, run_id, name)).end["end"]) for name in ("tuned", "patient")}
    assert ends == {"0.05 seconds", "3 trials without an improvement"}
    assert hs.reproduce(run_id, home=home.root, workers=1).reproduced
    rewrite(home, key_of(home, run_id), partial(fewer, gone=0))  # on a slow machine there are not many
    found = hs.reproduce(run_id, home=home.root, workers=1).differences
    assert ("end", "trials") in {(one.row.split(", ")[-1], one.column) for one in found}


def test_on_another_platform_trials_are_compared_within_tolerances(whole: tuple[Home, str]) -> None:
    made = read_study(whole[0].studies, key_of(*whole))
    near = replace(made, trials=tuple({**one, "value": float(str(one["value"])) * (1 + 1e-9)} for one in made.trials))
    assert list(differences(near, made, exact=False)) == []
    assert len(list(differences(near, made))) == 6
    far = replace(made, trials=tuple({**one, "value": float(str(one["value"])) * 1.001} for one in made.trials))
    assert len(list(differences(far, made, exact=False))) == 6


@pytest.mark.slow
def test_runs_that_share_a_search_stay_intact_when_it_was_lost_and_made_again(kept: tuple[Home, str]) -> None:
    home, run_id = kept
    manifest = json.loads((home.runs / run_id / "manifest.json").read_text())
    shutil.rmtree(home.studies)
    assert {one.place for one in runs(home) if one.problem} == {f"studies/{key}" for key in manifest["study_records"]}
    (changes,) = home.changes.iterdir()
    other = run(few((SHORT, AR), Path(manifest["folder"])), changes, home.root).files.run_id
    assert other != run_id
    assert {one.place for one in runs(home) if one.problem} == {f"studies/{key_of(home, run_id, 'orders')}"}
    again = run(few((SHORT, GRID), Path(manifest["folder"])), changes, home.root).files.run_id
    assert again == run_id
    assert [one for one in [*runs(home), *studies(home)] if one.problem] == []


@pytest.mark.slow
def test_a_space_drawn_by_a_function_is_searched_again_and_refused_once_that_has_changed(tmp_path: Path) -> None:
    home, file = Home(tmp_path / "home"), tmp_path / "own_space.py"
    file.write_text("def draw(trial):\n    return {'num_leaves': trial.suggest_int('num_leaves', 2, 6)}\n")
    changes = exported(releases(), tmp_path / "archive")
    shutil.copytree(changes, home.changes / changes.name)
    model = replace(TREES, name="tuned", search=Search(function="own_space:draw", trials=4, folds=2, retune_every=6))
    run_id = run(few((model,), tmp_path), changes, home.root).files.run_id
    assert hs.reproduce(run_id, home=home.root, workers=1).trials == 4
    assert hs.reproduce(run_id, home=home.root, workers=1).reproduced
    file.write_text(file.read_text().replace("6", "5"))
    with pytest.raises(hs.UserError, match="not those the run was made with") as caught:
        hs.reproduce(run_id, home=home.root, workers=1)
    assert "own_space:draw (model tuned): its files" in caught.value.value
