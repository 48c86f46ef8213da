"""What is sealed of a target, in which grade, and how often it was opened: one line wherever its results are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from harness.core.errors import DamagedError
from harness.record.chain import GENESIS, Entry
from harness.record.home import Home
from harness.record.ledger import entries
from harness.record.ledger_check import LedgerCheck
from harness.record.registry import effort_from
from harness.record.seals import Seal, seals_of
from harness.record.told_seals import OpeningCount, openings_of, seals_in, stretches_of
from harness.record.uncompared import not_compared, uncompared_text
from harness.record.unentered import unentered

HEAD_ONLY = (
    "Without a hash noted earlier nobody can tell a whole ledger from one that was cut short or chained anew: note the "
    "head elsewhere, and pass it as --head."
)


def holdout_line(home: Home, sources: Mapping[str, str], zone: str = "UTC", inputs: Iterable[str] = ()) -> str:
    """The holdout of a target in one line; "" where nothing of it was ever sealed.

    Args:
        home: the home folder.
        sources: source series of the target -> fingerprint.
        zone: the target's time zone, in which the cut is a day.
        inputs: series that the models are given, of which it is said too when they were not compared with sealed ones.
    """
    mine = set(sources.values())
    try:
        found, seals = entries(home), seals_of(home)
    except DamagedError as error:
        return f"Holdout: not known, as a record of it cannot be used ({error})"
    told = seals_in(found, sources)
    here = [one for one in seals if one.id in told or mine & set(one.targets.values()) or any(map(one.covers, sources))]
    named = dict.fromkeys([*told, *(seal.id for seal in here)])
    used = {*sources, *inputs}
    few = uncompared_text({name: values for name, values in not_compared(found).items() if name in used})
    if not named:
        return f"Holdout: {few}; ledger head {found[-1].hash}" if few else ""
    if not found:
        lines = ", ".join(_sealed(seal, zone) for seal in here)
        return f"Holdout: {lines}, whether it was opened is not known: the ledger is gone (harness ledger verify)"
    lacking = unentered(home, found)
    if lacking:
        lines = ", ".join(_sealed(seal, zone) for seal in here)
        return f"Holdout: {lines}, whether it was opened is not known: {lacking[0]} (harness ledger verify)"
    head = found[-1].hash
    parts = [*(_sealed(seal, zone) for seal in here), *_absent(found, [one for one in named if one not in _ids(here)])]
    now, earlier = stretches_of(found, named)
    parts.append(stretches_text(now, earlier, zone) if parts else _earlier(earlier, zone, "an earlier stretch"))
    parts += [few] if few else []
    return f"Holdout: {', '.join(parts)}; ledger head {head}"


def run_line(home: Home, manifest: Mapping[str, object], zone: str = "UTC") -> str:
    """The holdout of a run's target in one line; "" where nothing of it was ever sealed.

    Args:
        home: the home folder.
        manifest: of the run.
        zone: the target's time zone.
    """
    effort, told = effort_from(manifest), manifest.get("archive")
    inputs = told.get("known_through") if isinstance(told, dict) else None
    return "" if effort is None else holdout_line(home, effort.fingerprints, zone, inputs or ())


def openings_of_run(home: Home, manifest: Mapping[str, object]) -> int | None:
    """How often the holdout of a run's target was opened; None = it is not known, or nothing of it was ever sealed."""
    effort = effort_from(manifest)
    if effort is None:
        return None
    try:
        found = entries(home)
    except DamagedError:
        return None
    named = seals_in(found, effort.fingerprints)
    return openings_of(found, named).total if named and not unentered(home, found) else None


def check_text(done: LedgerCheck, head: str = "") -> str:
    """The verdict on a ledger, why, and the head to be noted."""
    lines = [f"ledger: {done.verdict}", *(f"  {reason}" for reason in done.reasons)]
    if head and not done.broken:
        later = f"{done.since} later entr{'y' if done.since == 1 else 'ies'}"
        lines.append(f"  nothing up to it was edited, deleted, inserted or moved; an unbroken chain of {later}")
    lines += [f"  note: {note}" for note in done.notes]
    lines += [f"entries {done.entries}", f"head    {done.head if done.head != GENESIS else 'none yet'}"]
    return "\n".join([*lines, *([] if head else [HEAD_ONLY])])


def _ids(seals: Iterable[Seal]) -> set[str]:
    return {one.id for one in seals}


def _sealed(seal: Seal, zone: str) -> str:
    """From when, and in which grade: a day where the cut is the start of one in the target's zone."""
    return f"sealed from {_day(seal.instant, zone)} ({'; '.join(one for one in (seal.told, seal.seen) if one)})"


def _day(cut: datetime, zone: str) -> str:
    local = cut.astimezone(ZoneInfo(zone))
    plain = (local.hour, local.minute, local.second) == (0, 0, 0)
    return f"{local:%Y-%m-%d}" if plain else f"{cut.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _absent(found: Sequence[Entry], gone: Sequence[str]) -> list[str]:
    """Seals the ledger tells of that are not in the vault: rolled on to a later one, or taken away."""
    rolled = {str(one.facts.get("seal")) for one in found if one.kind == "roll"}
    return [f"THE VAULT OF SEAL {one} IS GONE (harness ledger verify)" for one in gone if one not in rolled]


def stretches_text(now: OpeningCount, earlier: Sequence[tuple[str, OpeningCount]], zone: str = "UTC") -> str:
    """How often a holdout was opened, and apart from it the stretches before that were rolled on.

    >>> stretches_text(OpeningCount(), [("2021-01-01T00:00:00+00:00", OpeningCount(1, 1))])
    'this stretch: never opened; an earlier one, to 2021-01-01: opened 2 times (1 confirming, 1 exploratory)'
    """
    return f"this stretch: {opened_text(now)}; {_earlier(earlier, zone)}" if earlier else opened_text(now)


def _earlier(earlier: Sequence[tuple[str, OpeningCount]], zone: str, what: str = "an earlier one") -> str:
    return "; ".join(f"{what}, to {_day(datetime.fromisoformat(to), zone)}: {opened_text(n)}" for to, n in earlier)


def opened_text(count: OpeningCount) -> str:
    """How often a holdout was opened.

    >>> opened_text(OpeningCount(1, 2)), opened_text(OpeningCount())
    ('opened 3 times (1 confirming, 2 exploratory)', 'never opened')
    """
    if not count.total:
        return "never opened"
    times = f"{count.total} time{'s' * (count.total > 1)}"
    return f"opened {times} ({count.confirmatory} confirming, {count.exploratory} exploratory)"
