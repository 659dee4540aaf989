"""From a PyTorch module to the graph of a source: traced once, then compared with the module.

Two exporters exist. The tracing one (TorchScript) is tried first: on torch 2.15 it exported every CNN, ViT and text
encoder of the tests with a dynamic batch, in a twentieth of the other's time, and torch 2.2 has it too. The newer one
(torch.export) is the fallback. Neither is believed: the graph must agree with the module on inputs of other sizes than
those it was exported with.
"""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import SourceError, one_line
from headstart.optional import onnxruntime
from headstart.sources.base import GRAPH_FILE, Pooling, Tap

if TYPE_CHECKING:
    import torch

# Largest difference allowed, as a share of the largest value of the same output. fp32 kernels differ by about 1e-6.
TOLERANCE = 1e-3
_OPSET = 17  # the newest that torch 2.2 writes


@dataclass(frozen=True, eq=False)
class Output:
    """A pooled tensor (n, width) of a module, before it is a tap."""

    name: str
    depth: int
    pooling: Pooling
    value: torch.Tensor


Collect = Callable[..., list[Output]]


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` of the positions 0 ... count - 1, evenly spaced, the last one always among them."""
    if count <= limit:
        return list(range(count))
    return sorted({round((i + 1) * count / limit) - 1 for i in range(limit)})


def export(
    model: torch.nn.Module,
    collect: Collect,
    examples: Sequence[Mapping[str, torch.Tensor]],
    axes: Mapping[int, str],
    directory: Path,
) -> tuple[Tap, ...]:
    """Write the graph of `collect(model, *inputs)` into `directory`; outputs equal to an earlier one are left out.

    Args:
        examples: inputs by name. The first one is traced; all of them, of different sizes, are compared.
        axes: the axes that vary, with their names; the same for every input.

    Raises:
        SourceError: no exporter can, or the graph does not agree with the module.
    """
    import torch

    model.eval()
    with torch.no_grad(), warnings.catch_warnings(), _muted_stdout():
        warnings.simplefilter("ignore")  # exporters warn about their own deprecations
        try:
            outputs = _distinct(collect(model, *examples[0].values()))
        except Exception as error:  # a model whose layers are not arranged like others of its kind
            raise SourceError(
                f"the model's layers cannot be pooled ({_reason(error)}); give an ONNX file of it"
            ) from error
        taps = tuple(Tap(o.name, o.depth, o.pooling, int(o.value.shape[1])) for o in outputs)
        wanted = _module(model, collect, [tap.name for tap in taps])
        failures = []
        for exporter in (_trace, _export_program):
            try:
                exporter(wanted, examples[0], axes, [tap.name for tap in taps], directory / GRAPH_FILE)
                _finish(taps, directory, _shared(wanted))
                _compare(wanted, examples, taps, directory / GRAPH_FILE)
            except Exception as error:  # an exporter may raise anything; the other may still work
                failures.append(f"{exporter.__name__.strip('_')}: {_reason(error)}")
            else:
                return taps
    raise SourceError(f"the model cannot be exported to ONNX ({'; '.join(failures)}); give an ONNX file of it instead")


@contextmanager
def _muted_stdout() -> Iterator[None]:
    """Nothing reaches standard output: where torch's tracer fails, it prints the whole graph there, from C++."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # closed: nothing to mute
        yield
        return
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _reason(error: Exception) -> str:
    return one_line(error)[:160] or type(error).__name__


def _module(model: torch.nn.Module, collect: Collect, names: Sequence[str]) -> torch.nn.Module:
    """A module with the wanted outputs only, in order."""
    import torch

    class Wanted(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            found = {output.name: output.value for output in collect(self.model, *inputs)}
            return tuple(found[name] for name in names)

    return Wanted().eval()


def _distinct(outputs: Sequence[Output]) -> list[Output]:
    """Outputs without those that repeat another: a last stage is often the head's input as well."""
    kept: list[Output] = []
    for output in outputs:
        if not any(output.value.shape == other.value.shape and output.value.equal(other.value) for other in kept):
            kept.append(output)
    return kept


def _trace(
    module: torch.nn.Module, inputs: Mapping[str, Any], axes: Mapping[int, str], names: list[str], path: Path
) -> None:
    import torch

    dynamic = {name: dict(axes) for name in inputs} | {name: {0: axes[0]} for name in names}
    options = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    torch.onnx.export(
        module,
        tuple(inputs.values()),
        str(path),
        input_names=list(inputs),
        output_names=names,
        dynamic_axes=dynamic,
        opset_version=_OPSET,
        **options,
    )


def _export_program(
    module: torch.nn.Module, inputs: Mapping[str, Any], axes: Mapping[int, str], names: list[str], path: Path
) -> None:
    import torch

    dimensions = {axis: torch.export.Dim(name) for axis, name in axes.items()}
    torch.onnx.export(
        module,
        tuple(inputs.values()),
        str(path),
        input_names=list(inputs),
        output_names=names,
        dynamic_shapes=(tuple(dimensions for _ in inputs),),  # one tuple: the module takes *inputs
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _shared(module: torch.nn.Module) -> list[set[str]]:
    """Names of parameters that are one and the same."""
    names: dict[int, set[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    return [same for same in names.values() if len(same) > 1]


def _finish(taps: Sequence[Tap], directory: Path, shared: Sequence[set[str]]) -> None:
    """Rewrite what an exporter wrote with declared outputs, without its notes, and equal weights apart."""
    import onnx

    from headstart.sources.graph import strip, tap_info, untie, write

    model = onnx.load_model(directory / GRAPH_FILE)
    strip(model)
    untie(model, shared)
    del model.graph.output[:]
    model.graph.output.extend(tap_info(tap) for tap in taps)
    write(model, directory)


def _compare(
    module: torch.nn.Module, examples: Sequence[Mapping[str, torch.Tensor]], taps: Sequence[Tap], path: Path
) -> None:
    """Raise SourceError where the graph and the module differ by more than TOLERANCE."""
    session = onnxruntime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for inputs in examples:
        expected = module(*inputs.values())
        got = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        for tap, reference, result in zip(taps, expected, got, strict=True):
            reference = reference.numpy()
            difference = abs(reference - result).max() / max(abs(reference).max(), 1e-6)
            if not difference <= TOLERANCE:
                raise SourceError(
                    f"its output {tap.name} differs from PyTorch's by {difference:.2g} of the largest value"
                )
