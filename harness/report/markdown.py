"""Pieces of a page of Markdown: one line of text, a table, a list; everything from outside is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SPECIAL = re.compile(r"([\\`*_{}\[\]#!|<>~$&]|^[-+])")


def text(value: object) -> str:
    r"""A value in one line of Markdown, with everything that Markdown or HTML would read as markup escaped.

    >>> print(text("a|b <i>*c*</i>"))
    a\|b \<i\>\*c\*\</i\>
    """
    return SPECIAL.sub(r"\\\1", " ".join(str(value).split()))


def grid(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; every cell is escaped."""
    lines = [" | ".join(text(cell) for cell in row) for row in (head, *rows)]
    rule = " | ".join("---" for _ in head)
    return "\n".join(f"| {line} |" for line in (lines[0], rule, *lines[1:]))


def bullets(*lines: str) -> str:
    """A Markdown list of those lines that say something, escaped."""
    return "\n".join(f"- {text(line)}" for line in lines if line)
