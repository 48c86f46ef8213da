"""[target]: which series, which transform, which release is the truth."""

from __future__ import annotations

import re
from typing import cast

from harness.core.errors import UnknownNameError
from harness.core.reading import Table, is_integer, meant, one_of
from harness.core.recipe import OutcomeRule, Prices, Target
from harness.core.series import Series
from harness.core.time import SEASONS, default_season
from harness.core.transform import PROXIES, TRANSFORMS, Transform, TransformKind
from harness.experiment.facts import Facts, is_pattern, matching
from harness.experiment.keys import KEYS, LEAST

KINDS = tuple(kind for kind in TRANSFORMS if kind != "level")
SPANNING = tuple(kind for kind in KINDS if kind not in ("spread", "realised_volatility"))
OUTCOMES = ("first", "release 3", "after 90 days", "latest")
RELEASES, DAYS = 5_000, 36_525
"""Largest K and N: later ones would lie beyond the calendar, or a century away."""
OUTCOME_SAID = f'"first", "release K" (K up to {RELEASES:,}), "after N days" (N up to {DAYS:,}) or "latest"'


def read_target(table: Table, facts: Facts) -> Target | None:
    """The target, or None where its series or transform cannot be made out (every reason is noted)."""
    table.only(KEYS["target"])
    universe = read_universe(table, facts)
    if universe is None or (not universe and not table.required("series", 'series = ["cpi"]')):
        return None
    names = table.texts("series") if "series" in table.values else facts.universes.get(universe, ())
    if not names and table.values.get("series") == []:
        table.bad("series", "at least one series is needed")
    prices = cast("Prices", table.word("prices", "price", ("price", "total")))
    series = [one for name in names for one in _meant(table, name, facts)]
    transform = read_transform(table, facts)
    outcome = _read_outcome(table)
    season = table.integer("season", 0, least=1) if "season" in table.values else 0
    known = tuple(name for name in series if name)
    if not known or len(known) != len(series) or transform is None or outcome is None:
        return None
    return Target(known, transform, outcome, season or _season(table, facts.series[known[0]]), prices, universe)


def _meant(table: Table, name: str, facts: Facts) -> tuple[str, ...]:
    """The stored ids that an entry of `series` stands for; "" (and a note) for one that does not exist."""
    if name in facts.series or not is_pattern(name):
        return (read_series(table, "series", name, facts),)
    try:
        return matching(name, facts.series)
    except UnknownNameError as error:
        if facts.complete:
            table.bad("series", f"no series fits {error.value}", hint=error.fix)
        return ("",)


def read_universe(table: Table, facts: Facts) -> str | None:
    """The universe a target names, "" where it names none; None (and a note) when it cannot be made out.

    One that the datasets do not know may have been appended to the archive; then the series are listed.
    """
    name = table.text("universe")
    if name and "series" not in table.values and name not in facts.universes:
        if facts.complete:
            known = ", ".join(facts.universes) or "none"
            table.bad(
                "universe",
                f"no [[members]] of the datasets name it, known are {known}",
                hint=meant(name, facts.universes) or "list the series, or add [[members]] to the dataset",
            )
        return None
    if "universe" in table.values and not name:
        table.bad("universe", "the name of a universe, in quotes")
        return None
    return name


def _season(table: Table, series: Series) -> int:
    kind = series.parsed.kind
    if kind not in SEASONS:
        table.problems.add(
            table.at("season"),
            f"missing, and {series.id} has its own table of periods",
            hint="add season = the number of periods after which a season returns (1 = none)",
        )
    return default_season(kind)


def read_series(table: Table, key: str, name: str, facts: Facts) -> str:
    """The stored id of a series named in a file; "" (and a note) when there is none."""
    try:
        return facts.stored(name) or ""
    except UnknownNameError as error:
        table.bad(key, f"{error.what} {error.value}", hint=error.fix)
        return ""


def read_transform(table: Table, facts: Facts) -> Transform | None:
    """The transform of a target or feature table (`level` when absent), or None when it cannot be made out."""
    value = table.values.get("transform", "level")
    if isinstance(value, str):
        return _named_transform(table, value)
    if not isinstance(value, dict):
        table.bad("transform", 'a name like "level", or a table like { log_growth = 4 }')
        return None
    inner = table.table("transform")
    inner.only(KEYS["transform"])
    kinds = [kind for kind in KINDS if kind in value]
    if len(kinds) == 1:
        return _tabled_transform(inner, kinds[0], facts)
    if kinds:
        table.bad("transform", f"names several transforms ({', '.join(kinds)}), one is taken")
    elif value.keys() <= set(KEYS["transform"]):
        table.bad("transform", f"names no transform, {one_of(KINDS)}")
    return None


def _tabled_transform(inner: Table, kind: str, facts: Facts) -> Transform | None:
    if kind == "realised_volatility":
        return _volatility(inner, facts)
    for key in ("proxy", "high", "low"):
        if key in inner.values:
            inner.bad(key, "belongs to realised_volatility only")
    if kind == "spread":
        other = read_series(inner, "spread", inner.text("spread"), facts)
        return Transform("spread", other=other) if other else None
    return Transform(cast("TransformKind", kind), inner.integer(kind, 1, least=LEAST["span"]))


def _named_transform(table: Table, name: str) -> Transform | None:
    if name == "level" or name in SPANNING:
        return Transform(cast("TransformKind", name))
    if name == "spread":
        table.bad("transform", "needs the series to subtract", hint='write { spread = "other" }')
    elif name == "realised_volatility":
        table.bad("transform", "needs its window and proxy", hint='write { realised_volatility = 22, proxy = "..." }')
    else:
        table.bad("transform", one_of(TRANSFORMS), hint=meant(name, TRANSFORMS))
    return None


def _volatility(inner: Table, facts: Facts) -> Transform | None:
    window = inner.integer("realised_volatility", 0, least=LEAST["span"])
    if not inner.required("proxy", 'proxy = "parkinson"'):
        return None
    proxy = inner.word("proxy", "", PROXIES)
    if proxy == "parkinson":
        both = inner.required("high", 'high = "sp500.high"'), inner.required("low", 'low = "sp500.low"')
        if not all(both):
            return None
        high, low = (read_series(inner, key, inner.text(key), facts) for key in ("high", "low"))
        return Transform("realised_volatility", window, proxy=proxy, high=high, low=low) if high and low else None
    for key in ("high", "low"):
        if key in inner.values:
            inner.bad(key, 'belongs to proxy = "parkinson" only')
    return Transform("realised_volatility", window, proxy=proxy) if proxy else None


def _read_outcome(table: Table) -> OutcomeRule | None:
    value = table.values.get("outcome", "first")
    rule = parse_outcome(value) if isinstance(value, str) else None
    if rule is None:
        hint = "" if is_integer(value) else meant(value, OUTCOMES)
        table.bad("outcome", OUTCOME_SAID, hint=hint)
    return rule


def parse_outcome(text: str) -> OutcomeRule | None:
    """The outcome rule a phrase names, or None.

    >>> parse_outcome("after 90 days")
    OutcomeRule(kind='after', number=90)
    """
    if text == "first":
        return OutcomeRule()
    if text == "latest":
        return OutcomeRule("latest", 0)
    match = re.fullmatch(r"release ([1-9]\d{0,4})|after (\d{1,5}) days?", text)
    if match is None:
        return None
    if match[2] is not None:
        return OutcomeRule("after", int(match[2])) if int(match[2]) <= DAYS else None
    number = int(match[1])
    if number > RELEASES:
        return None
    return OutcomeRule("release", number) if number > 1 else OutcomeRule()
