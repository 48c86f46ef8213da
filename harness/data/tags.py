"""What the archive calls the batch of a file: by its name, and short hashes of how it was read and what it holds."""

from __future__ import annotations

import re
from collections.abc import Callable

VEILED = "tag"
"""The word under which the hashes in a tag are keyed."""
FORM = re.compile(
    r"(?P<label>.*) \[((?P<reading>[0-9a-f]{8})-(?P<file>k?[0-9a-f]{8}|)-)?(?P<content>k?[0-9a-f]{16}|)\]", re.DOTALL
)
Veil = Callable[[str, str], str]
"""Takes a word and a plain hash, gives what stands for it in the clear; what was veiled before stays as it is."""


def tag_of(label: str, content: str, reading: str = "", file: str = "") -> str:
    """A tag.

    Args:
        label: dataset and file.
        content: hash of what is in it, with all that is asked of it; its first sixteen digits stand there.
        reading: hash of how it is read, of which eight digits stand there; "" = a list, which tells neither.
        file: hash of the file; eight digits too.

    >>> tag_of("d: a.csv", "0123456789abcdef01", "aaaaaaaabb", "bbbbbbbbcc")
    'd: a.csv [aaaaaaaa-bbbbbbbb-0123456789abcdef]'
    """
    told = f"{reading[:8]}-{file[:8]}-" if reading else ""
    return f"{label} [{told}{content[:16]}]"


def told_by(tag: str, label: str) -> tuple[str, str] | None:
    """How the file of a tag was read, and the hash of the file; None = the tag is another label's, or a list's.

    >>> told_by("d: a.csv [aaaaaaaa-kbbbbbbbb-k0123456789abcdef]", "d: a.csv")
    ('aaaaaaaa', 'kbbbbbbbb')
    """
    found = FORM.fullmatch(tag)
    if found is None or found["label"] != label or found["reading"] is None:
        return None
    return found["reading"], found["file"]


def label_of(tag: str) -> str:
    """Dataset and file of a tag; "" = it is the tag of no file, or tells nothing of it.

    >>> label_of("d: a.csv [0123456789abcdef]")
    'd: a.csv'
    """
    found = FORM.fullmatch(tag)
    return "" if found is None else found["label"]


def veiled_tag(tag: str, veil: Veil) -> str:
    """A tag from which the content cannot be guessed; names that are no tags of files stay.

    How a file is read stays plain: it says nothing of the values.

    >>> veiled_tag("d: a.csv [aaaaaaaa-bbbbbbbb-0123456789abcdef]", lambda word, plain: f"k{plain[::-1]}")
    'd: a.csv [aaaaaaaa-kbbbbbbbb-kfedcba9876543210]'
    """
    found = FORM.fullmatch(tag)
    if found is None:
        return tag
    content = veil(VEILED, found["content"])[:17]
    told = "" if found["reading"] is None else f"{found['reading']}-{veil(VEILED, found['file'])[:9]}-"
    return f"{found['label']} [{told}{content}]"
