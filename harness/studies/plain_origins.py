"""When forecasts are issued, by the plainest reading of `[origins]`: one origin, one local day, one clock at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from harness.backtest.splits import Plan
from harness.core.recipe import Schedule
from harness.studies.verdict import Finding

DAY = timedelta(days=1)
PLACE = "harness.backtest.schedule"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def origins_that_differ(plan: Plan, check: str) -> Iterator[Finding]:
    """Origins that stand on another day or clock than the schedule says, or know of something before it is known.

    Explicit instants are taken as given; of sessions and business days only the clock is judged.
    """
    origins = plan.experiment.origins
    schedule, zone = origins.every, ZoneInfo(origins.zone)
    for place, moment in enumerate(plan.instants):
        local = moment.astimezone(zone)
        # the end of a day is the midnight after it, and belongs to the day it ends
        before = (moment - timedelta(microseconds=1)).astimezone(zone).date()
        ended = schedule.at is None and before != local.date()
        day = before if ended else local.date()
        wrong = _wrong(schedule, day, local, ended=ended)
        if wrong:
            yield Finding(check, "origin", moment, "origins", PLACE, expected=wrong, found=local.isoformat())
        known = (moment - origins.latency - EPOCH) // timedelta(microseconds=1)
        if int(plan.known[place]) != known:
            yield Finding(
                check, "origin", moment, "origins", PLACE, column="known", expected=str(known),
                found=str(int(plan.known[place])),
            )  # fmt: skip


def _wrong(schedule: Schedule, day: date, local: datetime, *, ended: bool) -> str:
    """What the schedule asks for and the origin is not; "" = it is."""
    if schedule.kind == "dates":
        return ""
    if schedule.pseudo and any(_same_day(one, day) for one in schedule.pseudo):
        return ""
    if schedule.at is None and not ended:
        return "the end of a local day"
    if schedule.at is not None and local.time() != schedule.at and _exists(local, schedule.at):
        return f"{schedule.at.isoformat()} of a local day"
    month_over = (day + DAY).month != day.month
    fits = {
        "month_end": month_over,
        "quarter_end": month_over and day.month % 3 == 0,
        "weekday": day.weekday() == schedule.weekday,
        "nth_weekday": day.weekday() == schedule.weekday and (day.day - 1) // 7 + 1 == schedule.n,
    }
    return "" if fits.get(schedule.kind, True) else f"a day of the schedule {schedule.kind}"


def _exists(local: datetime, at: time) -> bool:
    """Whether a local clock time exists on a day (a spring gap has none)."""
    wanted = datetime.combine(local.date(), at, local.tzinfo)
    return wanted.astimezone(UTC).astimezone(local.tzinfo).time() == at


def _same_day(given: date | datetime, day: date) -> bool:
    return (given.date() if isinstance(given, datetime) else given) == day
