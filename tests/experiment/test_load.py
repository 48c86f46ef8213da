import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, time, timedelta
from pathlib import Path

import pytest

from harness.core.errors import ExperimentError, UserError
from harness.core.identity import canonical
from harness.core.recipe import Experiment, Kpi, OutcomeRule, Training
from harness.core.restore import restored
from harness.core.transform import Transform
from harness.experiment import KEYS, load_experiment

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

EVERYTHING = """
schema = 1
name = "everything"
question = "Does every key do something?"
datasets = ["toy"]
seed = 3
pseudo_real_time = true
exclude_hindsight = true

[target]
series = ["stock.close"]
transform = { realised_volatility = 10, proxy = "parkinson", high = "stock.high", low = "stock.low" }
outcome = "latest"
season = 5
prices = "total"
universe = "big"

[origins]
every = "5 sessions"
first = 2012-01-03
last = 2012-12-28
warm_up = 4
latency = "15 minutes"
time = 09:30:00
pseudo = [2011-01-03, 2011-02-01]

[horizons]
steps = [1]

[training]
window = { rolling = 100 }
minimum = 50
refit_every = 4
steps = [{ kind = "impute" }]

[features]
vintage = "latest"

[features.own]
series = "own"
transform = { realised_volatility = 1, proxy = "parkinson", high = "stock.high", low = "stock.low" }
latest = [1, 2]
lag = [0]
rolling_mean = [5]
rolling_std = [5]
rolling_min = [5]
rolling_max = [5]
difference = [1]
log_growth = [1]
ratio = [5]
age = true
known_ahead = [0]
calendar = ["weekday"]

[features.difference]
series = "rate"
transform = { difference = 1 }
latest = 1

[features.log_growth]
series = "cpi"
transform = { log_growth = 4 }
latest = 1

[features.growth]
series = "cpi"
transform = { growth = 4 }
latest = 1

[features.log_return]
series = "stock.close"
transform = { log_return = 5 }
latest = 1

[features.return]
series = "stock.close"
transform = { return = 5 }
latest = 1

[features.spread]
series = "unemployment"
transform = { spread = "rate" }
latest = 1

[models.gbm]
kind = "lightgbm"
params = { num_leaves = 7 }
features = ["own", "spread"]
functional = "mean"
fallback = "ewma"
refit_every = 8
steps = [{ kind = "scale", method = "robust" }, { kind = "pca", components = 2 }]

[models.ar]
kind = "autoregression"
works_on = "target"

[score]
primary = "qlike"

[kpi]
unit = "USD m"
kind = "asymmetric_linear"
under = 2.0
over = 1
abstain = 0.5
trades = true

[holdout]
candidates = ["gbm", "ar"]
model = "ar"
horizon = 1
metric = "mae"
against = "rivals"
level = 0.1
if_confirmed = "use it"
if_not = "do not"
if_undecided = "wait"
"""
EXTERNAL = """
[models.bank]
kind = "external"
source = "bank"
from = 2012-03-31
to = 2020-12-31
knowledge = "unknown"
"""


def test_a_plain_file_gets_stored_ids_the_series_zone_and_every_default(load: Callable[..., Experiment]) -> None:
    experiment = load()
    assert experiment.target.series == ("toy/cpi",)
    assert experiment.target.transform == Transform("log_growth", 4)
    assert experiment.target.outcome == OutcomeRule("first", 1)
    assert experiment.target.season == 4
    assert experiment.origins.zone == "Europe/London"
    assert experiment.origins.first == date(2010, 3, 31)
    assert experiment.training == Training(rolling=None, minimum=24, refit_every=1)
    assert (experiment.models, experiment.features, experiment.kpi) == ((), (), None)
    assert not experiment.pseudo_real_time
    assert experiment.vintage == "frozen"


def keys_used(values: Mapping[str, object]) -> dict[str, set[str]]:
    """Section -> keys that a parsed file uses."""
    used: dict[str, set[str]] = {"": set(values)}
    for name, section in values.items():
        if not isinstance(section, dict):
            continue
        named = [table for table in section.values() if isinstance(table, dict)]
        if name == "features":
            used["feature_rows"] = {key for key in section if not isinstance(section[key], dict)}
        for table in named if name in ("features", "models") else [section]:
            used.setdefault(name, set()).update(table)
            for part in ("transform", "window"):
                if isinstance(table.get(part), dict):
                    used.setdefault(part, set()).update(table[part])
    return used


