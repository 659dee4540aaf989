"""L-BFGS against linear algebra, and several searches against each alone."""

from __future__ import annotations

import numpy as np

from headstart.heads.lbfgs import minimise


def quadratic(seed, d=6, c=2):
    """A convex quadratic of a (d, c) matrix: its value and gradient, and its minimiser by a linear system."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(d, d))
    a, b = root @ root.T + 0.1 * np.eye(d), rng.normal(size=(d, c))
    lowest = np.linalg.solve(a, b)
    least = float(np.vdot(lowest, a @ lowest) / 2 - np.vdot(b, lowest))
    return lambda x: (float(np.vdot(x, a @ x) / 2 - np.vdot(b, x)) - least + 1.0, a @ x - b), lowest


def test_every_search_ends_at_its_own_minimum_as_if_it_were_alone():
    functions = {name: quadratic(name, d=4 + name) for name in (5, 2, 9)}
    starts = {name: np.ones((4 + name, 2)) for name in functions}
    asked: list[set[int]] = []

    def together(points):
        asked.append(set(points))
        return {name: functions[name][0](point) for name, point in points.items()}

    found = minimise(together, starts, 1e-14)
    assert set(found) == {2, 5, 9}
    assert asked[0] == {2, 5, 9}
    assert len(asked[-1]) < 3  # whoever is there is asked no more
    for name, (function, lowest) in functions.items():
        np.testing.assert_allclose(found[name], lowest, atol=1e-4)
        alone = minimise(lambda points, f=function: {0: f(points[0])}, {0: starts[name]}, 1e-14)
        np.testing.assert_array_equal(found[name], alone[0])


def test_single_precision_stays_single():
    function, lowest = quadratic(0)
    answer = lambda points: {0: (function(points[0])[0], function(points[0])[1].astype(np.float32))}  # noqa: E731
    found = minimise(answer, {0: np.zeros((6, 2), np.float32)}, 1e-9)[0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, lowest, atol=0.05)
