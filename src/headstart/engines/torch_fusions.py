"""Chains of steps that torch has as one: attention, and the Gaussian error linear unit.

An exporter writes softmax(q k^T / sqrt(d) + mask) v and x Phi(x) as half a dozen nodes each, of which every one reads
and writes the whole tensor, and keeps it where weights train. torch's own never hold the matrix of attention.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from headstart.engines.torch_graph import Step, with_last_use
from headstart.engines.torch_ops import OPERATIONS, Attributes, Operation, join

ATTENTION = "ScaledDotProductAttention"
_TOLERANCE = 1e-3  # exporters round constants to half precision at worst


def fused(
    plan: Sequence[Step], constants: Mapping[str, Tensor], kept: Collection[str], weights: Collection[str] = ()
) -> list[Step]:
    """The steps, with each chain that nothing else looks into as one step where its last stood.

    Args:
        constants: initializers, or what else is known before running.
        kept: values that must be there in the end, or at any time.
        weights: values that train: a product with one is a layer, and no part of attention.
    """
    graph = _Graph.of(plan, constants, kept, weights)
    for step in plan:
        graph.join(step)
    return with_last_use([graph.steps[step.output] for step in plan if step.output in graph.steps], kept)


def attention(attributes: Attributes, q: Tensor, k_t: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(scale q k_t + mask) v, with q (..., m, d), k_t (..., d, n), v (..., n, e)."""
    scale = attributes["scale"]
    q, k_t, v, *masks = join(q, k_t, v, *([] if mask is None else [mask]))
    mask = masks[0] if masks else None
    if not _is_plain(q, k_t, v, mask) or (q.device.type == "cpu" and k_t.shape[-1] < _least_keys(q, mask)):
        scores = q @ k_t
        if scale != 1.0:
            scores *= scale
        if mask is not None:
            scores = scores + mask
        scores = scores.softmax(-1)
        return scores @ v
    k = k_t.transpose(-1, -2)
    if mask is not None:  # what is hidden stays finite: of a row with nothing else, the softmax is a number
        mask = mask.to(q.dtype).clamp(min=torch.finfo(q.dtype).min)
    if q.ndim == 3:  # torch's quick ways are for four dimensions
        return functional.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=mask, scale=scale)[0]
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def _is_plain(q: Tensor, k_t: Tensor, v: Tensor, mask: Tensor | None) -> bool:
    """True for what torch's own takes: one shape of items and heads, and a mask that does not add to it."""
    if q.ndim not in (3, 4) or not q.shape[:-2] == k_t.shape[:-2] == v.shape[:-2]:
        return False
    scores = (*q.shape[:-1], k_t.shape[-1])
    return mask is None or (mask.ndim <= q.ndim and torch.broadcast_shapes(scores, mask.shape) == scores)


def _least_keys(q: Tensor, mask: Tensor | None) -> int:
    """From how many keys on torch's own is no slower on a CPU.

    Measured forwards and backwards on one core with AMX, torch 2.14, 6 heads of 64 and 12 of 32: twice as fast with 512
    keys in float32, a third slower with 32; in bfloat16 3 to 10 times slower with 32.
    """
    if q.dtype == torch.float32:
        return 192
    return 512 if mask is None else 256


RUNNABLE: dict[str, Operation] = {**OPERATIONS, ATTENTION: attention}
"""What runs each step that `fused` gives."""


