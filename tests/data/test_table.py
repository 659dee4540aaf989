"""Tables: what is read, what is inferred, what is refused."""

import json

import numpy as np
import pytest

from headstart.data import read, read_for_model, read_inputs
from headstart.data import table as tables
from headstart.errors import DataError, OptionError

pd = pytest.importorskip("pandas")

WORDS = ["the red house", "a green tree here", "one blue sea far", "some dark night sky"]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def text_rows(n=12):
    return [(f"{WORDS[i % 4]} number {i}", "ab"[i % 2]) for i in range(n)]


def classes_of(data):
    return [data.target.classes[code] for code in data.target.y]


def reasons(data):
    return {skip.id: skip.reason for skip in data.skipped}


@pytest.mark.parametrize("kind", ["csv", "tsv", "semicolon", "jsonl", "parquet", "frame", "categorical"])
def test_the_same_texts_in_every_kind_of_table(tmp_path, kind):
    frame = pd.DataFrame(text_rows(), columns=["utterance", "meaning"])
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif kind == "semicolon":
        path = tmp_path / "t.csv"
        frame.to_csv(path, index=False, sep=";", encoding="utf-8-sig")
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif kind == "parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    elif kind == "categorical":
        frame["meaning"] = frame["meaning"].astype("category")
    data = read(frame if kind in ("frame", "categorical") else path)
    assert data.modality == "text"
    assert data.target.task == "binary"
    assert data.items == [text for text, _ in text_rows()]
    assert classes_of(data) == [label for _, label in text_rows()]
    assert data.ids[:2] == ("row 1", "row 2")
    assert any("'utterance'" in note for note in data.notes)
    assert any("'meaning'" in note for note in data.notes)


def test_labels_stay_what_was_written(tmp_path):
    labels = ["NA", "None", "001", "null", "1e3", "TRUE"]
    text = "text,label\n" + "".join(f"some words here {i},{labels[i % 6]}\n" for i in range(24))
    data = read(write(tmp_path / "t.csv", text))
    assert data.target.classes == tuple(sorted(labels))
    assert not data.skipped


def test_whole_numbers_are_classes_without_a_point():
    frame = pd.DataFrame({"text": [f"words of row {i}" for i in range(9)], "label": [0, 1, 2] * 3})
    assert read(frame).target.classes == ("0", "1", "2")
    frame.loc[0, "label"] = np.nan  # makes the column one of floats
    data = read(frame)
    assert data.target.classes == ("0", "1", "2")
    assert reasons(data) == {"row 1": "no label"}


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (["x", "y"] * 30, "binary"),
        (["x", "y", "z"] * 20, "multiclass"),
        ([True, False] * 30, "binary"),
        (list(range(20)) * 3, "multiclass"),  # 20 distinct whole numbers
        (list(range(60)), "regression"),  # more than 20, and more than a tenth
        ([i / 7 for i in range(60)], "regression"),
        ([0.5, 1.5] * 30, "regression"),
        ([0.0, 1.0] * 30, "binary"),
        (["007", "008", "009"] * 20, "multiclass"),
        ([["a", "b"], ["b"], []] * 20, "multilabel"),
        (["a|b", "b", "c|a"] * 20, "multilabel"),
        (["a;b", "b", "c; a"] * 20, "multilabel"),
        (["a|b", "c|d"] * 30, "binary"),  # the parts never recur: names with a bar in them
    ],
)
def test_the_task_is_inferred(labels, task):
    data = read(pd.DataFrame({"text": [f"words of row {i}" for i in range(60)], "y": labels}))
    assert data.target.task == task
    assert any(note.startswith(f"task {task}") for note in data.notes)


def test_more_than_twenty_numbers_in_a_long_table_are_classes():
    frame = pd.DataFrame({"text": [f"words of row {i}" for i in range(600)], "y": [i % 50 for i in range(600)]})
    assert read(frame).target.task == "multiclass"
    assert read(frame, task="regression").target.task == "regression"


