"""Identities: the same content has the same hash everywhere, and seeds derive from identities."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache

KEY_LENGTH = 32
PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types that are their own canonical form."""
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
SEEDS = 2**31
"""Seeds lie in [0, 2**31)."""
MANY = 64
"""Names from which on a tuple of them is long."""


def canonical(value: object) -> object:
    """A JSON value that is the same for equal content: dataclasses by field (compare=False left out), keys sorted.

    >>> canonical((1, date(2020, 3, 31), {"b": 1.5, "a": None}))
    [1, '2020-03-31', {'a': None, 'b': 1.5}]

    Raises:
        TypeError: a value with no canonical form.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (date, datetime, time, timedelta)):
        return value.total_seconds() if isinstance(value, timedelta) else value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        kept = (f.name for f in fields(value) if f.compare)
        return {name: canonical(getattr(value, name)) for name in sorted(kept)}
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return list(value) if PLAIN.issuperset(map(type, value)) else [canonical(item) for item in value]
    message = f"no canonical form for {type(value).__name__}"
    raise TypeError(message)


def digest(*parts: object) -> str:
    """Hex key (128 bits of SHA-256) of the canonical form of `parts`."""
    return Headed().digest(*parts)


def encoded(value: object) -> str:
    """The text of the canonical form; that of a long tuple of names is made once."""
    if isinstance(value, Encoded):
        return value.text
    if isinstance(value, tuple) and len(value) >= MANY and set(map(type, value)) == {str}:
        return _names(value)
    if is_dataclass(value) and not isinstance(value, type):
        kept = sorted(f.name for f in fields(value) if f.compare)
        return "{" + ",".join(f"{_dumped(name)}:{encoded(getattr(value, name))}" for name in kept) + "}"
    if isinstance(value, Mapping):
        items = {str(key): value[key] for key in sorted(value, key=str)}
        return "{" + ",".join(f"{_dumped(key)}:{encoded(items[key])}" for key in sorted(items)) + "}"
    return _dumped(canonical(value))


def _dumped(value: object) -> str:
    return _ENCODER.encode(value)


@lru_cache(maxsize=16)
def _names(names: tuple[str, ...]) -> str:
    return _dumped(names)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value that is given by the text of its canonical form.

    Attributes:
        text: JSON as `encoded` gives it.
    """

    text: str


class Headed:
    """Digests of parts that all begin alike: what they begin with is hashed once.

    >>> Headed("a", (1, 2)).digest("b") == digest("a", (1, 2), "b")
    True
    """

    def __init__(self, *parts: object) -> None:
        self._begun, self._parts = hashlib.sha256(b"["), len(parts)
        self._begun.update(",".join(map(encoded, parts)).encode())

    def digest(self, *parts: object) -> str:
        """Hex key (128 bits of SHA-256) of what they begin with and some parts more."""
        hasher = self._begun.copy()
        comma = "," if self._parts and parts else ""
        hasher.update(f"{comma}{','.join(map(encoded, parts))}]".encode())
        return hasher.hexdigest()[:KEY_LENGTH]

    def of_text(self, text: str) -> str:
        """`digest` of one part more, which is given by the text of its canonical form.

        >>> Headed("a").of_text("[1,2]") == digest("a", (1, 2))
        True
        """
        hasher = self._begun.copy()
        hasher.update(f"{',' if self._parts else ''}{text}]".encode())
        return hasher.hexdigest()[:KEY_LENGTH]

    def seed(self, *parts: object) -> int:
        """The seed that `derive_seed` gives for the same parts, where what they begin with was begun by `"seed"`.

        >>> Headed("seed", "a").seed(1) == derive_seed("a", 1)
        True
        """
        return int(self.digest(*parts), 16) % SEEDS


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2**31) from recipe, target, series, origin, horizon, purpose and the user's seed: nothing else.

    >>> derive_seed("a", 1) == derive_seed("a", 1) != derive_seed("a", 2)
    True
    """
    return Headed("seed").seed(*parts)