@dataclass(eq=False)
class _Graph:
    """Steps by their output, and what is known of values."""

    steps: dict[str, Step]
    uses: Counter[str]
    constants: Mapping[str, Tensor]
    weights: Collection[str]

    @classmethod
    def of(
        cls, plan: Sequence[Step], constants: Mapping[str, Tensor], kept: Collection[str], weights: Collection[str]
    ) -> _Graph:
        uses = Counter(name for step in plan for name in step.inputs if name)
        uses.update(kept)
        known = {s.output: s.attributes["value"] for s in plan if s.operator == "Constant" and "value" in s.attributes}
        return cls({step.output: step for step in plan}, uses, {**known, **constants}, weights)

    def join(self, step: Step) -> None:
        """Replace `step` by the chain that ends there, if one does, and drop the chain's inner steps."""
        for chain in (self._attention, self._gelu):
            if (found := chain(step)) is not None:
                inner, whole = found
                self.steps[step.output] = whole
                for one in inner:
                    del self.steps[one.output]
                return

    def _inner(self, name: str, operator: str, uses: int = 1) -> Step | None:
        """The step that makes a value, where it is of the operator, and read so often."""
        step = self.steps.get(name)
        return step if step is not None and step.operator == operator and self.uses[name] == uses else None

    def _number(self, name: str) -> float | None:
        """A constant of one number."""
        value = self.constants.get(name)
        return float(value) if value is not None and value.numel() == 1 else None

    def _scaled(self, name: str) -> tuple[list[Step], str, float]:
        """What a value is a multiple of: the steps between, that value's name, and the factor."""
        for operator in ("Mul", "Div"):
            step = self._inner(name, operator)
            for at in (0, 1) if operator == "Mul" else (1,):
                factor = None if step is None else self._number(step.inputs[at])
                if step is not None and factor:
                    return [step], step.inputs[1 - at], factor if operator == "Mul" else 1 / factor
        return [], name, 1.0

    def _attention(self, step: Step) -> tuple[list[Step], Step] | None:
        """MatMul(Softmax(MatMul(q, k_t) [* scale] [+ mask]), v)."""
        softmax = self._inner(step.inputs[0], "Softmax") if step.operator == "MatMul" else None
        if softmax is None or softmax.attributes.get("axis", -1) not in (-1,):
            return None
        masked = self._inner(softmax.inputs[0], "Add")
        for scores, mask in (masked.inputs, masked.inputs[::-1]) if masked else ((softmax.inputs[0], ""),):
            scaling, product, scale = self._scaled(scores)
            matmul = self._inner(product, "MatMul")
            if matmul is not None and not any(name in self.weights for name in (*matmul.inputs, *step.inputs)):
                inner = [softmax, *([masked] if masked else []), *scaling, matmul]
                inputs = (*matmul.inputs, step.inputs[1], *([mask] if mask else []))
                return inner, replace(step, operator=ATTENTION, attributes={"scale": scale}, inputs=inputs)
        return None

    def _gelu(self, step: Step) -> tuple[list[Step], Step] | None:
        """x * (1 + erf(x / sqrt 2)) / 2, the half first or last."""
        if step.operator != "Mul":
            return None
        halves, product, half = self._scaled_of(step)
        if product is None:
            return None
        for x, shifted in (product.inputs, product.inputs[::-1]):
            add = self._inner(shifted, "Add")
            if add is None:
                continue
            for erf_name, one in (add.inputs, add.inputs[::-1]):
                erf = self._inner(erf_name, "Erf")
                if erf is None or self._number(one) != 1.0:
                    continue
                scaling, argument, factor = self._scaled(erf.inputs[0])
                more, base, share = ([], x, 1.0) if x == argument else self._scaled(x)
                if base == argument and _near(factor, math.sqrt(0.5)) and _near(half * share, 0.5):
                    inner = [*halves, add, erf, *scaling, *more]
                    return inner, replace(step, operator="Gelu", attributes={}, inputs=(argument,))
        return None

    def _scaled_of(self, step: Step) -> tuple[list[Step], Step | None, float]:
        """A product as a number times a product: the inner product's step, if `step` is not that itself."""
        for at in (0, 1):
            factor = self._number(step.inputs[at])
            if factor is not None:
                inner = self._inner(step.inputs[1 - at], "Mul")
                return ([inner] if inner else []), inner, factor
        return [], step, 1.0


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= _TOLERANCE * b
