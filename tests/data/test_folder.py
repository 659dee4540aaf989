"""Folders of class folders, the clean and the odd ones."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from headstart.data import read
from headstart.errors import DataError


def touch(root: Path, *names: str, text: str = "x") -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def classes_of(data):
    return [data.target.classes[code] for code in data.target.y]


def test_images_are_named_by_path_sorted_and_not_opened(tmp_path):
    touch(tmp_path, "b/2.JPG", "b/deep/er/1.png", "a/9.webp", "a/8.tif")
    data = read(tmp_path)
    assert data.modality == "image"
    assert data.ids == ("a/8.tif", "a/9.webp", "b/2.JPG", "b/deep/er/1.png")
    assert classes_of(data) == ["a", "a", "b", "b"]
    assert data.target.task == "binary"
    assert data.target.y.dtype == np.int64
    assert data.items == [tmp_path / id_ for id_ in data.ids]
    assert data.name == tmp_path.name


def test_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(touch(tmp_path, "a/1.png", "b/deep/2.png"))
    for name in (".", "./", "../" + tmp_path.name):
        data = read(name)
        assert data.ids == ("a/1.png", "b/deep/2.png")
        assert data.name == tmp_path.name
        assert all(path.is_file() for path in data.items)


def test_three_classes_of_texts(tmp_path):
    for name in "xyz":
        touch(tmp_path, f"{name}/1.txt", f"{name}/2.txt", text=f"\ufeffa text of {name}\n")
    data = read(str(tmp_path))
    assert data.modality == "text"
    assert data.target.task == "multiclass"
    assert data.items[0] == "a text of x\n"


def test_texts_that_cannot_be_used_are_skipped_with_reasons(tmp_path):
    touch(tmp_path, "a/1.txt", "b/1.txt")
    touch(tmp_path, "a/empty.txt", text=" \n")
    (tmp_path / "a/latin.txt").write_bytes("naïve".encode("latin-1"))
    (tmp_path / "b/utf16.txt").write_text("wide", encoding="utf-16")
    (tmp_path / "b/zero.txt").write_bytes(b"a\0b")
    data = read(tmp_path)
    assert data.ids == ("a/1.txt", "b/1.txt", "b/utf16.txt")
    assert data.items[2] == "wide"
    reasons = {skip.id: skip.reason for skip in data.skipped}
    assert reasons.keys() == {"a/empty.txt", "a/latin.txt", "b/zero.txt"}
    assert reasons["a/empty.txt"] == "empty text"
    assert "UTF-8" in reasons["a/latin.txt"]


def test_what_is_passed_over_is_counted(tmp_path):
    touch(tmp_path, "a/1.png", "a/.hidden.png", "a/.git/x.png", "b/1.png", "b/notes.docx", "b/x.wav", "b/LICENSE")
    touch(tmp_path, "README.md", "c/readme.md", "b/caption.txt")
    notes = "\n".join(read(tmp_path).notes)
    assert ".docx (1), .md (1), no extension (1)" in notes
    assert "2 hidden entries" in notes
    assert "1 class folder is empty and left out: c" in notes
    assert "1 file beside the class folders" in notes
    assert "1 text file beside the image files" in notes
    assert "1 sound file beside the image files" in notes
    assert read(tmp_path).target.classes == ("a", "b")


def test_one_item_in_a_class_is_kept_and_said(tmp_path):
    data = read(touch(tmp_path, "a/1.png", "a/2.png", "b/1.png"))
    assert len(data) == 3
    assert any("1 class has one item" in note and note.endswith(": b") for note in data.notes)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no class folders"),
        (["1.png", "2.png"], "no class folders"),
        (["a/1.png", "a/2.png"], "only one class, 'a'"),
        (["a/1.mid", "b/2.mid"], r"\.mid \(2\)"),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png"], "pass .*train"),
        (["train/a/1.png", "Test/b/1.png", "docs/x.md"], "pass .*train"),
        (["train/1.png", "val/1.png"], "splits"),
        (["Training/a/1.png", "Validierung/a/1.png", "Test/b/1.png"], "Test, Training, Validierung, not .*Training"),
        (["entrenamiento/a/1.png", "validaci\u00f3n/b/1.png"], "pass .*entrenamiento"),
        (["entrainement/a/1.png", "test/b/1.png"], "pass .*entrainement"),
        (["addestramento/1.png", "validazione/1.png"], "splits"),
        (["treino/a/1.png", "valida\u00e7\u00e3o/a/1.png", "teste/b/1.png"], "pass .*treino"),
        (["обучение/a/1.png", "тест/b/1.png"], "pass .*обучение"),
        (["训练集/a/1.png", "测试集/b/1.png"], "pass .*训练集"),
        (["学習/a/1.png", "検証/b/1.png"], "pass .*学習"),
    ],
)
def test_folders_that_cannot_be_learned_from(tmp_path, names, message):
    touch(tmp_path, *names)
    with pytest.raises(DataError, match=message) as raised:
        read(tmp_path)
    assert "\n" not in str(raised.value)


def test_empty_class_folders_only(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="no items"):
        read(tmp_path)


@pytest.mark.parametrize("names", [("bus", "train"), ("prueba", "teste"), ("test", "treinador"), ("entrenador", "val")])
def test_classes_that_are_called_nearly_as_splits(tmp_path, names):
    assert read(touch(tmp_path, *(f"{name}/1.png" for name in names))).target.classes == names


def test_no_such_folder(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        read(tmp_path / "nowhere")


def test_columns_are_refused_for_folders(tmp_path):
    with pytest.raises(DataError, match="label= names a column"):
        read(touch(tmp_path, "a/1.png", "b/1.png"), label="x")


def test_class_names_are_nfc_and_two_spellings_are_one(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Grün") for form in ("NFC", "NFD"))
    touch(tmp_path, f"{composed}/1.png", f"{decomposed}/2.png", "猫/1.png", "кот/1.png")
    data = read(tmp_path)
    assert data.target.classes == tuple(sorted((composed, "猫", "кот")))
    assert len(data) == 4
    assert len(set(data.ids)) == 4


def test_file_names_that_are_not_utf8_can_be_printed(tmp_path):
    touch(tmp_path, "a/1.png", "b/1.png")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/b/\xff.png")).touch()
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    data = read(tmp_path)
    assert "b/\\xff.png" in data.ids
    "\n".join(data.ids).encode()


def test_links_do_not_hang_and_loops_are_followed_once(tmp_path):
    root = touch(tmp_path / "root", "a/1.png", "b/1.png")
    (root / "a/self").symlink_to(root / "a")
    (root / "a/up").symlink_to(root)
    (root / "b/out").symlink_to(touch(tmp_path / "elsewhere", "2.png", "3.png"))
    (root / "b/out2").symlink_to(tmp_path / "elsewhere")
    (root / "b/link.png").symlink_to(root / "b/1.png")
    (root / "b/dead.png").symlink_to(root / "nothing.png")
    data = read(root)
    assert sorted(classes_of(data)) == ["a", "b", "b", "b", "b"]
    assert [(skip.id, skip.reason) for skip in data.skipped] == [("b/dead.png", "a link that leads nowhere")]
    assert any("3 links back" in note for note in data.notes)


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    touch(tmp_path, "a/1.png", "b/1.png", "b/deep/2.png")
    real = os.scandir

    def refuse(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="deep cannot be read: Permission denied"):
        read(tmp_path)


def test_modality_and_task_can_be_settled(tmp_path):
    touch(tmp_path, "1/1.png", "2/1.png", "2/2.png", "1/1.txt", "2/1.txt")
    assert read(tmp_path, modality="text").ids == ("1/1.txt", "2/1.txt")
    ages = read(tmp_path, task="regression")
    assert ages.target.y.tolist() == [1.0, 2.0, 2.0]
    with pytest.raises(DataError, match="pass a table"):
        read(tmp_path, modality="table")
    touch(tmp_path, "3/1.png")
    with pytest.raises(DataError, match="binary needs two classes; 'class folder' has 3"):
        read(tmp_path, task="binary")


def test_class_folders_keep_their_spelling(tmp_path):
    data = read(touch(tmp_path, "01/1.png", "1.0/1.png", "NA/1.png", "a;b/1.png", "nan/1.png"))
    assert data.target.classes == ("01", "1.0", "NA", "a;b", "nan")


def test_fifty_thousand_files_need_no_stat_each(tmp_path, monkeypatch):
    """Counts calls rather than seconds: one directory read and one stat a folder, none a file."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(500):
            (tmp_path / name / f"{i}.png").touch()
    calls = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda *args, **kwargs: calls.append(args) or real(*args, **kwargs))
    assert len(read(tmp_path)) == 1000
    assert len(calls) < 20


