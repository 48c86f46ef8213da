"""What a user is told when something cannot be done: one message with the value, the rule and the fix."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable

SHOWN = 40
"""Names listed when none is near, unless there are more, and problems of one file."""
FEW = 8
"""Series named at most in a message."""
NEAR = 3
"""Names told at most as near ones, of more than `SHOWN`."""
APART = 0.05
"""How much less alike they may be than the nearest one."""

LACKS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EROFS})
"""What the operating system says where the machine lacks something, whoever asked for it."""
NO_MEMORY = re.compile(r"bad_alloc|out of memory|allocate (memory|[\d.]+ *[kmgt]?i?b(ytes)?\b)", re.IGNORECASE)
"""How libraries say so that have no error of their own for it: in a `RuntimeError` (torch), or in LightGBM's."""


def listed(names: Iterable[object], shown: int = SHOWN) -> str:
    """Names with commas between; of very many the first ones, and how many more there are.

    >>> listed(["a", "b", "c"], 2), listed(["a"])
    ('a, b and 1 more', 'a')
    """
    every = list(names)
    more = f" and {len(every) - shown} more" if len(every) > shown else ""
    return ", ".join(map(str, every[:shown])) + more


class UserError(Exception):
    """A mistake in what was asked for or in the data given; the CLI prints it and exits with code 2.

    Attributes:
        what: what happened, one clause.
        value: the offending value, as text ("" when there is none).
        rule: the rule that was broken ("" when it is evident).
        fix: what to do about it ("" when it is evident).
    """

    def __init__(self, what: str, *, value: object = "", rule: str = "", fix: str = "") -> None:
        self.what, self.value, self.rule, self.fix = what, str(value), rule, fix
        super().__init__(what)

    def __str__(self) -> str:
        parts = [self.what if not self.value else f"{self.what}: {self.value}"]
        if self.rule:
            parts.append(f"rule: {self.rule}")
        if self.fix:
            parts.append(f"fix: {self.fix}")
        return "; ".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), dict(self.__dict__), self.args)


def _rebuild(kind: type[UserError], state: dict[str, object], args: tuple[object, ...]) -> UserError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = args
    return error


class UnknownNameError(UserError):
    """A name that does not exist, with the nearest one that does, or of very many the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        many = len(names) > SHOWN
        close = difflib.get_close_matches(name, names, n=NEAR if many else 1, cutoff=0.5)
        close = [one for one in close if _likeness(one, name) >= _likeness(close[0], name) - APART]
        few = listed(names, FEW if many else SHOWN) or "none"
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {few}"
        super().__init__(f"unknown {kind}", value=repr(name), fix=hint)


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


class DataError(UserError):
    """Wrong data: rows that cannot be taken as they are.

    Attributes:
        counts: what is wrong in counts alone, for data whose values may not be shown; "" when nobody counted.
    """

    counts = ""


class ArchiveBusyError(UserError):
    """Another process is writing the archive; its process id is in the message."""


class DamagedError(UserError):
    """A stored file does not have the content its checksum promises."""


class MissingTableError(UserError):
    """A table that a run does not store: of very many series it is made from the cells when it is asked for."""


class FullDiskError(UserError):
    """There is no room for what is to be written; what was there before is unchanged."""

    def __init__(self, path: object) -> None:
        super().__init__(
            "there is no room for what is to be written",
            value=path,
            rule="a write is kept whole or not at all: nothing of this one was",
            fix="free space on that disk (or raise the limit on file sizes), or name another home folder (--home DIR, "
            "HARNESS_HOME=DIR), and give the same command again",
        )


def raise_lack(error: BaseException) -> None:
    """Raise an error on that tells what the machine lacks: it says nothing of a model, and is never recorded as such.

    Args:
        error: what a model, or code beside it, raised.

    Raises:
        MemoryError: there was not enough memory, whatever a library calls it.
        FullDiskError: there is no room.
        OSError: no room, no memory, no more files, or a disk that fails.
    """
    if isinstance(error, (MemoryError, FullDiskError)) or (isinstance(error, OSError) and error.errno in LACKS):
        raise error
    told = isinstance(error, RuntimeError) or type(error).__name__ == "LightGBMError"
    if (isinstance(error, OSError) and error.errno == errno.ENOMEM) or (told and NO_MEMORY.search(str(error))):
        raise MemoryError(str(error)) from error


class BeyondKnownError(UserError):
    """An as-of question later than what the archive has ingested; it is refused, not guessed."""


class SealedError(UserError):
    """Something that lies beyond the seal of a holdout; whoever refuses it also enters it in the ledger.

    Attributes:
        entered: whether the ledger tells of it already.
    """

    entered: bool = False


class ExperimentError(UserError):
    """All problems of one experiment or dataset file, reported together."""

    def __init__(self, path: str, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems[:SHOWN])
        lines += f"\n  and {len(self.problems) - SHOWN} more" if len(self.problems) > SHOWN else ""
        super().__init__(f"{path}: {len(self.problems)} problem(s)\n{lines}")


def reason_of(error: BaseException) -> str:
    r"""An exception in one line that can be written anywhere: lone surrogates stand as their codes.

    >>> reason_of(ValueError("a\n b \ud800"))
    'ValueError: a b \\ud800'
    """
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text.encode(errors='backslashreplace').decode()}"
