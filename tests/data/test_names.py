"""Groups and classes that a pattern reads off the names of files."""

from pathlib import Path

import numpy as np
import pytest

from headstart.data import read, read_for_model
from headstart.data.names import MAX_NAME, name_part
from headstart.errors import DataError, OptionError

pd = pytest.importorskip("pandas")

SPEAKERS = ("ann", "bob", "cy", "dee", "eve", "flo")
FLAT = [f"{digit}_{who}_{take}.wav" for digit in range(3) for who in SPEAKERS for take in range(2)]
SPEAKER, DIGIT = r"speaker=_(\w+)_", r"digit=^(\d+)_"


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("words", encoding="utf-8")
    return root


def by_hand(names, field):
    """The fields of names, split by hand, as codes in alphabetical order."""
    values = [name.rpartition("/")[2].split("_")[field] for name in names]
    return [sorted(set(values)).index(value) for value in values]


@pytest.mark.parametrize("suffix", ["wav", "png", "txt"])
def test_groups_of_files_in_class_folders(tmp_path, suffix):
    names = [f"{name[0]}/{name.replace('wav', suffix)}" for name in FLAT]
    data = read(touch(tmp_path, *names), group=SPEAKER)
    assert data.groups.dtype == np.int64
    assert data.groups.tolist() == by_hand(data.ids, 1)
    assert "groups: 'speaker' in the files' names, 6 distinct (ann, bob, cy, dee, eve and 1 more)" in data.notes


def test_the_class_off_the_names_of_a_flat_folder(tmp_path):
    data = read(touch(tmp_path, *FLAT), label=DIGIT, group=SPEAKER)
    assert data.ids == tuple(sorted(FLAT))
    assert data.target.classes == ("0", "1", "2")
    assert data.target.y.tolist() == by_hand(data.ids, 0)
    assert data.groups.tolist() == by_hand(data.ids, 1)
    assert data.labels == ()
    assert "task multiclass: 3 distinct labels, 'digit' in the files' names" in data.notes


def test_the_class_off_the_names_of_a_folder_of_other_folders(tmp_path):
    """RAVDESS's layout: Actor_01/03-01-05-01-02-01-01.wav, the third number the emotion."""
    names = [f"Actor_{a:02}/03-01-{e:02}-01-{s:02}-01-{a:02}.wav" for a in range(1, 5) for e in (1, 5) for s in (1, 2)]
    data = read(touch(tmp_path, *names), label=r"emotion=/\d+-\d+-(\d+)", group="actor=^[^/]+")
    assert data.target.classes == ("01", "05")  # spelled as in the names
    assert data.groups.tolist() == [int(id_[6:8]) - 1 for id_ in data.ids]
    assert not any("class folders" in note for note in data.notes)
    data = read(tmp_path, label=r"emotion=/\d+-\d+-(\d+)", task="regression", group="none")
    assert sorted(set(data.target.y.tolist())) == [1.0, 5.0]


def test_of_two_captures_the_first_and_of_none_the_whole_match(tmp_path):
    touch(tmp_path, "a/x1_y1.wav", "a/x1_y2.wav", "b/x2_y1.wav", "b/x1_y2.wav")
    assert read(tmp_path, group=r"who=(x\d)_(y\d)").groups.tolist() == [0, 0, 0, 1]
    assert read(tmp_path, group=r"who=y\d").groups.tolist() == [0, 1, 1, 0]
    assert read(tmp_path, group=r"who=(?:x\d)_(?P<take>y\d)").groups.tolist() == [0, 1, 1, 0]


