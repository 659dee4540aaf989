from __future__ import annotations

import numpy as np
import onnx
import pytest

from headstart.errors import SourceError
from headstart.sources.base import Tap
from headstart.sources.bundled import Bundled
from headstart.sources.catalogue import open_source
from headstart.sources.pack import on_the_way, pack


@pytest.fixture
def source():
    if not Bundled().entries()[0].installed:
        pytest.skip("not installed")
    return open_source("efficientnet_lite0")


def test_gives_the_same_features_and_drops_the_rest(source, run, tmp_path):
    taps = [source.taps[5], source.taps[0], source.taps[4]]  # stages 3 and 1, out of order
    data = pack(source, taps)
    assert len(data) < 0.1 * source.graph.stat().st_size
    assert data == pack(source, taps)
    (tmp_path / "graph.onnx").write_bytes(data)
    onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
    image = np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32)
    packed, whole = run(tmp_path, {"image": image}), run(source, {"image": image})
    assert list(packed) == [tap.name for tap in taps]
    for name, value in packed.items():
        np.testing.assert_allclose(value, whole[name], atol=1e-6)


def test_all_taps_keep_all_weights(source):
    whole = onnx.load_model(source.graph)
    packed = onnx.load_model_from_string(pack(source, source.taps))
    assert {t.name for t in packed.graph.initializer} == {t.name for t in whole.graph.initializer}
    assert len(packed.graph.node) == len(whole.graph.node)
    assert packed.opset_import == whole.opset_import


@pytest.mark.parametrize("choose", [lambda s: [], lambda s: [s.taps[0]] * 2, lambda s: [Tap("x", 0, "mean", 1)]])
def test_wrong_taps(source, choose):
    with pytest.raises(SourceError, match=r"it has stage1.mean"):
        pack(source, choose(source))


def test_values_read_inside_branches_are_kept(image_file, run, tmp_path):
    """An If whose branch reads an outer weight: the weight stays."""
    path = image_file(taps=["flat"])
    model = onnx.load_model(path)
    helper = onnx.helper
    body = [
        helper.make_graph(
            [helper.make_node(operator, ["flat", "offset"], ["out"])],
            operator,
            [],
            [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["n", 4])],
        )
        for operator in ("Add", "Sub")
    ]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(4, np.float32), "offset"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(False), "condition"))
    branch = helper.make_node("If", ["condition"], ["changed"], then_branch=body[0], else_branch=body[1])
    model.graph.node.append(branch)
    model.graph.output.append(helper.make_tensor_value_info("changed", onnx.TensorProto.FLOAT, ["n", 4]))
    onnx.save(model, path)
    path.with_suffix(".json").write_text(
        '{"modality": "image", "size": 16, "mean": 0.5, "std": 0.5, "taps": ["flat", "changed"]}'
    )
    source = open_source(str(path))
    (tmp_path / "graph.onnx").write_bytes(pack(source, source.taps[1:]))
    image = np.zeros((1, 3, 16, 16), np.float32)
    np.testing.assert_allclose(run(tmp_path, {"image": image})["changed"], -1)


def test_packs_another_form_of_the_graph(image_file, run, tmp_path):
    source = open_source(str(image_file()))
    model = onnx.load_model(source.graph)
    doubled = 2 * onnx.numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(doubled, model.graph.initializer[0].name))
    onnx.save(model, tmp_path / "other.onnx")
    (tmp_path / "graph.onnx").write_bytes(pack(source, source.taps[:1], tmp_path / "other.onnx"))
    image = {"image": np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)}
    name = source.taps[0].name
    np.testing.assert_allclose(run(tmp_path, image)[name], 2 * run(source, image)[name], rtol=1e-5)


def test_the_taps_on_the_way_need_no_more_weights(source):
    """Of EfficientNet's stages: every shallower one lies on the way; nothing deeper, and the asked-for ones are in."""
    asked = [source.taps[5], source.taps[2]]
    kept = on_the_way(source, asked)
    assert kept == source.taps[:6]
    assert set(map(id, asked)) <= set(map(id, kept))
    assert 0 <= len(pack(source, kept)) - len(pack(source, asked)) < 3000  # pooling nodes and their names
    assert on_the_way(source, source.taps) == source.taps


def test_a_branch_of_its_own_is_not_on_the_way(image_file):
    """A shallow tap whose layer nothing else reads would bring its weights along."""
    path = image_file(taps=["side", "flat"])
    model = onnx.load_model(path)
    helper = onnx.helper
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 400), np.float32), "wide"))
    model.graph.node.append(helper.make_node("MatMul", ["flat", "wide"], ["side"]))
    model.graph.output.append(helper.make_tensor_value_info("side", onnx.TensorProto.FLOAT, ["n", 400]))
    onnx.save(model, path)
    source = open_source(str(path))
    side, flat = source.taps
    assert on_the_way(source, [flat]) == (flat,)
    assert on_the_way(source, [side]) == (side,)  # flat is deeper by name, and is not offered
