"""A clean table of vintages and ways to make it dirty: what is declared against each, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

MONTHS = 120
REFUSED = "refused"
HEAD = """
schema = 1
name = "mine"
origin = "made"
licence = "none needed"

[defaults]
frequency = "M"
zone = "Europe/London"
lag = { kind = "calendar_days", n = 60 }

[series.a]
[series.b]
[series.c]

[[source]]
file = "values.csv"
zone = "Europe/London"
columns = { published_at = "released" }
"""
DAILY_HEAD = """
schema = 1
name = "mine"
origin = "made"
licence = "none needed"

[series.d]
frequency = "D"
zone = "America/New_York"
lag = { kind = "calendar_days", n = 1 }

[[source]]
file = "values.csv"
"""


@dataclass(frozen=True)
class Row:
    """One line of the file; `released` is "" in the daily table."""

    series: str
    period: str
    released: str
    value: str
    note: str = "ok"


def month_end(number: int) -> date:
    year, month = divmod(number + 1, 12)
    return date(2010 + year, month + 1, 1) - timedelta(days=1)


def stamp(number: int, clock: str = "09:30") -> str:
    """When month `number` comes out: twenty days after its end."""
    return f"{(month_end(number) + timedelta(days=20)).isoformat()}T{clock}:00"


def clean() -> list[Row]:
    """Months of b and c, and a = b + c: each first value, and one revision of it with the next month."""
    random = Random(4)
    first = [{"b": 100 + random.uniform(-8, 8), "c": 50 + random.uniform(-4, 4)} for _ in range(MONTHS)]
    # no revision is 0, nor is their sum: the archive keeps what changes
    steps = {"b": (-0.4, -0.2, 0.2, 0.4), "c": (-0.3, -0.1, 0.1, 0.3)}
    moved = [{name: round(value, 1) + random.choice(steps[name]) for name, value in one.items()} for one in first]
    rows = []
    for month in range(MONTHS):
        for told, values in ((month - 1, moved), (month, first)):
            if told < 0:
                continue
            b, c = round(values[told]["b"], 1), round(values[told]["c"], 1)
            for name, value in (("a", b + c), ("b", b), ("c", c)):
                rows.append(Row(name, month_end(told).isoformat(), stamp(month), f"{value:.1f}"))
    return rows


def daily() -> list[Row]:
    """Sessions of the New York exchange in the summer of 2019."""
    days = [date(2019, 6, 3) + timedelta(days=ahead) for ahead in range(60)]
    return [
        Row("d", day.isoformat(), "", f"{100 + place % 7}")
        for place, day in enumerate(days)
        if day.weekday() < 5 and day != date(2019, 7, 4)
    ]


def text(rows: list[Row], *, dated: bool = True) -> str:
    lines = ["series,period,released,value,note" if dated else "period,value"]
    for row in rows:
        fields = (row.series, row.period, row.released, row.value, row.note) if dated else (row.period, row.value)
        lines.append(",".join(fields))
    return "\n".join(lines) + "\n"


def at(rows: list[Row], series: str, month: int, *, revised: bool = False) -> int:
    """Place of a first value, or of its revision."""
    wanted = (series, month_end(month).isoformat(), stamp(month + revised))
    return next(place for place, row in enumerate(rows) if (row.series, row.period, row.released) == wanted)


def changed(rows: list[Row], places: list[int], **how: Callable[[str], str]) -> list[Row]:
    out = list(rows)
    for place in places:
        out[place] = replace(out[place], **{name: make(getattr(out[place], name)) for name, make in how.items()})
    return out


def times(factor: float) -> Callable[[str], str]:
    return lambda value: f"{float(value) * factor:.1f}"


@dataclass(frozen=True)
class Dirt:
    """One kind of dirt.

    Attributes:
        make: the dirty rows out of the clean ones.
        asserts: keys of the [[source.assert]] that is declared against it.
        failed: rows that fail when they are set aside (None: this kind has no row to set aside).
        warned: rows that fail when they are taken in all the same, or `REFUSED` where no reader could take them.
        monthly: of the monthly table of vintages; else of the daily one.
        lost: values that are not in the archive though they only warn (it never takes them).
        lag: days of the declared lag rule, late enough for a period whose first value is set aside.
    """

    make: Callable[[list[Row]], list[Row]]
    asserts: str
    failed: int | None
    warned: int | str
    monthly: bool = True
    lost: int = 0
    lag: int = 60


def _places(rows: list[Row], series: str, months: range, *, both: bool = True) -> list[int]:
    firsts = [at(rows, series, month) for month in months]
    return firsts + ([at(rows, series, month, revised=True) for month in months] if both else [])


def _duplicated(rows: list[Row]) -> list[Row]:
    return [*rows, *(rows[place] for place in _places(rows, "b", range(40, 43), both=False))]


def _contradicting(rows: list[Row]) -> list[Row]:
    again = [rows[place] for place in _places(rows, "b", range(40, 42), both=False)]
    return [*rows, *(replace(row, value=times(1.01)(row.value)) for row in again)]


def _wrong_unit(rows: list[Row]) -> list[Row]:
    return changed(rows, _places(rows, "b", range(40, 44)), value=times(1000))


def _decimal_shift(rows: list[Row]) -> list[Row]:
    return changed(rows, [at(rows, "b", 50)], value=times(100))


def _flipped(rows: list[Row]) -> list[Row]:
    return changed(rows, _places(rows, "c", range(60, 63), both=False), value=times(-1))


def _not_numbers(rows: list[Row]) -> list[Row]:
    places = _places(rows, "b", range(30, 33), both=False)
    for place, word in zip(places, ("NaN", "inf", "n/a"), strict=True):
        rows = changed(rows, [place], value=lambda _, word=word: word)
    return rows


def _no_period(rows: list[Row]) -> list[Row]:
    return changed(rows, _places(rows, "c", range(20, 22), both=False), period=lambda _: "")


def _future(rows: list[Row]) -> list[Row]:
    return changed(
        rows, _places(rows, "b", range(MONTHS - 2, MONTHS), both=False), released=lambda _: "2099-01-15T09:30:00"
    )


def _too_early(rows: list[Row]) -> list[Row]:
    for month in (70, 75):
        rows = changed(rows, [at(rows, "b", month)], released=lambda _, month=month: stamp(month - 1))
    return rows


def _out_of_order(rows: list[Row]) -> list[Row]:
    place = at(rows, "b", 80)
    left = [row for number, row in enumerate(rows) if number not in (place, at(rows, "b", 80, revised=True))]
    return [*left, replace(rows[place], released=stamp(82, "09:45"))]


def _holidays(rows: list[Row]) -> list[Row]:
    return [*rows, Row("d", "2019-07-04", "", "103")]


def _weekends(rows: list[Row]) -> list[Row]:
    return [*rows, Row("d", "2019-06-08", "", "103"), Row("d", "2019-06-09", "", "103")]


def _slipped_zone(rows: list[Row]) -> list[Row]:
    return changed(rows, _places(rows, "c", range(90, 93), both=False), released=lambda old: old.replace("T09", "T14"))


def _rebased(rows: list[Row]) -> list[Row]:
    return [
        replace(row, value=times(0.5)(row.value)) if row.series == "b" and row.released >= stamp(100) else row
        for row in rows
    ]


def _stuck(rows: list[Row]) -> list[Row]:
    held = rows[at(rows, "b", 44)].value
    return changed(rows, _places(rows, "b", range(45, 50), both=False), value=lambda _: held)


def _gap(rows: list[Row]) -> list[Row]:
    gone = {at(rows, "b", 66), at(rows, "b", 66, revised=True)}
    return [row for number, row in enumerate(rows) if number not in gone]


def _late(rows: list[Row]) -> list[Row]:
    return changed(
        rows,
        [at(rows, "c", 77)],
        released=lambda _: stamp(77).replace(stamp(77)[:10], (month_end(77) + timedelta(days=29)).isoformat()),
    )


def _huge_revision(rows: list[Row]) -> list[Row]:
    return changed(rows, [at(rows, "b", 85, revised=True)], value=lambda old: f"{float(old) + 12:.1f}")


def _broken_sum(rows: list[Row]) -> list[Row]:
    return changed(rows, [at(rows, "a", 95)], value=lambda old: f"{float(old) + 5:.1f}")


def _outlier(rows: list[Row]) -> list[Row]:
    return changed(rows, [at(rows, "c", 55)], value=lambda old: f"{float(old) + 90:.1f}")


def _strangers(rows: list[Row]) -> list[Row]:
    return [*rows, *(replace(rows[at(rows, "b", month)], series="z") for month in (10, 11))]


def _mojibake(rows: list[Row]) -> list[Row]:
    return changed(rows, _places(rows, "a", range(12, 14), both=False), note=lambda _: "M\u00c3\u00bcller")


def _empty_value(rows: list[Row]) -> list[Row]:
    return changed(rows, [at(rows, "a", 33)], value=lambda _: "")


KINDS: dict[str, Dirt] = {
    "duplicated rows": Dirt(_duplicated, 'kind = "unique"', 3, 3),
    "contradictory duplicates": Dirt(_contradicting, 'kind = "unique"', 4, REFUSED),
    # taken in, the first month of the stretch and the first after it are jumps, as first values and as revised ones
    "wrong unit for a stretch": Dirt(_wrong_unit, 'kind = "jump"\nfactor = 5.0', 8, 4),
    # taken in, its own correction is a jump back
    "decimal shift": Dirt(_decimal_shift, 'kind = "jump"\nfactor = 5.0', 1, 2),
    "sign flips": Dirt(_flipped, 'kind = "range"\nleast = 0.0', 3, 3),
    "NaN, inf and text in numbers": Dirt(_not_numbers, 'kind = "schema"\ncolumns = { value = "number" }', 3, REFUSED),
    "empty periods": Dirt(_no_period, 'kind = "schema"\ncolumns = { period = "date" }\nnullable = false', 2, REFUSED),
    "empty values": Dirt(
        _empty_value, 'kind = "schema"\ncolumns = { value = "number" }\nnullable = false', 1, 1, lost=1
    ),
    "future stamps": Dirt(_future, 'kind = "published"', 2, 2, lost=2),
    "stamps before period end": Dirt(_too_early, 'kind = "published"', 2, 2),
    "out-of-order publications": Dirt(_out_of_order, 'kind = "monotone"', 1, 1),
    "holiday rows": Dirt(_holidays, 'kind = "sessions"\ncalendar = "XNYS"', 1, 1, monthly=False),
    "weekend rows": Dirt(_weekends, 'kind = "sessions"', 2, 2, monthly=False),
    "time zone slips": Dirt(_slipped_zone, 'kind = "published"\nopens = 09:00:00\ncloses = 10:00:00', 3, 3),
    # set aside, everything on the new base is; taken in, the first value on it is the jump
    "base change": Dirt(_rebased, 'kind = "jump"\nfactor = 1.6', 2 * (MONTHS - 100), 1),
    "stale stretch": Dirt(_stuck, 'kind = "stuck"\nmost = 3', 3, 3),
    "gap": Dirt(_gap, 'kind = "gap"', None, 1),
    "late publication": Dirt(_late, 'kind = "stale"\ndays = 2', None, 1, lag=25),
    "outlier": Dirt(_outlier, 'kind = "range"\nleast = 0.0\nmost = 120.0\nseries = ["b", "c"]', 1, 1),
    "huge revision": Dirt(_huge_revision, 'kind = "revision"\nk = 6.0', 1, 1),
    "identity broken": Dirt(_broken_sum, 'kind = "identity"\ntotal = "a"\nparts = ["b", "c"]\ntolerance = 0.05', 3, 3),
    "unknown series": Dirt(_strangers, 'kind = "declared"', 2, 2, lost=2),
    "encoding damage": Dirt(_mojibake, 'kind = "schema"\ncolumns = { note = "text" }', 2, 2),
}
