from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from headstart.errors import SourceError
from headstart.sources.base import ImageInput, TextInput
from headstart.sources.catalogue import open_source
from headstart.sources.onnx_file import OnnxFile

from .conftest import train_tokenizer


@pytest.mark.parametrize("opset", [13, 18, 20])
def test_feature_maps_are_pooled(image_file, run, opset):
    path = image_file(opset=opset, licence="MIT", name="mine", resize="crop", crop_fraction=0.875)
    source = open_source(str(path))
    assert (source.name, source.licence, source.parameters) == ("mine", "MIT", 4 * 3 * 9)
    assert source.input == ImageInput(16, (0.5,) * 3, (0.5,) * 3, "crop", 0.875)
    assert [(t.name, t.depth, t.pooling, t.width) for t in source.taps] == [
        ("map.mean", 0, "mean", 4),
        ("map.max", 0, "max", 4),
        ("flat", 1, "mean", 4),
    ]
    image = np.random.default_rng(0).normal(size=(3, 3, 16, 16)).astype(np.float32)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    maps, flat = session.run(["map", "flat"], {"pixels": image})
    got = run(source, {"image": image})
    np.testing.assert_allclose(got["map.mean"], maps.mean((2, 3)), atol=1e-6)
    np.testing.assert_allclose(got["map.max"], maps.max((2, 3)), atol=1e-6)
    np.testing.assert_allclose(got["flat"], flat, atol=1e-6)


