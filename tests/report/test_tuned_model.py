"""Lineage and model card of a tuned model follow the recipe that its search chose, not the declared one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import main
from harness.core.search import Domain, Search
from harness.record.home import Home
from harness.report.run import Run
from harness.studies.lineage import Lineage
from tests.backtest.made_runs import AR, TREES, exported, releases, run
from tests.backtest.test_tuning import few

OTHER = replace(TREES, name="trees", features=("gdp",))
KINDS = Domain("kind", "choice", choices=("switching", "trees"), default="switching")
SPACE = (
    KINDS,
    Domain("max_lags", "int", 1, 2, default=2, when=(("kind", ("switching",)),)),
    Domain(
        "trees.features", "choice", choices=(("own", "gdp"), ("gdp",)), default=("gdp",), when=(("kind", ("trees",)),)
    ),
)
SEARCH = Search(space=SPACE, sampler="grid", trials=4, folds=2, retune_every=2, candidates=(OTHER,))
SWITCHING = replace(AR, name="switching", search=SEARCH)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("switching")
    changes = exported(releases(seed=6), place / "archive")
    ran = run(few((AR, SWITCHING), place), changes, place / "home")
    shutil.copytree(changes, place / "home" / "changes" / changes.name)
    return Run(ran.files.run_id, Home(place / "home"))


@pytest.fixture(scope="module")
def switched(tuned: Run) -> Lineage:
    """Lineage of a forecast whose search chose the other kind."""
    for row in tuned.trials().filter("best").iter_rows(named=True):
        if json.loads(row["setting"])["kind"] == "trees":
            return tuned.lineage("cpi", row["origin"], 1, model="switching")
    pytest.fail("no search chose the other kind: take another seed of the releases")


@pytest.mark.slow
def test_a_tuned_forecast_leads_to_the_trial_behind_it(tuned: Run, switched: Lineage) -> None:
    told = switched.facts["search"]
    mine = tuned.trials().filter(model="switching", origin=told["searched_at"])
    best = mine.filter("best").row(0, named=True)
    assert told["study"] == best["study"]
    assert told["record"] == "as recorded"
    assert told["trial"] == best["trial"]
    assert json.loads(str(told["setting"])) == json.loads(best["setting"])
    assert told["value"] == best["value"]
    assert told["trials"] == f"{mine.height} ({mine.height} complete)"
    assert told["sampler"] == "grid"


def test_features_kind_and_values_are_those_of_the_chosen_recipe(switched: Lineage) -> None:
    assert switched.facts["fit"]["kind"] == "lightgbm"
    assert switched.facts["fit"]["learns_from"] == "frozen feature rows"
    blocks = json.loads(str(switched.facts["search"]["setting"]))["trees.features"]
    columns = switched.table("features")["column"].to_list()
    assert {name.partition(".")[0] for name in columns} == set(blocks)
    assert set(switched.table("values")["of"]) - {"outcome"} == set(columns)


def test_a_forecast_whose_cell_is_gone_follows_the_record(tuned: Run, switched: Lineage, tmp_path: Path) -> None:
    home = Home(tmp_path / "copy")
    shutil.copytree(tuned.home.root, home.root)
    shutil.rmtree(home.cells / str(switched.facts["cell"]["key"]))
    at = switched.facts["forecast"]["origin"]
    found = Run(tuned.id, home).lineage("cpi", at, 1, model="switching")  # type: ignore[arg-type]
    assert found.facts["cell"]["stored"] == "gone"
    assert found.facts["search"]["setting"] == switched.facts["search"]["setting"]
    assert found.table("features")["column"].to_list() == switched.table("features")["column"].to_list()
    shutil.rmtree(home.studies / str(switched.facts["search"]["study"]))
    assert "gone" in Run(tuned.id, home).lineage().table("searches")["record"]


def test_the_lineage_of_a_run_names_its_searches(tuned: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = tuned.lineage().table("searches")
    assert found["study"].to_list() == tuned.trials().filter("best")["study"].to_list()
    assert main(["lineage", tuned.id, "--home", str(tuned.home.root)]) == 0
    assert found["study"][0] in capsys.readouterr().out


def test_a_card_says_how_much_was_searched_and_what_was_chosen(tuned: Run) -> None:
    card = tuned.model_card("switching")
    section = card.split("\n## Search\n", 1)[1].split("\n## ", 1)[0].replace("\\", "")
    best = tuned.trials().filter("best")
    assert f"- {best.height} searches inside training windows, one every 2 origins" in section
    assert "12 trials: 12 complete, 0 pruned, 0 failed" in section
    assert "effort on this target so far: " in section
    assert "kind = trees, trees.features = own + gdp | 1 |" in section
    assert "| kind = switching, max_lags = 2 | 2 |" in section
    assert "Newest choice (20" in section
    assert f"trial {best['trial'][-1]}" in section
    assert "| max_lags | int 1 to 2, when kind in " in section
    assert "max_lags is at the edge of its range" in section
    assert "Domain(" not in card
    assert "{'" not in card


def test_a_card_presents_no_declared_value_as_the_one_used(tuned: Run) -> None:
    model = tuned.model_card("switching").split("\n## The model\n", 1)[1].split("\n## ", 1)[0].replace("\\", "")
    assert "kind: searched among autoregression, lightgbm" in model
    assert "| max_lags |" not in model
    assert "Searched, so not to be read from the experiment file: kind, max_lags, trees.features" in model
    assert "Feature blocks that a search may choose" in model
