"""Logistic regression (of numbers: ridge) on blocks of columns, each scaled by what it says of the target.

The blocks are the taps of a source, side by side, or those of several sources. Their scales come from the training
items' marginal likelihood (block_weights), the penalty as in the head beneath. An affine map in the end, as theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headstart.heads.base import Floats, HeadState
from headstart.heads.block_weights import block_weights
from headstart.heads.eigenbasis import floor_weights
from headstart.heads.linear import FittedLinear, LinearMap
from headstart.heads.logistic import Logistic
from headstart.heads.ridge import Ridge
from headstart.heads.rows import check_training
from headstart.tasks import Target, Task


@dataclass(frozen=True)
class Weighted:
    """Any task. Scores are logits, of a number its prediction; they are the inner head's.

    `loo_scores` are the inner head's: given the blocks' scales, as they are given the scaling of the columns.

    Attributes:
        blocks: the widths of the blocks, in column order; empty where all columns are one block.
    """

    blocks: tuple[int, ...] = ()

    def of_blocks(self, blocks: tuple[int, ...]) -> Weighted:
        """This head for features of these blocks."""
        return replace(self, blocks=blocks)

    def supports(self, task: Task) -> bool:
        """True: any task."""
        return True

    def fit(
        self,
        x: Floats,
        target: Target,
        *,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> FittedLinear:
        """Fit on x (n, d); `seed` draws the items that the scales are learned from, and deals the folds.

        Raises:
            DataError: blocks that do not add up to d, shapes that do not match, features that are not finite, fewer
                than two items or groups.
        """
        given = check_training(x, target, weights, groups)
        blocks = self.blocks or (x.shape[1],)
        shares, factors = block_weights(x, blocks, target, floor_weights(given), seed)
        emphasis = np.repeat(factors, blocks)
        kept = np.flatnonzero(emphasis)
        if len(kept) < len(emphasis):
            x = x[:, kept]
        emphasis = emphasis[kept] / emphasis.max()
        if target.task == "regression":
            inner = Ridge().fit_emphasised(x, target, emphasis, weights=given, groups=groups)
        else:
            inner = Logistic().fit_emphasised(x, target, emphasis, weights=given, groups=groups, seed=seed)
        weight = np.zeros((sum(blocks), inner.map.weight.shape[1]), inner.map.weight.dtype)
        weight[kept] = inner.map.weight
        settings = {**inner.settings, "blocks": [round(float(share), 4) for share in shares]}
        return FittedLinear("weighted", LinearMap(weight, inner.map.bias), settings, inner.loo_scores)

    def restore(self, state: HeadState) -> FittedLinear:
        """The fitted head from its state."""
        return FittedLinear.restore(state)
