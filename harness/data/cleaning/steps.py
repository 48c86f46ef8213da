"""The cleaning steps a `dataset.toml` can declare, one frozen class each, and the order they can stand in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Literal

Stage = Literal["names", "table", "values"]
STAGES: tuple[Stage, ...] = ("names", "table", "values")
"""What a step works on: the words of the file, its lines, or the dated values read from them; in this order."""


@dataclass(frozen=True, slots=True)
class Rename:
    """Columns under other names.

    Attributes:
        name: what the record calls the step.
        columns: (name in the file, new name).
    """

    name: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Map:
    """Entries of a column written otherwise.

    Attributes:
        name: what the record calls the step.
        column: the column.
        values: (entry in the file, new entry).
    """

    name: str
    column: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Deidentify:
    """Entries replaced by a keyed hash (HMAC-SHA256): equal names stay equal, and nobody without the key finds them.

    Attributes:
        name: what the record calls the step.
        columns: the columns.
        key_env: environment variable that holds the key.
        length: hexadecimal digits kept.
    """

    name: str
    columns: tuple[str, ...]
    key_env: str
    length: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Lines taken out by one condition on one of their columns.

    Attributes:
        name: what the record calls the step.
        column: the column.
        condition: `equals`, `matches`, `below`, `above`, `not_a_number` or `empty`.
        texts: entries for `equals`, the regular expression for `matches`.
        bound: for `below` and `above`.
        reason: said of every line taken out.
    """

    name: str
    column: str
    condition: str
    texts: tuple[str, ...] = ()
    bound: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """Values in another unit: value times factor plus offset.

    Attributes:
        name: what the record calls the step.
        series: bare ids.
        factor, offset: of the change.
        first, last: only periods from and to these days; None = open.
        since, until: only values published from and to the end of these days, in the series' zone; None = open.
    """

    name: str
    series: tuple[str, ...]
    factor: float = 1.0
    offset: float = 0.0
    first: date | None = None
    last: date | None = None
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Deduplicate:
    """Of several values for one series, period and publication, one is kept.

    Attributes:
        name: what the record calls the step.
        series: bare ids.
        keep: `first` or `last` in the order of the file.
    """

    name: str
    series: tuple[str, ...]
    keep: str


@dataclass(frozen=True, slots=True)
class Fill:
    """A value carried over the days that follow it, while these are no business days.

    Attributes:
        name: what the record calls the step.
        series: bare ids, of frequency D or B.
        calendar: the fixed calendar that says which days are business days; "" = Monday to Friday.
    """

    name: str
    series: tuple[str, ...]
    calendar: str


@dataclass(frozen=True, slots=True)
class Outliers:
    """Values outside bounds: absolute ones, or k median absolute deviations of the values published earlier.

    Attributes:
        name: what the record calls the step.
        series: bare ids.
        least, most: absolute bounds; None = none.
        k: multiple of the median absolute deviation; 0 = absolute bounds only.
        window: earlier values taken, the newest ones.
        minimum: earlier values needed; with fewer a value is left as it is.
        action: `set aside` or `clip`.
    """

    name: str
    series: tuple[str, ...]
    least: float | None = None
    most: float | None = None
    k: float = 0.0
    window: int = 250
    minimum: int = 8
    action: str = "set aside"


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the user's: a frame in, a frame out; by contract row-local, or causal in publication order.

    Attributes:
        name: what the record calls the step.
        function: `module:name`; the module is a file beside the `dataset.toml`.
        on: `values` (row, series, period, published_at, value) or `table` (row, and the columns of the file).
        code: hash of the module and of what it imports from that folder.
    """

    name: str
    function: str
    on: Stage
    code: str


Step = Rename | Map | Deidentify | Drop | Scale | Deduplicate | Fill | Outliers | Function
KINDS: Mapping[str, type[Step]] = MappingProxyType(
    {
        "rename": Rename,
        "map": Map,
        "deidentify": Deidentify,
        "drop": Drop,
        "scale": Scale,
        "deduplicate": Deduplicate,
        "fill": Fill,
        "outliers": Outliers,
        "function": Function,
    }
)
"""The word for each kind of step."""
_FIXED: Mapping[type[Step], Stage] = MappingProxyType(
    {Rename: "names", Map: "names", Deidentify: "names", Drop: "table"}
)


def kind_of(step: Step) -> str:
    """The word for a step's kind.

    >>> kind_of(Deduplicate("once", ("cpi",), "first"))
    'deduplicate'
    """
    return next(word for word, made in KINDS.items() if made is type(step))


def stage_of(step: Step) -> Stage:
    """What a step works on."""
    return step.on if isinstance(step, Function) else _FIXED.get(type(step), "values")
