"""Kernel ridge against its definition: scikit-learn's solver, fits without each item, and its blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from headstart.errors import ArtefactError
from headstart.heads import kernel as module
from headstart.heads.base import HeadState
from headstart.heads.kernel import SOFT, FittedKernel, Kernel
from headstart.tasks import Target


def made(n=40, d=12, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(n) % classes)
    x = (rng.normal(size=(classes, d))[codes] + rng.normal(size=(n, d))).astype(np.float32)
    return x, Target("multiclass", codes, tuple("abcdefgh"[:classes]))


def gram(fitted: FittedKernel, x: np.ndarray) -> np.ndarray:
    """(n, n) by the formula of the module, block by block."""
    total, start = np.zeros((len(x), len(x))), 0
    for width, bandwidth in zip(fitted.settings["blocks"], fitted.widths, strict=True):
        unit = fitted.items[:, start : start + width].astype(np.float64)
        total += np.exp((unit @ unit.T - 1) / bandwidth)
        start += width
    return total / len(fitted.widths)


def raw(scores: np.ndarray) -> np.ndarray:
    """What log softplus was taken of."""
    return SOFT * np.log(np.expm1(np.exp(scores)))


def solved(k: np.ndarray, y: np.ndarray, weights: np.ndarray, penalty: float, rows: np.ndarray) -> np.ndarray:
    """Scores of all items by weighted kernel ridge with a free intercept on `rows`, from the linear system itself."""
    n = len(rows)
    system = np.zeros((n + 1, n + 1))
    system[:n, :n] = k[np.ix_(rows, rows)] + penalty * np.diag(1 / weights[rows])
    system[:n, n] = system[n, :n] = 1.0
    found = np.linalg.solve(system, np.vstack([y[rows], np.zeros((1, y.shape[1]))]))
    return k[:, rows] @ found[:-1] + found[-1]


def absolute(fitted: FittedKernel, x: np.ndarray, weights: np.ndarray) -> float:
    """The penalty that was chosen, in the units of the kernel."""
    k, n = gram(fitted, x), len(x)
    share = weights / weights.sum()
    centred = k - share @ k - (k @ share)[:, None] + share @ k @ share
    return fitted.settings["penalty"] * float((weights * np.diag(centred)).sum()) / (n - 1)


@pytest.mark.parametrize("blocks", [(12,), (4, 8)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
def test_scores_and_left_out_scores_are_those_of_refits(blocks, weighted, grouped):
    x, target = made()
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.3, 2, 40) if weighted else np.ones(40)
    groups = rng.integers(0, 9, 40) if grouped else np.arange(40)
    head = Kernel(blocks)
    fitted = head.fit(x, target, weights=weights if weighted else None, groups=groups if grouped else None)
    k, y, penalty = gram(fitted, x), target.encoded(), absolute(fitted, x, weights)
    np.testing.assert_allclose(raw(fitted.scores(x)), solved(k, y, weights, penalty, np.arange(40)), atol=1e-4)
    for i in range(40):
        rest = np.flatnonzero(groups != groups[i])
        expected = solved(k, y, weights, penalty, rest)[i]
        np.testing.assert_allclose(raw(fitted.loo_scores[i]), expected, atol=1e-3)


def test_it_is_scikit_learns_kernel_ridge_on_centred_values():
    x, target = made()
    fitted = Kernel().fit(x, target)
    k, y = gram(fitted, x), target.encoded()
    centre = np.eye(40) - 1 / 40
    peer = KernelRidge(alpha=absolute(fitted, x, np.ones(40)), kernel="precomputed")
    said = peer.fit(centre @ k @ centre, y - y.mean(axis=0)).predict(centre @ k @ centre) + y.mean(axis=0)
    np.testing.assert_allclose(raw(fitted.scores(x)), said, atol=1e-4)


def test_a_loud_block_does_not_outshout_a_quiet_one():
    x, target = made()
    noise = np.random.default_rng(2).normal(size=(40, 12)).astype(np.float32)
    one = Kernel((12, 12)).fit(np.hstack([x, noise]), target)
    other = Kernel((12, 12)).fit(np.hstack([x, 1000 * noise]), target)
    np.testing.assert_allclose(one.loo_scores, other.loo_scores, atol=0.05)


def test_it_learns_what_is_not_linear():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)).astype(np.float32)
    target = Target("binary", (x[:, 0] * x[:, 1] > 0).astype(int), ("a", "b"))
    fitted = Kernel().fit(x, target)
    assert (fitted.loo_scores.argmax(axis=1) == target.y).mean() > 0.75


@pytest.mark.parametrize(
    "widths", [(2.0, 1.0, 0.5, 0.25), (0.5, 2.0), (1.0,), (8.0, 0.02, 0.01), (64.0, 32.0, 16.0, 1.0)]
)
def test_the_bandwidth_has_the_least_left_out_error(widths):
    x, target = made(n=60, d=20)
    y = target.encoded()
    errors = [np.square(raw(Kernel(bandwidths=(width,)).fit(x, target).loo_scores) - y).sum() for width in widths]
    assert Kernel(bandwidths=widths).fit(x, target).settings["bandwidth"] == widths[int(np.argmin(errors))]


@pytest.mark.parametrize("groups", [None, np.arange(90) // 3])
def test_the_bandwidth_is_chosen_on_a_part_of_many_items(monkeypatch, groups):
    x, target = made(n=90)
    monkeypatch.setattr(module, "SAMPLE", 30)
    some = Kernel().fit(x, target, groups=groups, seed=1)
    assert some.items.shape == x.shape
    fixed = Kernel(bandwidths=(some.settings["bandwidth"],)).fit(x, target, groups=groups, seed=1)
    np.testing.assert_array_equal(some.loo_scores, fixed.loo_scores)


@pytest.mark.parametrize(
    "change",
    [
        {"items": np.ones((40, 5), np.float16)},
        {"widths": np.zeros(1)},
        {"weight": np.full((40, 3), np.nan)},
        {"bias": np.ones(2)},
        {"center": np.ones(3)},
        {"blocks": [3]},
        {"blocks": "x"},
        {"task": "nothing"},
    ],
)
def test_a_damaged_state_is_refused(change):
    x, target = made()
    state = Kernel().fit(x, target).state()
    arrays = {**state.arrays, **{k: v for k, v in change.items() if k in state.arrays}}
    settings = {**state.settings, **{k: v for k, v in change.items() if k not in state.arrays}}
    with pytest.raises(ArtefactError, match="do not fit together"):
        Kernel().restore(HeadState("kernel", arrays, settings))
    with pytest.raises(ArtefactError, match="lacks"):
        Kernel().restore(replace(state, arrays={}))