def test_one_class_with_items_names_the_folders_without(tmp_path):
    touch(tmp_path, "a/1.png", "a/2.png", "c/x.pdf")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"only one class, 'a', has items.*nothing that can be used is in b, c"):
        read(tmp_path)


def test_two_spellings_of_one_name_are_said(tmp_path):
    touch(tmp_path, "e\u0301/1.png", "\u00e9/2.png", "b/1.png")
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system joins them itself")
    data = read(tmp_path)
    assert data.target.classes == ("b", "\u00e9")
    assert any("differ only as bytes" in note for note in data.notes)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_link(tmp_path):
    touch(tmp_path, "a/1.png", "b/1.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    os.symlink(tmp_path / "gone", tmp_path / "b" / "link.png")
    assert {one.id: one.reason for one in read(tmp_path).skipped} == {
        "a/pipe.png": "not a file, but a pipe or a device",
        "b/link.png": "a link that leads nowhere",
    }


def test_images_that_no_reader_takes_are_named(tmp_path):
    for name in ("a/1.png", "a/2.avif", "b/1.png", "b/2.HEIC"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    data = read(tmp_path)
    assert data.ids == ("a/1.png", "b/1.png")
    assert "2 files of other kinds passed over: .avif (1), .heic (1)" in data.notes
    assert ".avif, .heic images cannot be read here: convert them to .png or .jpg" in data.notes
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).unlink()
    with pytest.raises(DataError, match=r"hold no images.*\.avif \(1\).*convert them to \.png or \.jpg"):
        read(tmp_path)
    with pytest.raises(DataError, match="convert them"):
        read(tmp_path, modality="image")


def test_classes_one_folder_further_down_and_labels_in_a_table_are_hinted_at(tmp_path):
    touch(tmp_path / "zip", "birds/owl/1.png", "birds/wren/1.png")
    with pytest.raises(DataError, match=r"the folders in .*birds\? Then pass that"):
        read(tmp_path / "zip")
    touch(tmp_path / "pair", "images/1.png", "images/2.png", "labels.csv")
    with pytest.raises(DataError, match=r"do the labels stand in labels\.csv"):
        read(tmp_path / "pair")


def test_splits_below_the_classes_are_said(tmp_path):
    data = read(touch(tmp_path, "a/train/1.png", "a/val/2.png", "b/train/1.png", "b/3.png"))
    assert len(data) == 4
    assert any("all of train, val in the class folders" in note for note in data.notes)
    (tmp_path / "one").mkdir()
    assert not any(
        "class folders is taken" in note for note in read(touch(tmp_path / "one", "a/val/1.png", "b/1.png")).notes
    )
