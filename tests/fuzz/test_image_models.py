"""A real model of images whose parts were changed under fitting hashes: an ArtefactError, or predictions.

The graph is small and generated: a convolution, its statistics, a linear head. It is changed as bytes, and as an ONNX
model that still parses: other attributes, shapes, weights and wires.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.archive.container import open_archive, write_archive
from headstart.data.splits import folds
from headstart.engines.memory import Choice
from headstart.errors import ArtefactError
from headstart.features.embed import embed
from headstart.model import load
from headstart.model.packing import write
from headstart.plan.candidates import frozen
from headstart.plan.crossfit import Problem
from headstart.plan.views import SourceView
from headstart.sources.catalogue import open_source
from headstart.tasks import Target

from .test_archive import cut, flip, overwrite, splice
from .test_models import odd_array, odd_json, spoil

onnx = pytest.importorskip("onnx")
ROUNDS = 60
GRAPH = "view-0.onnx"
OPERATORS = ["Add", "Softmax", "Reshape", "Loop", "Exp", "Expand", "ConstantOfShape", "NoSuch"]
Parts = dict[str, bytes]
Mutation = Callable[[Any, np.random.Generator], None]


def write_source(folder: Path) -> Path:
    """An ONNX source of images: a convolution of random weights over 16 x 16 pixels."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    weight = np.random.default_rng(1).normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["map"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["map"], ["stage"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", 1, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("stage", 1, ["n", 8, 8, 8])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "eyes.onnx")
    described = {"modality": "image", "size": 16, "mean": 0.5, "std": 0.5, "taps": ["stage"]}
    (folder / "eyes.json").write_text(json.dumps(described))
    return folder / "eyes.onnx"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """24 pictures: stripes that lie and stripes that stand, in turn."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for k in range(24):
        lying = k % 2 == 0
        stripes = np.where(np.arange(32) // 2 % 2, 200, 40)[:, None] * np.ones((1, 32))
        pixels = (stripes if lying else stripes.T)[..., None] + rng.normal(0, 10, (32, 32, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{k:02d}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def parts(pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """The parts of a model that reads the graph, whatever a verdict would ship."""
    folder = tmp_path_factory.mktemp("eyes")
    source = open_source(str(write_source(folder)))
    choice = Choice("onnxruntime", "fp32", threads=1, workers=1, items_per_second=100.0)
    features = embed(pictures, source, choice=choice, use_cache=False)
    target = Target("binary", np.arange(len(pictures)) % 2, ("lying", "standing"))
    problem = Problem(target, folds(target, k=3, seed=0), None, None, 0)
    candidate = frozen(SourceView(features, source, source.taps, "all"), "ridge")
    card = {"name": "m", "modality": "image", "task": "binary", "classes": target.classes, "columns": (),
            "input": None, "data": {}, "versions": {}}  # fmt: skip
    fitted = candidate.fit_all(problem, candidate.crossfit(problem))
    write(folder / "m.headstart", fitted, card, {"notes": []}, {source.name: choice})
    with open_archive(folder / "m.headstart") as archive:
        return {name: archive.bytes(name) for name in archive.names}


def odd_bytes(parts: Parts, rng: np.random.Generator) -> None:
    """The graph's file, changed as bytes."""
    parts[GRAPH] = [flip, cut, splice, overwrite][int(rng.integers(4))](bytearray(parts[GRAPH]), rng)


def odd_graph(parts: Parts, rng: np.random.Generator) -> None:
    """The graph, changed as a model: another wire, weight, shape, attribute, operator, or one of them gone."""
    model = onnx.load_model_from_string(parts[GRAPH])
    graph = model.graph
    node = graph.node[int(rng.integers(len(graph.node)))]
    names = [name for one in graph.node for name in (*one.input, *one.output)]
    weight = graph.initializer[int(rng.integers(len(graph.initializer)))]
    number = int(rng.choice([-1, 0, 1, 3, 64, 10**6, 2**31, 2**62]))
    shown = [graph.input[0], *graph.output][int(rng.integers(1 + len(graph.output)))].type.tensor_type
    ints = [attribute for attribute in node.attribute if attribute.ints or attribute.type == onnx.AttributeProto.INT]

    def attribute() -> None:
        if ints:
            one = ints[int(rng.integers(len(ints)))]
            if one.ints:
                one.ints[int(rng.integers(len(one.ints)))] = number
            else:
                one.i = number

    def array() -> None:
        old = onnx.numpy_helper.to_array(weight)
        weight.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(spoil(old, rng)), weight.name))

    def dimension() -> None:
        shown.shape.dim[int(rng.integers(len(shown.shape.dim)))].dim_value = number

    [
        lambda: node.input.__setitem__(int(rng.integers(len(node.input))), str(rng.choice(names))),
        lambda: setattr(node, "op_type", str(rng.choice(OPERATORS))),
        lambda: graph.node.remove(node),
        lambda: graph.initializer.remove(weight),
        lambda: weight.dims.insert(0, number),
        lambda: setattr(weight, "data_type", int(rng.integers(20))),
        lambda: setattr(model.opset_import[0], "version", int(rng.choice([0, 1, 9, 999]))),
        attribute,
        array,
        dimension,
    ][int(rng.integers(10))]()  # fmt: skip
    parts[GRAPH] = model.SerializeToString()


@pytest.mark.parametrize("mutate", [odd_bytes, odd_graph, odd_json, odd_array])
def test_only_artefact_errors_or_predictions_come_out(
    parts: Parts, pictures: list[Path], mutate: Mutation, tmp_path: Path
) -> None:
    path = tmp_path / "m.headstart"
    rng = np.random.default_rng(5)
    refusals = predicted = 0
    for _ in range(ROUNDS):
        changed = dict(parts)
        mutate(changed, rng)
        write_archive(path, dict(changed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of overflow, on the way to a refusal
            try:
                model = load(path)
                found, failures = model.probabilities(pictures)
            except ArtefactError as refusal:
                refusals += "\n" not in str(refusal)
                continue
        assert found.shape == (len(pictures), 2)
        assert all("\n" not in why for why in failures.values())  # a graph may give no number for an item
        good = np.delete(found, list(failures), axis=0)
        assert ((good >= -1e-9) & (good <= 1 + 1e-9)).all()
        predicted += 1
    assert refusals + predicted == ROUNDS
    assert min(refusals, predicted) > 0


def test_a_model_that_was_not_changed_predicts(parts: Parts, pictures: list[Path], tmp_path: Path) -> None:
    write_archive(tmp_path / "m.headstart", dict(parts))
    found, failures = load(tmp_path / "m.headstart").probabilities(pictures)
    assert failures == {}
    assert (found.argmax(axis=1) == np.arange(len(pictures)) % 2).all()
