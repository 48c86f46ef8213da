"""What an opening comes to: the claim judged on origins in the holdout, straddlers apart, and the decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from harness.backtest.assemble import Results, assemble, panel_of, score_spec
from harness.backtest.panel_scores import panel_tables
from harness.backtest.scales import scales_of
from harness.backtest.splits import Plan
from harness.core.claim import Claim
from harness.core.restore import restored
from harness.core.time import NEVER, micros
from harness.data.changes import ChangeFile
from harness.record.cells import Cell
from harness.record.plans import HoldoutPlan
from harness.score.leaderboard import NO_VERDICT, at_level

CONFIRMED, NOT_CONFIRMED, UNDECIDED = "confirmed", "not confirmed", "cannot be decided"
STRADDLERS = "straddlers"
BEFORE_ALL = -(1 << 62)
"""An instant (microseconds UTC) at or before every origin."""
AGAINST = ("rival", "n_origins", "value", "rival_value", "ratio", "dm_statistic", "p_value", "bandwidth", "fallback")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a claim.

    Attributes:
        answer: `confirmed`, `not confirmed` or `cannot be decided`.
        decision: what follows, as the claim said beforehand.
        why: why it cannot be decided, "" = it can.
        p_value: largest one-sided p-value over all rivals; None = a test could not be made.
        hardest: the rival it comes from.
        value: the model's metric on the claim rows.
        n_origins: origins the tests stand on.
        against: every rival's comparison.
    """

    answer: str
    decision: str
    why: str
    p_value: float | None
    hardest: str
    value: float | None
    n_origins: int
    against: tuple[Mapping[str, object], ...]

    def record(self) -> dict[str, object]:
        """JSON form."""
        return {**asdict(self), "against": list(self.against)}


def judged(
    whole: Plan, changes: ChangeFile, cells: Mapping[str, list[Cell]], run_id: str, holdout: HoldoutPlan
) -> tuple[Results, Plan]:
    """All tables of the origins in the holdout, with the straddlers in a table of their own.

    The scale of MASE and RMSSE is that of development; the leaderboard judges the claimed model at the claim's level.

    Args:
        whole: the plan over development and holdout.
        changes: the opened archive.
        cells: of every model that was walked, one per issued origin.
        run_id: of the opening.
        holdout: what was planned: the claim, and from when on everything was sealed.

    Returns:
        The tables, and the plan whose first scored origin is the first in the holdout.
    """
    cut, claim = holdout.cut, restored(Claim, holdout.claim)
    since = next(place for place, moment in enumerate(whole.instants) if moment >= cut)
    mine = replace(whole, first_scored=max(since, whole.first_scored))
    results = assemble(mine, changes, cells, run_id, scaled_by=whole)
    board = at_level(
        results.frames["leaderboard"], model=claim.model, horizon=int(str(claim.horizon)), level=claim.level
    )
    frames = {**results.frames, "leaderboard": board, STRADDLERS: _straddlers(whole, changes, cells, cut)}
    facts = {**results.facts, "warm_up": 0}
    return Results(frames, facts), mine


def verdict_of(results: Results, claim: Mapping[str, object]) -> Verdict:
    """Judge a claim on the tables of an opening.

    Args:
        results: of the origins in the holdout.
        claim: canonical form, with model, horizon and level named.
    """
    mine = (pl.col("horizon") == claim["horizon"]) & (pl.col("model") == claim["model"])
    rows = results.frames["leaderboard"].filter(mine).to_dicts()
    against = results.frames["against_rivals"].filter(mine).select(AGAINST).to_dicts()
    row = rows[0] if rows else {}
    said = str(row.get("verdict") or f"{NO_VERDICT}no origin in the holdout is asked")
    why = said.removeprefix(NO_VERDICT) if said.startswith(NO_VERDICT) else ""
    p_value = row.get("p_better_than_naive")
    if why or p_value is None:
        answer = UNDECIDED
    else:
        answer = CONFIRMED if p_value < float(str(claim["level"])) else NOT_CONFIRMED
    undecided = claim.get("if_undecided") or claim["if_not"]
    decision = {CONFIRMED: claim["if_confirmed"], NOT_CONFIRMED: claim["if_not"], UNDECIDED: undecided}[answer]
    return Verdict(
        answer,
        str(decision),
        why,
        p_value,
        str(row.get("hardest_rival") or ""),
        row.get("value"),
        int(row.get("n_origins") or 0),
        tuple(against),
    )


def _straddlers(whole: Plan, changes: ChangeFile, cells: Mapping[str, list[Cell]], cut: datetime) -> pl.DataFrame:
    """Scores of forecasts issued before the cut whose outcome came out after it: neither development nor claim."""
    apart = _apart(whole, micros(cut))
    asked = (
        (apart.members.member[origin][:, None] & ~apart.already_public(origin)).any()
        for origin in range(apart.first_scored, len(apart.instants))
    )
    some = any(asked)
    panel = panel_of(apart if some else whole, changes, cells, scales_of(whole, changes))
    board = panel_tables(panel, score_spec(whole, changes), by_series=False).leaderboard
    kept = board.select("horizon", "model", "is_rival", "metric", "n", "value", "best_rival", "best_rival_value")
    return kept.filter(pl.col("n") > 0) if some else kept.clear()


def _apart(whole: Plan, cut: int) -> Plan:
    """The origins before the cut, at which whatever does not come out after it counts as public already."""
    table, latest = whole.outcomes, whole.experiment.target.outcome.kind == "latest"
    out = table.first_public if latest else table.matured_at
    out = np.where((out != NEVER) & (out >= cut), out, BEFORE_ALL)
    outcomes = replace(table, first_public=out) if latest else replace(table, matured_at=out)
    return replace(whole, instants=tuple(at for at in whole.instants if micros(at) < cut), outcomes=outcomes)
