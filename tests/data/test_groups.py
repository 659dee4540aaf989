"""Columns that look like groups: which are taken, which are not, and what is said of both."""

import numpy as np
import pytest

from headstart.data import read, read_for_model
from headstart.errors import DataError

pd = pytest.importorskip("pandas")

N = 48


def numbers(**columns):
    """A table of features with two columns of noise and a label."""
    rng = np.random.default_rng(0)
    return pd.DataFrame({"x": rng.random(N), "z": rng.random(N), **columns, "label": ["a", "a", "b", "b"] * 12})


def texts(**columns):
    return pd.DataFrame(
        {"text": [f"some words of row {i}" for i in range(N)], **columns, "label": ["a", "a", "b", "b"] * 12}
    )


def values(count):
    """`count` distinct names, each of N / count rows."""
    return [f"v{i % count}" for i in range(N)]


def said(data, words):
    return [note for note in data.notes if words in note]


@pytest.mark.parametrize(
    "name",
    [
        "patient", "Patient ID", "patient-id", "PatientId", "patient_no", "Patient Nr.", "Subject ID", "SUBJECT NUMBER",
        "case_id", "participant_id", "person id", "user_id", "User Name", "recording_no", "donor", "animal-id",
        "site_code", "customer_id", "group", "Groups", "speaker", "hospital",
    ],
)  # fmt: skip
@pytest.mark.parametrize("frame", [numbers, texts])
def test_groups_are_found_by_the_names_people_give_them(name, frame):
    data = read(frame(**{name: values(8)}))
    assert len(np.unique(data.groups)) == 8
    assert len(said(data, f"groups: column {name!r}, by its name")) == 1
    assert data.columns in ((), ("x", "z"))


@pytest.mark.parametrize("name", ["cases", "groupon", "patience", "subjective", "animal", "video", "id_of_patients"])
def test_other_names_are_no_groups(name):
    assert read(numbers(**{name: values(8)})).groups is None


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("frame", [numbers, texts])
def test_few_groups_are_groups_and_the_estimate_is_said_to_be_rough(count, frame):
    data = read(frame(patient=values(count)))
    assert len(np.unique(data.groups)) == count
    assert said(data, f"which are only {count} groups, so that the estimate is rough")
    assert data.columns in ((), ("x", "z"))


@pytest.mark.parametrize("word", ["group", "case", "user", "site", "subject"])
def test_a_bare_word_with_few_values_is_a_category_of_a_table_and_groups_texts(word):
    data = read(numbers(**{word: values(2)}))
    assert data.groups is None
    assert data.columns == ("x", "z", f"{word}=v0", f"{word}=v1")
    [note] = said(data, f"column {word!r} looks like groups, but has 2 values only: it is learned from as a feature")
    assert "--group" in note
    data = read(texts(**{word: values(2)}))
    assert len(np.unique(data.groups)) == 2
    assert not said(data, "not used")
    assert len(np.unique(read(numbers(**{word: values(2)}), group=word).groups)) == 2


@pytest.mark.parametrize("name", ["patient_id", "patient", "case", "User No"])
@pytest.mark.parametrize("cells", [list(range(100, 100 + N)), [f"p{i}" for i in range(N)], [None, *range(1, N)]])
def test_a_name_an_item_is_neither_groups_nor_a_feature(name, cells):
    data = read(numbers(**{name: cells}))
    assert data.groups is None
    assert data.columns == ("x", "z")
    assert said(data, f"column {name!r} looks like groups, but has another value in every row: it is not learned from")


def test_one_group_is_none():
    data = read(numbers(patient_id=[7] * N))
    assert data.groups is None
    assert data.columns == ("x", "z")
    assert said(data, "column 'patient_id' looks like groups, but has one value in all rows")


def test_of_several_the_surest_is_taken_and_the_others_are_not_learned_from():
    data = read(numbers(group=values(6), patient_id=values(12), site=values(8), user=values(2)))
    assert len(np.unique(data.groups)) == 12
    assert data.columns == ("x", "z", "user=v0", "user=v1")
    assert said(data, "column 'site' looks like groups too: it is not learned from; name it with --group to keep")
    assert said(data, "column 'user' looks like groups too: it is learned from as a feature")


def test_another_column_can_be_named_or_none():
    frame = numbers(patient_id=values(12), ward=values(6), site=values(8))
    data = read(frame, group="ward")
    assert len(np.unique(data.groups)) == 6
    assert data.columns == ("x", "z")
    assert said(data, "column 'patient_id' looks like groups too")
    data = read(frame, group="none")
    assert data.groups is None
    assert [name for name in data.columns if name.startswith("patient")] == []  # a number of a patient is no feature
    assert "site=v0" in data.columns
    assert said(data, "column 'patient_id' looks like groups, and is not used as such: it is not learned from")
    assert len(np.unique(read(numbers(none=values(4)), group="none").groups)) == 4  # a column of that name


def test_texts_paths_lists_and_measurements_are_no_groups_whatever_their_name(tmp_path):
    prose = pd.DataFrame({"case": [f"what the court said {2 * i // 3}" for i in range(N)], "label": ["a", "b"] * 24})
    data = read(prose)
    assert (data.modality, data.input, data.groups) == ("text", "case", None)
    (tmp_path / "1.png").touch()
    (tmp_path / "t.csv").write_text("recording,label\n" + "1.png,a\n1.png,b\n" * 3)
    data = read(tmp_path / "t.csv", label="label")
    assert (data.modality, data.input, data.groups) == ("image", "recording", None)
    data = read(numbers(patient=[i / 7 for i in range(N)]))
    assert data.groups is None
    assert "patient" in data.columns
    assert read(numbers(session=[["a"], ["b"]] * 24)).groups is None
    assert read(numbers(patient=[None] * N)).groups is None


def test_names_of_several_words_that_recur_are_groups():
    data = read(texts(Patient=[f"John A. Smith {i % 6}" for i in range(N)]))
    assert data.input == "text"
    assert len(np.unique(data.groups)) == 6


def test_the_only_other_column_is_the_label_whatever_its_name():
    frame = texts(user=values(6)).drop(columns="label")
    data = read(frame)
    assert data.labels == ("user",)
    assert data.groups is None
    frame = numbers().drop(columns="label").assign(case=[0, 1] * 24)
    assert read(frame).labels == ("case",)


def test_nothing_but_groups_to_learn_from_is_an_error_that_says_so():
    frame = pd.DataFrame({"patient": values(6), "label": ["a", "b"] * 24})
    with pytest.raises(DataError, match="no column to learn from besides the label label; patient by their names"):
        read(frame)


def test_a_column_that_a_model_learned_from_is_no_group():
    frame = numbers(site=values(8))
    data = read_for_model(frame, "table", "binary", ("a", "b"), columns=("x", "site=v0"), label="label")
    assert data.groups is None
    assert not said(data, "looks like groups")
    data = read_for_model(frame, "table", "binary", ("a", "b"), columns=("x", "z"), label="label")
    assert len(np.unique(data.groups)) == 8
