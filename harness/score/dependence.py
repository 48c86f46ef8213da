"""What one observation of a test is: losses averaged over a panel, their overlap in time, and every rival at once."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.core.errors import DataError, UserError

Floats = NDArray[np.float64]

ROUNDING: Final = 1e-12  # a difference this small beside the largest loss is float noise, not accuracy


def loss_difference(loss_a: ArrayLike, loss_b: ArrayLike) -> Floats:
    """Loss of method 1 minus loss of method 2, with rounding noise between equal losses set to zero.

    Two ways of computing one forecast differ in the last bits; without this, noise would be tested as accuracy.

    Args:
        loss_a: finite losses of method 1, one per cell, any unit.
        loss_b: losses of method 2 for the same cells, same unit.

    Returns:
        loss_a - loss_b, zero where it is below 1e-12 of the largest loss.

    Raises:
        DataError: non-finite or differently long losses.

    Source:
        Diebold and Mariano (1995), d_t of section 1.

    >>> loss_difference([1.0, 0.1 + 0.2], [0.5, 0.3])
    array([0.5, 0. ])
    """
    a, b = finite_series("loss_a", loss_a), finite_series("loss_b", loss_b)
    if a.shape != b.shape:
        raise DataError("losses differ in length", value=f"{a.size} and {b.size}", rule="one pair per cell")
    largest = max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0))
    difference = a - b
    return np.where(np.abs(difference) <= ROUNDING * largest, 0.0, difference)


def panel_loss_difference(origin: ArrayLike, loss_a: ArrayLike, loss_b: ArrayLike) -> tuple[NDArray[Any], Floats]:
    """Loss difference per origin, averaged over the series of a panel first, so that cells are not counted twice.

    Series of one origin share its shocks; pooled as if independent, a nominal 5 % test rejects far too often.

    Args:
        origin: instant of issue of each cell, in any order (datetimes or numbers).
        loss_a: losses of method 1, one per cell.
        loss_b: losses of method 2, for the same cells.

    Returns:
        The distinct origins in time order, and the mean of loss_a - loss_b at each.

    Raises:
        DataError: non-finite losses or arrays of different lengths.

    Source:
        SEMANTICS 27; Diebold and Mariano (1995) on the averaged difference.

    >>> origins, difference = panel_loss_difference([2, 1, 1, 2], [4.0, 1.0, 3.0, 2.0], [1.0, 1.0, 1.0, 1.0])
    >>> origins.tolist(), difference.tolist()
    ([1, 2], [1.0, 2.0])
    """
    difference = loss_difference(loss_a, loss_b)
    issued = np.asarray(origin)
    if issued.shape != difference.shape:
        raise DataError("origins and losses differ in length", value=f"{issued.size} and {difference.size}")
    origins, place = np.unique(issued, return_inverse=True)
    count = np.bincount(place, minlength=origins.size)
    return origins, np.bincount(place, weights=difference, minlength=origins.size) / np.maximum(count, 1)


def bandwidth(issued: ArrayLike, public: ArrayLike, span: int = 1) -> int:
    """How many later forecasts were issued before an outcome was public: the order L to which errors overlap.

    An origin at the very instant of the publication knows the outcome and is not counted.

    Args:
        issued: instants of the scored origins.
        public: instant at which each origin's outcome became known to a forecaster (for a panel, the last series');
            add a latency, if there is one.
        span: periods spanned by the target's transform, counted in origins; L is at least span - 1.

    Returns:
        L = max(span - 1, the largest count of later origins issued before an origin's outcome was public).

    Raises:
        DataError: arrays of different lengths, or an instant that is missing.
        UserError: span < 1.

    Source:
        SEMANTICS 27; Harvey, Leybourne and Newbold (1997) take horizon - 1, which is L for immediate publication.

    >>> bandwidth([0, 1, 2, 3, 4], [1.5, 2.5, 3.5, 4.5, 5.5])
    1
    >>> bandwidth([0, 1, 2, 3, 4], [1, 2, 3, 4, 5], span=4)
    3
    """
    if span < 1:
        raise UserError("span of the transform", value=span, rule="at least 1 (in origins)")
    issues, publications = np.asarray(issued), np.asarray(public)
    if issues.shape != publications.shape or issues.ndim != 1:
        raise DataError("one publication per origin", value=f"{issues.shape} and {publications.shape}")
    if bool((issues != issues).any() or (publications != publications).any()):  # noqa: PLR0124 - NaN and NaT alike
        raise DataError("an origin or publication without instant", fix="leave out pending outcomes")
    if issues.size == 0:
        return span - 1
    origins = np.unique(issues)
    later = np.searchsorted(origins, publications, side="left") - np.searchsorted(origins, issues, side="right")
    return max(span - 1, int(later.max()))


def better_than_all(p_values: ArrayLike) -> float:
    """One p-value for "better than every rival": the largest of the one-sided p-values (intersection-union test).

    Keeps its level whatever the dependence between the tests, because one true null among them is enough for the null.

    Args:
        p_values: one-sided p-values against each rival, each testing "better than this rival".

    Returns:
        The largest p-value.

    Raises:
        DataError: none, or a value outside 0 .. 1 (NaN: a test that could not be made).

    Source:
        SEMANTICS 28; Berger (1982), Multiparameter hypothesis testing and acceptance sampling, theorem 1.

    >>> better_than_all([0.01, 0.20, 0.03])
    0.2
    """
    p = finite_series("p_values", p_values)
    if p.size == 0 or p.min() < 0.0 or p.max() > 1.0:
        raise DataError("p-values", value=p.tolist(), rule="at least one, each between 0 and 1")
    return float(p.max())


def finite_series(name: str, values: ArrayLike) -> Floats:
    """Values as one finite series of floats; `DataError` naming them otherwise."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise DataError(f"{name} cannot be read as numbers", value=err) from err
    if array.ndim != 1 or not np.isfinite(array).all():
        raise DataError(f"{name} must be one finite series", value=f"shape {array.shape}", fix="score gaps first")
    return array