def test_the_task_can_be_settled():
    frame = pd.DataFrame({"text": [f"words of row {i}" for i in range(60)], "y": ["a|b", "b|c", "a"] * 20})
    assert read(frame, task="multiclass").target.classes == ("a", "a|b", "b|c")
    with pytest.raises(DataError, match="binary needs two classes; 'y' has 3"):
        read(frame, task="binary")
    with pytest.raises(DataError, match=r"regression needs numbers; the label column 'y' has 'a.b'"):
        read(frame, task="regression")
    with pytest.raises(OptionError, match="did you mean 'multiclass'"):
        read(frame, task="multiclas")
    with pytest.raises(OptionError, match="image, text, sound, table"):
        read(frame, modality="video")


def test_many_labels_from_lists_keep_items_without_any(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"text": ["one two three", "four five six", "7 8 nine"], "labels": [["b", "a"], [], None]})
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "t.parquet")
    for data in (read(frame), read(tmp_path / "t.jsonl"), read(tmp_path / "t.parquet")):
        assert data.target.classes == ("a", "b")
        assert data.target.y.tolist() == [[1, 1], [0, 0]]
        assert data.target.y.dtype == np.uint8
        assert reasons(data) == {"row 3": "no label"}


def test_many_labels_from_columns_of_0_and_1(tmp_path):
    path = write(tmp_path / "t.csv", "text,b,a\nsome words x,1,0\nsome words y,1,1\nsome words z,,1\n")
    data = read(path, label="b,a")
    assert data.target.classes == ("a", "b")
    assert data.target.y.tolist() == [[0, 1], [1, 1]]
    assert reasons(data) == {"row 3": "no label in column 'b'"}
    with pytest.raises(DataError, match="must hold 0 or 1"):
        read(write(tmp_path / "u.csv", "text,b,a\nsome words x,2,0\n"), label="b,a")
    with pytest.raises(DataError, match="not binary"):
        read(path, label="b,a", task="binary")


def test_numbers_as_labels(tmp_path):
    rows = "".join(f"words of row {i},{i / 4}\n" for i in range(40))
    data = read(write(tmp_path / "t.csv", "text,score\n" + rows + "words of more,NA\nwords of inf,inf\n"))
    assert data.target.task == "regression"
    assert data.target.classes == ("score",)
    assert data.target.y.tolist() == [i / 4 for i in range(40)]
    assert reasons(data).keys() == {"row 41", "row 42"}


def test_a_table_of_features(tmp_path):
    text = "id,age,sex,note,zip,target\n"
    text += "".join(
        f"p{i},{20 + i},{['male', 'female', ''][i % 3]},{'NA' if i % 5 else i},0{i % 4}1,{i % 2}\n" for i in range(30)
    )
    data = read(write(tmp_path / "t.csv", text))
    assert data.modality == "table"
    assert data.columns == ("age", "sex=female", "sex=male", "note", "zip=001", "zip=011", "zip=021", "zip=031")
    assert data.ids[0] == "p0"
    assert data.items.shape == (30, 8)
    assert data.items.dtype == np.float64
    assert data.items[0].tolist() == [20, 0, 1, 0, 1, 0, 0, 0]
    assert data.items[2, 1:3].tolist() == [0, 0]
    assert np.isnan(data.items[1, 3])
    again = read_inputs(tmp_path / "t.csv", "table", columns=data.columns)
    assert np.array_equal(again.items, data.items, equal_nan=True)
    assert again.ids == data.ids
    assert again.target is None


def test_features_are_rebuilt_from_their_names(tmp_path):
    names = ("x", "kind=a", "kind=b=c", "flag=True")
    path = write(tmp_path / "t.csv", "kind,other,x,flag\nb=c,1,2.5,True\nnew,2,,False\n")
    items = read_inputs(path, "table", columns=names).items
    assert items[0].tolist() == [2.5, 0, 1, 1]
    assert np.isnan(items[1, 0])
    assert items[1, 1:].tolist() == [0, 0, 0]
    with pytest.raises(DataError, match=r"lacks 1 of the model's columns \(kinds\); did you mean 'kind'"):
        read_inputs(path, "table", columns=("x", "kinds=a"))


