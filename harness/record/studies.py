"""Records of searches: what was searched in `study.json`, then one durable line per trial as it ends."""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from harness.core.errors import DamagedError
from harness.core.identity import digest
from harness.record.files import json_bytes, parsed_json, sync_folder, write_file
from harness.record.folders import read_whole
from harness.record.shelves import SealedShelf, Shelf, closed, closed_line, get, opened_line

STUDY, TRIALS, JOURNAL = "study.json", "trials.jsonl", "journal.log"
CHAIN, END, SECONDS, LINES = "chain", "end", "seconds", "lines"
LINE_DIGITS = 12
ASIDE = "aside"
"""In the name of a file of a record that another one took the place of."""
VOUCHED = "study_records"
"""Section of a manifest: key of a search -> what the run keeps of it."""
Line = dict[str, object]


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """What is kept of one search.

    Attributes:
        key: of the study.
        head: space, sampler, seed, pruner, budget, objective, inner plan, data identity.
        trials: one line per trial that ended, in order.
        end: why no further trial was made, and the number of the best; {} = the search is not over.
        chain: hash over head and lines; it differs when any of them does.
        problem: what is wrong with its files; "" = they are as written.
    """

    key: str
    head: Mapping[str, object]
    trials: tuple[Mapping[str, object], ...]
    end: Mapping[str, object]
    chain: str
    problem: str = ""

    @property
    def content(self) -> str:
        """Hash over all but the durations: a search that is made again has the same."""
        return digest(self.head, [_timeless(line) for line in self.trials], self.end)

    @property
    def lines(self) -> list[str]:
        """A short hash of each line but its duration, the end included: they tell which one was changed."""
        return [digest(_timeless(line))[:LINE_DIGITS] for line in (*self.trials, *([self.end] if self.end else []))]

    def differing(self, promised: Mapping[str, object]) -> str:
        """Where it is not the search that a run vouches for, durations aside; "" = it is.

        Args:
            promised: what the run kept of it.
        """
        if self.content == promised.get("content"):
            return ""
        told = f"{len(self.trials)} trials" + ("" if self.end else " and no end")
        told += f", recorded {promised.get('trials')}"
        if self.problem:
            return f"{told}; {self.problem}"
        kept = promised.get(LINES)
        if not isinstance(kept, list):
            return f"{told}; harness reproduce tells which line differs"
        pairs = zip_longest(self.lines, kept)
        place = next((number for number, (mine, other) in enumerate(pairs, start=1) if mine != other), 0)
        return f"{told}; " + (f"line {place} is the first that differs" if place else "its head differs")

    def begins(self, other: StudyRecord) -> bool:
        """Whether another record of the search is this one, or this one carried on; durations aside."""
        mine, theirs = self.lines, other.lines
        heads = json_bytes(self.head) == json_bytes(other.head)
        return heads and not self.problem and mine == theirs[: len(mine)]

    def vouched(self) -> dict[str, object]:
        """What a run keeps of it, so that no line of it can be taken away unnoticed."""
        return {
            "trials": len(self.trials),
            END: self.end.get(END, ""),
            CHAIN: self.chain,
            "content": self.content,
            LINES: self.lines,
        }


class StudyLog:
    """A search under way: its record so far, to which trials are appended."""

    def __init__(self, key: str, shelf: Shelf, stream: BinaryIO, record: StudyRecord) -> None:
        self.key, self.record = key, record
        self._shelf, self._stream, self._chain = shelf, stream, record.chain

    @property
    def journal(self) -> Path | None:
        """Where the search is exported for others to open; None = nowhere, since they could not read it encrypted."""
        return None if isinstance(self._shelf, SealedShelf) else self._shelf / self.key / JOURNAL

    def append(self, line: Mapping[str, object]) -> None:
        """Write one line so that it outlives a crash: a crash loses the running trial at most."""
        self._chain, text = chained(self._chain, line)
        self._stream.write(closed_line(self._shelf, text))
        self._stream.flush()
        os.fsync(self._stream.fileno())


