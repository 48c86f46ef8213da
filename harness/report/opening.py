"""The plan of an opening, and what an opening came to, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import polars as pl

from harness.core.errors import DamagedError
from harness.core.time import local_day
from harness.record.plans import Expected, HoldoutPlan
from harness.record.runs import RESTORE
from harness.record.seals import CUSTODIAN
from harness.record.shape import Shape, misshapen
from harness.report.text import number, p_value, table

NO_DECISION = "(none was stated)"
MAYBE = (float, int, type(None))
OPENING: Shape = {
    **dict.fromkeys(("plan", "told", "answer", "decision", "why", "hardest"), str),
    "seals": [{"seal": str, "cut": str, "told": str}],
    "exploratory": bool,
    "n_origins": int,
    "p_value": MAYBE,
    "against": [{"rival": str, **dict.fromkeys(("rival_value", "value", "ratio", "p_value"), MAYBE),
                 "fallback": (str, type(None))}],
}  # fmt: skip
"""What the manifest of an opening says of it."""


def plan_text(plan: HoldoutPlan) -> str:
    """What a plan froze, what the holdout can show, and what to do next."""
    origins = plan.origins
    seals = "; ".join(f"{one['seal']} from {str(one['cut'])[:10]} ({one['told']})" for one in plan.seals)
    parts = [
        "\n".join(
            [
                f"plan {plan.id}: {plan.name}",
                f"claim: {plan.told}",
                f"if confirmed: {plan.claim['if_confirmed'] or NO_DECISION}",
                f"if not: {plan.claim['if_not'] or NO_DECISION}",
                f"if it cannot be decided: {plan.claim.get('if_undecided') or 'as if not'}",
                f"looked at in the holdout: {', '.join(_names(plan.claim['candidates']))}, and the naive rivals",
                f"sealed: {seals}",
                f"development run {plan.run['id']}: {origins['development']} scored origins",
                *_seen(plan),
                f"effort: {plan.effort['searched']} trials searched, {plan.effort['looked']} recipes looked at",
            ]
        ),
        "\n".join(_expected(plan)),
        "\n".join(f"warning: {text}" for text in plan.warnings),
        "\n".join(_next(plan)),
    ]
    return "\n\n".join(part for part in parts if part)


def ahead_text(plan: HoldoutPlan) -> str:
    """What a first opening does, said before it is done."""
    cuts = ", ".join(dict.fromkeys(str(one["cut"])[:10] for one in plan.seals))
    return "\n".join(
        [
            f"This opens the holdout of {plan.name}, sealed from {cuts}, by plan {plan.id}:",
            f"  {plan.told}, judged at {plan.origins['number']} origins",
            "  It is entered in the ledger before anything is decrypted, counts for ever and cannot be undone:",
            "  only the first opening confirms, every other is exploratory. Stopped, the same command goes on.",
        ]
    )


def _next(plan: HoldoutPlan) -> Iterator[str]:
    """How it is opened: by a custodian's grant where the seal has one, with a reason where it was opened before."""
    again, granted = ' --again --reason "..."' if plan.exploratory else "", ""
    if any(one["grade"] == CUSTODIAN for one in plan.seals):
        granted = " --grant grant.json"
        yield f"ask its custodian: harness holdout request --plan {plan.id} --out request.json"
        more = " --again" if plan.exploratory else ""
        yield f"on the custodian's machine: harness holdout grant request.json --out grant.json{more}"
    once = "open it again, exploratory" if plan.exploratory else "open it once"
    yield f"{once}: harness holdout open --plan {plan.id}{granted}{again}"


def _seen(plan: HoldoutPlan) -> Iterator[str]:
    """What was looked at of the holdout before it was one."""
    for one in plan.seals:
        known = str(one.get("seen") or "no run on record had seen it before it was sealed")
        yield f"earlier looks, {one['seal']}: {known}"


def _expected(plan: HoldoutPlan) -> Iterator[str]:
    origins, schedule = plan.origins, plan.experiment["origins"]
    zone = str(schedule.get("zone") or "UTC") if isinstance(schedule, Mapping) else "UTC"
    first, last = (local_day(datetime.fromisoformat(str(origins[name])), zone) for name in ("first", "last"))
    yield f"What the holdout can show: {origins['number']} origins, {first} to {last}, judged by development alone"
    if origins["first"] == plan.cut.isoformat():
        yield f"  The first, of {first} (end of day), falls exactly on the cut, so it is in the holdout."
    head = ["h", "matured", "worth", "needed", "best rival", "its value", "the model's", "smallest found", "per cent"]
    yield table(head, [_row(one) for one in plan.expected], left=0, indent="  ")
    yield (
        "  matured: origins whose outcome should be public; needed: how many of them there must be for a verdict "
        "at all (10, or 5 for each of the overlapping outcomes).\n"
        "  worth: how many independent origins the matured ones amount to, by the autocorrelations of the loss "
        f"difference over {origins['development']} development origins: a noisy estimate, at most "
        "matured (negative ones are taken for chance), so a longer horizon can come out worth more than a short one.\n"
        "  smallest found: difference to that rival found with 80 % power (against all rivals at once it is larger; "
        "none: larger than the rival's own error)."
    )


