"""The leaderboard as rows to print: one list of cells per model, long verdicts as numbered notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from harness.report.facts import Facts
from harness.report.text import number, p_value, share, skill

NO_VERDICT = "no verdict: "
COUNTED = {
    "n_failed": "failed",
    "n_abstained": "abstained",
    "n_fallback": "fallback",
    "n_not_issued": "not issued",
    "n_missing": "missing",
    "n_reference": "by reference",
}
"""Counts of the leaderboard that say how often a model gave no answer of its own, and their column heads."""


@dataclass(slots=True)
class Notes:
    """Sentences behind short marks, in order of first use."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """The mark of a sentence, "[1]" for the first."""
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"


def board_table(board: pl.DataFrame, facts: Facts, notes: Notes) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the leaderboard of one horizon; counts that are zero for every model are left out.

    Args:
        board: rows of the leaderboard of one horizon, best first.
        facts: of the run.
        notes: collects reasons for which there is no verdict.
    """
    counts = [name for name in COUNTED if board[name].sum()]
    kpi = [f"{facts.kpi_unit} per cell"] if facts.kpi_unit else []
    head = ["rank", "model", facts.primary, "skill", "p", *kpi, "n", *(COUNTED[name] for name in counts), "verdict"]
    rows = [
        [
            number(row["rank"]),
            row["model"],
            number(row["value"]),
            skill(row["skill"]),
            "-" if row["model"] in facts.unknown_cutoff else p_value(row["p_better_than_naive"]),
            *([number(row["kpi_mean"])] if facts.kpi_unit else []),
            number(row["n"]),
            *(str(row[name] or "") for name in counts),
            verdict(row["verdict"], notes),
        ]
        for row in board.iter_rows(named=True)
    ]
    return head, rows


def verdict(text: str, notes: Notes) -> str:
    """A verdict short enough for a column."""
    return f"no verdict {notes.mark(text.removeprefix(NO_VERDICT))}" if text.startswith(NO_VERDICT) else text


def answer(board: pl.DataFrame) -> str:
    """One sentence: what a horizon's leaderboard says about the question.

    Args:
        board: rows of the leaderboard of one horizon.
    """
    first = board.row(0, named=True)
    best = f"best naive rival {first['best_rival']} ({first['metric']} {number(_rival_value(board, first))})"
    open_ones = board.filter(pl.col("verdict").str.starts_with(NO_VERDICT)).sort("rank")["model"].to_list()
    best += f"; no verdict on {', '.join(open_ones)}" if open_ones else ""
    better = board.filter(pl.col("verdict") == "better than naive").sort("rank")["model"].to_list()
    if better:
        return f"better than every naive rival: {', '.join(better)}; {best}"
    if not board.filter(pl.col("verdict") == "not shown").height:
        return best
    return f"no model is shown to be better than every naive rival; {best}"


def _rival_value(board: pl.DataFrame, first: dict[str, object]) -> object:
    own: Sequence[object] = board.filter(pl.col("model") == first["best_rival"])["value"].to_list()
    return own[0] if own else first["best_rival_value"]


def public_text(step: int, facts: Facts, statuses: pl.DataFrame) -> str:
    """How much of the target was public already at the origins of a horizon, and how many whole cells were.

    Args:
        step: the horizon.
        facts: of the run.
        statuses: `Run.statuses()`.
    """
    mine = statuses.filter(
        pl.col("scored") & (pl.col("horizon") == step) & (pl.col("model") == facts.reference)
        & (pl.col("status") == "already_public")
    )  # fmt: skip
    count = int(mine["cells"].sum())
    cells = f"; {count} cells were public already and are no forecasts" if count else ""
    return f"{share(facts.shares_public.get(step))} of the target is already public at the origin, on average{cells}"


def unanswered(statuses: pl.DataFrame) -> pl.DataFrame:
    """How often, and why, a model gave no forecast of its own at scored origins.

    Args:
        statuses: `Run.statuses()`.

    Returns:
        model, status (failed, abstained or fallback), reason, cells, horizons; the most frequent first.
    """
    return (
        statuses.filter(pl.col("scored") & pl.col("status").is_in(["failed", "abstained", "fallback"]))
        .group_by("model", "status", pl.col("reason").fill_null(""))
        .agg(
            pl.col("cells").sum(),
            pl.col("horizon").unique().sort().cast(pl.String).str.join(", ").alias("horizons"),
        )
        .sort(["cells", "model", "status", "reason"], descending=[True, False, False, False])
    )
