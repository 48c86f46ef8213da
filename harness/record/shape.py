"""Whether a record read from JSON has the inner types it was written with; a digest alone does not say so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

Shape = object
"""A type; `[shape]` a list of it; `{str: shape}` a table of it; `{name: shape, ...}` a table with at least these names;
`(shape, ...)` any of these; `object` anything; `INSTANT` an ISO instant with its zone."""
INSTANT = "instant"


def misshapen(value: object, shape: Shape, name: str = "") -> str:
    """Path of the first part of a value that has another shape; "" = all of it fits.

    Args:
        value: as JSON gives it.
        shape: what it should be; see `Shape`.
        name: path of the value.

    >>> misshapen({"paths": ["a", 5], "again": True}, {"paths": [str], "again": bool})
    'paths[1]'
    >>> misshapen({"at": "2019-01-01T00:00:00+00:00"}, {"at": INSTANT}), misshapen({}, {"at": INSTANT})
    ('', 'at')
    """
    if isinstance(shape, tuple):
        return "" if any(not misshapen(value, one) for one in shape) else name or "the record"
    if isinstance(shape, (dict, list)) and isinstance(value, dict if isinstance(shape, dict) else list):
        return next((found for part in _parts(value, shape, name) if (found := misshapen(*part))), "")
    return "" if _fits(value, shape) else name or "the record"


def _parts(value: object, shape: Shape, name: str) -> list[tuple[object, Shape, str]]:
    """The parts of a list or table, with their shapes and paths."""
    if isinstance(value, list) and isinstance(shape, list):
        return [(one, shape[0], f"{name}[{place}]") for place, one in enumerate(value)]
    if isinstance(value, Mapping) and isinstance(shape, dict):
        wanted = dict.fromkeys(value, shape[str]) if str in shape else shape
        return [(value.get(key), one, f"{name}.{key}" if name else key) for key, one in wanted.items()]
    return []


def _fits(value: object, shape: Shape) -> bool:
    if shape is INSTANT:
        try:
            return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
        except ValueError:
            return False
    if not isinstance(shape, type):
        return False
    return isinstance(value, shape) and not (isinstance(value, bool) and shape in (int, float))
