"""Products of all folds' fits at once against one by one."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.heads.folded_rows import EVERYTHING, FoldedRows


@pytest.mark.parametrize("fits", [[0, 1, 2, 3], [2], [3, 1], [EVERYTHING], [1, EVERYTHING]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_those_of_the_rows_that_each_fit_keeps(fits, dtype):
    rng = np.random.default_rng(0)
    folds = np.repeat([0, 1, 3], [4, 7, 2])  # fold 2 is empty
    rows = rng.normal(size=(13, 5)).astype(dtype)
    folded = FoldedRows.of(rows, folds)
    coefficients = {fold: rng.normal(size=(5, 2 + fold)).astype(dtype) for fold in fits}
    values = {fold: rng.normal(size=(int((folds != fold).sum()), 2 + fold)).astype(dtype) for fold in fits}
    scores, sums = folded.times(coefficients), folded.transposed_times(values)
    assert list(scores) == list(sums) == fits
    for fold in fits:
        kept = folds != fold
        np.testing.assert_array_equal(folded.kept(fold), np.flatnonzero(kept))
        np.testing.assert_allclose(scores[fold], rows[kept] @ coefficients[fold], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(sums[fold], rows[kept].T @ values[fold], rtol=1e-4, atol=1e-5)
        assert scores[fold].dtype == sums[fold].dtype == dtype
        np.testing.assert_array_equal(rows[folded.out(fold)], rows[~kept])
