"""Mutants: one-line patches, each of which breaks one law or rule of the package and must be noticed by its tests."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("mutants.toml")


class PatchError(Exception):
    """A patch does not apply: its line is gone, stands more than once, or would not change."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken law.

    Attributes:
        name: what the patched code does wrong, in a few words.
        rule: the law or semantic rule it breaks, and what that rule asks for.
        file: the patched file, relative to the root of the tree.
        before: the line as it is, without its indentation; it stands once in the file.
        after: the line instead, at the same indentation.
        killed_by: test files or node ids, of which at least one must fail.
    """

    name: str
    rule: str
    file: str
    before: str
    after: str
    killed_by: tuple[str, ...]


def read_table(path: Path = TABLE) -> tuple[Mutant, ...]:
    """The mutants of a table, in its order."""
    listed = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    return tuple(Mutant(**{**entry, "killed_by": tuple(entry["killed_by"])}) for entry in listed)


def patched(source: str, mutant: Mutant) -> str:
    """The source with the one line replaced.

    Raises:
        PatchError: the line does not stand exactly once in the source, or the patch changes nothing.
    """
    lines = source.splitlines(keepends=True)
    places = [place for place, line in enumerate(lines) if line.strip() == mutant.before]
    if len(places) != 1:
        raise PatchError(f"the patch no longer applies: its line stands {len(places)} times in {mutant.file}")
    if mutant.after == mutant.before:
        raise PatchError("the patch changes nothing")
    line = lines[places[0]]
    lines[places[0]] = line.replace(mutant.before, mutant.after)
    return "".join(lines)
