"""What a sealing takes out of a home, and what is sealed, in words."""

from __future__ import annotations

from collections.abc import Mapping

from harness.record.seals import Seal
from harness.record.uncompared import uncompared_text
from harness.report.holdout import stretches_text
from harness.studies.holdout.seal import Sealing
from harness.studies.holdout.status import SealStatus, Status

STAYS = "stay readable outside the home (move them away yourself: they hold values, of sealed days perhaps too)"
SHOWN = 12
"""Series listed at most."""


def sealing_text(done: Sealing, *, told: bool = False) -> str:
    """What is, or will be, sealed: series, rows and files that leave.

    Args:
        done: the sealing.
        told: the list was printed before it was done; it is not repeated.
    """
    seal = done.seal
    head = f"sealed as {seal.id}" if done.done else "to be sealed"
    grade = f"{seal.told}; a passphrase opens it" if done.passphrase else seal.told
    lines = [f"{head}: everything published from {seal.cut} on ({grade})", *([] if told else _covered(seal))]
    if done.finished:
        lines.insert(0, "an earlier sealing had been interrupted and is finished now")
    if done.readable:
        lines.append(
            f"  stays readable: what was published before, the last at {done.readable}; origins before the cut"
        )
    lines += [f"  in the holdout, as it falls exactly on the cut: {one}" for one in done.at_cut]
    if done.ahead:
        lines.append(f"  of that, {done.ahead} values tell of periods that end after the cut: they were public before")
    if not told:
        lines += [f"  rows of the archive: {_counted(done.rows)}", f"  files: {_counted(done.leaves)}"]
    if done.others and not told:
        lines.append(f"  not looked at, as the harness did not write them: {', '.join(done.others)}")
    if done.elsewhere and not told:
        lines.append(f"  {STAYS}: {', '.join(done.elsewhere)}")
    lines += [
        f"  a copy that would not be sealed (refused; --with-copies seals it along): {one}" for one in done.copies
    ]
    lines += [] if told else [f"  {one}" for one in few_lines(done.few)]
    if done.done:
        lines.append("the archive now ends before the cut; run experiments again: their cells are still there")
        lines.append(f"note the ledger's head elsewhere: {done.head}")
    return "\n".join(lines)


def few_lines(few: Mapping[str, int]) -> list[str]:
    """Which series nobody can tell from a copy of what is sealed."""
    why = "too few to tell whether it is a copy; it stays readable, and results made with it say so"
    return [f"{uncompared_text({name: values})} ({why})" for name, values in few.items()]


def status_text(found: Status) -> str:
    """Every seal, what opens it, how often it was opened, and what is wrong."""
    lines = [line for one in found.seals for line in _status(one)] or ["nothing is sealed"]
    if found.unfinished:
        rolls = any(one.seal.id == found.unfinished and one.seal.follows for one in found.seals)
        what, verb = ("roll to seal", "roll") if rolls else ("sealing", "seal")
        lines.append(f"{what} {found.unfinished} was interrupted: run the same harness holdout {verb} command again")
    lines += few_lines(found.few)
    lines += [f"UNFINISHED: {one}" for one in found.left]
    lines += [f"PROBLEM: {problem}" for problem in found.problems]
    return "\n".join([*lines, f"ledger head {found.head or 'none yet'}"])


def _status(one: SealStatus) -> list[str]:
    seal = one.seal
    times = "whether it was opened is not known" if one.opened is None else stretches_text(one.opened, one.earlier)
    seen = f"; {seal.seen}" if seal.seen else ""
    return [
        f"seal {seal.id}: sealed from {seal.cut} ({seal.told}), {times}{seen}",
        f"  for {', '.join(seal.experiments)}; opened by {one.opens}; {one.files} encrypted files",
        *_covered(seal),
    ]


def _covered(seal: Seal) -> list[str]:
    names = ", ".join(seal.series[:SHOWN])
    more = f" and {len(seal.series) - SHOWN} more" if len(seal.series) > SHOWN else ""
    lines = [f"  series: {names}{more}"]
    for what, found in (
        ("whole datasets", seal.datasets),
        ("forecasts of", seal.sources),
        ("universes", seal.universes),
    ):
        if found:
            lines.append(f"  {what}: {', '.join(found)}")
    return lines


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none"
