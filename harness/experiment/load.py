"""From an experiment file to the frozen object that is run, with every problem of the file in one message."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.core.errors import ExperimentError, UserError, listed
from harness.core.reading import Problems, Table, meant
from harness.core.recipe import Experiment
from harness.core.series import Series
from harness.data.dataset import find_dataset, load_dataset
from harness.data.declared import Dataset
from harness.data.listings import named_members
from harness.experiment.checks import check
from harness.experiment.facts import Facts, facts_of
from harness.experiment.features import NAME, NAME_RULE, block_names, read_features, read_vintage
from harness.experiment.holdout import read_claim
from harness.experiment.keys import KEYS, LEAST, SCHEMA
from harness.experiment.model_checks import check_built
from harness.experiment.models import Surroundings, read_models
from harness.experiment.parts import Parts, named_series, parts_of
from harness.experiment.schedule import read_origins
from harness.experiment.search_checks import check_searches
from harness.experiment.sections import read_horizons, read_kpi, read_primary, read_training
from harness.experiment.steps import read_steps
from harness.experiment.target import read_target
from harness.score.spec import functional_of


def load_experiment(path: str | Path) -> Experiment:
    """Read an experiment file and resolve everything it names; no value of any series is read.

    Every model is built once, unfitted, so that wrong parameters are found here: this runs users' constructors.

    Args:
        path: the TOML file, or as on the command line the bare name of one in `./experiments`. Datasets are looked
            for in `../datasets` of it, then in `./datasets`, user classes beside it.

    Returns:
        The experiment with stored series ids, every default filled in.

    Raises:
        UserError: there is no such file.
        ExperimentError: everything wrong with the file, one line per problem.
    """
    file = experiment_file(path)
    problems = Problems()
    top = Table("", _parsed(file), problems)
    experiment = _read(top, file.resolve().parent)
    if problems.lines or experiment is None:
        raise ExperimentError(str(file), problems.lines)
    return experiment


def experiment_file(named: str | Path) -> Path:
    """The file of an experiment: a path as it is, a bare name in `./experiments`.

    >>> experiment_file("uk_inflation").as_posix(), experiment_file("./mine/a.toml").as_posix()
    ('experiments/uk_inflation.toml', 'mine/a.toml')
    """
    path = Path(named)
    listed_there = Path("experiments") / f"{path.name}.toml"
    bare = path.suffix != ".toml" and path.parent == Path()
    return listed_there if bare and (listed_there.is_file() or not path.is_file()) else path


def validate(
    experiment: Experiment, datasets: Iterable[Dataset] = (), *, series: Iterable[Series] | Mapping[str, Series] = ()
) -> None:
    """Hold an experiment built in Python against the rules a file must keep.

    Args:
        experiment: resolved, with stored series ids (`dataset/id`).
        datasets: declarations of its datasets.
        series: further declarations, under their stored ids: series defined through the API. May be by stored id.

    Raises:
        ExperimentError: every rule it breaks, one line each.
    """
    problems = Problems()
    facts = facts_of(datasets, further=series)
    unknown = sorted(named_series(experiment).difference(facts.series))
    for name in unknown:
        problems.add(f'series "{name}"', "nothing declares it", hint=meant(name, facts.series))
    if not unknown:
        check(parts_of(experiment), facts, problems)
    check_built(experiment.models, experiment.folder, problems)
    blocks = [block.name for block in experiment.features]
    check_searches(experiment.models, experiment.training, blocks, experiment.folder, problems)
    if problems.lines:
        raise ExperimentError(experiment.name, problems.lines)


def _parsed(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_bytes().decode("utf-8"))
    except FileNotFoundError as error:
        siblings = [other.stem for other in file.parent.glob("*.toml")] if file.parent.is_dir() else []
        there = f"in {file.parent} there are: {listed(sorted(siblings)) or 'none'}"
        hint = meant(file.stem, siblings) or (there if file.parent.is_dir() else f"there is no folder {file.parent}")
        raise UserError("no such experiment file", value=file, fix=hint) from error
    except OSError as error:
        raise UserError("experiment file cannot be read", value=file, rule=str(error.strerror)) from error
    except UnicodeDecodeError as error:
        raise ExperimentError(str(file), ["not UTF-8 text; save it as UTF-8"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(str(file), [f"not TOML: {error}"]) from error


def _read(top: Table, folder: Path) -> Experiment | None:
    """The experiment, or None where a part is missing; checks run on whatever parts could be made out."""
    top.only(KEYS[""])
    if top.required("schema", f"schema = {SCHEMA}") and top.values["schema"] != SCHEMA:
        top.bad("schema", f"this version reads schema = {SCHEMA}")
    name = top.text("name")
    if top.required("name", 'name = "uk_inflation"') and NAME.fullmatch(name) is None:
        top.bad("name", NAME_RULE)
    facts, datasets = _read_datasets(top, folder)
    target = read_target(top.table("target"), facts)
    zone = facts.series[target.series[0]].zone if target else "UTC"
    origins = read_origins(top.table("origins"), zone)
    blocks = read_features(top, target, facts)
    primary = read_primary(top.table("score"))
    steps = read_steps(top.table("training"), folder)
    around = Surroundings(
        folder, target, block_names(top.table("features")), functional_of(primary), facts, steps, primary
    )
    parts = Parts(
        target,
        origins,
        read_horizons(top.table("horizons")),
        read_training(top.table("training")),
        blocks,
        read_models(top, around),
        primary,
        read_kpi(top.table("kpi")) if "kpi" in top.values else None,
        blocks=around.blocks,
        vintage=read_vintage(top.table("features")),
        names=tuple(top.table("models").values),
        claim=read_claim(top.table("holdout")) if "holdout" in top.values else None,
    )
    check(parts, facts, top.problems)
    check_built(parts.models, str(folder), top.problems)
    check_searches(parts.models, parts.training, parts.blocks, str(folder), top.problems)
    return _built(name, parts, datasets, top, folder)


def _built(name: str, parts: Parts, datasets: tuple[str, ...], top: Table, folder: Path) -> Experiment | None:
    seed = top.integer("seed", 0, least=LEAST["seed"])
    question = top.text("question")
    flags = {key: top.flag(key) for key in ("pseudo_real_time", "exclude_hindsight")}
    if parts.target is None or parts.origins is None:
        return None
    return Experiment(
        name=name,
        question=question,
        datasets=datasets,
        seed=seed,
        target=parts.target,
        origins=parts.origins,
        horizons=parts.horizons,
        training=parts.training,
        features=parts.features,
        models=parts.models,
        score_primary=parts.score_primary,
        kpi=parts.kpi,
        vintage=parts.vintage,
        folder=str(folder),
        claim=parts.claim,
        **flags,
    )


def _read_datasets(top: Table, folder: Path) -> tuple[Facts, tuple[str, ...]]:
    """What the named datasets declare; a missing or faulty one is noted, and names may then be unknown for its sake."""
    names = top.texts("datasets")
    if top.required("datasets", 'datasets = ["uk_macro"]') and top.values["datasets"] == []:
        top.bad("datasets", "at least one dataset is needed")
    read: list[Dataset] = []
    for name in names:
        try:
            read.append(load_dataset(find_dataset(name, folder)))
        except ExperimentError as error:
            for line in error.problems:
                top.problems.add(f"dataset {name}", line)
        except UserError as error:
            top.bad("datasets", f"{error.what} {error.value}", hint=error.fix)
    universes: dict[str, tuple[str, ...]] = {}
    for dataset in read:
        try:
            for universe, series in named_members(dataset).items():
                universes[universe] = tuple(sorted({*universes.get(universe, ()), *series}))
        except UserError as error:
            top.problems.add(f"dataset {dataset.name}", f"{error.what} {error.value or ''}".strip(), hint=error.fix)
    return facts_of(read, universes=universes, complete=bool(names) and len(read) == len(names)), names