@contextmanager
def study_log(shelf: Shelf, key: str, head: Mapping[str, object]) -> Iterator[StudyLog]:
    """Open the record of a search to write; another process that makes the same study waits.

    What a crash left of a last line is cut off. A record of another head or with a damaged line is begun anew; what was
    there is kept beside it, and a warning names it.

    Args:
        shelf: of all studies.
        key: of the study.
        head: what is searched, how, and on what.
    """
    place = shelf / key
    place.mkdir(parents=True, exist_ok=True)
    with (place / TRIALS).open("ab+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        record = None
        with suppress(DamagedError):
            record = read_study(shelf, key)
        if record is None or json_bytes(record.head) != json_bytes(head):
            _set_aside(place, "it is damaged" if record is None else "it is of another search")
            stream.truncate(0)
            write_file(place / STUDY, closed(shelf, json_bytes(head)))
            record = StudyRecord(key, head, (), {}, digest(head))
        stream.truncate(_whole(place / TRIALS))
        sync_folder(place)
        yield StudyLog(key, shelf, stream, record)


def _set_aside(place: Path, why: str) -> None:
    """Keep what there is of a record under other names, and say so; without a whole line there is nothing to keep."""
    if not _whole(place / TRIALS):
        return
    number = 1 + len(list(place.glob(f"{TRIALS}.{ASIDE}-*")))
    for name in (STUDY, TRIALS):
        if (place / name).exists():
            write_file(place / f"{name}.{ASIDE}-{number}", (place / name).read_bytes())
    warnings.warn(
        f"the record of search {place.name} is not used, {why}: it is kept as {place / TRIALS}.{ASIDE}-{number},"
        " and the search is made again; runs that rest on the old one no longer verify",
        stacklevel=2,
    )


def read_study(shelf: Shelf, key: str) -> StudyRecord:
    """The record of a search, whether it is over or not.

    Raises:
        DamagedError: a line is not what was written, or the head cannot be read.
        OSError: there are no trials.
    """
    record = study_told(shelf, key)
    if record.problem:
        raise DamagedError(
            "the record of a search is damaged",
            value=f"{key}/{TRIALS}, {record.problem}",
            rule="every line carries a hash of all before it, and the last says how many there are",
            fix="delete the folder and run the experiment again",
        )
    return record


def study_told(shelf: Shelf, key: str) -> StudyRecord:
    """What the files of a search say, whether or not they are as written.

    Raises:
        DamagedError: the head cannot be read.
        OSError: there are no trials.
    """
    head = _head(shelf, key)
    chain, trials, end, problem = digest(head), list[Line](), dict[str, object](), ""
    with (shelf / key / TRIALS).open("rb") as stream:
        for number, text in enumerate(stream, start=1):
            if not text.endswith(b"\n"):  # the line a crash interrupted
                break
            clear = opened_line(shelf, text, f"{key}/{TRIALS}")
            line = _parsed(clear)
            line.pop(CHAIN, None)
            chain, written = chained(chain, line)
            if written != clear:
                problem = (
                    problem or f"line {number} is not what was written, or the head or a line before it was changed"
                )
            elif end:
                problem = problem or f"line {number} follows the end"
            if END in line:
                end = line
            else:
                trials.append(line)
    if end and end.get("trials") != len(trials):
        problem = problem or f"{len(trials)} trials, its end says {end.get('trials')}"
    return StudyRecord(key, head, tuple(trials), end, chain, problem)


def finished_study(shelf: Shelf, key: str) -> StudyRecord | None:
    """The record of a search that is over; None = there is none, it is not over, or it is damaged."""
    try:
        record = read_whole(shelf / key, partial(read_study, shelf, key))
    except (DamagedError, OSError):
        return None
    return record if record.end else None


def _head(shelf: Shelf, key: str) -> dict[str, object]:
    try:
        return parsed_json(get(shelf, key, STUDY), STUDY)
    except OSError as error:
        raise DamagedError("unreadable record", value=STUDY, rule="a JSON object", fix="delete it and rerun") from error


def chained(chain: str, line: Mapping[str, object]) -> tuple[str, bytes]:
    """The chain after a line, and the line as it is written.

    Args:
        chain: hash over the head and the lines before; `digest(head)` before the first.
        line: what the line says, without its own hash.
    """
    text = json.dumps(line, sort_keys=True, ensure_ascii=False, separators=(", ", ": "))
    chain = digest(chain, text)
    return chain, f'{text[:-1]}, "{CHAIN}": "{chain}"}}\n'.encode()


def _timeless(line: Mapping[str, object]) -> Line:
    return {name: value for name, value in line.items() if name != SECONDS}


def _parsed(text: bytes) -> Line:
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    return line if isinstance(line, dict) else {}


def _whole(path: Path) -> int:
    """Bytes of the whole lines of a file."""
    return path.read_bytes().rfind(b"\n") + 1