@pytest.fixture
def text_file(tmp_path):
    """Token embeddings plus type embeddings, as tokens (n, t, 3)."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["w"]),
        helper.make_node("Gather", ["types", "token_type_ids"], ["k"]),
        helper.make_node("Add", ["w", "k"], ["tokens"]),
        helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["m"], ["share"], axes=[1], keepdims=1),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    outputs = [
        helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["n", "t", 3]),
        helper.make_tensor_value_info("share", TensorProto.FLOAT, ["n", 1]),
    ]
    words, types = rng.normal(size=(100, 3)).astype(np.float32), rng.normal(size=(2, 3)).astype(np.float32)
    weights = [onnx.numpy_helper.from_array(words, "words"), onnx.numpy_helper.from_array(types, "types")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path = tmp_path / "text.onnx"
    onnx.save(model, path)
    train_tokenizer().save(str(tmp_path / "tokenizer.json"))
    path.with_suffix(".json").write_text('{"modality": "text", "max_tokens": 9, "taps": ["tokens"], "prefix": "q: "}')
    return path, words + types[0]


def test_tokens_are_pooled_under_the_mask(text_file, run):
    path, table = text_file
    source = open_source(str(path))
    assert source.input == TextInput(9, 0, "q: ")
    assert source.tokenizer.read_bytes() == path.with_name("tokenizer.json").read_bytes()
    ids, mask = np.array([[4, 5, 6, 7], [8, 9, 0, 0]]), np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    got = run(source, {"input_ids": ids, "attention_mask": mask})
    np.testing.assert_allclose(got["tokens.mean"], [table[[4, 5, 6, 7]].mean(0), table[[8, 9]].mean(0)], atol=1e-6)
    np.testing.assert_allclose(got["tokens.max"], [table[[4, 5, 6, 7]].max(0), table[[8, 9]].max(0)], atol=1e-6)
    np.testing.assert_allclose(got["tokens.first"], table[ids[:, :2]].reshape(2, 6), atol=1e-6)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"modality": None}, "missing key 'modality'"),
        ({"modality": "video"}, "'modality' is 'video'; it must be one of image, text"),
        ({"size": "16"}, "'size' is '16'; it must be a whole number"),
        ({"size": 10**9, "std": 0}, "'size'.*'std'"),
        ({"mean": [0.1, 0.2]}, "'mean'.*three numbers"),
        ({"resize": "stretch"}, "one of squash, crop"),
        ({"mena": 1}, "unknown key 'mena' \\(did you mean 'mean'\\?\\)"),
        ({"taps": []}, "'taps'"),
        ({"taps": ["flat", "flat"]}, "without repetitions"),
        ({"taps": ["flatt"]}, "no output flatt; it has map, flat"),
        ({"size": 32}, "takes images of shape|cannot be run"),
        ({"max_tokens": 5}, "unknown key 'max_tokens'"),
    ],
)
def test_wrong_descriptions(image_file, description, message):
    with pytest.raises(SourceError, match=message) as caught:
        open_source(str(image_file(**description)))
    assert "\n" not in str(caught.value)


def test_missing_files(tmp_path, image_file, text_file):
    with pytest.raises(SourceError, match=r"there is no file"):
        open_source(str(tmp_path / "absent.onnx"))
    path = image_file()
    path.with_suffix(".json").unlink()
    with pytest.raises(SourceError, match=r'needs its preprocessing in .*model.json, for example {"modality"'):
        open_source(str(path))
    text_file[0].with_name("tokenizer.json").write_text("{}")
    with pytest.raises(SourceError, match=r"not a tokenizer"):
        open_source(str(text_file[0]))
    text_file[0].with_name("tokenizer.json").unlink()
    with pytest.raises(SourceError, match=r"names the tokenizer 'tokenizer.json'"):
        open_source(str(text_file[0]))


def test_fixed_batches_are_refused(image_file):
    with pytest.raises(SourceError, match=r"batches of exactly 1; export it with a dynamic first axis"):
        open_source(str(image_file(batch=1)))


def test_custom_operators_are_refused(image_file):
    path = image_file()
    model = onnx.load_model(path)
    model.graph.node[0].domain = "evil.corp"
    model.opset_import.append(helper.make_opsetid("evil.corp", 1))
    onnx.save(model, path)
    with pytest.raises(SourceError, match=r"custom operator evil.corp.Conv"):
        open_source(str(path))


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x08" * 50])
def test_broken_models_are_refused(image_file, data):
    path = image_file()
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"not a valid ONNX model"):
        open_source(str(path))


def test_truncated_models_are_refused(image_file, tmp_path):
    path = image_file()
    data = path.read_bytes()
    for end in range(0, len(data) - 1, 53):
        path.write_bytes(data[:end])
        with pytest.raises(SourceError):
            OnnxFile().export(str(path), tmp_path)


def test_external_weights(image_file, tmp_path, run):
    path = image_file(taps=["flat"])
    expected = open_source(str(path))
    onnx.save(onnx.load_model(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    source = open_source(str(path))
    image = {"image": np.ones((1, 3, 16, 16), np.float32)}
    np.testing.assert_array_equal(run(source, image)["flat"], run(expected, image)["flat"])

    (path.parent / "weights.bin").rename(tmp_path / "weights.bin")
    with pytest.raises(SourceError, match=r"not in"):
        OnnxFile().export(str(path), tmp_path)
    (path.parent / "weights.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(SourceError, match=r"outside its folder"):
        OnnxFile().export(str(path), tmp_path)
    model = onnx.load_model(path, load_external_data=False)
    for location in ("../weights.bin", str(tmp_path / "weights.bin"), ""):
        model.graph.initializer[0].external_data[0].value = location
        onnx.save(model, path)
        with pytest.raises(SourceError, match=r"outside its folder"):
            OnnxFile().export(str(path), tmp_path)


def test_size_is_bounded(image_file, monkeypatch):
    from headstart.sources import onnx_load

    path = image_file()
    monkeypatch.setattr(onnx_load, "_LARGEST", 100)
    with pytest.raises(SourceError, match=r"at most 100 are read"):
        open_source(str(path))


def test_descriptions_are_plain_json(image_file):
    path = image_file()
    path.with_suffix(".json").write_text(json.dumps(["modality"]))
    with pytest.raises(SourceError, match=r"it must be an object"):
        open_source(str(path))
