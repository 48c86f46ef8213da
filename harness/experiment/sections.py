"""The short sections: [horizons], [training], [score] and [kpi]."""

from __future__ import annotations

from harness.core.reading import Table
from harness.core.recipe import Kpi, Training
from harness.experiment.keys import KEYS, LEAST
from harness.score.spec import PRIMARIES


def read_horizons(table: Table) -> tuple[int, ...]:
    """Horizons in ascending order (0 = the period containing the origin, -1 = the one before)."""
    table.only(KEYS["horizons"])
    if not table.required("steps", "steps = [0, 1]"):
        return ()
    if table.values["steps"] == []:
        table.bad("steps", "at least one horizon is needed")
    return tuple(sorted(set(table.integers("steps", least=None))))


def read_training(table: Table) -> Training:
    """The training window and how often learners are fitted again."""
    table.only(KEYS["training"])
    window = table.values.get("window", "expanding")
    rolling = None
    if isinstance(window, dict):
        inner = table.table("window")
        inner.only(KEYS["window"])
        rolling = (
            inner.integer("rolling", 1, least=LEAST["rolling"])
            if inner.required("rolling", "{ rolling = 40 }")
            else None
        )
    elif window != "expanding":
        table.bad("window", '"expanding" or a number of target periods, like { rolling = 40 }')
    minimum = table.integer("minimum", Training().minimum, least=LEAST["minimum"])
    return Training(rolling, minimum, table.integer("refit_every", 1, least=LEAST["refit_every"]))


def read_primary(table: Table) -> str:
    """The metric that the leaderboard is ordered by."""
    table.only(KEYS["score"])
    return table.word("primary", "rmse", PRIMARIES)


def read_kpi(table: Table) -> Kpi:
    """What a wrong forecast costs."""
    table.only(KEYS["kpi"])
    if table.required("unit", 'unit = "GBP m", the unit of the prices') and not table.text("unit"):
        table.bad("unit", "may not be empty")
    table.word("kind", "asymmetric_linear", ("asymmetric_linear",))
    for key in ("under", "over"):
        table.required(key, f"{key} = 1.0, the price of one unit of error")
    return Kpi(
        unit=table.text("unit"),
        under=table.number("under", 1.0, least=LEAST["under"]),
        over=table.number("over", 1.0, least=LEAST["over"]),
        abstain=table.number("abstain", 0.0, least=LEAST["abstain"]) if "abstain" in table.values else None,
        trades=table.flag("trades"),
    )
