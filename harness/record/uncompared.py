"""Series of a home under seal with too few values to be compared with what is sealed, as the ledger tells of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.record.chain import Entry
from harness.record.home import Home
from harness.record.ledger import enter, entries

UNCOMPARED, COMPARED = "uncompared", "compared"


def not_compared(found: Iterable[Entry]) -> dict[str, int]:
    """Series that were never compared with a sealed one -> values they had in common with it.

    Args:
        found: entries of the ledger.
    """
    told = dict[str, int]()
    for one in found:
        name, values = str(one.facts.get("name")), one.facts.get("values")
        if one.kind == UNCOMPARED and isinstance(values, int):
            told[name] = values
        elif one.kind == COMPARED:
            told.pop(name, None)
    return told


def note_compared(home: Home, common: Mapping[str, int], fewest: int) -> dict[str, int]:
    """Enter which series could not be compared, and which of those have been since. Returns the first.

    Args:
        home: the home folder.
        common: series -> values in common with a sealed one.
        fewest: values from which on two series are compared.
    """
    before = not_compared(entries(home))
    few = {name: values for name, values in common.items() if values < fewest}
    for name, values in few.items():
        if before.get(name) != values:
            enter(home, UNCOMPARED, {"name": name, "values": values})
    for name in before.keys() & (common.keys() - few.keys()):
        enter(home, COMPARED, {"name": name, "values": common[name]})
    return few


def uncompared_text(few: Mapping[str, int]) -> str:
    """Which series were not compared, in words; "" = none.

    >>> uncompared_text({"new/x": 4})
    'new/x not compared with sealed series: 4 values in common'
    """
    rule = "not compared with sealed series"
    return "; ".join(f"{name} {rule}: {values} values in common" for name, values in few.items())