def test_a_file_with_every_key_loads(folder: Path) -> None:
    file = folder / "everything.toml"
    file.write_text(EVERYTHING, encoding="utf-8")
    experiment = load_experiment(file)
    used = keys_used(tomllib.loads(EVERYTHING))
    used["origins"] |= {"calendar"}  # goes with business month ends, below
    used["models"] |= set(tomllib.loads(EXTERNAL)["models"]["bank"])
    used["models"] |= {"search"}  # `search` and its ranges have tests of their own
    assert used == {name: set(keys) for name, keys in KEYS.items() if name not in ("search", "range")}
    assert experiment.kpi == Kpi("USD m", "asymmetric_linear", under=2.0, over=1.0, abstain=0.5, trades=True)
    assert experiment.training == Training(rolling=100, minimum=50, refit_every=4)
    assert experiment.origins.latency == timedelta(minutes=15)
    assert experiment.origins.every.at == time(9, 30)
    assert experiment.vintage == "latest"
    assert [block.name for block in experiment.features][:2] == ["own", "difference"]
    gbm, ar = experiment.models
    assert (gbm.features, gbm.fallback, gbm.refit_every) == (("own", "spread"), "ewma", 8)
    assert dict(gbm.params)["num_leaves"] == 7
    assert dict(ar.params)["works_on"] == "target"


def test_an_external_keeps_its_span_and_whether_its_cut_off_is_known(load: Callable[..., Experiment]) -> None:
    (bank,) = load(EXTERNAL).models
    assert (bank.source, bank.span, bank.cutoff_known) == ("bank", (date(2012, 3, 31), date(2020, 12, 31)), False)


def test_the_datasets_word_decides_whether_a_cut_off_is_known_unless_the_file_says(
    load: Callable[..., Experiment],
) -> None:
    table = '[models.bank]\nkind = "external"\nsource = "bank"\n'
    assert not load(table).models[0].cutoff_known
    assert load(table + 'knowledge = "known"\n').models[0].cutoff_known


def test_all_problems_of_a_file_are_reported_in_one_error(folder: Path) -> None:
    file = folder / "wrong.toml"
    file.write_text(
        """
        schema = 2
        nam = "wrong"
        datasets = ["toy"]
        [target]
        series = "cpy"
        outcome = "releas 3"
        [origins]
        every = "quarter ends"
        latency = "1 dy"
        [horizons]
        steps = [1, 1]
        [training]
        minimum = 0
        [features.own]
        latest = [0]
        [models.gbm]
        kind = "lightgmb"
        [models.ar]
        kind = "autoregression"
        params = { max_lag = 3, constant = 1 }
        [score]
        primary = "rmsee"
        [kpi]
        unit = "GBP"
        under = -1
        """,
        encoding="utf-8",
    )
    with pytest.raises(ExperimentError) as caught:
        load_experiment(file)
    problems = caught.value.problems
    wanted = {
        "schema = 2": "reads schema = 1",
        "nam = ": 'did you mean "name"?',
        "name:": "missing",
        'target.series = "cpy"': "did you mean 'cpi'?",
        'target.outcome = "releas 3"': 'did you mean "release 3"?',
        'origins.every = "quarter ends"': 'did you mean "quarter end"?',
        "origins.first:": "missing",
        "origins.latency": '"15 minutes"',
        "horizons.steps = [1, 1]": "twice",
        "training.minimum = 0": "1 or more",
        "features.own.latest = [0]": "each 1 or more",
        'models.gbm.kind = "lightgmb"': 'did you mean "lightgbm"?',
        "models.ar.params.max_lag = 3": "did you mean 'max_lags'?",
        "models.ar.params.constant = 1": "wrong type",
        'score.primary = "rmsee"': 'did you mean "rmse"?',
        "kpi.under = -1": "0 or more",
        "kpi.over:": "missing",
    }
    for where, what in wanted.items():
        assert any(line.startswith(where) and what in line for line in problems), (where, problems)
    assert len(problems) == len(wanted), problems
    assert all(problem in str(caught.value) for problem in problems)