def test_numeric_and_boolean_frames():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(50, 3)), columns=[0, 1, 2])
    frame["flag"] = rng.random(50) < 0.5
    frame["empty"] = np.nan
    frame["big"] = np.inf
    frame.loc[0, "big"] = 1.0
    frame["target"] = ["p", "q"] * 25
    data = read(frame)
    assert data.columns == ("0", "1", "2", "flag=False", "flag=True", "big")
    assert np.array_equal(data.items[:, :3], frame[[0, 1, 2]].to_numpy())
    assert np.array_equal(data.items[:, 4], frame["flag"])
    assert np.isnan(data.items[1:, 5]).all()
    notes = "\n".join(data.notes)
    assert "'empty', which is empty" in notes
    assert "'big': 49 cells are not a finite number" in notes


def test_columns_that_only_name_the_rows_are_dropped_aloud():
    frame = pd.DataFrame({"PassengerId": range(100, 160), "Name": [f"Person, Mr. {i}" for i in range(60)]})
    frame["Age"], frame["Sex"], frame["Fare"], frame["Class"] = 1.5, ["m", "f"] * 30, range(60), [1, 2, 3] * 20
    frame["Survived"] = [0, 1] * 30
    data = read(frame, label="Survived")
    assert data.modality == "table"
    assert data.columns == ("Age", "Sex=f", "Sex=m", "Fare", "Class")
    notes = "\n".join(data.notes)
    assert "'PassengerId', whose values only name the rows" in notes
    assert "'Name', which has 60 distinct words" in notes


def test_names_with_an_equals_sign_must_not_be_ambiguous():
    frame = pd.DataFrame({"a": ["b=c", "x"] * 9, "a=b": ["c", "y"] * 9, "target": [0, 1] * 9})
    with pytest.raises(DataError, match="two ways"):
        read(frame)


def test_images_of_a_table(tmp_path):
    (tmp_path / "pics").mkdir()
    for i in range(4):
        (tmp_path / f"pics/{i}.jpg").touch()
    text = "file,split,label\n" + "".join(f"pics/{i}.jpg,s,{'ab'[i % 2]}\n" for i in range(5))
    path = write(tmp_path / "t.csv", text + f"{tmp_path}/pics/0.jpg,s,a\n,s,a\npics,s,b\n")
    data = read(path, label="label")
    assert data.modality == "image"
    assert data.items == [tmp_path / f"pics/{i}.jpg" for i in (0, 1, 2, 3, 0)]
    assert reasons(data).keys() == {"row 5", "row 7", "row 8"}
    assert "no such file" in reasons(data)["row 5"]


def test_a_frame_of_images_starts_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").touch()
    monkeypatch.chdir(tmp_path)
    data = read(pd.DataFrame({"path": ["a.png", "b.png"], "class": ["x", "y"]}))
    assert data.modality == "image"
    assert all(path.is_file() for path in data.items)


def test_texts_may_be_files(tmp_path):
    write(tmp_path / "a.txt", "text of a")
    write(tmp_path / "b.txt", "text of b")
    path = write(tmp_path / "t.csv", "text,label\na.txt,x\nb.txt,y\nc.txt,y\n")
    data = read(path)
    assert data.items == ["text of a", "text of b"]
    assert reasons(data) == {"row 3": "c.txt: no such file"}


def test_rows_that_cannot_be_used_are_skipped_with_reasons(tmp_path):
    text = "text,label\ngood words here,a\n,b\n  ,b\nother good words,b\nno label here,\nnan label here,NaN\n"
    data = read(write(tmp_path / "t.csv", text))
    assert data.ids == ("row 1", "row 4")
    assert reasons(data) == {
        "row 2": "empty text", "row 3": "empty text", "row 5": "no label", "row 6": "no label",
    }  # fmt: skip


def test_bad_lines_are_skipped_and_named(tmp_path):
    text = 'text,label\ngood one,a\ntoo,many,fields\n\n"two\nlines",b\nfew\n"a"b,c\nlast one,b\n'
    data = read(write(tmp_path / "t.csv", text), modality="text")
    assert data.items == ["good one", "two\nlines", "last one"]
    assert data.ids == ("row 1", "row 3", "row 6")
    assert reasons(data)["row 2"] == "line 3: 3 fields where the header has 2"
    assert reasons(data)["row 4"].startswith("line 7: 1 fields")
    assert reasons(data)["row 5"].startswith("line 8:")


def test_an_open_quote_costs_its_rows_not_the_run(tmp_path):
    data = read(write(tmp_path / "t.csv", 'text,label\none one,a\ntwo two,b\n"three,c\nfour,d\n'), modality="text")
    assert len(data) == 2
    assert reasons(data)["row 3"].startswith("lines 4-5: unexpected end of data")


