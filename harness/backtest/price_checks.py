"""What may be asked of series with price events: their levels are relative to the last price, so ratios only (S11)."""

from __future__ import annotations

from harness.core.errors import FEW, UserError, listed
from harness.core.recipe import Experiment
from harness.core.scale import based_inputs, based_operations
from harness.data.changes import ChangeFile
from harness.data.prices import IS_SPLIT, price_events

RULE = "with splits or dividends, levels are relative to the last price, so levels of two origins do not compare"


def check_prices(experiment: Experiment, changes: ChangeFile) -> None:
    """Refuse level, difference and spread targets, and level features, of series with splits or dividends.

    Raises:
        UserError: there is one.
    """
    target = experiment.target
    events = price_events(changes, changes.ids)
    rows = events.row if target.prices == "total" else events.row[events.kind == IS_SPLIT]
    moving = {changes.ids[row] for row in rows}
    if not moving:
        return
    asked = [name for series in target.series for name in based_inputs(series, target.transform, moving)]
    if asked:
        raise UserError(
            f"a {target.transform.kind} target of a series with price events",
            value=listed(sorted(set(asked)), FEW),
            rule=RULE,
            fix="use log_return, return, log_growth, growth or realised_volatility",
        )
    for block in experiment.features:
        names = (block.series,) if block.series else target.series
        found = sorted({stored for name in names for stored in based_inputs(name, block.transform, moving)})
        operations = based_operations(block)
        if found and operations:
            raise UserError(
                f"features.{block.name}.{operations[0]} is made of levels of a series with price events",
                value=listed(found, FEW),
                rule=RULE,
                fix="use transform = { log_return = 1 }, or the operations log_growth and ratio",
            )
