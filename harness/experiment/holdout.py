"""[holdout]: what is to be shown on a sealed holdout, and what follows from the answer."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.claim import MOST_CANDIDATES, MOST_LEVEL, RIVALS, Claim
from harness.core.reading import Problems, Table, meant
from harness.core.recipe import Recipe
from harness.experiment.keys import KEYS
from harness.experiment.model_checks import check_score
from harness.experiment.parts import Parts
from harness.score.spec import PRIMARIES


def read_claim(table: Table) -> Claim:
    """The claim; what is wrong with a key is noted, and the rest of it is still read and checked."""
    table.only(KEYS["holdout"])
    horizon = None
    if "horizon" in table.values:
        listed = table.integers("horizon", least=None)
        horizon = listed[0] if len(listed) == 1 else None
        if horizon is None:
            table.bad("horizon", "one horizon", hint="a claim is about one; add horizon = 1")
    candidates, model = table.texts("candidates"), table.text("model")
    if len(candidates) > MOST_CANDIDATES:
        table.bad("candidates", f"at most {MOST_CANDIDATES}: more would be a search on the holdout")
        candidates = ()
    if candidates and model and model not in candidates:
        table.bad("model", f"no candidate, these are {', '.join(candidates)}", hint=meant(model, candidates))
        model = ""
    level = table.number("level", Claim().level, least=0.0)
    if not 0.0 < level <= MOST_LEVEL:
        table.bad("level", f"above 0, at most {MOST_LEVEL}: the largest p-value at which the claim holds")
        level = Claim().level
    return Claim(
        candidates=candidates,
        model=model,
        horizon=horizon,
        metric=table.word("metric", PRIMARIES[0], PRIMARIES) if "metric" in table.values else "",
        against=table.word("against", RIVALS, (RIVALS,)),
        level=level,
        if_confirmed=table.text("if_confirmed"),
        if_not=table.text("if_not"),
        if_undecided=table.text("if_undecided"),
    )


def check_claim(claim: Claim, parts: Parts, problems: Problems) -> None:
    """The claim is about models, horizons and scores that the experiment has."""
    names = [model.name for model in parts.models if not model.rival]
    named = {"candidates": claim.candidates, "model": (claim.model,) if claim.model else ()}
    for key, mine in named.items():
        for name in mine:
            if name not in (*parts.names, *names):
                known = f"no such model, known are {', '.join(parts.names) or 'none'}"
                problems.add(f'holdout.{key}: "{name}"', known, hint=meant(name, parts.names))
    for name in _without_verdict(parts.models, named["model"]):
        problems.add(f'holdout.model = "{name}"', "its data cut-off is unknown, so no verdict is ever given for it")
    if claim.horizon is not None and parts.horizons and claim.horizon not in parts.horizons:
        listed = ", ".join(map(str, parts.horizons))
        problems.add(f"holdout.horizon = {claim.horizon}", f"not asked for, horizons.steps are {listed}")
    if claim.metric and parts.target is not None:
        noted = Problems()
        check_score(claim.metric, parts.target, noted)
        for line in noted.lines:
            problems.add("holdout.metric", line.partition(": ")[2] or line)


def _without_verdict(models: Sequence[Recipe], names: Sequence[str]) -> list[str]:
    return [model.name for model in models if model.name in names and not model.cutoff_known]