def _row(one: Expected) -> list[str]:
    return [
        str(one.horizon),
        str(one.matured),
        number(one.effective, 3),
        str(one.needed),
        one.rival,
        number(one.rival_value),
        number(one.value),
        "none" if one.smallest is None else number(one.smallest),
        number(one.per_cent, 3),
    ]


def opening_text(manifest: Mapping[str, object]) -> str:
    """What an opening came to: claim, verdict, every rival's test, decision; "" = the run is none."""
    facts = _facts_of(manifest)
    return "\n".join(_opening(facts)) if facts else ""


def opening_rows(manifest: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """The same for a table of facts: claim, verdict and decision by name; () = the run is no opening."""
    facts = _facts_of(manifest)
    if not facts:
        return ()
    decision = str(facts["decision"] or NO_DECISION)
    told = (("claim", str(facts["told"])), ("verdict", answer_text(facts)), ("decision", decision))
    return (*told, ("plan", str(facts["plan"])))


def _facts_of(manifest: Mapping[str, object]) -> Mapping[str, object]:
    """What a run says of its opening; {} = it is none.

    Raises:
        DamagedError: it is not what an opening says.
    """
    facts = manifest.get("holdout", {})
    wrong = misshapen(facts, OPENING) if facts else ""
    if wrong:
        raise DamagedError(
            "what the run says of its opening is damaged", value=f"{manifest.get('run_id')}: {wrong}", fix=RESTORE
        )
    return facts if isinstance(facts, Mapping) else {}


STRADDLERS = "Straddlers: issued before the seal, outcome after it; neither development nor part of the claim"


def straddler_rows(straddlers: pl.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Head and rows of what straddles the cut of an opening.

    Args:
        straddlers: `Run.straddlers()`.
    """
    head = ["h", "model", "n", "value", "best rival", "its value"]
    rows = [
        [
            str(one["horizon"]),
            str(one["model"]),
            str(one["n"]),
            f"{number(one['value'])} {one['metric']}",
            str(one["best_rival"] or "-"),
            number(one["best_rival_value"]),
        ]
        for one in straddlers.filter(~pl.col("is_rival")).sort("horizon", "model").iter_rows(named=True)
    ]
    return head, rows


def straddlers_text(straddlers: pl.DataFrame) -> str:
    """The same as text; "" = nothing straddles the cut."""
    head, rows = straddler_rows(straddlers)
    return f"{STRADDLERS}\n{table(head, rows, left=2, indent='  ')}" if rows else ""


def answer_text(facts: Mapping[str, object]) -> str:
    """The verdict in one line.

    Args:
        facts: `holdout` of a run's manifest.
    """
    kind = ", exploratory: the holdout had been opened before" if facts.get("exploratory") else ""
    why = f" ({facts['why']})" if facts.get("why") else ""
    return f"{str(facts['answer']).upper()}{why}{kind}"


def _opening(facts: Mapping[str, object]) -> Iterator[str]:
    seals = facts.get("seals")
    cuts = [str(one["cut"])[:10] for one in seals] if isinstance(seals, list) else []
    yield f"Opening of the holdout sealed from {', '.join(dict.fromkeys(cuts))}, by plan {facts['plan']}"
    yield f"  claim: {facts['told']}"
    tested = f"; p = {p_value(facts['p_value'])}, against {facts['hardest']}" if facts["hardest"] else ""
    yield f"  verdict: {answer_text(facts)}; {facts['n_origins']} origins{tested}"
    yield f"  decision: {facts['decision'] or NO_DECISION}"
    against = facts.get("against")
    rows = [_against(one) for one in against] if isinstance(against, list) else []
    if rows:
        yield table(["rival", "its value", "the model's", "ratio", "p", "note"], rows, left=1, indent="  ")
    yield "  Scored: origins at or after the seal. Issued before it with an outcome after it: apart, as straddlers."


def _against(one: Mapping[str, object]) -> list[str]:
    return [
        str(one["rival"]),
        *(number(one[name]) for name in ("rival_value", "value", "ratio")),
        p_value(one["p_value"]),
        str(one["fallback"] or ""),
    ]


def _names(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, (list, tuple)) else []
