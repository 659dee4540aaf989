"""A model as a source: the same features, up to the deepest layer in use; what is odd in the file is refused."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from headstart.archive.container import open_archive, write_archive
from headstart.archive.names import CARD, REPORT, graph_member, tokenizer_member
from headstart.errors import InputError, SourceError
from headstart.sources.artefact import Artefact
from headstart.sources.base import Ancestor, TrainedOn
from headstart.sources.catalogue import open_source
from headstart.sources.files import sha256_of
from headstart.sources.record import verify

IMAGE = {"image": np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)}
ENCODER = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 16}


@pytest.fixture
def source(image_file):
    return open_source(str(image_file()))


@pytest.fixture
def pets(source, model_file, tmp_path):
    return model_file(source, tmp_path / "pets.headstart")


def rewritten(path, tmp_path, *, card=None, report=None, parts=None):
    """The model with its card or report changed, or parts put in or (None) taken out; hashes made right again."""
    with open_archive(path) as archive:
        whole = {name: archive.bytes(name) for name in archive.names}
    for name, change in ((CARD, card), (REPORT, report)):
        if change is not None:
            value = json.loads(whole[name])
            change(value)
            whole[name] = json.dumps(value).encode()
    whole = {name: data for name, data in {**whole, **(parts or {})}.items() if data is not None}
    write_archive(tmp_path / "odd.headstart", whole)
    return tmp_path / "odd.headstart"


def refused(path, words):
    with pytest.raises(InputError, match=words) as caught:
        open_source(str(path))
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_has_the_features_and_the_input_of_its_own_source(source, pets, run):
    child = open_source(str(pets))
    assert (child.name, child.modality, child.input, child.licence) == ("pets", "image", source.input, source.licence)
    assert child.taps == source.taps
    assert child.parameters == 4 * 3 * 3 * 3 + 2  # the weights, and the axes of its pooling
    verify(child)
    for name, value in run(source, IMAGE).items():
        np.testing.assert_array_equal(run(child, IMAGE)[name], value)


def test_the_origin_tells_no_paths(pets, tmp_path):
    child = open_source(str(pets))
    assert child.origin == "pets.headstart, from model"
    assert str(tmp_path) not in (child.directory / "source.json").read_text()


def test_serves_the_layers_up_to_the_deepest_in_use(source, model_file, tmp_path, run):
    """The head reads one tap; those that need no further weights are there to choose from, the deeper ones are not."""
    used = [tap for tap in source.taps if tap.name == "map.max"]
    child = open_source(str(model_file(source, tmp_path / "one.headstart", taps=used)))
    assert [tap.name for tap in child.taps] == ["map.mean", "map.max"]
    np.testing.assert_array_equal(run(child, IMAGE)["map.mean"], run(source, IMAGE)["map.mean"])


def test_a_text_model_brings_its_tokenizer(model_folder, model_file, tmp_path, run):
    pytest.importorskip("transformers")
    source = open_source(str(model_folder("bert", **ENCODER)))
    child = open_source(str(model_file(source, tmp_path / "notes.headstart")))
    assert child.tokenizer.read_bytes() == source.tokenizer.read_bytes()
    assert (child.input, child.taps) == (source.input, source.taps)
    feeds = {"input_ids": np.array([[2, 7, 9, 3]]), "attention_mask": np.ones((1, 4), np.int64)}
    for name, value in run(source, feeds).items():
        np.testing.assert_allclose(run(child, feeds)[name], value, atol=1e-6)


def test_an_older_file_serves_the_taps_in_use(source, model_file, tmp_path):
    """Files of the first days have neither kept taps nor a lineage; their graph yields what the head reads."""
    used = [source.taps[0]]
    path = model_file(source, tmp_path / "new.headstart", taps=used)
    from headstart.sources.pack import pack

    def older(card):
        del card["lineage"], card["views"][0]["kept"]

    old = rewritten(path, tmp_path, card=older, parts={graph_member(0): pack(source, used)})
    child = open_source(str(old))
    assert child.taps == (source.taps[0],)
    assert [ancestor.name for ancestor in child.lineage] == ["odd"]


def test_the_first_source_of_several_is_served(source, pets, tmp_path):
    """A view that is no source stands before it: the graph has that view's number."""

    def shift(card):
        card["views"].insert(0, {"kind": "hog", "settings": {}})

    with open_archive(pets) as archive:
        graph = archive.bytes(graph_member(0))
    moved = rewritten(pets, tmp_path, card=shift, parts={graph_member(0): None, graph_member(1): graph})
    assert open_source(str(moved)).taps == source.taps


