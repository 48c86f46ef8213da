"""What LightGBM is handed: a matrix, or blocks of one where the rows are many, so that no copy of them all exists.

Once binned, rows are not looked at again but for a glance: so nobody holds the matrix while trees grow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.core.transform import Floats
from harness.forecast.boosting_params import MATRIX
from harness.forecast.direct import Design
from harness.forecast.lean_lightgbm import lgb

BLOCK = 1 << 16
"""Rows of a block; 16 bits number them."""
GLANCES, GLANCE = 16, 1 << 11
"""Parts of the rows that are looked at to choose a column, and rows of each."""
Bins = MutableMapping[tuple[object, ...], lgb.Dataset]


@dataclass(slots=True)
class FirstWindow:
    """The bins of a model's first training window.

    Attributes:
        bins: (horizon, model) -> a few rows in those bins.
        seen: whether the window was looked at; a horizon that is not among the bins then had no rows.
    """

    bins: Bins = field(default_factory=dict)
    seen: bool = False


class Binned(lgb.Dataset):
    """A dataset that heeds `verbosity` and `num_threads` where it is handed blocks too: LightGBM forgets them there."""

    def get_params(self) -> dict[str, object]:
        """What rows are binned by."""
        given = self.params or {}
        found = dict[str, object](super().get_params())
        return found | {name: given[name] for name in ("verbosity", "num_threads") if name in given}

    @staticmethod
    def _yield_row_from_seqlist(seqs: list[lgb.Sequence], indices: Iterable[int]) -> Iterator[Floats]:
        """The rows that bins are drawn from, read together instead of one by one."""
        (arranged,) = seqs
        assert isinstance(arranged, Arranged)  # noqa: S101 - nothing else is handed over in parts
        yield from arranged.blocks.drawn(np.fromiter(indices, dtype=np.int64))


class Blocks(lgb.Sequence):
    """[row, feature] of the rows of one horizon, read when they are asked for."""

    batch_size = BLOCK

    def __init__(self, design: Design, *, coded: bool, short: bool) -> None:
        """Read nothing yet.

        Args:
            design: the rows.
            coded: whether the series' code is the last column.
            short: whether numbers are float32.

        Attributes:
            coded: as given.
            large: whether a matrix of all rows would be.
        """
        self._rows, self._features, self.coded = len(design.place), design.features, coded
        self._codes = design.codes if coded else None  # nothing else of the design is held
        self._number = np.float32 if short else np.float64
        first = self._block(slice(0, 1))
        self._columns, self.large = int(first.shape[1]), self._rows * first.nbytes > MATRIX

    def __len__(self) -> int:
        return self._rows

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._rows, self._columns

    def __getitem__(self, index: int | slice | list[int]) -> Floats:
        """A block of rows, or one row: a LightGBM that does not draw rows by `Binned` asks for each by itself."""
        if isinstance(index, list):
            raise TypeError("rows are read by number or by slice")
        if isinstance(index, slice):
            return self._block(slice(*index.indices(len(self))[:2]))
        row: Floats = self.drawn(np.array([index], dtype=np.int64))[0]
        return row

    def drawn(self, rows: NDArray[np.int64]) -> Floats:
        """Some rows, ascending: float64, as LightGBM draws bins from such."""
        out = np.empty((len(rows), self.shape[1]))
        edges = np.searchsorted(rows, np.arange(0, len(self) + BLOCK, BLOCK))
        for number, (first, last) in enumerate(pairwise(edges.tolist())):
            if first < last:
                start = number * BLOCK
                block = self._block(slice(start, min(start + BLOCK, len(self))))
                out[first:last] = block[rows[first:last] - start]
        return out

    def _block(self, part: slice) -> Floats:
        cells = self._features(part)
        if self._codes is None:
            return np.ascontiguousarray(cells, dtype=self._number)
        out = np.empty((cells.shape[0], cells.shape[1] + 1), dtype=self._number)
        out[:, :-1] = cells
        out[:, -1] = self._codes(part)
        return out


class Arranged(lgb.Sequence):
    """Blocks whose rows come in ascending order of one column, each within its block.

    A tree's leaves are ranges of columns, so the rows of a leaf then lie side by side, and memory is read in runs: on
    12 million rows trees grew in 70 % of the time. Which rows a leaf has does not change; its sums add up in another
    order, which may show in their last bits. Rows asked for by number, from which bins are drawn, are not rearranged.

    Attributes:
        blocks: the rows.
        column: the column; None = they come as they are.
    """

    batch_size = BLOCK

    def __init__(self, blocks: Blocks, column: int | None) -> None:
        self.blocks, self.column = blocks, column
        self._places = np.empty(len(blocks), dtype=np.uint16)  # [row] which row of its block comes here

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int | slice | list[int]) -> Floats:
        """A block in its order, or one row by its number."""
        found = self.blocks[index]
        if not isinstance(index, slice):
            return found
        if self.column is None:
            self._places[index] = np.arange(len(found))
            return found
        self._places[index] = order = np.argsort(found[:, self.column], kind="stable")
        return np.take(found, order, axis=0)

    def labels(self, y: NDArray[np.float32]) -> NDArray[np.float32]:
        """[row] labels in the order in which the blocks were read."""
        starts = range(0, len(y), self.batch_size)
        parts = (slice(start, start + self.batch_size) for start in starts)
        return np.concatenate([y[part][self._places[part]] for part in parts])


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """What one horizon is taught, and nothing else of its design: of a large panel that would take as much again.

    Attributes:
        horizon: the horizon.
        blocks: [row, feature].
        y: [row] label, in the single precision that LightGBM learns in.
        labels_differ: whether not all labels are the same.
        column: the column by which large blocks are arranged; None = they come as they are.
    """

    horizon: int
    blocks: Blocks
    y: NDArray[np.float32]
    labels_differ: bool
    column: int | None

    @staticmethod
    def by(design: Design, blocks: Blocks, *, arranged: bool) -> Taught:
        """What a design with labels teaches; large blocks are arranged where asked for."""
        assert design.y is not None  # noqa: S101 - fit has refused rows without labels
        y = design.y.astype(np.float32)
        column = telling_column(blocks, y) if arranged and blocks.large else None
        return Taught(design.horizon, blocks, y, bool(np.ptp(design.y) > 0.0), column)


def telling_column(blocks: Blocks, y: NDArray[np.float32]) -> int:
    """The column that tells most about the label: the one by which a tree on some of the rows is split first.

    Args:
        blocks: [row, feature], at least one row.
        y: [row] label.
    """
    starts = np.unique(np.linspace(0, max(len(blocks) - GLANCE, 0), GLANCES).astype(np.int64)).tolist()
    parts = [slice(start, min(start + GLANCE, len(blocks))) for start in starts]
    seen, labels = np.concatenate([blocks[part] for part in parts]), np.concatenate([y[part] for part in parts])
    params = {"objective": "regression", "num_leaves": 2, "verbosity": -1, "num_threads": 1, "force_row_wise": True}
    stump = lgb.train(params, Binned(seen, labels, params=params), num_boost_round=1)
    return int(stump.dump_model()["tree_info"][0]["tree_structure"].get("split_feature", 0))


def drawn_alike(params: Mapping[str, object]) -> dict[str, object]:
    """Parameters by which blocks draw their bins from the rows that a matrix would.

    LightGBM derives the seed of that draw from `seed`, but forgets `seed` where it is handed blocks.
    """
    quiet = {"verbosity": -1, "min_data_in_leaf": 1, "min_data_in_bin": 1, "num_threads": 1, "seed": params["seed"]}
    tiny = lgb.Dataset(np.arange(4.0)[:, np.newaxis], np.arange(4.0), params=quiet)
    text = lgb.Booster(quiet, tiny).model_to_string()
    found = re.search(r"\[data_random_seed: (\d+)\]", text)
    assert found is not None  # noqa: S101 - LightGBM writes all its parameters
    return {**params, "data_random_seed": int(found.group(1))}


def few_rows(data: lgb.Dataset, blocks: Blocks) -> lgb.Dataset:
    """The bins of a constructed dataset without its rows: one row of it, binned alike."""
    held = Binned(blocks[:1], np.zeros(1), reference=data, params=data.get_params()).construct()
    held.reference = None  # else all of its rows would be kept with it
    return held
