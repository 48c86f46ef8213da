"""Plain aligned tables for a terminal, and how numbers, instants and durations are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1, indent: str = "") -> str:
    """An aligned table: the first `left` columns and the last flush left, numbers between them flush right.

    >>> print(table(["model", "rmse", "note"], [["ar", "0.5", ""], ["last_value", "12.0", "rival"]]))
    model       rmse  note
    ar           0.5
    last_value  12.0  rival
    """
    body = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in [list(header), *body]) for place in range(len(header))]
    last = len(header) - 1
    lines = []
    for row in [list(header), *body]:
        cells = [
            cell.ljust(widths[place]) if place < left or place == last else cell.rjust(widths[place])
            for place, cell in enumerate(row)
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def number(value: object, digits: int = 4) -> str:
    """A number with so many significant digits; "-" for none.

    >>> number(0.123456), number(12345.678), number(None), number(float("inf"))
    ('0.1235', '12346', '-', 'inf')
    """
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    if value == 0.0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 8)}f}"


def share(value: object) -> str:
    """A share as whole per cent; never 0 or 100 unless it is exactly that. One of nothing is none.

    >>> share(0.5), share(0.0001), share(0.9999), share(None), share(float("nan"))
    ('50 %', '<1 %', '>99 %', '-', '-')
    """
    if not isinstance(value, (int, float)) or math.isnan(value):
        return "-"
    if 0.0 < value < 0.005:
        return "<1 %"
    if 0.995 <= value < 1.0:
        return ">99 %"
    return f"{100.0 * value:.0f} %"


def skill(value: object) -> str:
    """A skill with its sign, in per cent.

    >>> skill(0.123), skill(-0.04), skill(None)
    ('+12.3 %', '-4.0 %', '-')
    """
    return f"{100.0 * value:+.1f} %" if isinstance(value, (int, float)) else "-"


def p_value(value: object) -> str:
    """A p-value with four places.

    >>> p_value(0.0497), p_value(0.00001), p_value(None)
    ('0.0497', '<0.0001', '-')
    """
    if not isinstance(value, (int, float)):
        return "-"
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def seconds(value: object) -> str:
    """A duration.

    >>> seconds(0.04), seconds(75.2)
    ('0.0 s', '1 min 15 s')
    """
    total = float(value) if isinstance(value, (int, float)) else 0.0
    return f"{total:.1f} s" if total < 60.0 else f"{int(total) // 60} min {int(total) % 60} s"


def megabytes(value: object) -> str:
    """A size in bytes as megabytes.

    >>> megabytes(5_242_880)
    '5 MB'
    """
    return f"{float(value) / 2**20:.0f} MB" if isinstance(value, (int, float)) else "-"
