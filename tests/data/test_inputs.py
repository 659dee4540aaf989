"""Items to predict: every one is either there or skipped with a reason."""

import os
from pathlib import Path

import numpy as np
import pytest

from headstart.data import read_inputs
from headstart.errors import DataError


def skips(data):
    return [(skip.id, skip.reason) for skip in data.skipped]


def test_images_from_files_folders_and_tables(tmp_path):
    for name in ("a.png", "d/2.jpg", "d/e/1.jpg", "d/x.doc", "odd"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "t.csv").write_text("n,file\n1,a.png\n2,gone.png\n")
    (tmp_path / "empty").mkdir()
    given = [tmp_path / "odd", str(tmp_path / "d"), tmp_path / "gone.jpg", tmp_path / "t.csv", tmp_path / "empty"]
    data = read_inputs(given, "image")
    assert data.items == [tmp_path / name for name in ("odd", "d/2.jpg", "d/e/1.jpg", "a.png")]
    assert data.ids == (f"{tmp_path}/odd", f"{tmp_path}/d/2.jpg", f"{tmp_path}/d/e/1.jpg", "a.png")
    assert [id_ for id_, _ in skips(data)] == [f"{tmp_path}/gone.jpg", "gone.png", f"{tmp_path}/empty"]
    assert skips(data)[0][1] == "no such file"
    assert data.target is None


def test_all_missing_is_no_error_and_nothing_is():
    data = read_inputs("no/such.png", "image")
    assert len(data) == 0
    assert skips(data) == [("no/such.png", "no such file")]
    with pytest.raises(DataError, match="nothing to predict"):
        read_inputs([], "image")
    with pytest.raises(DataError, match="cannot predict a int"):
        read_inputs([3], "text")


def test_texts_are_themselves_unless_they_name_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("note.txt").write_text("from a file")
    Path("empty.txt").touch()
    Path("mails").mkdir()
    Path("mails/1.txt").write_text("first mail")
    Path("t.csv").write_text('text\nfrom a table\n""\n')
    given = [
        "just words",
        "mails",
        "note.txt",
        "see note.txt",
        "gone.txt",
        "empty.txt",
        " ",
        f"mails{os.sep}",
        "t.csv",
        "50/50",
    ]
    data = read_inputs([*given, "x" * 300_000, "null\0byte"], "text")
    assert data.items[:8] == [
        "just words", "mails", "from a file", "see note.txt", "first mail", "from a table", "50/50", "x" * 300_000,
    ]  # fmt: skip
    assert data.ids[:5] == ("just words", "mails", "note.txt", "see note.txt", "mails/1.txt")
    assert skips(data) == [
        ("gone.txt", "no such file"), ("empty.txt", "empty text"), (" ", "empty text"),
        ("t.csv row 2", "empty text"),
    ]  # fmt: skip


def test_inputs_are_named_as_they_were_given():
    data = read_inputs([__file__, "gone.jpg", __file__], "image")
    assert data.ids == (__file__, __file__)
    assert [(s.id, s.before) for s in data.skipped] == [("gone.jpg", 1)]


def test_tables_of_features(tmp_path):
    pd = pytest.importorskip("pandas")
    (tmp_path / "t.csv").write_text("y,x\n1,2\n3,\n")
    data = read_inputs(
        [tmp_path / "t.csv", pd.DataFrame({"x": [5], "y": [6.5]}), "gone.csv", __file__], "table", columns=("x", "y")
    )
    assert np.array_equal(data.items, [[2, 1], [np.nan, 3], [5, 6.5]], equal_nan=True)
    assert data.columns == ("x", "y")
    assert [reason for _, reason in skips(data)] == [
        "no such file",
        "not a table; expected .csv, .tsv, .parquet or .jsonl",
    ]
    assert read_inputs("gone.csv", "table", columns=("x", "y")).items.shape == (0, 2)


def test_the_input_column_can_be_named(tmp_path):
    (tmp_path / "t.csv").write_text("long,short\nmany words stand here,few\n")
    assert read_inputs(tmp_path / "t.csv", "text").items == ["many words stand here"]
    assert read_inputs(tmp_path / "t.csv", "text", input="short").items == ["few"]
    with pytest.raises(DataError, match="did you mean 'short'"):
        read_inputs(tmp_path / "t.csv", "text", input="shrt")


def test_an_empty_name_is_not_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "1.png").touch()
    monkeypatch.chdir(tmp_path)
    assert skips(read_inputs(["", os.devnull], "image")) == [("", "an empty name"), (os.devnull, "not a file")]


def test_the_usual_column_is_taken_where_a_table_has_it(tmp_path):
    (tmp_path / "t.csv").write_text("title,body\nshort,many words stand here in a row\n")
    assert read_inputs(tmp_path / "t.csv", "text", usual_input="title").items == ["short"]
    assert read_inputs(tmp_path / "t.csv", "text", usual_input="gone").items == ["many words stand here in a row"]
    assert read_inputs(tmp_path / "t.csv", "text", usual_input="title", input="body").items != ["short"]


def test_rows_of_image_tables_are_named_by_the_path_as_written(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "1.png").touch()
    (tmp_path / "t.csv").write_text("n,file\n1,d/1.png\n2,d\\1.png\n3,\n4,gone.png\n")
    data = read_inputs(tmp_path / "t.csv", "image")
    assert data.ids == ("d/1.png", "d\\1.png")
    assert data.items == [tmp_path / "d/1.png"] * 2
    assert [(skip.id, skip.before) for skip in data.skipped] == [("row 3", 2), ("gone.png", 2)]
    (tmp_path / "u.csv").write_text("id,file\nx7,d/1.png\n")
    assert read_inputs(tmp_path / "u.csv", "image").ids == ("x7",)
    (tmp_path / "v.csv").write_text("text\nsome words stand here\n")
    assert read_inputs(tmp_path / "v.csv", "text").ids == ("row 1",)


def test_a_link_to_a_folder_above_is_not_followed(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "a/up").symlink_to("..")
    data = read_inputs(tmp_path / "a", "image")
    assert data.items == [tmp_path / "a/1.png"]
    assert any("1 link back" in note for note in data.notes)
