"""A series and its reporting-lag rule: what is declared about a variable before any value of it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from harness.core.errors import FEW, UserError, listed
from harness.core.time import Frequency, parse_frequency

LagKind = Literal[
    "calendar_days", "business_days", "nth_weekday", "nth_business_day", "last_business_day", "day_of_month", "dates"
]
LAG_KINDS: tuple[str, ...] = (
    "calendar_days",
    "business_days",
    "nth_weekday",
    "nth_business_day",
    "last_business_day",
    "day_of_month",
    "dates",
)
_LAG_LIMITS = {
    "nth_weekday": (4, "1 to 4, or -1 to -4 from the month's end: not every month has a fifth"),
    "nth_business_day": (15, "1 to 15, or -1 to -15 from the month's end"),
    "day_of_month": (31, "1 to 31"),
}
AVAILABILITIES = ("observed", "rule", "assumed")


@lru_cache(maxsize=1 << 10)
def check_zone(zone: str) -> None:
    """Refuse a name that is no time zone.

    Raises:
        UserError: it is none.
    """
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UserError(
            "unknown time zone", value=repr(zone), rule="an IANA name", fix="for example Europe/London"
        ) from error


def check_id(series_id: object) -> None:
    """Refuse what cannot be a series id.

    Raises:
        UserError: it is no text, empty, or holds blanks or characters that cannot be seen.
    """
    if not isinstance(series_id, str):
        raise UserError("a series id is a text", value=repr(series_id), rule=f"not {type(series_id).__name__}")
    if series_id.split() != [series_id]:
        raise UserError("a series id may not be empty or hold blanks", value=repr(series_id))
    if not series_id.isprintable():
        raise UserError("a series id may not hold characters that cannot be seen", value=repr(series_id))


def distinct_ids(ids: Iterable[str]) -> list[str]:
    """Ids of several series, each named once.

    Raises:
        UserError: one text instead of several, no series id among them, or one that is named twice.
    """
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise UserError("several series ids are needed", value=repr(ids), rule="a list of texts", fix=f"[{ids!r}]")
    names = list(ids)
    if set(map(type, names)) != {str} or " ".join(names).split() != names or not "".join(names).isprintable():
        for name in names:
            check_id(name)
    if len(set(names)) < len(names):
        twice = [name for name, times in Counter(names).items() if times > 1]
        raise UserError("series ids named more than once", value=listed(twice, FEW), fix="name each id once")
    return names


@dataclass(frozen=True, slots=True)
class LagRule:
    """When a period's first value is public, by rule: late, not typical (it holds for at least 99 % of known dates).

    Attributes:
        kind: `calendar_days` or `business_days` after the period's last day; `nth_weekday`, `nth_business_day`,
            `last_business_day` or `day_of_month` of a following month; `dates` for an explicit release calendar.
        n: days for the first two kinds (may be negative: some surveys come out before their period ends; 0 business
            days = on or after the last day); which one for `nth_*` (negative: from the month's end); the day for
            `day_of_month` (clamped to the month's last day).
        weekday: 0 = Monday .. 6 = Sunday, for `nth_weekday`.
        months_after: months between the period's last month and the month of release (1 = the following month).
        calendar: business calendar for business-day kinds: an exchange or bond-market name of
            pandas-market-calendars ("XNYS", "SIFMA_US") or a country or bank calendar of holidays ("holidays:GB",
            "holidays:ECB").
        at: local time of day of the release; None = end of that day.
        zone: zone of `at` and of the day; "" = the series' zone.
        exceptions: (period end, release day) pairs that replace the rule for single periods.
        dates: (period end, release day) pairs for kind `dates`.

    Raises:
        UserError: n or weekday out of range, unknown zone.
    """

    kind: LagKind
    n: int = 0
    weekday: int = 0
    months_after: int = 1
    calendar: str = ""
    at: time | None = None
    zone: str = ""
    exceptions: tuple[tuple[date, date], ...] = ()
    dates: tuple[tuple[date, date], ...] = ()

    def __post_init__(self) -> None:
        limit, allowed = _LAG_LIMITS.get(self.kind, (None, ""))
        if limit is not None and (not 1 <= abs(self.n) <= limit or (self.kind == "day_of_month" and self.n < 0)):
            raise UserError(f"lag rule {self.kind}: n out of range", value=self.n, rule=allowed)
        if not 0 <= self.weekday <= 6:
            raise UserError("lag rule: weekday out of range", value=self.weekday, rule="0 = Monday to 6 = Sunday")
        if self.zone:
            check_zone(self.zone)


@dataclass(frozen=True, slots=True)
class Series:
    """One variable of the archive.

    Attributes:
        id: name; stored as `dataset/id` when it belongs to a dataset.
        frequency: `D`, `B`, `W-MON`.., `M`, `Q-DEC`.., `A-DEC`.. or `T`.
        zone: IANA zone in which its days end.
        calendar: session calendar for `B` (pandas-market-calendars name), else "".
        unit, source, licence, description: free text shown in reports.
        lag: reporting-lag rule, or None; a table as in a dataset file, `{"kind": "calendar_days", "n": 30}`, is read.
        decimals: places at which two values count as different; None = exactly.
        scale: `fixed`, or `rebased` when base years or units change between vintages.
        period_table: last days of all periods, for frequency `T`.
        closures: (day, instant announced as ISO text) of unscheduled closures of a `B` series' calendar.

    Raises:
        UserError: unknown frequency, zone or scale, negative decimals, `B` without a calendar.
    """

    id: str
    frequency: str
    zone: str = "UTC"
    calendar: str = ""
    unit: str = ""
    source: str = ""
    licence: str = ""
    description: str = ""
    lag: LagRule | None = None
    decimals: int | None = None
    scale: Literal["fixed", "rebased"] = "fixed"
    period_table: tuple[date, ...] = ()
    closures: tuple[tuple[date, str], ...] = ()
    parsed: Frequency = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lag: object = self.lag
        if isinstance(lag, Mapping):
            object.__setattr__(self, "lag", lag_rule(lag))
        object.__setattr__(self, "parsed", parse_frequency(self.frequency, self.period_table))
        object.__setattr__(self, "frequency", str(self.parsed))
        check_zone(self.zone)
        check_id(self.id)
        if self.scale not in ("fixed", "rebased"):
            raise UserError("unknown scale", value=repr(self.scale), rule="fixed or rebased")
        if self.decimals is not None and not 0 <= self.decimals <= 15:
            raise UserError("decimals out of range", value=self.decimals, rule="0 to 15, or absent for exact")
        if self.parsed.kind == "B" and not self.calendar:
            raise UserError(
                "a series of sessions needs its calendar",
                value=self.id,
                rule="frequency B counts the sessions of a named calendar",
                fix='add calendar = "XNYS", or use frequency D for every calendar day',
            )


def alike(series: Series, series_id: str) -> Series:
    """The same declaration under another id; nothing but the id is checked again.

    >>> alike(Series("a", "M", decimals=1), "b") == Series("b", "M", decimals=1)
    True

    Raises:
        UserError: the id is empty or holds blanks.
    """
    check_id(series_id)
    out = object.__new__(Series)
    for name in _SLOTS:
        object.__setattr__(out, name, getattr(series, name))
    object.__setattr__(out, "id", series_id)
    return out


_SLOTS = tuple(Series.__dataclass_fields__)


def lag_rule(table: Mapping[str, object]) -> LagRule:
    """Build a rule from the table of a dataset file (also what `Series(lag=lag_rule({...}))` users write).

    Raises:
        UserError: unknown keys or kind, or a field of the wrong type.
    """
    known = set(LagRule.__dataclass_fields__)
    unknown = sorted(set(table) - known)
    if unknown:
        raise UserError("unknown key in lag rule", value=", ".join(unknown), rule=f"one of {', '.join(sorted(known))}")
    if table.get("kind") not in LAG_KINDS:
        raise UserError("unknown lag kind", value=repr(table.get("kind")), rule=f"one of {', '.join(LAG_KINDS)}")
    values = dict(table)
    for key in ("exceptions", "dates"):
        pairs = values.get(key, ())
        if not isinstance(pairs, (list, tuple)) or not all(
            isinstance(pair, (list, tuple)) and len(pair) == 2 and all(type(day) is date for day in pair)
            for pair in pairs
        ):
            raise UserError(f"lag rule: {key} are pairs of dates", value=pairs, rule="[[period end, release day], ...]")
        values[key] = tuple((pair[0], pair[1]) for pair in pairs)
    for key, kind in (("n", int), ("weekday", int), ("months_after", int), ("calendar", str), ("zone", str)):
        if key in values and (not isinstance(values[key], kind) or isinstance(values[key], bool)):
            raise UserError(f"lag rule: {key} has the wrong type", value=repr(values[key]), rule=kind.__name__)
    if not isinstance(values.get("at", time()), time) and values.get("at") is not None:
        raise UserError("lag rule: at is a time of day", value=repr(values["at"]), rule="for example 08:30:00")
    return LagRule(**values)  # type: ignore[arg-type]
