"""Files that a user names to be written, beside those that the harness names itself."""

from __future__ import annotations

from pathlib import Path

from harness.core.errors import UserError


def to_write(path: str | Path) -> Path:
    """The path of a file that is to be written whole, in place of one of that name.

    Raises:
        UserError: something else stands there: a folder, or a device or pipe, which would be gone.
    """
    found = Path(path)
    if found.exists() and not found.is_file():
        raise UserError(
            "not the name of a file that can be written",
            value=found,
            rule="a file appears whole under its name, and there stands a folder, a device or a pipe",
            fix="name a file",
        )
    return found
