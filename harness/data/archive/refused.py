"""What an archive under seal does not answer: as-of past the cut, and SQL that asks for what is sealed.

Nothing sealed is in the archive, so nothing could be told: the refusal is there to be clear, and to be entered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from harness.core.errors import FEW, SealedError, listed
from harness.record.home import Home
from harness.record.runs import list_runs, plan_opened
from harness.record.seals import Seal, sealed_from, seals_of

CLOCKED = frozenset({"runs", "batches", "raw_files"})
"""Views whose instants are those of the harness's own work, not of data."""
QUOTED = re.compile(r"'((?:[^']|'')*)'|\$(\w*)\$(.*?)\$\2\$", re.DOTALL)
DAY = re.compile(
    r"(?<!\d)((?:19|2[01])\d\d)(?:[-/\\ .](\d{1,2})(?:[-/\\ .](\d{1,2})(?:[T ](\d{1,2}):(\d\d))?)?)?(?!\d)"
)
DAY_FIRST = re.compile(r"(?<!\d)(\d{1,2})[-/ .](\d{1,2})[-/ .]((?:19|2[01])\d\d)(?!\d)")
COMPACT = re.compile(r"(?<!\d)((?:19|2[01])\d\d)(\d\d)(\d\d)(?!\d)")
MADE = re.compile(r"make_(?:date|timestamp\w*)\s*\(\s*(\d{4})\s*,\s*(\d{1,2})\s*,\s*(\d{1,2})", re.IGNORECASE)
EPOCH = re.compile(r"(?<![\w.])(\d{15,19})(?![\w.])")
SINCE = re.compile(r"(?:to_timestamp|epoch_ms|make_timestamp\w*)\s*\(\s*(\d{9,19})", re.IGNORECASE)
OUTSIDE = re.compile(
    r"\b(?:read_\w+|parquet_\w+|\w+_scan|sniff_csv|glob|getenv)\s*\(|\b(?:attach|install|load|copy)\s+'"
    r"|\b(?:from|join)\s+(['\"])[^'\"]*[./][^'\"]*\1|\bvault\b|\.age\b|ledger\.jsonl",
    re.IGNORECASE,
)
OPEN = "a claim on the sealed period is opened by harness holdout plan and harness holdout open"
RUNS = frozenset(
    {"runs", "forecasts", "errors", "scores", "common_sample", "leaderboards", "against_rivals", "run_origins"}
)
"""Views of runs alone, those that opened a holdout included."""
LAST = timedelta(days=1) - timedelta(microseconds=1)


def refuse_sealed_instant(home: Home, series: Iterable[str], at: datetime) -> None:
    """Refuse an as-of question past the cut of a sealed series.

    Args:
        home: the archive's home folder.
        series: stored ids that are asked.
        at: the instant.

    Raises:
        SealedError: it lies at or past the cut.
    """
    seals = seals_of(home)
    for name in series if seals else ():
        seal = sealed_from(seals, name)
        if seal is not None and at >= seal.instant:
            raise SealedError(
                "an as-of question past the seal of a holdout",
                value=f"{at.isoformat()} for {name}",
                rule=f"{name} is sealed from {_told(seal)} on ({seal.told} {seal.id})",
                fix=f"ask for an earlier instant; {OPEN}",
            )


def refuse_sealed_question(home: Home, text: str, views: Sequence[str]) -> None:
    """Refuse SQL that names an instant past the earliest cut, the vault, or a file.

    Args:
        home: the home folder.
        text: the question.
        views: those it names; where all of them tell of the harness's own work, instants are free.

    Raises:
        SealedError: it does.
    """
    seals = seals_of(home)
    if not seals:
        return
    outside = OUTSIDE.search(text)
    if outside is not None:
        raise SealedError(
            "this question reaches outside the archive of a home under seal",
            value=" ".join(text.split()),
            rule="SQL answers from archive and runs alone, neither from files nor from the vault",
            fix="name views only: harness sql lists them",
        )
    if views and CLOCKED.issuperset(views):
        return
    opened = _opened_runs(home)
    if views and RUNS.issuperset(views):  # what a closed opening has put in the clear is clear
        seals = tuple(one for one in seals if one.id not in opened)
    seal = min(seals, key=lambda one: one.instant, default=None)
    past = [one for one in _instants(text) if seal is not None and one >= seal.instant]
    if seal is None or not past:
        return
    clear = f"the tables of runs tell of its opening {opened[seal.id][:12]}" if seal.id in opened else OPEN
    raise SealedError(
        "this question asks for what lies past the seal of a holdout",
        value=" ".join(text.split()),
        rule=f"sealed from {_told(seal)} on ({seal.told} {seal.id}), and {max(past).date()} is named",
        fix=f"ask for earlier instants; {clear}",
    )


def _opened_runs(home: Home) -> dict[str, str]:
    """Seal -> the finished run that opened it first."""
    found = dict[str, str]()
    for run in list_runs(home):
        facts = run.get("holdout")
        told = facts.get("seals") if plan_opened(run) and isinstance(facts, dict) else None
        for one in told if isinstance(told, list) else ():
            found.setdefault(str(one.get("seal")), str(run.get("run_id")))
    return found


def sealed_note(home: Home) -> str:
    """What is to be said beside every answer of a home under seal; "" = it is under none.

    The tables of runs that opened a holdout do tell of what is sealed.
    """
    told = [
        f"{listed(seal.datasets or seal.series, FEW)} from {_told(seal)} on ({seal.told})" for seal in seals_of(home)
    ]
    opened = [str(run["run_id"]) for run in list_runs(home) if plan_opened(run)] if told else []
    but = f" but of the runs that opened it ({', '.join(opened)})" if opened else ""
    return f"sealed, and in no answer{but}: {'; '.join(told)}" if told else ""


def _instants(text: str) -> Iterator[datetime]:
    """The latest instants that the dates and times written in a text can mean; a day without a time is all of it."""
    for plain, _, dollars in QUOTED.findall(text):
        for year, month, day, hour, minute in DAY.findall(plain or dollars):
            yield from _latest(year, month or "12", day, hour, minute)
        for one, other, year in DAY_FIRST.findall(plain or dollars):
            yield from (*_latest(year, one, other), *_latest(year, other, one))
        for year, month, day in COMPACT.findall(plain or dollars):
            yield from _latest(year, month, day)
    for year, month, day in MADE.findall(text):
        yield from _latest(year, month, day)
    for number in (*EPOCH.findall(text), *SINCE.findall(text)):
        since = int(number) // 10 ** (3 * max(0, (len(number) - 8) // 3))  # s, ms, us or ns
        yield datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=min(since, 10**11))


def _latest(year: str, month: str, day: str = "", hour: str = "", minute: str = "") -> Iterator[datetime]:
    """The instant that is written, the last one of that day, or of that month; nothing where there is no such day."""
    try:
        if hour:
            yield datetime(int(year), int(month), int(day), int(hour), int(minute), tzinfo=UTC)
            return
        found = date(int(year), int(month), int(day or 1))
        if not day:
            found = date(found.year + found.month // 12, found.month % 12 + 1, 1) - timedelta(days=1)
        yield datetime(found.year, found.month, found.day, tzinfo=UTC) + LAST
    except ValueError:
        return


def _told(seal: Seal) -> str:
    return seal.instant.isoformat(timespec="minutes").replace("+00:00", "Z")
