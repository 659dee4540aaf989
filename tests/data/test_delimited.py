"""Delimited files as people's programs write them: the delimiter, the encoding, decimal commas, long fields."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from headstart.data import read
from headstart.data.delimited import decimal_commas, delimiter_of
from headstart.data.table import load_table
from headstart.errors import DataError

ROWS = [("tea, hot", "a"), ("a red bus", "b"), ("some green leaf", "a"), ("blue", "b")]


@pytest.mark.parametrize(
    ("text", "usual", "delimiter", "skip"),
    [
        ("a,b\n1,2\n", ",", ",", 0),
        ("a;b\n1;2\n", ",", ";", 0),
        ("a\tb\n", ",", "\t", 0),
        ("a|b\n1|2\n", ",", "|", 0),
        ("a,b\n", "\t", ",", 0),
        ("a\n1\n", ",", ",", 0),
        ("", ",", ",", 0),
        ("\n\na;b\n1;2\n", ",", ";", 0),
        ("sep=;\r\na,x;b\r\n", ",", ";", 1),
        ("text, long;label\none, two, three;x\nfour;y\n", ",", ";", 0),  # a comma in the header, but not of it
        ("a;b,label\n1;2,x\n3,y\n", ",", ",", 0),
        ('"two\nlines";b\n1;2\n', ",", ";", 0),
        ("a,b;c\n1,\u20282;3\n", ",", ",", 0),
    ],
)
def test_delimiter(text: str, usual: str, delimiter: str, skip: int) -> None:
    assert delimiter_of(text, usual) == (delimiter, skip)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "bare utf-16-le"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_same_table_however_it_is_written(tmp_path, encoding, delimiter) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", encoding=encoding.removeprefix("bare "), newline="") as file:
        if encoding in ("utf-16-le", "utf-16-be"):
            file.write("\ufeff")
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([("text, long", "label"), *ROWS])
    data = read(path, input="text, long")
    assert data.items == [text for text, _ in ROWS]
    assert [data.target.classes[code] for code in data.target.y] == [label for _, label in ROWS]


def test_blank_lines_before_the_header_are_passed_over(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n\nx,y\n1,2\n3\n")
    table = load_table(path)
    assert table.columns == {"x": ["1"], "y": ["2"]}
    assert table.bad[0].reason == "line 5: 1 fields where the header has 2"


def test_a_delimiter_announced_in_the_first_line(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sep=;\nx;y\n1;2\n3\n")
    table = load_table(path)
    assert table.columns == {"x": ["1"], "y": ["2"]}
    assert table.bad[0].reason == "line 4: 1 fields where the header has 2"


def test_latin_1_is_refused_with_its_line(tmp_path) -> None:
    (tmp_path / "t.csv").write_bytes("text,label\nplain,a\ncafé,b\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8 in line 3 \(byte 0xe9\): save it as UTF-8"):
        load_table(tmp_path / "t.csv")
    (tmp_path / "t.jsonl").write_bytes('{"a": "ok"}\n{"a": "café"}\n'.encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8 in line 2"):
        load_table(tmp_path / "t.jsonl")


def test_decimal_commas_beside_semicolons(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('x;y;w;label\n"1,5";2;1,2,3;p\n-0,25;3;4;q\n;"4,0";5;p\n')
    table = load_table(path)
    assert table.columns["x"] == ["1.5", "-0.25", None]
    assert table.columns["y"] == ["2", "3", "4.0"]
    assert table.columns["w"] == ["1,2,3", "4", "5"]
    data = read(path)
    assert data.columns[:2] == ("x", "y")
    np.testing.assert_array_equal(data.items[:, 0], [1.5, -0.25, np.nan])
    assert "decimal commas read as points: columns x, y" in data.notes


def test_commas_between_thousands_stay_in_other_files(tmp_path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("x\ty\n1,500\ta\n2,000\tb\n")
    assert load_table(path).columns["x"] == ["1,500", "2,000"]
    assert load_table(path).notes == ()


def test_no_column_of_decimal_commas() -> None:
    assert decimal_commas(["1", "2"]) is None
    assert decimal_commas([None]) is None
    assert decimal_commas(["1,5", "x"]) is None
    assert decimal_commas(["1,5", None, "2e3"]) == ["1.5", None, "2e3"]


def test_long_fields_are_read_and_the_limit_is_as_before(tmp_path) -> None:
    before = csv.field_size_limit()
    path = tmp_path / "t.csv"
    path.write_text(f"text,label\n{'x ' * 200_000},a\nshort,b\n")
    assert [len(text) for text in read(path, modality="text").items] == [400_000, 5]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("first", ["Survey 2024,,\n", "Patient,,\n", ",Results,,\n"])
def test_a_title_above_the_names_is_refused(tmp_path, first):
    width = first.count(",") + 1
    rows = ["text,label,note,more", *[f"words {k},{'ab'[k % 2]},n,m" for k in range(8)]]
    path = tmp_path / "sheet.csv"
    path.write_text(first + "\n".join(",".join(row.split(",")[:width]) for row in rows))
    with pytest.raises(DataError, match=r"its first line names 1 of \d columns .*delete what stands above"):
        load_table(path)


def test_empty_columns_and_an_index_without_a_name_are_no_title(tmp_path):
    path = tmp_path / "sheet.csv"
    path.write_text(",text,label,,,\n" + "\n".join(f"{k},words {k},{'ab'[k % 2]},,," for k in range(8)))
    assert read(path).target.classes == ("a", "b")


def test_labels_that_differ_in_capitals_or_blanks_are_named(tmp_path):
    path = tmp_path / "t.csv"
    labels = ["drink", "Drink", "train", "iced  tea", "iced tea"]
    path.write_text("text,label\n" + "\n".join(f"words {k},{labels[k % 5]}" for k in range(15)))
    found = read(path)
    assert "'Drink' and 'drink', 'iced  tea' and 'iced tea'" in "\n".join(found.notes)
    path.write_text("text,label\n" + "\n".join(f"words {k},{'ab'[k % 2]}" for k in range(15)))
    assert "differ in capitals" not in "\n".join(read(path).notes)
