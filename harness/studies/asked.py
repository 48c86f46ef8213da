"""A forecast as a user names it: its series, origin and model found among those of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

import polars as pl

from harness.backtest.splits import Plan
from harness.backtest.under_seal import past_seal, seal_over
from harness.core.errors import UnknownNameError, UserError, listed
from harness.core.recipe import Recipe
from harness.core.time import end_of_day, instant, local_day, micros
from harness.record.home import Home
from harness.record.ledger import refusals
from harness.record.runs import read_table
from harness.record.seals import seals_of
from harness.studies.recorded import Recorded


@dataclass(frozen=True, slots=True)
class AskedForecast:
    """One forecast as a user names it.

    Attributes:
        series: stored or bare id, or the beginning of one.
        origin: an instant, a day in the target's zone, or the beginning of either as text.
        horizon: target periods ahead.
        model: "" = the best of those that are no rivals at this horizon.
    """

    series: str
    origin: str | date | datetime
    horizon: int
    model: str = ""


def recipe_of(run: Recorded, plan: Plan, asked: AskedForecast) -> Recipe:
    """The asked model; without one, the best at this horizon of those that are no rivals."""
    by_name = {recipe.name: recipe for recipe in plan.experiment.models}
    if asked.model:
        if asked.model not in by_name:
            raise UnknownNameError("model of this run", asked.model, by_name)
        return by_name[asked.model]
    board = read_table(run.files, "leaderboard").filter(pl.col("horizon") == asked.horizon).sort("rank")
    own = board.filter(~pl.col("is_rival"))["model"].to_list() or board["model"].to_list()
    return by_name[own[0]]


def named(kind: str, name: str, known: Sequence[str]) -> str:
    """A stored id by itself, by its bare name, or by the beginning of either."""
    for fits in (
        [one for one in known if name in (one, one.rpartition("/")[2])],
        [one for one in known if name and (one.startswith(name) or one.rpartition("/")[2].startswith(name))],
    ):
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise UserError(f"several fit this {kind}", value=repr(name), fix=f"one of {listed(fits, 20)}")
    raise UnknownNameError(kind, name, known)


def unsealed_origin(plan: Plan, home: Home, asked: AskedForecast, known: Sequence[datetime]) -> datetime:
    """An origin of the run; one past the seal of what the experiment uses is refused, not just unknown."""
    zone = plan.experiment.origins.zone
    try:
        return _origin(asked.origin, known, zone)
    except UnknownNameError:
        found = seal_over(seals_of(home), plan.experiment)
        if found is not None and _reach(asked.origin, zone) >= found[0].instant:
            with refusals(home, f"lineage {asked.series} {asked.origin}"):
                raise past_seal(*found, f"origin {asked.origin}", "name an origin of the run") from None
        raise


def _origin(asked: str | date | datetime, known: Sequence[datetime], zone: str) -> datetime:
    """An origin by its instant, its day in the target's zone, or the beginning of either."""
    if isinstance(asked, datetime):
        asked = instant(micros(asked)).isoformat()
    text = asked.isoformat() if isinstance(asked, date) else asked.strip().replace(" ", "T").replace("Z", "+00:00")
    forms = {moment: (moment.isoformat(), local_day(moment, zone).isoformat()) for moment in known}
    for fits in (
        [moment for moment, names in forms.items() if text in names],
        [moment for moment, names in forms.items() if text and names[1].startswith(text)],
        [moment for moment, names in forms.items() if text and names[0].startswith(text)],
    ):
        if len(fits) == 1:
            return fits[0]
        if fits:
            listed = ", ".join(forms[moment][0] for moment in fits[:12])
            raise UserError("several origins fit", value=repr(text), fix=f"one of {listed}")
    raise UnknownNameError("origin", text, [names[1] for names in forms.values()])


def _reach(asked: str | date | datetime, zone: str) -> datetime:
    """The latest instant that an origin as a user names it can mean; the beginning of time where it is no date."""
    text = str(asked).strip().replace("Z", "+00:00")
    for rest in ("", "-12-31", "-31", "-30", "-29", "-28"):
        try:
            found = datetime.fromisoformat(f"{text}{rest}")
        except ValueError:
            continue
        if len(text) <= len("2019-12-31"):
            return end_of_day(found.date(), zone)
        return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))
    return instant(0)
