"""The names of an experiment built in Python, as the archive has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.core.errors import FEW, UnknownNameError, UserError, listed
from harness.core.recipe import Experiment, Target
from harness.core.series import Series
from harness.core.time import default_season
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.experiment.facts import is_pattern, matching


def with_timeline(experiment: Experiment, archive: Archive) -> Experiment:
    """The experiment with the origins' zone and the season of the target's first input where they are blank."""
    target, origins = experiment.target, experiment.origins
    name = target.transform.inputs(target.series[0])[0]
    series = archive.declared()[name]
    return replace(
        experiment,
        origins=replace(origins, zone=origins.zone or series.zone),
        target=replace(target, season=target.season or default_season(series.parsed.kind)),
    )


def with_stored_ids(experiment: Experiment, archive: Archive) -> Experiment:
    """The experiment with every bare series id replaced by the stored one: of its datasets first, then of any.

    Raises:
        UnknownNameError: a series or a universe the archive does not have.
        UserError: a bare id that several of its datasets have, or none of them and several others.
    """
    names = _Names(archive, experiment.datasets)
    features = (
        replace(
            block,
            series=names.stored(block.series) if block.series else "",
            transform=names.transformed(block.transform),
        )
        for block in experiment.features
    )
    target = _with_series(experiment.target, archive)
    series, transform = names.all_meant(target.series), names.transformed(target.transform)
    return replace(experiment, target=replace(target, series=series, transform=transform), features=tuple(features))


def _with_series(target: Target, archive: Archive) -> Target:
    """The target with the series of its universe where it names none."""
    if target.universe and not target.series:
        known = archive.universes()
        if target.universe not in known:
            raise UnknownNameError("universe", target.universe, known)
        target = replace(target, series=known[target.universe])
    if not target.series:
        raise UserError("the target names no series", rule="at least one", fix='write hs.Target(("cpi",))')
    return target


class _Names:
    """What the names of an experiment stand for."""

    def __init__(self, archive: Archive, datasets: tuple[str, ...]) -> None:
        self._datasets = datasets
        self._defined: Mapping[str, Series] = archive.declared()
        self._resolve = archive.resolver()

    def stored(self, name: str) -> str:
        """The stored id that a name means."""
        own = [f"{dataset}/{name}" for dataset in self._datasets if f"{dataset}/{name}" in self._defined]
        if len(own) > 1:
            raise UserError(
                "this series id is not unique",
                value=repr(name),
                rule="a bare id names one series of the experiment's datasets",
                fix=f"write one of {listed(own, FEW)}",
            )
        return own[0] if own else self._resolve(name)

    def all_meant(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The stored ids that some names, or patterns, mean."""
        if not self._datasets and not set(names).difference(self._defined):
            return names
        return tuple(one for name in names for one in self._meant(name))

    def _meant(self, name: str) -> tuple[str, ...]:
        if is_pattern(name) and name not in self._defined:
            return matching(name, self._defined)
        return (self.stored(name),)

    def transformed(self, transform: Transform) -> Transform:
        """A transform of stored ids."""
        named = (transform.other, transform.high, transform.low)
        other, high, low = (self.stored(name) if name else "" for name in named)
        return replace(transform, other=other, high=high, low=low)
