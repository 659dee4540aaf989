"""An ONNX graph, or what stands above a cut of it, as a torch module whose weights train.

The nodes run as torch_ops.py has them, one after another; those with weights are layers of torch (layers.py). What
training changed goes back to the file under the initializers' own names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from headstart.adapt import norms
from headstart.adapt.fast_operations import operation_of
from headstart.adapt.layers import Layer, fill, layer_of, uses_of, with_biases
from headstart.engines.torch_fusions import fused
from headstart.engines.torch_graph import Step, on_host, steps, tensor_of
from headstart.engines.torch_ops import OPERATIONS
from headstart.engines.torch_support import needed, reason_not
from headstart.errors import EngineError, one_line
from headstart.sources.base import Tap

_STATISTICS = slice(3, 5)  # the inputs of BatchNormalization that are measured and not trained


class Held(NamedTuple):
    """Where an initializer lives: a parameter of a submodule (or, with no submodule, of the graph itself)."""

    module: str
    parameter: str
    transposed: bool


Role = Literal["scale", "shift", "other"]
_ROLES: dict[tuple[str, int], Role] = {
    ("Mul", 0): "scale", ("Mul", 1): "scale", ("BatchNormalization", 1): "scale",
    ("Add", 0): "shift", ("Add", 1): "shift", ("Sub", 1): "shift", ("BatchNormalization", 2): "shift",
}  # fmt: skip


class _Call(NamedTuple):
    """A step in numbered places: what runs, on which values, where the result goes, what is freed after it."""

    layer: str  # name of a submodule, or empty
    function: Callable[..., Tensor] | None  # what runs where there is no layer
    inputs: tuple[int, ...]
    output: int
    free: tuple[int, ...]
    step: str  # for messages


class GraphModule(nn.Module):  # type: ignore[misc]
    """The part of an ONNX graph between some tensors and its outputs.

    Parameters are named after initializers, with every character that no Python name has replaced by "_": the weight
    "stage1.block1.project.weight" is the parameter "stage1_block1_project.weight" of an nn.Conv2d. Weights that belong
    to no layer are parameters of the module itself.

    Attributes:
        inputs: the tensors that `forward` needs: those of `start`, and inputs of the graph.
        outputs: the tensors that `forward` gives.
        held: initializer -> where its value lives, for every initializer that is a parameter here.
        roles: parameter of no layer -> what it does.
        pads: layer -> what torch's pad adds to what it is given.
        channels_first: maps are to lie in memory as (c, n, h, w), and not as (n, h, w, c).
    """

    channels_first = False

    @classmethod
    def load(
        cls,
        graph: Path,
        outputs: Sequence[str],
        start: Collection[str] | None = None,
        *,
        fresh: int | None = None,
    ) -> GraphModule:
        """Read a graph.

        Args:
            graph: the ONNX file.
            outputs: the tensors wanted, outputs of the graph or inner values.
            start: the tensors that are fed instead of computed (a cut); none for the graph's own inputs.
            fresh: a seed: random weights, and batch normalisation after each convolution; see `norms.randomise`.

        Raises:
            EngineError: the file cannot be read, or has what cannot be trained.
        """
        try:
            model = onnx.load(str(graph))
        except Exception as error:  # a damaged file raises protobuf's own errors
            reason = one_line(error)[:200]
            raise EngineError(f"{graph} cannot be trained: it cannot be read ({reason}); export it again") from error
        module = cls(model, outputs, frozenset(start or ()))
        if fresh is not None:
            norms.randomise(module, fresh)
        return module

    def __init__(self, model: onnx.ModelProto, outputs: Sequence[str], start: frozenset[str] = frozenset()) -> None:
        super().__init__()
        _check(model, outputs, start)
        values = {tensor.name: tensor_of(tensor) for tensor in model.graph.initializer}
        plan = steps(model, outputs, start)
        weights = _weights(plan, values)
        constants = {name: value for name, value in values.items() if name not in weights}
        plan, constants = _fold(plan, constants, set(outputs))
        plan = fused(plan, constants, outputs, weights)
        plan = with_biases(plan, weights, set(outputs))
        self.outputs = tuple(outputs)
        self.held: dict[str, Held] = {}
        self.roles: dict[str, Role] = {}
        self.pads: dict[str, tuple[int, ...]] = {}
        self._readers = _readers(model)
        self._names: set[str] = set()
        self._host: list[tuple[int, Tensor]] = []
        self._places: list[tuple[int, str]] = []  # parameters and buffers of this module itself
        self._build(plan, weights, constants)
        self._four = any(isinstance(layer, nn.Conv2d) for layer in self.children())
        if self._four:
            self.to(memory_format=torch.channels_last)

    def _build(self, plan: Sequence[Step], weights: Mapping[str, Tensor], constants: Mapping[str, Tensor]) -> None:
        """Make layers, parameters and buffers, and number the places of values."""
        uses = uses_of(plan)
        layers = [layer_of(step, weights, uses) for step in plan]
        read = [layer.inputs if layer else step.inputs for step, layer in zip(plan, layers, strict=True)]
        names = [name for inputs in read for name in inputs if name] + [step.output for step in plan]
        place = {name: i + 1 for i, name in enumerate(dict.fromkeys((*names, *self.outputs)))}  # 0: left out
        made = {step.output for step in plan}
        self._size = len(place) + 1
        self.inputs = tuple(n for n in place if n not in made and n not in weights and n not in constants)
        self._feeds = tuple((name, place[name]) for name in self.inputs)
        self._results = tuple((name, place[name]) for name in self.outputs)
        for name in place:
            if name in weights:
                self._hold(name, weights[name], place[name], _role(name, plan))
            elif name in constants:
                self._keep(name, constants[name], place[name])
        last = {name: i for i, inputs in enumerate(read) for name in inputs}
        calls = []
        for i, (step, layer) in enumerate(zip(plan, layers, strict=True)):
            if layer:
                fill(layer, weights)
            call = _Call(
                layer=self._add(layer) if layer else "",
                function=None if layer else operation_of(step, constants),
                inputs=tuple(place.get(name, 0) for name in read[i]),
                output=place[step.output],
                free=tuple(place[n] for n in set(read[i]) if n and last[n] == i and n not in self.outputs),
                step=f"{step.operator} ({step.output})",
            )
            calls.append(call)
        self._calls = tuple(calls)

    def _add(self, layer: Layer) -> str:
        """Register a layer; the name it got."""
        weight = layer.holds["weight"]
        name = self._free_name(weight.removesuffix(".weight"))
        self.add_module(name, layer.module)
        if layer.padding:
            self.pads[name] = layer.padding
        for own, initializer in layer.holds.items():
            self.held[initializer] = Held(name, own, layer.transposed and own == "weight")
        return name

    def _hold(self, initializer: str, value: Tensor, place: int, role: Role) -> None:
        """Register a weight that belongs to no layer."""
        name = self._free_name(initializer)
        self.register_parameter(name, nn.Parameter(value.float().clone()))
        self.held[initializer] = Held("", name, False)
        self.roles[name] = role
        self._places.append((place, name))

    def _keep(self, name: str, value: Tensor, place: int) -> None:
        """Keep a constant: shapes and axes on the CPU, others where the module goes."""
        if on_host(value):
            self._host.append((place, value))
            return
        own = self._free_name(name)
        self.register_buffer(own, value.clone(), persistent=False)
        self._places.append((place, own))

    def _free_name(self, name: str) -> str:
        """A name no other part of the module has, legal in Python."""
        legal = re.sub(r"\W", "_", name)
        legal = f"w_{legal}" if not legal or legal[0].isdigit() or hasattr(nn.Module, legal) else legal
        found, number = legal, 2
        while found in self._names or hasattr(self, found):
            found, number = f"{legal}_{number}", number + 1
        self._names.add(found)
        return found

    def forward(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs, by name.

        Args:
            feeds: `inputs` by name, on the module's device; numbers of any floating type. More may be there.

        Raises:
            EngineError: an operator has an attribute that torch_ops.py does not do.
        """
        values: list[Tensor | None] = [None] * self._size
        for place, value in self._host:
            values[place] = value
        for place, name in self._places:
            values[place] = self._parameters[name] if name in self._parameters else self._buffers[name]
        for name, place in self._feeds:
            values[place] = self._prepared(feeds[name])
        device = next(self.parameters()).device
        modules = self._modules
        for layer, function, inputs, output, free, step in self._calls:
            arguments = [values[i] for i in inputs]
            for i in free:
                values[i] = None
            if function is not None:
                try:
                    values[output] = function(*arguments)
                except NotImplementedError as error:
                    raise EngineError(f"cannot be trained: {step}: {error}") from error
            else:
                (given,) = arguments
                assert given is not None, "values are freed after their last use"
                x = given.to(device)  # the index of an embedding may have been made on the CPU
                pads = self.pads.get(layer)
                x = modules[layer](functional.pad(x, pads) if pads else x)
                norm = modules.get(layer + norms.SUFFIX)
                values[output] = x if norm is None else norm(x)
        return {name: values[place] for name, place in self._results}

    def _prepared(self, x: Tensor) -> Tensor:
        if x.is_floating_point():
            x = x.float()
        if x.ndim != 4 or not self._four:
            return x
        if self.channels_first and torch.is_grad_enabled():  # as what trains has them
            return x.transpose(0, 1).contiguous().transpose(0, 1)
        return x.contiguous(memory_format=torch.channels_last)

    def depths(self, taps: Iterable[Tap]) -> dict[str, int]:
        """The depth of each parameter, by its name in `named_parameters`: that of the shallowest tap that needs it.

        A parameter that no tap needs has the depth of the deepest one. Parameters that LoRA or batch normalisation
        added have the depth of what they were added to.
        """
        ordered = sorted(taps, key=lambda tap: tap.depth)
        deepest = ordered[-1].depth
        own: dict[str, int] = {}
        for initializer, (module, parameter, _) in self.held.items():
            names = self._readers.get(initializer, frozenset())
            depth = next((tap.depth for tap in ordered if tap.name in names), deepest)
            key = module or parameter
            own[key] = min(own.get(key, depth), depth)
        return {name: own[name.split(".")[0].removesuffix(norms.SUFFIX)] for name, _ in self.named_parameters()}

    def moved(self) -> dict[str, NDArray[np.float32]]:
        """The present value of each initializer that is trained here, float32, in the initializer's own shape.

        LoRA's products are added in, batch normalisation is folded in (as it is in evaluation). What has
        requires_grad False, and no LoRA on it, is not there.
        """
        found: dict[str, NDArray[np.float32]] = {}
        with torch.no_grad():
            for initializer, (name, own, transposed) in self.held.items():
                layer = self._modules[name] if name else self
                norm = self._modules.get(name + norms.SUFFIX)
                if norm is not None:
                    found[initializer] = _array(norms.folded(_present(layer, "weight"), norm)[own])
                elif _trains(layer, own):
                    value = _present(layer, own)
                    found[initializer] = _array(value.T if transposed else value)
        return found

    def take(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """The other way: set initializers that live here, of a graph as it was loaded, to new values."""
        with torch.no_grad():
            for initializer, (name, own, transposed) in self.held.items():
                if initializer in weights:
                    parameter = getattr(self._modules[name] if name else self, own)
                    value = torch.from_numpy(weights[initializer])
                    parameter.copy_(value.T if transposed else value)

    def freeze(self, initializer: str) -> None:
        """Have training leave an initializer that lives here as it is."""
        name, own, _ = self.held[initializer]
        getattr(self._modules[name] if name else self, own).requires_grad_(False)


def _check(model: onnx.ModelProto, outputs: Sequence[str], start: frozenset[str]) -> None:
    """Refuse what cannot be trained, and tensors that are not there."""
    there = {name for node in model.graph.node for name in node.output} | {i.name for i in model.graph.input}
    if unknown := [name for name in (*outputs, *start) if name not in there]:
        raise EngineError(f"cannot be trained: the graph has no tensor {unknown[0]!r}; export the source again")
    if reason := reason_not(model, needed(model, outputs, start)):
        raise EngineError(f"cannot be trained: {reason}; the frozen source still works")


def _weights(plan: Sequence[Step], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Which constants are weights: floating point, more than one number, not the statistics of a normalisation."""
    measured = {name for step in plan if step.operator == "BatchNormalization" for name in step.inputs[_STATISTICS]}
    read = {name for step in plan for name in step.inputs}
    return {
        name: value
        for name, value in values.items()
        if name in read and value.is_floating_point() and value.numel() > 1 and name not in measured
    }


def _fold(
    plan: Sequence[Step], constants: Mapping[str, Tensor], outputs: set[str]
) -> tuple[list[Step], dict[str, Tensor]]:
    """Steps on constants alone are run now; the others, and all constants."""
    known, left = dict(constants), []
    for step in plan:
        if step.output in outputs or any(name and name not in known for name in step.inputs):
            left.append(step)
            continue
        arguments = [known[name] if name else None for name in step.inputs]
        known[step.output] = OPERATIONS[step.operator](step.attributes, *arguments)
    return left, known


def _readers(model: onnx.ModelProto) -> dict[str, frozenset[str]]:
    """Initializer -> the graph's outputs that depend on it."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    found: dict[str, set[str]] = {}
    for output in model.graph.output:
        for node in needed(model, [output.name]):
            for name in initializers.intersection(node.input):
                found.setdefault(name, set()).add(output.name)
    return {name: frozenset(outputs) for name, outputs in found.items()}


def _trains(layer: Any, own: str) -> bool:
    """True where training changes a layer's parameter, itself or by LoRA."""
    if not hasattr(layer, "get_base_layer"):
        return bool(getattr(layer, own).requires_grad)
    return own == "weight" or bool(getattr(layer.get_base_layer(), own).requires_grad)


def _present(layer: Any, own: str) -> Tensor:
    """The value of a layer's parameter, LoRA's products in it."""
    if not hasattr(layer, "get_base_layer"):
        value: Tensor = getattr(layer, own)
        return value
    value = getattr(layer.get_base_layer(), own)
    added = () if own != "weight" or layer.merged else layer.active_adapters
    return sum((layer.get_delta_weight(name) for name in added), value)


def _role(name: str, plan: Sequence[Step]) -> Role:
    """What the first step that reads a weight does with it."""
    step = next(step for step in plan if name in step.inputs)
    return _ROLES.get((step.operator, step.inputs.index(name)), "other")


def _array(value: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = value.detach().float().cpu().contiguous().numpy()
    return array.copy()