def test_a_missing_file_names_its_neighbours(folder: Path) -> None:
    (folder / "uk_inflation.toml").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match='did you mean "uk_inflation"') as caught:
        load_experiment(folder / "uk_inflatoin.toml")
    assert not isinstance(caught.value, ExperimentError)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"schema = = 1", "not TOML"),
        (b'name = "a"\nname = "b"', "not TOML"),
        ("name = 'Größe'".encode("cp1252"), "UTF-8"),
    ],
)
def test_a_file_that_is_no_toml_text_is_refused_with_the_place(folder: Path, content: bytes, message: str) -> None:
    (folder / "broken.toml").write_bytes(content)
    with pytest.raises(ExperimentError, match=message):
        load_experiment(folder / "broken.toml")


def test_an_empty_file_lists_everything_it_must_say(folder: Path) -> None:
    (folder / "empty.toml").write_text("", encoding="utf-8")
    with pytest.raises(ExperimentError) as caught:
        load_experiment(folder / "empty.toml")
    missing = {line.partition(":")[0] for line in caught.value.problems}
    assert missing == {
        "schema", "name", "datasets", "target.series", "origins.every", "origins.first", "horizons.steps",
    }  # fmt: skip


def test_an_unknown_dataset_is_one_problem_and_its_series_are_not_blamed(refused: Callable[..., list[str]]) -> None:
    (problem,) = refused(base='schema = 1\nname = "trial"\ndatasets = ["toi"]\n')
    assert "unknown dataset 'toi'" in problem
    assert "did you mean 'toy'" in problem


def test_a_faulty_dataset_file_is_reported_with_its_own_problems(
    folder: Path, refused: Callable[..., list[str]]
) -> None:
    (folder.parent / "datasets" / "toy" / "dataset.toml").write_text("schema = 1\nsurprise = 2\n", encoding="utf-8")
    problems = refused()
    assert any("dataset toy" in line and "surprise" in line for line in problems)


def test_a_bare_name_of_two_datasets_must_be_written_in_full(
    load: Callable[..., Experiment], refused: Callable[..., list[str]]
) -> None:
    both = 'schema = 1\nname = "trial"\ndatasets = ["toy", "ledger"]\n'
    (problem,) = refused(base=both, target='[target]\nseries = ["rate"]\n')
    assert "ledger/rate or toy/rate" in problem
    assert load(base=both, target='[target]\nseries = ["ledger/rate"]\n').target.series == ("ledger/rate",)


def test_the_folder_is_not_part_of_what_an_experiment_is(load: Callable[..., Experiment], tmp_path: Path) -> None:
    experiment = load()
    assert Path(experiment.folder) == (tmp_path / "experiments").resolve()


SHIPPED = sorted(file.stem for file in EXPERIMENTS.glob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_experiments_load_and_state_a_question(name: str) -> None:
    experiment = load_experiment(EXPERIMENTS / f"{name}.toml")
    assert experiment.name == name
    assert experiment.question.endswith("?")
    assert experiment.models
    assert experiment.name in (EXPERIMENTS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_experiments_are_read_back_from_their_records(name: str) -> None:
    experiment = load_experiment(EXPERIMENTS / f"{name}.toml")
    record = json.loads(json.dumps(canonical(experiment)))
    assert replace(restored(Experiment, record), folder=experiment.folder) == experiment


@pytest.mark.parametrize(("name", "per_year"), [("uk_inflation_tuned", 4), ("sp500_volatility_tuned", 52)])
def test_two_shipped_experiments_search_yearly_eight_parameters_of_trees_and_orders_of_classical_models(
    name: str, per_year: int
) -> None:
    models = {model.name: model for model in load_experiment(EXPERIMENTS / f"{name}.toml").models}
    trees, orders = models["gbm_tuned"].search, models["orders"].search
    assert trees is not None
    assert orders is not None
    assert (models["gbm_tuned"].kind, len(trees.space), trees.trials) == ("lightgbm", 8, 40)
    assert {models["orders"].kind, *(one.kind for one in orders.candidates)} == {"autoregression", "ets"}
    assert {"max_lags", "ets.trend"} <= {one.name for one in orders.space}
    assert {model.search.retune_every for model in models.values() if model.search} == {per_year}