def test_bad_json_lines(tmp_path):
    lines = ['{"text": "one two", "label": "a"}', "{broken", "[1]", "[" * 100_000, '{"text": "x y", "label": "b"}', ""]
    lines += ['{"label": "b"}', '{"text": "z", "label": NaN}', '{"text": ' + "9" * 5000 + ', "label": "a"}']
    data = read(write(tmp_path / "t.jsonl", "\n".join(lines)), modality="text")
    assert data.items == ["one two", "x y"]
    why = reasons(data)
    assert "line 2: not JSON" in why["row 2"]
    assert why["row 3"] == "line 3: list where an object was expected"
    assert why["row 6"] == "empty text"
    assert why["row 7"] == "no label"
    assert len(why) == 6


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "empty"),
        ("t.csv", b"text,label\n", "no rows"),
        ("t.csv", b"text,text\na,b\n", "two columns named 'text'"),
        ("t.csv", "text,label\nnaïve,a\n".encode("latin-1"), "not UTF-8"),
        ("t.csv", b"text,label\n,\n,\n", "none of the 2 rows"),
        ("t.csv", b"text,label\nsome words,\nmore words,\n", "label column 'label' is empty"),
        ("t.csv", b"text,label\nsome words,a\nmore words,a\n", "only one class, 'a'"),
        ("t.csv", b"only\n1\n2\n", "no column"),
        ("t.tsv", b"a,b\n\n\n", "no rows"),
        ("t.jsonl", b"", "no rows"),
        ("t.jsonl", b"[1, 2]\n", "line 1: list"),
        ("t.parquet", b"PAR1 nonsense", "not a parquet"),
        ("t.xlsx", b"PK", "no folder and no table"),
    ],
)  # fmt: skip
def test_files_that_are_no_use(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        read(path)
    assert "\n" not in str(raised.value)


def test_a_wrong_column_lists_those_there_are(tmp_path):
    path = write(tmp_path / "t.csv", "text,label\nsome words here,a\nmore words here,b\n")
    for option in ("label", "input", "group", "time"):
        with pytest.raises(DataError, match="has no column 'lable'; there are text, label; did you mean 'label'"):
            read(path, **{option: "lable"})
    with pytest.raises(DataError, match="did you mean 'label'"):
        read(path, label="LABEL")


def test_sizes_are_bounded(tmp_path, monkeypatch):
    path = write(tmp_path / "t.csv", "text,label\n" + "some words here,a\nmore words,b\n" * 10_000)
    monkeypatch.setattr(tables, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="a table may have 1,000"):
        read(path)
    monkeypatch.setattr(tables, "MAX_BYTES", 1 << 30)
    monkeypatch.setattr(tables, "MAX_CELLS", 1000)
    with pytest.raises(DataError, match="more than 1,000 cells"):
        read(path)
    frame = pd.DataFrame({"text": ["same"] * 2000, "label": ["a"] * 2000})
    pytest.importorskip("pyarrow")
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="more than 1,000 cells"):
        read(tmp_path / "t.parquet")


def test_contradictions_are_kept_and_said():
    frame = pd.DataFrame({"text": ["same words", "other words", "same words", "more words"] * 2, "y": list("aabbabaa")})
    data = read(frame, modality="text")
    assert len(data) == 8
    assert any(
        note.startswith("3 inputs stand there with different labels") and "row 1 and row 3" in note
        for note in data.notes
    )
    features = pd.DataFrame({"x": [1.0, 1.0, 2.0], "z": [0.5, 0.5, 0.1], "y": list("aba")})
    assert any("row 1 and row 2" in note for note in read(features).notes)


def test_groups_by_name_or_by_order():
    n = 30
    frame = pd.DataFrame({"text": [f"words of row {i}" for i in range(n)], "label": ["a", "b", "b"] * 10})
    frame["patient"] = [f"p{i % 10}" for i in range(n)]
    frame["ward"] = ["w1", "w2", None] * 10
    data = read(frame)
    assert any("groups: column 'patient', by its name" in note for note in data.notes)
    assert len(np.unique(data.groups)) == 10
    assert data.groups[0] == data.groups[10] != data.groups[1]
    assert data.groups.dtype == np.int64
    data = read(frame, group="ward")
    assert len(np.unique(data.groups)) == 3
    assert data.groups[2] == data.groups[5]
    assert any("10 rows without one" in note for note in data.notes)


