"""The archive's rules written down a second time, in plain Python over raw rows, to be compared with the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

Cell = tuple[str, int]
Row = tuple[str, int, int, float | None]
"""Series, period ordinal, instant, value (None = withdrawn)."""
Span = tuple[str, int, int, int]
"""Series, instant, first and last period ordinal of a publication."""
Known = dict[Cell, tuple[int, float]]


@dataclass
class BruteForce:
    """Every statement ever made, kept as it was made.

    `decimals` and `rule_date` are given per series; a series without a rule date has no assumed history.
    """

    decimals: dict[str, int | None]
    rule_date: dict[str, Callable[[int], int]] = field(default_factory=dict)
    said: dict[Cell, dict[int, float | None]] = field(default_factory=dict)
    listed: list[Span] = field(default_factory=list)

    def contradicts(self, row: Row) -> bool:
        """Whether a row has another value than what was said of its cell at its instant."""
        series, period, at, value = row
        return self.said.get((series, period), {}).get(at, value) != value

    def rows(self, rows: Iterable[Row]) -> None:
        for series, period, at, value in rows:
            self.said.setdefault((series, period), {})[at] = value
        self._settle()

    def complete(self, rows: list[Row]) -> None:
        for series, at in {(row[0], row[2]) for row in rows}:
            periods = [row[1] for row in rows if (row[0], row[2]) == (series, at)]
            for period in range(min(periods), max(periods) + 1):
                self.said.setdefault((series, period), {}).setdefault(at, None)
        self.rows(rows)

    def changes(self, rows: list[Row], publications: list[Span]) -> None:
        self.listed += publications
        self.rows(rows)

    def _settle(self) -> None:
        """A listed publication says "unchanged": the first batch that shows what stood then tells what that was."""
        for series, at, first, last in sorted(self.listed, key=lambda span: span[1]):
            for period in range(first, last + 1):
                told = self.said.get((series, period), {})
                earlier = [when for when in told if when <= at]
                if earlier:
                    told.setdefault(at, told[max(earlier)])

    def as_of(self, origin: int) -> Known:
        """Newest value and its publication by cell, withdrawn cells left out."""
        out: Known = {}
        for cell in self.said:
            standing = self._standing(cell, origin)
            if standing is not None:
                out[cell] = standing
        return out

    def first_vintage(self, series: str) -> int | None:
        """The first instant at which any value of a series was stated."""
        stated = [
            at for cell, told in self.said.items() if cell[0] == series for at, v in told.items() if v is not None
        ]
        return min(stated, default=None)

    def _standing(self, cell: Cell, origin: int) -> tuple[int, float] | None:
        told = self.said[cell]
        standing: tuple[int, float] | None = None
        opening = self.first_vintage(cell[0])
        if cell[0] in self.rule_date and opening is not None and told.get(opening) is not None:
            ruled = self.rule_date[cell[0]](cell[1])
            if ruled < opening and ruled <= origin < opening:
                return ruled, told[opening]  # type: ignore[return-value]
        for at in sorted(told):
            if at > origin:
                break
            value = told[at]
            if value is None:
                standing = None
            elif standing is None or self._rounded(cell, value) != self._rounded(cell, standing[1]):
                standing = (at, value)
        return standing

    def _rounded(self, cell: Cell, value: float) -> float:
        places = self.decimals[cell[0]]
        return value if places is None else round(value, places)
