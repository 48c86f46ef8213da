"""What a seal covers: everything that the named experiments' targets use, from one instant on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from harness.backtest.effort import fingerprints
from harness.backtest.keys import recipe_identity
from harness.backtest.schedule import origin_instants
from harness.backtest.splits import target_inputs
from harness.core.errors import SealedError, UserError
from harness.core.identity import digest
from harness.core.recipe import Experiment
from harness.core.time import end_of_day, instant, local_day, micros, period_ends
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.derive import ASSUMED, RULE
from harness.data.ingest.copies import Copy
from harness.data.ingest.recognised import copies_within
from harness.forecast.features import declared_inputs
from harness.record.seals import Seal, sealed_from


@dataclass(frozen=True, slots=True)
class Scope:
    """What a seal covers.

    Attributes:
        cut: from when.
        experiments: names.
        series: stored ids, ascending: of the datasets of everything used, and what is used and has no dataset.
        datasets: their datasets.
        sources: sources of external forecasts that are used.
        universes: universes that are used, or name a sealed series.
        targets: source series of the targets -> fingerprint.
        known_through: series -> ISO instant.
    """

    cut: datetime
    experiments: tuple[str, ...]
    series: tuple[str, ...]
    datasets: tuple[str, ...]
    sources: tuple[str, ...]
    universes: tuple[str, ...]
    targets: Mapping[str, str] = field(default_factory=dict)
    known_through: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The same for the same question, by which a sealing that was interrupted is found again."""
        return digest("scope", self.cut.isoformat(), self.experiments, self.series, self.sources, self.universes)

    def seal(self, seal_id: str) -> Seal:
        """The seal that covers it, without its keys and counts."""
        return Seal(
            seal_id,
            self.cut.isoformat(),
            self.series,
            self.datasets,
            self.sources,
            self.universes,
            dict(self.targets),
            self.experiments,
            known_through=dict(self.known_through),
        )


def scope_of(experiments: Sequence[Experiment], day: date, archive: Archive, changes: ChangeFile) -> Scope:
    """What the experiments' targets use: target, inputs, external forecasts, memberships; whole datasets of them.

    Args:
        experiments: resolved.
        day: the first sealed day: it begins at midnight in the zone of the target (the earliest of several).
        archive: the archive.
        changes: its change file.
    """
    used, sources, universes, targets = set[str](), set[str](), set[str](), set[str]()
    for one in experiments:
        targets |= target_inputs(one.target)
        used |= target_inputs(one.target) | declared_inputs(one.features, one.target)
        for recipe in one.models:
            identity = recipe_identity(recipe, one)
            used |= set(identity.series)
            sources |= set(identity.sources)
        universes |= {one.target.universe} - {""}
    datasets = {name.rpartition("/")[0] for name in used} - {""}
    series = sorted(name for name in changes.ids if name in used or name.rpartition("/")[0] in datasets)
    universes |= {name for name, members in archive.universes().items() if set(members) & set(series)}
    cut = min(end_of_day(day - timedelta(days=1), changes.series[name].zone) for name in sorted(targets))
    early = changes_before(changes, micros(cut))
    prints = {name: found for one in experiments for name, found in fingerprints(early, one).items()}
    known = {n: instant(changes.known_through[n]).isoformat() for n in series if n in changes.known_through}
    names = tuple(sorted({one.name for one in experiments}))
    return Scope(
        cut, names, tuple(series), tuple(sorted(datasets)), tuple(sorted(sources)), tuple(sorted(universes)),
        prints, known,
    )  # fmt: skip


def copies_of(scope: Scope, archive: Archive, seals: Sequence[Seal]) -> tuple[Copy, ...]:
    """The series of an archive that repeat one of the scope, and would go on saying in the clear what is sealed."""
    return tuple(copies_within(archive, seals, scope.seal("")))


def with_copies(scope: Scope, archive: Archive, changes: ChangeFile, seals: Sequence[Seal]) -> Scope:
    """The scope with whole datasets of what repeats a series of it, and of what repeats one of those."""
    while found := copies_of(scope, archive, seals):
        datasets = {*scope.datasets, *(one.name.rpartition("/")[0] for one in found)} - {""}
        names = {*scope.series, *(one.name for one in found)}
        series = sorted(name for name in changes.ids if name in names or name.rpartition("/")[0] in datasets)
        known = {n: instant(changes.known_through[n]).isoformat() for n in series if n in changes.known_through}
        named = {name for name, members in archive.universes().items() if set(members) & set(series)}
        universes = tuple(sorted({*scope.universes, *named}))
        scope = replace(
            scope, series=tuple(series), datasets=tuple(sorted(datasets)), universes=universes, known_through=known
        )
    return scope


def refuse_copies_of(scope: Scope, found: Sequence[Copy]) -> None:
    """Refuse to seal while a copy of what is sealed would stay in the clear.

    Raises:
        SealedError: there is one.
    """
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise SealedError(
            "the archive has a copy of what is to be sealed",
            value=f"{found[0].told}{more}",
            rule=f"from {scope.cut.isoformat()} on the copy would say in the clear what is sealed",
            fix="seal the copies' datasets along (--with-copies), or name an experiment of theirs too",
        )


