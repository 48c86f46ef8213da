"""What the score tables of one run need to know besides its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from harness.core.errors import UserError
from harness.score.decision import Kpi

MEAN_SCORES: Final = ("rmse", "rmsse", "qlike")
MEDIAN_SCORES: Final = ("mae", "mase", "smape")
PRIMARIES: Final = (*MEAN_SCORES, *MEDIAN_SCORES)
"""Metrics the leaderboard may be ordered by, each consistent with the functional it is named under (S26)."""


def functional_of(primary: str) -> Literal["mean", "median"]:
    """The functional a metric is consistent with.

    >>> functional_of("qlike"), functional_of("mae")
    ('mean', 'median')
    """
    return "median" if primary in MEDIAN_SCORES else "mean"


@dataclass(frozen=True, slots=True)
class ScoreSpec:
    """How a run is scored, fixed before its results.

    Attributes:
        primary: the headline metric, one of `PRIMARIES`.
        span: periods spanned by the target's transform, *counted in origins* (four-quarter growth: 4 with quarterly
            origins, 12 with monthly ones); errors of fewer than `span` origins apart overlap.
        kpi: the decision's cost, or None.
        ratio_levels: the target is a positive ratio-scale level, so that sMAPE has a meaning.
        volatility: the target is a volatility; QLIKE squares outcomes and forecasts into variances.
        unknown_cutoff: external models whose data cut-off is unknown: compared, but without a verdict (S23).
        reference: the model whose forecast stands in for a missing one (S24).
        latency: after publication, before a forecaster can know (`[origins] latency`, S2).
    """

    primary: str
    span: int = 1
    kpi: Kpi | None = None
    ratio_levels: bool = False
    volatility: bool = False
    unknown_cutoff: frozenset[str] = field(default_factory=frozenset)
    reference: str = "last_value"
    latency: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        """Refuse a headline metric that has no meaning for the target, and impossible spans."""
        if self.primary not in PRIMARIES:
            raise UserError("unknown primary metric", value=self.primary, rule=f"one of {', '.join(PRIMARIES)}")
        if self.primary == "smape" and not self.ratio_levels:
            raise UserError("sMAPE as primary metric", rule="for positive ratio-scale levels only (S26)", fix="use mae")
        if self.primary == "qlike" and not self.volatility:
            raise UserError("QLIKE as primary metric", rule="for volatility targets only (S26)", fix="use rmse")
        if self.span < 1 or self.latency < timedelta(0):
            raise UserError("span or latency", value=f"{self.span}, {self.latency}", rule="span >= 1, latency >= 0")