def test_another_file_by_the_same_name_is_another_source(source, pets, model_file, tmp_path):
    first = open_source(str(pets))
    model_file(source, pets, taps=source.taps[:1])
    second = open_source(str(pets))
    assert first.taps != second.taps
    assert first.directory != second.directory


def test_the_lineage_of_a_chain_of_three(source, model_file, tmp_path):
    general = model_file(source, tmp_path / "general.headstart", strategy="last-stages", name="cells", n=40)
    specific = model_file(
        open_source(str(general)), tmp_path / "specific.headstart", strategy="frozen-ridge-all", name="lungs", n=14
    )
    third = open_source(str(specific))
    assert third.lineage == (
        Ancestor(
            "specific", sha256_of(specific), "specific.headstart, from general", "unknown", "frozen-ridge-all",
            TrainedOn("lungs", 14, 2),
        ),
        Ancestor(
            "general", sha256_of(general), "general.headstart, from model", "unknown", "last-stages",
            TrainedOn("cells", 40, 2),
        ),
        Ancestor("model", source.fingerprint, "ONNX file model.onnx", "unknown"),
    )  # fmt: skip


def test_an_endless_chain_keeps_the_nearest(source, model_file, tmp_path):
    def aged(card):
        card["lineage"] = [{"name": f"a{k}", "sha256": "0", "origin": "o", "licence": "l"} for k in range(64)]

    old = rewritten(model_file(source, tmp_path / "long.headstart"), tmp_path, card=aged)
    child = open_source(str(model_file(open_source(str(old)), tmp_path / "longer.headstart")))
    assert len(child.lineage) == 64
    assert [ancestor.name for ancestor in child.lineage[:3]] == ["longer", "odd", "a0"]


def test_what_is_no_file_of_ours(tmp_path):
    (tmp_path / "folder.headstart").mkdir()
    refused(tmp_path / "folder.headstart", "is a folder")
    refused(tmp_path / "absent.headstart", "no such file")
    (tmp_path / "text.headstart").write_text("Dear Sir or Madam")
    refused(tmp_path / "text.headstart", "not an intact model")


def test_a_damaged_file(pets):
    data = bytearray(pets.read_bytes())
    data[len(data) // 2] ^= 1
    pets.write_bytes(data)
    refused(pets, "not an intact model")


def test_a_model_without_a_source(pets, tmp_path):
    def plain(card):
        card["views"] = [{"kind": "hog", "settings": {}}]

    refused(rewritten(pets, tmp_path, card=plain), "nothing to transfer")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda card: card.update(views=[]), "views"),
        (lambda card: card.update(views="all of them"), "views"),
        (lambda card: card.update(views=[{"kind": "source"}] * 65), "views"),
        (lambda card: card.update(modality="smell"), "modality"),
        (lambda card: card.update(modality="text"), "kind|max_tokens"),
        (lambda card: card.update(data=3), "data"),
        (lambda card: card["data"].update(n=-1), "n"),
        (lambda card: card.update(lineage="noble"), "lineage"),
        (lambda card: card.update(lineage=[{}] * 65), "lineage"),
        (lambda card: card.update(lineage=[{"name": 7}]), "lineage"),
        (lambda card: card["views"][0].update(input={}), "size"),
        (lambda card: card["views"][0]["input"].update(size=1 << 40), "size"),
        (lambda card: card["views"][0]["input"].update(size=32), "card says"),
        (lambda card: card["views"][0]["input"].update(std=[0, 0, 0]), "std"),
        (lambda card: card["views"][0].update(licence=None), "licence"),
        (lambda card: card["views"][0].update(source="x" * 2000), "source"),
        (lambda card: card["views"][0].update(kept=[]), "kept"),
        (lambda card: card["views"][0].update(kept=[{"name": "map.mean"}]), "depth"),
        (lambda card: card["views"][0]["kept"].append(card["views"][0]["kept"][0]), "twice"),
        (lambda card: card["views"][0]["kept"][0].update(name="secret"), "secret"),
        (lambda card: card["views"][0]["kept"][0].update(width=5), "5 columns"),
    ],
)
def test_a_card_that_is_not_one(pets, tmp_path, change, words):
    refused(rewritten(pets, tmp_path, card=change), words)


