"""Many decision trees as flat arrays: inert to store, and applied without scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from headstart.errors import ArtefactError
from headstart.heads.base import Floats

# (items, trees) walked at once.
_CHUNK = 2**20


@dataclass(frozen=True, eq=False)
class Trees:
    """The nodes of all trees one after another; each output is a start value plus the sum of its trees' leaves.

    At a node an item goes left if its value is <= threshold, or where it is missing (NaN) and missing_left. A leaf is
    its own left and right child, so walking on from it stays there.

    Attributes:
        feature: (N,) int32 column of the features.
        threshold: (N,) float64.
        left, right: (N,) int32 positions among the N nodes, never before the node itself.
        missing_left: (N,) uint8 of 0 and 1.
        value: (N,) float64 what a leaf adds; 0 at inner nodes.
        roots: (T,) int32 position of each tree's first node.
        outputs: (T,) int32 the output each tree adds to.
        start: (R,) float64 the outputs before any tree.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.uint8]
    value: NDArray[np.float64]
    roots: NDArray[np.int32]
    outputs: NDArray[np.int32]
    start: NDArray[np.float64]

    @classmethod
    def constant(cls, start: NDArray[np.float64]) -> Trees:
        """No trees: the outputs are `start` (R,) for every item."""
        ints, floats = np.empty(0, np.int32), np.empty(0)
        return cls(ints, floats, ints, ints, np.empty(0, np.uint8), floats, ints, ints, np.asarray(start, np.float64))

    @classmethod
    def of(cls, model: Any, columns: NDArray[np.int64]) -> Trees:
        """From a fitted HistGradientBoosting model without categorical features.

        scikit-learn offers no public view of the trees. `_predictors` (iterations of one tree an output) and
        `_baseline_prediction` have been there, as they are, since its version 0.24; a test compares the outputs.

        Args:
            columns: for each column the model saw, its position among the features that `raw` will be given.
        """
        grown = [(tree.nodes, output) for step in model._predictors for output, tree in enumerate(step)]
        start = np.asarray(model._baseline_prediction, np.float64).ravel()
        if not grown:
            return cls.constant(start)
        sizes = np.array([len(nodes) for nodes, _ in grown])
        roots = np.cumsum(sizes) - sizes
        nodes = np.concatenate([nodes for nodes, _ in grown])
        leaf, itself, root = nodes["is_leaf"].astype(bool), np.arange(len(nodes)), np.repeat(roots, sizes)
        return cls(
            feature=columns[np.where(leaf, 0, nodes["feature_idx"])].astype(np.int32),
            threshold=np.where(leaf, 0.0, nodes["num_threshold"]),
            left=np.where(leaf, itself, nodes["left"] + root).astype(np.int32),
            right=np.where(leaf, itself, nodes["right"] + root).astype(np.int32),
            missing_left=np.where(leaf, 0, nodes["missing_go_to_left"]).astype(np.uint8),
            value=np.where(leaf, nodes["value"], 0.0),
            roots=roots.astype(np.int32),
            outputs=np.array([output for _, output in grown], np.int32),
            start=start,
        )

    @classmethod
    def side_by_side(cls, parts: Sequence[Trees]) -> Trees:
        """The outputs of all parts, one part after another."""
        nodes = np.cumsum([0] + [len(part.value) for part in parts])
        outputs = np.cumsum([0] + [len(part.start) for part in parts])
        joined = {field.name: [getattr(part, field.name) for part in parts] for field in fields(cls)}
        for name in ("left", "right", "roots"):
            joined[name] = [array + np.int32(shift) for array, shift in zip(joined[name], nodes, strict=False)]
        joined["outputs"] = [a + np.int32(shift) for a, shift in zip(joined["outputs"], outputs, strict=False)]
        return cls(**{name: np.concatenate(arrays) for name, arrays in joined.items()})

    def raw(self, x: Floats | sparse.csr_matrix) -> NDArray[np.float64]:
        """(m, R) float64 outputs for x (m, d)."""
        m, trees = x.shape[0], len(self.roots)
        out = np.tile(self.start, (m, 1))
        if trees == 0:
            return out
        used, position = np.unique(self.feature, return_inverse=True)
        belongs = np.zeros((trees, len(self.start)))
        belongs[np.arange(trees), self.outputs] = 1
        step = max(1, _CHUNK // trees)
        for begin in range(0, m, step):
            rows = x[begin : begin + step][:, used]
            dense = rows.toarray() if sparse.issparse(rows) else rows
            out[begin : begin + step] += self._leaf_values(dense.astype(np.float64), position) @ belongs
        return out

    def _leaf_values(self, x: NDArray[np.float64], position: NDArray[np.int64]) -> NDArray[np.float64]:
        """(m, T): what each tree adds to each row of x; `position` (N,) is the column of x each node looks at."""
        row = np.arange(len(x))[:, None]
        node = np.broadcast_to(self.roots, (len(x), len(self.roots)))
        while True:
            seen = x[row, position[node]]  # (m, T)
            goes_left = (seen <= self.threshold[node]) | (np.isnan(seen) & (self.missing_left[node] == 1))
            below = np.where(goes_left, self.left[node], self.right[node])
            if np.array_equal(below, node):
                return self.value[node]
            node = below

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every attribute by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], width: int) -> Trees:
        """From `arrays`, for features of `width` columns.

        Raises:
            ArtefactError: an array is missing or of another type or length, or a position points outside, or back (a
                walk would not end).
        """
        empty = cls.constant(np.empty(0)).arrays()
        parts = {name: arrays.get(name, np.empty(0, object)) for name in empty}
        typed = all(part.dtype == empty[name].dtype and part.ndim == 1 for name, part in parts.items())
        nodes = len(parts["value"])
        even = all(len(parts[name]) == nodes for name in ("feature", "threshold", "left", "right", "missing_left"))
        if not (typed and even and len(parts["roots"]) == len(parts["outputs"])):
            raise ArtefactError("the stored trees' arrays are missing or do not match: the file is damaged")
        inside = [
            ("feature", width),
            ("left", nodes),
            ("right", nodes),
            ("roots", nodes),
            ("outputs", len(parts["start"])),
        ]
        sound = all(((parts[name] >= 0) & (parts[name] < limit)).all() for name, limit in inside)
        if not sound or (np.minimum(parts["left"], parts["right"]) < np.arange(nodes)).any():
            raise ArtefactError("the stored trees point outside themselves or back: the file is damaged")
        return cls(**parts)
