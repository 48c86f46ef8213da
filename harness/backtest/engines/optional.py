"""Packages that only some engines need: imported when they are used, refused in one message when they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from harness.core.errors import UserError


def optional(module: str, extra: str, asked: str) -> ModuleType:
    """A module of an optional package.

    Args:
        module: its name.
        extra: the extra of the harness that installs it.
        asked: what it is needed for, as the user wrote it.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{asked} needs a package that cannot be imported",
            value=" ".join(str(error).split())[:200],
            rule=f"{module.partition('.')[0]} is installed by the extra {extra!r}, and on every worker",
            fix=f"pip install 'harness-backtest[{extra}]'",
        ) from error