@pytest.mark.parametrize("change", [lambda report: report.clear(), lambda report: report.update(chosen=[])])
def test_a_report_that_is_not_one(pets, tmp_path, change):
    refused(rewritten(pets, tmp_path, report=change), "chosen|strategy")


@pytest.mark.parametrize("part", [CARD, REPORT])
def test_json_that_is_no_object(pets, tmp_path, part):
    refused(rewritten(pets, tmp_path, parts={part: b"[]"}), "not an object")


def graph_of(path):
    with open_archive(path) as archive:
        return onnx.load_model_from_string(archive.bytes(graph_member(0)))


def test_a_graph_is_missing_or_none(pets, tmp_path):
    refused(rewritten(pets, tmp_path, parts={graph_member(0): None, "view-7.onnx": b"x"}), "no part 'view-0.onnx'")
    refused(rewritten(pets, tmp_path, parts={graph_member(0): b"not a graph"}), "not a valid ONNX model")


def test_a_graph_with_a_custom_operator(pets, tmp_path):
    model = graph_of(pets)
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    refused(rewritten(pets, tmp_path, parts={graph_member(0): model.SerializeToString()}), "custom operator")


def test_a_graph_that_reads_another_file(pets, tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(432))
    model = graph_of(pets)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../../../../../../../" + str(tmp_path / "secret.bin"))
    refused(rewritten(pets, tmp_path, parts={graph_member(0): model.SerializeToString()}), "weights")


def test_a_graph_that_reads_something_else(pets, tmp_path):
    model = graph_of(pets)
    for node in model.graph.node:
        node.input[:] = ["sound" if name == "image" else name for name in node.input]
    model.graph.input[0].name = "sound"
    refused(rewritten(pets, tmp_path, parts={graph_member(0): model.SerializeToString()}), "card says")


def test_a_text_model_without_a_tokenizer(model_folder, model_file, tmp_path):
    pytest.importorskip("transformers")
    path = model_file(open_source(str(model_folder("bert", **ENCODER))), tmp_path / "notes.headstart")
    refused(rewritten(path, tmp_path, parts={tokenizer_member(0): None, "view-7.onnx": b"x"}), "tokenizer")
    refused(rewritten(path, tmp_path, parts={tokenizer_member(0): b"{}"}), "not a tokenizer")


def test_nothing_is_left_of_a_refused_file(pets, tmp_path, home):
    refused(rewritten(pets, tmp_path, parts={graph_member(0): b"not a graph"}), "valid")
    assert not any("odd" in path.name for path in (home / "sources").iterdir())


def test_only_files_by_that_ending_are_accepted():
    assert Artefact().accepts("a/b/MODEL.Headstart")
    assert not Artefact().accepts("headstart")
    with pytest.raises(SourceError, match="no such file"):
        Artefact().key("gone.headstart")


def test_a_model_of_sounds_is_a_source(model_file, tmp_path, run):
    from headstart.sources import catalogue

    if "whisper_tiny_en" not in catalogue.default_sources("sound"):
        pytest.skip("whisper_tiny_en is not installed")
    original = catalogue.open_source("whisper_tiny_en")
    path = model_file(original, tmp_path / "calls.headstart", taps=original.taps[:4])
    source = catalogue.open_source(str(path))
    assert (source.modality, source.input) == ("sound", original.input)
    assert set(original.taps[:4]) <= set(source.taps)
    mel = {"mel": np.random.default_rng(0).standard_normal((1, 80, 120)).astype(np.float32)}
    got, wanted = run(source, mel), run(original, mel)
    for tap in source.taps:
        np.testing.assert_allclose(got[tap.name], wanted[tap.name], atol=1e-4)
