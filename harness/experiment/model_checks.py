"""What models must be to the rivals, to each other, to the feature blocks and to what they declare."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.errors import UserError
from harness.core.reading import Problems, meant, one_of
from harness.core.recipe import Recipe, Target
from harness.experiment.parts import Parts
from harness.forecast.boosting_params import check_columns, check_together
from harness.forecast.catalog import CATALOG, always_on, build, estimated
from harness.forecast.catalog import check_target as check_fits
from harness.score.spec import PRIMARIES


def check_rivals(models: Sequence[Recipe], target: Target, problems: Problems) -> None:
    """No model takes the name of a rival or repeats one, and each can answer the target."""
    rivals = always_on(target)
    for model in models:
        where = f"models.{model.name}"
        if model.name in {rival.name for rival in rivals}:
            problems.add(where, "is the name of a rival that is always on", hint="remove this table")
        elif any((model.kind, model.params) == (rival.kind, rival.params) for rival in rivals):
            problems.add(f'{where}.kind = "{model.kind}"', "is a rival that is always on", hint="remove this table")
        try:
            check_fits(model, target)
        except UserError as error:
            problems.add(f'{where}.kind = "{model.kind}"', f"{error.what}, {error.rule or error.value}", hint=error.fix)


def check_names(parts: Parts, problems: Problems) -> None:
    """Every block and fallback that a model names is there, no name serves twice, and following fallbacks ends."""
    rivals = [rival.name for rival in always_on(parts.target)] if parts.target is not None else list(CATALOG)
    known = [*parts.names, *rivals]
    fallbacks = {model.name: model.fallback for model in parts.models}
    for names, section in ((parts.names, "models"), (parts.blocks, "features")):
        for name in sorted({name for name in names if names.count(name) > 1}):
            problems.add(f"{section}.{name}", "this name is used twice")
    for model in parts.models:
        for name in model.features:
            if name not in parts.blocks:
                problems.add(
                    f'models.{model.name}.features: "{name}"',
                    f"no such block, known are {', '.join(parts.blocks) or 'none'}",
                    hint=meant(name, parts.blocks),
                )
        where = f'models.{model.name}.fallback = "{model.fallback}"'
        if model.fallback and model.fallback not in known:
            problems.add(where, f"no such model, known are {', '.join(known)}", hint=meant(model.fallback, known))
        path = [model.name]
        while fallbacks.get(path[-1]) and len(path) == len(set(path)):
            path.append(fallbacks[path[-1]])
        if len(path) > 1 and path[-1] == model.name:
            problems.add(where, f"leads back to itself ({' -> '.join(path)})")


def check_score(primary: str, target: Target, problems: Problems) -> None:
    """The headline metric suits the target (S26)."""
    where = f'score.primary = "{primary}"'
    if primary not in PRIMARIES:
        problems.add(where, one_of(PRIMARIES), hint=meant(primary, PRIMARIES))
    if primary == "qlike" and not target.transform.is_volatility:
        problems.add(where, "judges variances only", hint='use "rmse", or a realised_volatility target')
    if primary == "smape" and target.transform.kind != "level":
        problems.add(where, f"judges levels only, the target is {target.transform.kind}", hint='use "mae" or "rmse"')


def check_functionals(models: Sequence[Recipe], problems: Problems) -> None:
    """No model declares to forecast what it does not estimate (S26)."""
    for model in models:
        found = estimated(model.kind, dict(model.params))
        if found and model.functional not in ("", found):
            trees = model.kind == "lightgbm"
            problems.add(
                f'models.{model.name}.functional = "{model.functional}"',
                f"{model.kind} estimates the {found}" + (" with this objective" if trees else ""),
                hint="change the objective, or leave functional out" if trees else "leave it out",
            )


def check_listed(parts: Parts, problems: Problems) -> None:
    """Parameters of LightGBM that go column by column fit the columns of the model, where these are known now."""
    blocks = {block.name: block.columns() for block in parts.features}
    for model in parts.models:
        if model.kind != "lightgbm" or parts.target is None:
            continue
        params, search = dict(model.params), model.search
        chosen = search is not None and (
            bool(search.function or search.candidates) or model.seen_blocks != model.features
        )
        known = not model.steps and not chosen and model.features and all(name in blocks for name in model.features)
        columns = [column for name in model.features for column in blocks[name]] if known else None
        coded = params.get("series_feature", True) is True and len(parts.target.series) > 1
        try:
            check_columns(params, columns, coded=coded)
        except UserError as error:
            told = "; ".join(filter(None, (f"{error.what}: {error.value}", error.rule)))
            problems.add(f"models.{model.name}.params", told, hint=error.fix)


def check_built(models: Sequence[Recipe], folder: str, problems: Problems) -> None:
    """Every model that has no other problem can be made of its parameters; this runs users' constructors."""
    for model in models:
        where = f"models.{model.name}"
        if any(line.startswith((f"{where}.", f"{where}:")) for line in problems.lines):
            continue
        try:
            build(model, folder=folder)
            if model.kind == "lightgbm" and model.search is None:
                check_together(dict(model.params))
        except UserError as error:
            told = f"{error.what}: {error.value}" if error.value else error.what
            problems.add(where, "; ".join(filter(None, (told, error.rule))), hint=error.fix)
        except Exception as error:  # noqa: BLE001 - a constructor of the user may raise anything; it is told
            problems.add(
                where, f"{model.kind} cannot be made: {type(error).__name__}: {error}", hint="change its params"
            )
