"""What the datasets of an experiment declare: their series under bare and stored names, and who forecasts them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.core.errors import UnknownNameError, listed
from harness.core.series import Series
from harness.data.declaration import kinds_of, shaped
from harness.data.declared import Dataset

FEW = 20
"""Series up to which each is asked, and named in a message, by itself."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is declared about the series an experiment may name, before any value is read.

    Attributes:
        series: declarations by stored id (`dataset/id`).
        rebased: stored ids of series whose base changes between vintages (`scale = "rebased"`).
        uncountable: stored ids whose publications cannot be counted (they have no vintages, or their source reports
            changes only), with the reason.
        sources: external forecasters by name, with the stored ids they forecast (empty = not declared).
        undated: external forecasters whose data cut-off is not known (S23).
        universes: universes by name, with the stored ids of every series that any membership names.
        complete: False when a dataset could not be read, so that names may be missing for that reason.
    """

    series: Mapping[str, Series]
    rebased: frozenset[str] = frozenset()
    uncountable: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, frozenset[str]] = field(default_factory=dict)
    undated: frozenset[str] = frozenset()
    universes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    complete: bool = True
    _bare: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def stored(self, name: str) -> str | None:
        """The stored id of a bare or stored name; None when it is unknown for want of a dataset.

        Raises:
            UnknownNameError: no dataset of the experiment has such a series.
            AmbiguousNameError: several have.
        """
        if name in self.series:
            return name
        if not self._bare:  # looked through once, however many names are asked for
            for stored in self.series:
                self._bare.setdefault(bare(stored), []).append(stored)
        matches = self._bare.get(name, [])
        if len(matches) > 1:
            raise AmbiguousNameError(name, matches)
        if matches:
            return matches[0]
        if not self.complete:
            return None
        raise UnknownNameError("series", name, [name for stored in self.series for name in (bare(stored), stored)])

    def telling(self, names: Iterable[str]) -> tuple[str, ...]:
        """Of many series the first of each kind, in their order; of a few, all.

        About series of one kind the same is declared but for the id: what their declarations forbid to one they forbid
        to all, and one line of a message tells it.

        Args:
            names: stored ids that are declared.
        """
        asked = tuple(names)
        if len(asked) <= FEW:
            return asked
        kinds = zip(kinds_of(self.series, asked), map(self.uncountable.get, asked), strict=True)
        first: dict[tuple[object, ...], str] = {}
        for kind, name in zip(kinds, asked, strict=True):
            first.setdefault(kind, name)
        return tuple(first.values())


def is_pattern(name: str) -> bool:
    """Whether a name stands for all series that fit it: `*` is any text, `?` any one character."""
    return "*" in name or "?" in name


def matching(pattern: str, stored: Iterable[str]) -> tuple[str, ...]:
    """The stored ids, ascending, that fit a pattern as they stand, or by their names inside their datasets.

    >>> matching("s??.close", ["d/sap.close", "d/sap.open", "e/sony.close"])
    ('d/sap.close',)

    Raises:
        UnknownNameError: none fits.
    """
    names = list(stored)
    fits = re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL).fullmatch
    found = sorted(name for name in names if fits(name) or fits(bare(name)))
    if not found:
        error = UnknownNameError("series", pattern, names)
        error.fix = f"`*` is any text, `?` any one character; known: {listed(sorted(names), FEW) or 'none'}"
        raise error
    return tuple(found)


class AmbiguousNameError(UnknownNameError):
    """A bare series name that several datasets have."""

    def __init__(self, name: str, matches: list[str]) -> None:
        super().__init__("series", name, matches)
        self.what = "series of several datasets"
        self.fix = f"write {' or '.join(sorted(matches))}"


def bare(stored: str) -> str:
    """The name of a series inside its dataset.

    >>> bare("uk_macro/cpi")
    'cpi'
    """
    return stored.partition("/")[2] or stored


def facts_of(
    datasets: Iterable[Dataset],
    *,
    further: Iterable[Series] | Mapping[str, Series] = (),
    universes: Mapping[str, tuple[str, ...]] | None = None,
    complete: bool = True,
) -> Facts:
    """Gather what datasets declare.

    Args:
        datasets: as read from their files.
        further: declarations from elsewhere, also by stored id; what a dataset says of the same stored id goes before.
        universes: the series that memberships name, by universe.
        complete: whether these are all the datasets the experiment names.
    """
    read = tuple(datasets)
    own = {series.id: series for dataset in read for series in dataset.series}
    others = further if isinstance(further, Mapping) else {one.id: one for one in further}
    issuers = [(dataset, issuer) for dataset in read if dataset.forecasts for issuer in dataset.forecasts.issuers]
    sources: dict[str, frozenset[str]] = {}
    for dataset, issuer in issuers:
        forecast = frozenset(f"{dataset.name}/{name}" for name in issuer.series)
        sources[issuer.name] = sources.get(issuer.name, frozenset()) | forecast
    series = {**others, **own} if own else others
    return Facts(
        series=series,
        rebased=frozenset(name for one, names in shaped(series) if one.scale == "rebased" for name in names),
        uncountable={stored: reason for dataset in read for stored, reason in dataset.uncountable().items()},
        sources=sources,
        undated=frozenset(
            issuer.name for dataset, issuer in issuers if dataset.forecasts and not dataset.forecasts.cutoff_known
        ),
        universes=universes or {},
        complete=complete,
    )
