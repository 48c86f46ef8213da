"""Texts of fits made series by series, put together from those of some series each, without reading the parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

SPACE = ", "
_decoder = json.JSONDecoder()


def members(text: str, start: int = 0) -> Iterator[tuple[str, str]]:
    """Keys of a JSON object, as `json.dumps` writes one, each with the text of its value.

    Args:
        text: where it stands.
        start: place of its first brace.

    >>> list(members('{"a": {"b": [1, 2.50]}, "c": null}'))
    [('a', '{"b": [1, 2.50]}'), ('c', 'null')]
    """
    place = start + 1
    while text[place] != "}":
        key, end = _decoder.raw_decode(text, place)
        first = end + len(": ")
        _, end = _decoder.raw_decode(text, first)
        yield key, text[first:end]
        place = end + len(SPACE) if text[end] != "}" else end


def object_text(values: Mapping[str, str]) -> str:
    """What `json.dumps` makes of an object with sorted keys, from the texts of its values.

    >>> object_text({"c": "null", "a": "1"})
    '{"a": 1, "c": null}'
    """
    return f"{{{SPACE.join(f'{json.dumps(key)}: {values[key]}' for key in sorted(values))}}}"