def test_paths_of_a_table(tmp_path):
    touch(tmp_path, *(f"clips/{name}" for name in FLAT))
    rows = [f"clips/{name},{'ab'[i % 2]}" for i, name in enumerate(FLAT)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", "clips/gone.wav,a", *rows]))
    data = read(tmp_path / "t.csv", group=SPEAKER)  # the file that is gone matches nothing, and is skipped anyway
    assert data.groups.tolist() == by_hand(FLAT, 1)
    assert data.labels == ("label",)
    data = read(tmp_path / "t.csv", label=r"digit=/(\d+)_", group=SPEAKER)
    assert data.labels == ()
    assert data.target.y.tolist() == by_hand(FLAT, 0)
    assert "not used: column label" in data.notes
    data = read(pd.DataFrame({"path": [str(tmp_path / "clips" / name) for name in FLAT]}), label=r"digit=/(\d+)_[^/]*$")
    assert data.target.classes == ("0", "1", "2")


def test_paths_of_texts_in_a_table(tmp_path):
    touch(tmp_path, "0_ann.txt", "1_bob.txt", "0_bob.txt", "1_ann.txt")
    table = pd.DataFrame({"file": [str(path) for path in sorted(tmp_path.glob("*.txt"))]})
    data = read(table, modality="text", label=r"digit=(\d)_\w+\.txt$", group=r"who=_([a-z]+)\.txt$")
    assert data.modality == "text"
    assert data.target.y.tolist() == [0, 0, 1, 1]
    assert data.groups.tolist() == [0, 1, 0, 1]


def test_a_column_of_that_name_wins():
    frame = pd.DataFrame({"x": np.arange(12) / 7, "site=a": [0, 1, 1] * 4, "b=1": [0, 0, 1] * 4, "y": list("ab") * 6})
    assert read(frame, label="y", group="site=a").groups.tolist() == [0, 1, 1] * 4
    assert read(frame, label="site=a,b=1", task="multilabel").labels == ("site=a", "b=1")
    with pytest.raises(DataError, match=r"is read off the names of files, and the items of DataFrame are none: name a"):
        read(frame, label="y", group="site=b")
    texts = pd.DataFrame({"text": [f"words that stand here {i}" for i in range(12)], "y": list("ab") * 6})
    with pytest.raises(DataError, match="read off the names of files"):
        read(texts, group="site=here")
    with pytest.raises(DataError, match="read off the names of files"):
        read(texts, label="site=here")


def test_names_without_the_part_are_named_and_counted(tmp_path):
    touch(tmp_path, "a/1_ann_1.wav", "a/plain.wav", "b/1_ann_2.wav", "b/none.wav")
    with pytest.raises(DataError) as raised:
        read(tmp_path, group=SPEAKER)
    assert "\n" not in str(raised.value)
    assert "--group 'speaker=_(\\w+)_' finds nothing in 'a/plain.wav' and 1 more, of 4 names" in str(raised.value)
    with pytest.raises(DataError, match=r"--label 'digit=_\(\\w\*\)_n'.*finds nothing in 'a/1_ann_1.wav' and 3 more"):
        read(tmp_path, label=r"digit=_(\w*)_n")
    with pytest.raises(DataError, match="finds nothing"):  # an empty part is none
        read(tmp_path, group=r"who=(x*)")
    with pytest.raises(DataError, match="finds nothing"):  # nor is one that did not take part
        read(tmp_path, group=r"who=(x)?\.wav")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("=x", "expected a column, or NAME=REGEX, for example --group"),
        (" =x", "NAME=REGEX"),
        ("speaker=", "NAME=REGEX"),
        ("speaker=_(", r"'_\(' is no regular expression: missing \)"),
        ("speaker=*", "is no regular expression: nothing to repeat"),
        ("speaker=a{99999999999}", "is no regular expression"),
        (r"speaker=^(\w+)+=", "repetition is repeated .* can take for ever"),
        (r"speaker=(?:(\w*)*-)*x", "can take for ever"),
    ],
)
def test_patterns_that_are_none(tmp_path, value, message):
    for role in ("group", "label"):
        with pytest.raises(OptionError, match=message.replace("--group", f"--{role}")) as raised:
            read(touch(tmp_path, "a/1.wav", "b/1.wav"), **{role: value})
        assert "\n" not in str(raised.value)


def test_no_pattern_is_searched_in_a_name_of_any_length():
    part = name_part("group", r"who=(\w*)(\w*)(\w*)=")  # time grows with the cube of the length
    assert part.of(["x" * 60 + "="]) == ["x" * 60]
    with pytest.raises(DataError, match=f"names longer than {MAX_NAME} characters are not searched"):
        part.of(["x" * (MAX_NAME + 1) + "="])


@pytest.mark.parametrize("written", [r"(\w+)_", r"(?:[^_]*_)*(\w)", r"(a\+)+", r"([^/]*)-[^/]*$"])
def test_patterns_that_end_soon_are_not_refused(written):
    assert name_part("group", f"who={written}").pattern.pattern == written


def test_columns_are_still_refused_for_folders_and_none_is_not(tmp_path):
    touch(tmp_path, "a/1.wav", "b/1.wav")
    for role in ("label", "group"):
        with pytest.raises(DataError, match=rf"{role}= names a column; .* write NAME=REGEX, for example --{role} '"):
            read(tmp_path, **{role: "x"})
    with pytest.raises(DataError, match=r"time= names a column; expected a table for that$"):
        read(tmp_path, time="x=y")
    assert read(tmp_path, group="none").groups is None


def test_a_flat_folder_says_both_ways(tmp_path):
    touch(tmp_path, "1.wav", "2.wav", "note.txt", "x.bin", ".hidden.wav")
    with pytest.raises(
        DataError, match=r"no class folders, but 2 sound files, 1 text file: put them into one folder a"
    ):
        read(tmp_path)
    with pytest.raises(DataError, match=r"or read the classes off the files' names, for example --label 'digit="):
        read(tmp_path)
    with pytest.raises(
        DataError, match=r"only one class, 'all', has items; at least two are needed, or read .* --label"
    ):
        read(touch(tmp_path, "all/1.wav"))


def test_groups_that_are_the_classes_are_refused(tmp_path):
    touch(tmp_path, *(f"{name[0]}/{name}" for name in FLAT))
    with pytest.raises(DataError, match="classes is in one group of 'digit' in the files' names only, so none can be"):
        read(tmp_path, group=r"digit=/(\d)_")


def test_few_groups_are_said_to_be_rough(tmp_path):
    touch(tmp_path, "a/x1_1.wav", "a/x2_1.wav", "b/x1_2.wav", "b/x2_2.wav")
    assert any(
        note == "groups: 'who' in the files' names, 2 distinct (x1, x2), so few that the estimate is rough"
        for note in read(tmp_path, group=r"who=x\d").notes
    )


def test_data_to_evaluate_on(tmp_path):
    touch(tmp_path, *FLAT, "7_ann_0.wav")
    data = read_for_model(tmp_path, "sound", "multiclass", ("0", "1", "2"), label=DIGIT, group=SPEAKER)
    assert len(data) == len(FLAT)
    assert data.groups.tolist() == by_hand(data.ids, 1)
    assert [skip.id for skip in data.skipped] == ["7_ann_0.wav"]
    one = read_for_model(touch(tmp_path / "one", *FLAT[:12]), "sound", "multiclass", ("0", "1", "2"), label=DIGIT)
    assert one.target.y.tolist() == [0] * 12
