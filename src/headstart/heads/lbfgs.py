"""Limited-memory BFGS for smooth convex functions of a matrix, in the variables' own precision.

scipy's L-BFGS-B spends as long on its bounds, which a fit here has none of, as a fit spends on its matrix products.
Reference: Nocedal and Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping

import numpy as np
from scipy.linalg import get_blas_funcs

from headstart.heads.base import Floats

MEMORY = 6
# A step is taken if it brings this share of the decrease that the slope promises (Armijo).
SUFFICIENT = 1e-4

# A function's value and gradient at a point; the gradient has the point's shape and dtype.
Answer = tuple[float, Floats]


def minimise(
    functions: Callable[[dict[int, Floats]], Mapping[int, Answer]],
    starts: Mapping[int, Floats],
    tolerance: float,
    limit: int = 1000,
) -> dict[int, Floats]:
    """The minimisers of convex functions, each found as if it were alone; they are asked for their values together.

    Args:
        functions: for some of them, by their names, a point -> the value and gradient there.
        starts: where each search begins.
        tolerance: a search stops where a step lowers the value by less than this share of it.
        limit: the most steps.
    """
    searches = {name: _search(start, tolerance, limit) for name, start in starts.items()}
    points = {name: next(search) for name, search in searches.items()}
    found: dict[int, Floats] = {}
    while points:
        answers, points = functions(points), {}
        for name, answer in answers.items():
            try:
                points[name] = searches[name].send(answer)
            except StopIteration as end:
                found[name] = end.value
    return found


def _search(start: Floats, tolerance: float, limit: int) -> Generator[Floats, Answer, Floats]:
    """Yields the points it wants to know of, is sent the answers, returns the minimiser."""
    shape, point = start.shape, np.ravel(start)
    value, gradient = yield start
    gradient = np.ravel(gradient)
    pairs: deque[tuple[Floats, Floats, float]] = deque(maxlen=MEMORY)
    for _ in range(limit):
        direction = _direction(gradient, pairs)
        slope = float(np.vdot(direction, gradient))
        if slope >= 0:  # nothing but rounding is left
            break
        size = 1.0 if pairs else min(1.0, 1.0 / float(np.linalg.norm(gradient)))
        for _ in range(30):
            step = np.asarray(size, dtype=point.dtype) * direction
            moved = point + step
            new_value, new_gradient = yield moved.reshape(shape)
            if new_value <= value + SUFFICIENT * size * slope:
                break
            # the minimum of the parabola through both values and the slope, kept away from both ends
            curved = 2.0 * (new_value - value - size * slope)
            size = float(np.clip(-slope * size**2 / curved, 0.1 * size, 0.5 * size))
        else:
            break
        new_gradient = np.ravel(new_gradient)
        change = new_gradient - gradient
        inner = float(np.vdot(step, change))
        if inner > 1e-10 * float(np.vdot(change, change)):
            pairs.append((step, change, inner))
        gain = value - new_value
        point, value, gradient = moved, new_value, new_gradient
        if gain <= tolerance * abs(value):
            break
    return point.reshape(shape)


def _direction(gradient: Floats, pairs: deque[tuple[Floats, Floats, float]]) -> Floats:
    """Minus the inverse Hessian, as the last steps show it, times the gradient (d,): the two-loop recursion."""
    direction: Floats = -gradient
    (axpy,) = get_blas_funcs(("axpy",), (direction,))  # in place: direction += a * change, without a copy
    shares = []
    for step, change, inner in reversed(pairs):
        share = float(np.vdot(step, direction)) / inner
        axpy(change, direction, a=-share)
        shares.append(share)
    if pairs:
        _, change, inner = pairs[-1]
        direction *= np.asarray(inner / np.vdot(change, change), dtype=direction.dtype)
    for (step, change, inner), share in zip(pairs, reversed(shares), strict=True):
        axpy(step, direction, a=share - float(np.vdot(change, direction)) / inner)
    return direction
