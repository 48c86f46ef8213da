"""Other worlds: the same past up to an instant, and after it something else entirely.

What an honest pipeline does at an origin is the same bits in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.membership import membership
from harness.backtest.splits import Plan
from harness.core.series import Series
from harness.core.time import MICROS_PER_DAY, NEVER, end_of_day, micros
from harness.core.transform import Floats
from harness.data.changes import ChangeFile, PublicationRows
from harness.data.outcomes import MATURED, outcomes
from harness.studies.other_announcements import announced_at, announced_later, announcements, other_later, without_later

Micros = NDArray[np.int64]
Flags = NDArray[np.bool_]
Kind = Literal["removed", "noise", "restamped", "outcomes"]
KINDS: tuple[Kind, ...] = ("removed", "noise", "restamped", "outcomes")
MICROSECONDS_PER_YEAR = 365 * MICROS_PER_DAY


@dataclass(frozen=True, slots=True, eq=False)
class Other:
    """Another world.

    Attributes:
        changes: its archive view.
        plan: the same grid of origins, target series and target periods, with the outcomes and members of that world.
        touched: changes, publications, issued forecasts, price events, memberships and outcomes that are not as they
            were.
    """

    changes: ChangeFile
    plan: Plan
    touched: int


def known_from(changes: ChangeFile, *, by_vintage: bool) -> Micros:
    """[change] microseconds UTC from which a number could be known (S5).

    Args:
        changes: the changes.
        by_vintage: the instant of the vintage a number comes from counts where it is known and later than its date;
            False in a run that is marked pseudo real time, where such numbers are declared.
    """
    later = (changes.vintage != NEVER) & (changes.vintage > changes.published)
    known: Micros = np.where(later & by_vintage, changes.vintage, changes.published)
    return known


def other_world(plan: Plan, changes: ChangeFile, origin: int, kind: Kind, seed: int) -> Other:
    """The world in which everything that was not public at an origin is another.

    Args:
        plan: the plan.
        changes: the archive view as it is.
        origin: index of the origin; known is what was published by it less the latency.
        kind: `removed`: it is not there; `noise`: values of wild scale and sign, other price events and members;
            `restamped`: the same values and announcements at other later instants, one of them a microsecond after the
            cut; `outcomes`: the pinned outcomes that had not matured are noise that matures at any later instant.
        seed: of the noise.
    """
    cut = int(plan.known[origin])
    random = np.random.default_rng(seed)
    if kind == "outcomes":
        return _other_outcomes(plan, changes, cut, random)
    by_vintage = not plan.experiment.pseudo_real_time
    later = known_from(changes, by_vintage=by_vintage) > cut
    if kind == "removed":
        rule = plan.experiment.target.outcome
        altered = _removed(changes, later, cut, dated=rule.kind == "release" and rule.number > 1)
    elif kind == "noise":
        altered = _noise(changes, later, cut, random)
    else:
        altered = _restamped(changes, later, cut, plan.until, random)
    used = np.zeros(len(changes.ids), dtype=bool)  # an archive may hold much that this experiment never asks for
    used[[changes.codes[name] for name in plan.inputs]] = True
    told = changes.publications
    touched = int((later & used[changes.code]).sum()) + int(((told.published > cut) & used[told.code]).sum())
    touched += int(((changes.forecasts["issued"] > cut).to_numpy() & used[changes.forecasts["code"].to_numpy()]).sum())
    touched += announced_later(changes, cut)
    return Other(altered, replanned(plan, altered, cut), touched)


def replanned(plan: Plan, changes: ChangeFile, until: int) -> Plan:
    """The plan in another world: the same grid and target series, its outcomes and members derived anew.

    Args:
        plan: the plan.
        changes: the archive view of that world; series of the target may be members of nothing in it.
        until: microseconds UTC up to which outcomes count; what came later is pending.
    """
    experiment = plan.experiment
    found = replace(plan, outcomes=outcomes(changes, experiment.target, plan.windows, until=until))
    if not experiment.target.universe:
        return found
    return replace(found, members=membership(experiment, changes, plan.instants, plan.known))


def wild(count: int, random: np.random.Generator) -> Floats:
    """Numbers of any scale and sign."""
    return np.asarray(random.standard_normal(count) * 10.0 ** random.uniform(-3.0, 6.0, count))


def taken(changes: ChangeFile, rows: NDArray[np.int64] | Flags) -> ChangeFile:
    """Some of the changes, in the order given."""
    arrays = ("code", "period", "published", "value", "vintage", "availability")
    return replace(changes, **{name: getattr(changes, name)[rows] for name in arrays})


def publications_taken(rows: PublicationRows, chosen: NDArray[np.int64] | Flags) -> PublicationRows:
    """Some of the publications, in the order given."""
    return PublicationRows(**{name: getattr(rows, name)[chosen] for name in PublicationRows.__dataclass_fields__})


def _removed(changes: ChangeFile, later: Flags, cut: int, *, dated: bool) -> ChangeFile:
    """The world that ends at the cut; `dated`: outcomes are dated by release calendars, which then stay whole."""
    return replace(
        without_later(taken(changes, ~later), cut),
        publications=publications_taken(changes.publications, changes.publications.published <= cut),
        forecasts=changes.forecasts.filter(pl.col("issued") <= cut),
        series={name: _unannounced(series, cut, dated=dated) for name, series in changes.series.items()},
        known_through={name: min(at, cut) for name, at in changes.known_through.items()},
    )


def _unannounced(series: Series, cut: int, *, dated: bool) -> Series:
    """A declaration without closures that were announced, and single releases that came, later."""
    closures = tuple(one for one in series.closures if _announced(one[1], series.zone) <= cut)
    lag = series.lag
    if lag is not None:
        zone = lag.zone or series.zone
        exceptions, dates = (
            tuple(pair for pair in pairs if micros(end_of_day(pair[1], zone)) <= cut)
            for pairs in (lag.exceptions, lag.dates)
        )
        lag = replace(lag, exceptions=exceptions, dates=lag.dates if dated else dates)
    return replace(series, closures=closures, lag=lag)


def _announced(text: str, zone: str) -> int:
    """Microseconds UTC of an announcement; a day is its end, a stamp without offset is local."""
    told = datetime.fromisoformat(text)
    if len(text) == len("2020-01-01"):
        return micros(end_of_day(told.date(), zone))
    return micros(told if told.tzinfo else told.replace(tzinfo=ZoneInfo(zone)))


def _noise(changes: ChangeFile, later: Flags, cut: int, random: np.random.Generator) -> ChangeFile:
    value = changes.value.copy()
    value[later] = wild(int(later.sum()), random)
    issued = (changes.forecasts["issued"] > cut).to_numpy()
    forecast = changes.forecasts["value"].to_numpy().copy()
    forecast[issued] = wild(int(issued.sum()), random)
    altered = replace(changes, value=value, forecasts=changes.forecasts.with_columns(pl.Series("value", forecast)))
    return other_later(altered, later, cut, random)


def _restamped(changes: ChangeFile, later: Flags, cut: int, until: int, random: np.random.Generator) -> ChangeFile:
    own = known_from(changes, by_vintage=True)
    events, issued = changes.publications.published, changes.forecasts["issued"].to_numpy()
    instants = np.unique(np.concatenate([own[later], changes.published, events, issued, announcements(changes)]))
    instants = instants[instants > cut]
    if not len(instants):
        return changes
    room = max(until - cut, 2 * len(instants))
    moved = cut + 1 + random.choice(room - 1, size=len(instants), replace=False, shuffle=True).astype(np.int64)
    moved[random.integers(len(moved))] = cut + 1  # the first instant that is not known
    moved = _distinct(moved)

    def mapped(at: Micros) -> Micros:
        place = np.clip(np.searchsorted(instants, at), 0, len(instants) - 1)
        out: Micros = np.where(at > cut, moved[place], at)
        return out

    published = np.where(later, mapped(np.where(later, own, changes.published)), changes.published)
    vintage = np.where((changes.vintage != NEVER) & later, mapped(changes.vintage), changes.vintage)
    order = np.lexsort((changes.period, changes.code, published))
    told = replace(changes.publications, published=mapped(events))
    forecasts = changes.forecasts.with_columns(pl.Series("issued", mapped(issued))).sort("issued", maintain_order=True)
    return replace(
        announced_at(taken(replace(changes, published=published, vintage=vintage), order), mapped),
        publications=publications_taken(told, np.argsort(told.published, kind="stable")),
        forecasts=forecasts,
    )


def _distinct(instants: Micros) -> Micros:
    """The same instants, each later one moved on where two coincide."""
    order = np.argsort(instants, kind="stable")
    ranked = instants[order]
    steps = np.arange(len(ranked))
    out = np.empty_like(instants)
    out[order] = np.maximum.accumulate(ranked - steps) + steps
    return out


def _other_outcomes(plan: Plan, changes: ChangeFile, cut: int, random: np.random.Generator) -> Other:
    table = plan.outcomes
    late = (table.matured_at == NEVER) | (table.matured_at > cut)
    unseen = (table.first_public == NEVER) | (table.first_public > cut)
    value, matured, first = table.value.copy(), table.matured_at.copy(), table.first_public.copy()
    status = table.status.copy()
    value[late] = wild(int(late.sum()), random)
    matured[late] = cut + 1 + random.integers(0, 2 * MICROSECONDS_PER_YEAR, int(late.sum()))
    first[unseen] = cut + 1 + random.integers(0, 2 * MICROSECONDS_PER_YEAR, int(unseen.sum()))
    status[late] = MATURED
    altered = replace(table, value=value, matured_at=matured, first_public=first, status=status)
    return Other(changes, replace(plan, outcomes=altered), int(late.sum()))
