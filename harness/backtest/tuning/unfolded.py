"""The space of a function as its trials recorded it: every range that was drawn from."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import replace

from harness.core.search import Domain, DomainKind, as_value

KINDS: Mapping[str, DomainKind] = {
    "IntDistribution": "int",
    "FloatDistribution": "float",
    "CategoricalDistribution": "choice",
}


def unfolded(lines: Iterable[Mapping[str, object]]) -> list[Domain]:
    """One domain per name drawn, by name; ranges that changed from trial to trial are joined.

    Args:
        lines: trials as recorded.
    """
    found: dict[str, Domain] = {}
    for line in lines:
        told = line.get("distributions")
        for name, text in (told if isinstance(told, dict) else {}).items():
            one = domain_of(name, str(text))
            if one is not None:
                found[name] = _joined(found[name], one) if name in found else one
    return [found[name] for name in sorted(found)]


def domain_of(name: str, text: str) -> Domain | None:
    """A domain from Optuna's text of a distribution; None = it cannot be read.

    >>> domain_of("k", "IntDistribution(high=6, log=False, low=2, step=1)")
    Domain(name='k', kind='int', low=2, high=6, log=False, step=None, choices=(), default=None, when=())
    """
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            return None
        given = {one.arg: ast.literal_eval(one.value) for one in call.keywords}
        kind = KINDS[call.func.id]
        if kind == "choice":
            return Domain(name, kind, choices=tuple(map(as_value, given["choices"])))
        step = None if kind == "int" and given["step"] == 1 else given["step"]
        return Domain(name, kind, given["low"], given["high"], log=given["log"], step=step)
    except (ValueError, SyntaxError, KeyError):
        return None


def _joined(one: Domain, other: Domain) -> Domain:
    if one.kind != other.kind:
        return other
    if one.kind == "choice":
        more = [choice for choice in other.choices if not one.holds(choice)]
        return replace(one, choices=(*one.choices, *more))
    step = one.step if one.step == other.step else None
    return replace(one, low=min(one.low, other.low), high=max(one.high, other.high), step=step)