def test_times_are_numbers_or_iso_dates(tmp_path):
    text = "text,label,when\none two three,a,2024-01-02\nfour five six,b,1970-01-01T00:00:10Z\nno time here,b,\n"
    data = read(write(tmp_path / "t.csv", text), time="when")
    assert data.times.tolist() == [pd.Timestamp("2024-01-02", tz="UTC").timestamp(), 10.0]
    assert reasons(data) == {"row 3": "no time in column 'when'"}
    with pytest.raises(DataError, match="a date like 2024-01-31"):
        read(write(tmp_path / "u.csv", "text,label,when\none two three,a,01/02/2024\n"), time="when")
    frame = pd.DataFrame(
        {"text": ["a b c", "d e f"], "label": ["x", "y"], "when": pd.to_datetime(["2024-01-02", "1970-01-02"])}
    )
    assert read(frame, time="when").times.tolist() == [1704153600.0, 86400.0]


def test_kinds_of_missing_in_frames():
    frame = pd.DataFrame({
        "text": ["one two three", None, np.nan, pd.NA, "five six seven", "eight nine ten"],
        "label": pd.array([1, 0, 1, 0, 0, pd.NA], dtype="Int64"),
    })  # fmt: skip
    data = read(frame)
    assert data.ids == ("row 1", "row 5")
    assert data.target.classes == ("0", "1")


def test_class_names_of_tables_are_nfc():
    frame = pd.DataFrame({"text": ["a b c", "d e f", "g h i"], "label": ["Gru\u0308n", "Gr\u00fcn", "rot"]})
    assert read(frame).target.classes == ("Gr\u00fcn", "rot")


def test_a_model_is_evaluated_in_its_own_classes_and_columns(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "kind": ["b", "b", "b"], "label": ["q", "q", "zzz"]})
    data = read_for_model(frame, "table", "binary", ("p", "q"), columns=("kind=a", "x", "kind=b"), label="label")
    assert data.columns == ("kind=a", "x", "kind=b")
    assert data.items.tolist() == [[0, 1, 1], [0, 2, 1]]
    assert data.target.y.tolist() == [1, 1]
    assert data.target.classes == ("p", "q")
    assert reasons(data) == {"row 3": "label 'zzz' is none of the model's 2 classes"}
    with pytest.raises(DataError, match="is one of the model's classes"):
        read_for_model(frame, "table", "binary", ("m", "n"), columns=("x",), label="label")


def test_a_model_of_a_table_is_evaluated_on_a_folder(tmp_path):
    for name in ("p", "q", "strange"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "1.txt", f"text of {name}")
    data = read_for_model(tmp_path, "text", "binary", ("p", "q"), input="column")
    assert data.target.y.tolist() == [0, 1]
    assert reasons(data) == {"strange/1.txt": "label 'strange' is none of the model's 2 classes"}
    frame = pd.DataFrame({"text": ["a b c", "d e f", "g h i"], "label": list("ppp"), "site": [1, 1, 2]})
    data = read_for_model(frame, "text", "binary", ("p", "q"), group="site")
    assert data.groups.tolist() == [0, 0, 1]
    assert data.target.y.tolist() == [0, 0, 0]


def test_plain_types_only_for_a_jsonl_row(tmp_path):
    rows = [{"text": f"words of row {i}", "label": i % 2, "meta": {"a": [1]}} for i in range(6)]
    data = read(write(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows))))
    assert data.target.classes == ("0", "1")


@pytest.mark.parametrize("name", ["", "no/such.csv", "x" * 5000, "null\0byte.csv"])
def test_names_of_nothing(name):
    with pytest.raises(DataError, match=r"no such file or folder|empty name"):
        read(name)


def test_unreadable_data_of_other_types():
    with pytest.raises(DataError, match="is a list; expected a folder"):
        read([1, 2])


@pytest.mark.parametrize("role", ["input", "group"])
def test_a_label_is_not_learned_from_itself(role):
    frame = pd.DataFrame(text_rows(), columns=["text", "meaning"])
    with pytest.raises(DataError, match=f"'meaning' is named as the label and as the {role}"):
        read(frame, label="meaning", **{role: "meaning"})


