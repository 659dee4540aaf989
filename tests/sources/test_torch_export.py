"""The module itself is the reference; small ones, made to defeat one exporter or the other."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from headstart.errors import SourceError
from headstart.sources import torch_export
from headstart.sources.base import GRAPH_FILE
from headstart.sources.torch_export import Output, export

torch = pytest.importorskip("torch")


class Tokens(torch.nn.Module):
    """Embeddings under a mask, normalised by something that the tracing exporter does not know."""

    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(20, 8)
        self.norm = torch.nn.RMSNorm(8)

    def forward(self, ids, mask):
        return self.norm(self.words(ids) * mask[:, :, None])


def collect(model, ids, mask):
    x = model(ids, mask)
    mean = x.sum(1) / mask.sum(1, keepdim=True)
    return [Output("a.mean", 0, "mean", mean), Output("same", 0, "mean", mean), Output("b", 1, "max", x.amax(1))]


def example(n, t):
    return {"input_ids": torch.arange(n * t).reshape(n, t) % 20, "attention_mask": torch.ones(n, t, dtype=torch.int64)}


def test_falls_back_in_silence(tmp_path, run, capfd):
    model = Tokens()
    taps = export(model, collect, [example(2, 5), example(3, 4)], {0: "n", 1: "t"}, tmp_path)
    assert [(tap.name, tap.depth, tap.pooling, tap.width) for tap in taps] == [
        ("a.mean", 0, "mean", 8),
        ("b", 1, "max", 8),
    ]
    assert capfd.readouterr().out == ""
    inputs = example(4, 9)
    with torch.no_grad():
        expected = collect(model, *inputs.values())
    got = run(tmp_path, {name: value.numpy() for name, value in inputs.items()})
    np.testing.assert_allclose(got["a.mean"], expected[0].value, atol=1e-5)
    np.testing.assert_allclose(got["b"], expected[2].value, atol=1e-5)


def test_a_graph_that_disagrees_is_refused(tmp_path, monkeypatch):
    """A size that tracing turns into a constant: true for the first example, wrong for the second."""

    def frozen(model, ids, mask):
        return [Output("a", 0, "mean", (model.words(ids) * mask[:, :, None]).sum(1) * int(ids.shape[0]))]

    monkeypatch.setattr(torch_export, "_export_program", torch_export._trace)
    with pytest.raises(SourceError, match=r"output a differs from PyTorch's by") as caught:
        export(Tokens(), frozen, [example(2, 5), example(3, 5)], {0: "n", 1: "t"}, tmp_path)
    assert "\n" not in str(caught.value)


def test_layers_that_cannot_be_pooled(tmp_path):
    with pytest.raises(SourceError, match=r"cannot be pooled .*ONNX file"):
        export(Tokens(), lambda model, ids, mask: [].ndim, [example(2, 5)], {0: "n"}, tmp_path)


class Equal(torch.nn.Module):
    """Weights that are equal by chance, and one that is used under two names."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (torch.nn.Linear(8, 8) for _ in range(3))
        torch.nn.init.zeros_(self.first.bias)
        torch.nn.init.zeros_(self.second.bias)
        self.third.bias = self.first.bias
        self.third.weight = self.first.weight

    def forward(self, x):
        return self.third(self.second(self.first(x).relu()).relu())


def test_equal_weights_are_not_one(tmp_path):
    """The exporter merges them, and training would keep them so; those that the model shares stay shared."""
    model = Equal()
    example = {"x": torch.randn(2, 8)}
    export(model, lambda model, x: [Output("a", 0, "mean", model(x))], [example], {0: "n"}, tmp_path)
    graph = onnx.load(str(tmp_path / GRAPH_FILE)).graph
    assert "Identity" not in {node.op_type for node in graph.node}
    first, second, third = [name for node in graph.node for name in node.input if name.endswith("bias")]
    assert first == third != second
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    np.testing.assert_array_equal(held[first], held[second])


class Reused(torch.nn.Module):
    """A layer that is used again, as ALBERT's are, and a matrix under two names."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(self.first(x).relu()).relu()).mean(1)


def test_a_matrix_that_is_used_again_stays_one(tmp_path):
    """On (n, t, d) the exporter transposes matrices under names of its own, and merges them again."""
    example = {"x": torch.randn(2, 3, 8)}
    export(Reused(), lambda model, x: [Output("a", 0, "mean", model(x))], [example], {0: "n"}, tmp_path)
    graph = onnx.load(str(tmp_path / GRAPH_FILE)).graph
    assert len([tensor for tensor in graph.initializer if list(tensor.dims) == [8, 8]]) == 1