def refuse_twice(scope: Scope, seals: Iterable[Seal]) -> None:
    """Refuse to seal again what is sealed, whatever the day.

    Raises:
        SealedError: a series is sealed already.
    """
    seals = tuple(seals)
    for name in scope.series:
        there = sealed_from(seals, name)
        if there is not None:
            earlier = scope.cut < there.instant
            raise SealedError(
                "an earlier seal date would peel a sealed period off" if earlier else "this is sealed already",
                value=f"{name}, sealed from {there.cut} by {there.id}; asked for {scope.cut.isoformat()}",
                rule="a series has one seal, and its date does not move while it is closed",
                fix="harness holdout status tells what is sealed; harness holdout roll releases a spent stretch",
            )


def changes_before(changes: ChangeFile, cut: int) -> ChangeFile:
    """The changes that stay in the clear, by which a target is recognised from then on."""
    kept = (changes.published < cut) & ~((changes.availability == ASSUMED) & (changes.vintage >= cut))
    return _only(changes, kept)


def without_hindsight(changes: ChangeFile, seals: Sequence[Seal]) -> ChangeFile:
    """What an opening walks on: without history that a sealed vintage puts before its cut.

    Development could not know it, and is replayed bit by bit; from the vintage on its own rows say the same.
    """
    kept = np.ones(len(changes.code), dtype=bool)
    for seal in seals:
        cut = micros(seal.instant)
        codes = [changes.codes[name] for name in changes.ids if seal.covers(name)]
        late = (changes.availability == ASSUMED) & (changes.published < cut) & (changes.vintage >= cut)
        kept &= ~(late & np.isin(changes.code, codes))
    return changes if kept.all() else _only(changes, kept)


def _only(changes: ChangeFile, kept: NDArray[np.bool_]) -> ChangeFile:
    columns = ("code", "period", "published", "value", "vintage", "availability")
    return replace(changes, **{name: getattr(changes, name)[kept] for name in columns})


def last_readable(scope: Scope, changes: ChangeFile) -> str:
    """ISO instant of the last publication of what is covered that stays in the clear."""
    early = changes_before(changes, micros(scope.cut))
    mine = np.isin(early.code, [early.codes[name] for name in scope.series])
    return instant(int(early.published[mine].max())).isoformat(timespec="minutes") if mine.any() else ""


def origins_at_cut(scope: Scope, experiments: Sequence[Experiment], changes: ChangeFile) -> Iterator[str]:
    """The origins of experiments that fall exactly on the cut, so that they are in the holdout."""
    for one in experiments:
        series = changes.series[one.target.transform.inputs(one.target.series[0])[0]]
        day = local_day(scope.cut, one.origins.zone)
        last = one.origins.last
        if (last is None or last >= day) and origin_instants(one.origins, series, scope.cut, scope.cut):
            yield f"{one.name}'s origin of {day} (end of day)"


def readable_ahead(scope: Scope, changes: ChangeFile) -> int:
    """Values of what is covered that were public before the cut, and tell of periods that end after it."""
    early, found = changes_before(changes, micros(scope.cut)), 0
    for name in scope.series:
        series = changes.series[name]
        ends = period_ends(series.parsed, early.period[early.code == early.codes[name]].astype(np.int64))
        # a last day ends at the next midnight of the series' zone
        found += int((ends >= np.datetime64(scope.cut.astimezone(ZoneInfo(series.zone)).date(), "D")).sum())
    return found


def refuse_later_vintages(scope: Scope, changes: ChangeFile) -> None:
    """Refuse a day that values dated before it were not known on, as they themselves state.

    Final values that state no vintage go by their date (pseudo real time).

    Raises:
        UserError: a value dated by a rule before the cut states a vintage at or after it.
    """
    at = micros(scope.cut)
    mine = np.isin(changes.code, [changes.codes[name] for name in scope.series]) & (changes.published < at)
    later = mine & (changes.availability == RULE) & (changes.vintage >= at)
    if later.any():
        named = changes.ids[int(changes.code[later][0])]
        raise UserError(
            "values dated before the first sealed day were known only later",
            value=f"{int(later.sum())} value(s) of {named}, from {scope.cut.isoformat()}",
            rule="what states a value_known_at past the cut would tell in the clear what is sealed",
            fix="name a day after those vintages, or append such values to an archive of their own",
        )


def refuse_empty(scope: Scope, changes: ChangeFile) -> None:
    """Refuse a day that leaves nothing to seal, or nothing to develop on.

    Raises:
        UserError: nothing of what is covered was published from that day on, or nothing of the targets before.
    """
    at, told = micros(scope.cut), scope.cut.isoformat()
    mine = np.isin(changes.code, [changes.codes[name] for name in scope.series])
    if not (changes.published[mine] >= at).any():
        newest = instant(changes.published[mine].max()).isoformat() if mine.any() else "none"
        raise UserError(
            "there is nothing to seal",
            value=f"from {told}, newest publication {newest}",
            rule="a holdout holds what was published from its first day on",
            fix="name an earlier day",
        )
    early = np.isin(changes.code, [changes.codes[name] for name in scope.targets]) & (changes.published < at)
    if not early.any():
        raise UserError(
            "nothing would be left to develop on",
            value=told,
            rule="the target has values published before the first sealed day",
            fix="name a later day",
        )