def test_one_other_column_is_the_text_that_was_asked_for():
    frame = pd.DataFrame({"code": [str(i) for i in range(12)], "label": ["a", "b"] * 6})
    assert read(frame, modality="text").items == [str(i) for i in range(12)]


def test_a_model_finds_the_columns_of_its_fit_again():
    """Another column may look more like a text or a label; what was learned from is taken where it is there."""
    rows = [("short", f"a much longer text here {i}", "ab"[i % 2], "cd"[i % 3 == 0]) for i in range(12)]
    frame = pd.DataFrame(rows, columns=["title", "body", "verdict", "label"])
    fitted = read(frame, input="title", label="verdict")
    assert (fitted.input, fitted.labels) == ("title", ("verdict",))
    usual = {"usual_input": fitted.input, "usual_labels": fitted.labels}
    again = read_for_model(frame, "text", "binary", ("a", "b"), **usual)
    assert again.items == ["short"] * 12
    assert classes_of(again) == classes_of(fitted)
    renamed = frame.drop(columns=["title", "verdict"])
    other = read_for_model(renamed, "text", "binary", ("c", "d"), **usual)
    assert other.items == [body for _, body, _, _ in rows]
    assert read_for_model(frame, "text", "binary", ("c", "d"), label="label", input="body", **usual).labels == (
        "label",
    )


def test_the_label_is_not_sought_among_the_columns_of_the_model():
    frame = pd.DataFrame({"x": [0, 1] * 6, "z": [1, 0] * 6})
    with pytest.raises(DataError, match="no column for the label"):
        read_for_model(frame, "table", "binary", ("0", "1"), columns=("x", "z"))


def test_label_columns_are_those_of_the_model():
    frame = pd.DataFrame({"text": WORDS * 3, "q": [0, 1] * 6, "p": [1, 0] * 6, "r": [1, 1] * 6})
    data = read_for_model(frame, "text", "multilabel", ("p", "q"), label="q,p")
    assert data.target.classes == ("p", "q")
    assert data.target.y[0].tolist() == [1, 0]
    with pytest.raises(DataError, match=r"label columns p, r are not the model's classes \(p, q\)"):
        read_for_model(frame, "text", "multilabel", ("p", "q"), label="p,r")


def test_empty_labels_of_many_at_once_are_said_to_be_unknown():
    frame = pd.DataFrame({"text": WORDS * 3, "tags": ["a;b", "b", None, ";"] * 3})
    data = read(frame)
    assert len(data) == 9
    assert data.target.y.sum(axis=1).tolist() == [2, 1, 0] * 3
    assert any("3 rows with an empty label are left out" in note and "a lone ';'" in note for note in data.notes)


def test_a_table_of_images_that_no_reader_takes_is_one_of_images_all_the_same(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.avif").touch()
    rows = "".join(f"{i}.avif,{'ab'[i % 2]}\n" for i in range(4))
    data = read(write(tmp_path / "t.csv", "file,label\n" + rows))
    assert data.modality == "image"
    assert ".avif images cannot be read here: convert them to .png or .jpg" in data.notes


@pytest.mark.parametrize("task", [None, "multilabel"])
def test_labels_joined_by_commas_are_hinted_at(task):
    frame = pd.DataFrame({"text": [f"words of row {i}" for i in range(60)], "y": ["red,big", "big", "red, old"] * 20})
    data = read(frame, task=task)
    assert data.target.classes == ("big", "red, old", "red,big")
    [note] = [note for note in data.notes if "hold commas" in note]
    assert note.startswith("40 labels hold commas, and their parts recur ('red,big'): ")
    assert "join them by ';' or give lists, with --task multilabel" in note
    joined = frame.assign(y=frame["y"].str.replace(",", ";"))
    data = read(joined)
    assert data.target.classes == ("big", "old", "red")
    assert not any("hold commas" in note for note in data.notes)
    assert not any("hold commas" in note for note in read(frame, task="multiclass").notes)


@pytest.mark.parametrize(
    "labels",
    [
        ["Portland, OR", "Salem, OR", "Boise, ID"],  # OR recurs, the towns do not
        ["a,b", "c", "d"],
        ["x", "y", "z"],
        ["1,5", "2,5", "3"],
    ],
)
def test_names_with_commas_are_no_hint(labels):
    frame = pd.DataFrame({"text": [f"words of row {i}" for i in range(60)], "y": labels * 20})
    assert not any("hold commas" in note for note in read(frame).notes)


def test_a_rare_comma_is_no_hint():
    labels = ["a", "b", "c"] * 20 + ["a,b", "b,c"]
    frame = pd.DataFrame({"text": [f"words of row {i}" for i in range(62)], "y": labels})
    assert not any("hold commas" in note for note in read(frame).notes)


def test_numbers_with_signs_are_numbers_said_aloud_and_classes_as_written():
    frame = pd.DataFrame({"a": [f"{i}.5 %" for i in range(40)], "price": [f"${i},000.25" for i in range(1, 41)]})
    data = read(frame)
    assert data.target.task == "regression"
    assert data.target.y[:2].tolist() == [1000.25, 2000.25]
    assert data.items[:2].ravel().tolist() == [0.5, 1.5]
    assert any("'$1,000.25' is read as 1000.25" in note for note in data.notes)
    shares = read(pd.DataFrame({"a": range(40), "share": ["10 %", "20 %"] * 20}))
    assert shares.target.classes == ("10 %", "20 %")


@pytest.mark.parametrize("last", ["03.02.2024", "2024-02-03", "2024-02-03T10:00:00", "3/2/24", "K-{i:04d}"])
def test_a_date_or_a_name_of_the_row_is_not_the_label(last):
    frame = pd.DataFrame({"a": range(30), "size": [i * 0.5 for i in range(30)]})
    frame["when"] = [last.format(i=i) for i in range(30)]
    assert read(frame).labels == ("size",)


def test_several_columns_of_0_and_1_are_hinted_at():
    columns = {name: [(i >> k) % 2 for i in range(24)] for k, name in enumerate(("wet", "cold", "late"))}
    data = read(pd.DataFrame({"text": [f"some words of row {i}" for i in range(24)], **columns}))
    assert data.labels == ("late",)
    assert any("--label wet,cold,late" in note for note in data.notes)
    assert not any(
        "--label" in note for note in read(pd.DataFrame({"text": data.items, "late": columns["late"]})).notes
    )


def test_objects_in_objects_are_columns(tmp_path):
    rows = [{"text": text, "label": {"name": label, "by": {}}, "meta": {"n": 1}} for text, label in text_rows()]
    write(tmp_path / "t.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    data = read(tmp_path / "t.jsonl", label="label.name")
    assert data.target.classes == ("a", "b")
    write(tmp_path / "t.jsonl", json.dumps(rows, indent=1))
    with pytest.raises(DataError, match="one JSON array; expected one object a line"):
        read(tmp_path / "t.jsonl")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a red house,x\n" + "".join(f"{t},{'xy'[i % 2]}\n" for i, (t, _) in enumerate(text_rows())), "'x'"),
        ("5.1,3.5,setosa\n" + "".join(f"{i}.5,{i}.25,{'ab'[i % 2]}\n" for i in range(12)), "'5.1'"),
        ("text,x\n" + "".join(f"{t},{label}\n" for t, label in text_rows()), None),
        ("0,1,2\n" + "".join(f"{i % 2},1.5,{i}\n" for i in range(12)), None),  # pandas numbers nameless columns
    ],
)
def test_a_first_line_that_looks_like_a_row_is_said(tmp_path, text, said):
    notes = [note for note in tables.load_table(write(tmp_path / "t.csv", text)).notes if "looks like a row" in note]
    assert [said in note for note in notes] == ([] if said is None else [True])


def test_files_that_lie_elsewhere_are_hinted_at(tmp_path):
    for i in range(4):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / "pictures" / f"{i}.png").touch()
    names = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(4))
    with pytest.raises(DataError, match=r"pictures/0\.png is there"):
        read(write(tmp_path / "t.csv", "file,label\n" + names))
    bare = write(tmp_path / "t.csv", "file,label\n" + names.replace(".png", ""))
    with pytest.raises(DataError, match=r"pictures/0\.png is there"):
        read(bare, input="file", modality="image")
