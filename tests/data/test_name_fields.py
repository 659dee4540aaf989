"""Names that look as if a part of them named a group: what is said, what is not, and that what is said works."""

import re
from pathlib import Path

import numpy as np
import pytest

from headstart.data import read, read_for_model
from headstart.data.name_fields import guess_note, likely_field
from headstart.tasks import Target

FSDD = [
    (f"{digit}_{who}_{take}.wav", str(digit))
    for digit in range(10)
    for who in ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
    for take in range(5)
]


def found(pairs):
    names, labels = zip(*pairs, strict=True)
    return likely_field(names, labels)


def target_of(labels):
    classes = tuple(sorted(set(labels)))
    return Target("multiclass", np.array([classes.index(label) for label in labels], np.int64), classes)


def folders(pairs):
    return [(f"{label}/{name}", label) for name, label in pairs]


def test_a_speaker_is_neither_the_class_nor_the_running_number():
    names, labels = zip(*FSDD, strict=True)
    field = likely_field(names, labels)
    assert (field.place, field.word) == (1, "")
    assert set(field.values) == {"george", "jackson", "lucas", "nicolas", "theo", "yweweler"}
    [note] = guess_note(names, target_of(labels))
    assert "2nd part (george, jackson, lucas and 3 more) named a group" in note
    assert "--group 'name=[^/_]*_([^/_]*)_[^/]*$'" in note
    assert "--group none" in note


def test_what_is_said_can_be_given_as_it_stands(tmp_path):
    for name, label in folders(FSDD):
        path = tmp_path / f"digit_{label}" / Path(name).name  # the separator stands in the folders' names too
        path.parent.mkdir(exist_ok=True)
        path.touch()
    data = read(tmp_path)
    assert data.groups is None
    [note] = [note for note in data.notes if "look as if" in note]
    option = re.search(r"--group '(.*?)';", note)[1]
    grouped = read(tmp_path, group=option)
    assert [sorted({id_.split("_")[2] for id_ in data.ids})[g] for g in grouped.groups] == [
        id_.split("_")[2] for id_ in data.ids
    ]
    for silent in (
        read(tmp_path, group="none"),
        grouped,
        read_for_model(tmp_path, "sound", "multiclass", ("digit_1",)),
    ):
        assert not any("look as if" in note for note in silent.notes)


def esc(folds=5):
    """ESC's names, fold-clip-take, with clips that are given twice."""
    rng = np.random.default_rng(0)
    clips = rng.choice(90_000, 200, replace=False) + 10_000
    return [
        (f"{1 + i % folds}-{clip}-{take}.ogg", "abcdefghij"[i % 10])
        for i, clip in enumerate(clips)
        for take in ("AB" if i % 6 == 0 else "A")
    ]


def test_folds_of_a_data_set_are_groups():
    field = found(folders(esc()))
    assert set(field.values) == {"1", "2", "3", "4", "5"}
    assert field.pattern == "([^/-]*)-[^/]*$"


def test_takes_of_one_recording_are_groups():
    field = found([(name.partition("-")[2], label) for name, label in esc()])
    assert (field.place, field.of) == (0, 2)
    assert len(field.counts) == 200
    # By chance, numbers recur from class to class; takes do not.
    assert found([(name, "ab"[i % 2]) for i, (name, _) in enumerate(esc())]).place == 0
    rng = np.random.default_rng(1)
    chance = [(f"{rng.integers(700)}-{rng.integers(900)}.jpg", "ab"[i % 2]) for i in range(300)]
    assert found(chance) is None


@pytest.mark.parametrize(
    ("name", "place", "word"),
    [
        ("spk{g}_{i}", 0, "speaker"),
        ("x_speaker-{g}_{i}", 1, "speaker"),
        ("p{g:03}_{i:02}", 0, "person"),
        ("S{g:02}-{i}", 0, "subject"),
        ("sub-{g:02}_run-{i}", 0, "subject"),
        ("a-patient-{g}-{i}", 2, "patient"),
        ("take.{i}.Recording{g}", 2, "recording"),
        ("sub-{g:02}.run_{i}", 0, "subject"),
        ("sub-{g:02}-ses-{i}_x", 1, "subject"),
        ("Proband{g:02}_{i}", 0, "proband"),
        ("Sitzung_1_Sprecherin-{g}_{i}", 2, "sprecherin"),
        ("paciente{g}-{i}", 0, "paciente"),
        ("img_Usua\u0301rio{g}_{i}", 1, "usuario"),
        ("M\u00d3WCA {g}_{i}", 0, "mowca"),
        ("пациент{g}_{i}", 0, "пациент"),
        ("患者{g}-{i:02}", 0, "患者"),
    ],
)
@pytest.mark.parametrize("groups", [2, 9])
def test_words_make_it_plain_even_of_two(name, place, word, groups):
    field = found([(name.format(g=g, i=i) + ".wav", "ab"[i % 2]) for g in range(groups) for i in range(6)])
    assert (field.place, field.word) == (place, word)


@pytest.mark.parametrize(
    "name",
    [
        "{label}_{i:03}",  # a running number in each class
        "img_{n}",  # one of the whole
        "{n}",
        "{label}{i}",
        "{label}_{label}2_x",  # the class, twice
        "{i}_{j}_" + "{n}_" * 3 + "{n}",  # a category of two values
        "{odd}",  # names of one and of two fields
        "fall{j}_{n}",  # who falls, and no case in German
        "klasse{j}_{n}",
        "grupal{j}x_{n}_imagen",
        "casino{j}_{n}",
    ],
)
def test_other_names_are_left_alone(name):
    pairs = []
    for n in range(120):
        label, i = "abcd"[n % 4], n // 4
        pairs.append((name.format(label=label, i=i, n=n, j=n % 2, odd=f"a_{i}" if n % 7 else "b") + ".png", label))
    assert found(pairs) is None or found(pairs).place == -1
    assert guess_note(*_args(pairs)) == ()


def _args(pairs):
    names, labels = zip(*pairs, strict=True)
    return names, target_of(labels)


def test_patients_of_one_class_each_are_groups():
    pairs = [(f"{'xy'[g % 2]}/{100 + 7 * g}_{i}.png", "xy"[g % 2]) for g in range(12) for i in range(5)]
    assert found(pairs).place == 0


def test_of_several_the_plainest_comes_first():
    pairs = [
        (f"{a}_{g}_{who}_{i}.wav", "ab"[i % 2])
        for a in range(6)
        for g in range(6)
        for who in ("ann", "bob", "cy", "dee", "eve")
        for i in range(2)
    ]
    assert found(pairs).place == 2  # words before numbers
    assert found([(name.replace("_", "_spk", 1), label) for name, label in pairs]).place == 1


def test_numbers_instead_of_classes():
    names, _ = zip(*FSDD, strict=True)
    ages = Target("regression", np.arange(len(names)) / 3, ("age",))
    [note] = guess_note(names, ages)
    assert "named a group" in note


def test_paths_of_a_table(tmp_path):
    for name, _ in FSDD:
        (tmp_path / name).touch()
    rows = [f"{name},{label},{name.split('_')[1]}" for name, label in FSDD]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,who", *rows]))
    assert any("look as if their 2nd part" in note for note in read(tmp_path / "t.csv").notes)
    assert not any("look as if" in note for note in read(tmp_path / "t.csv", group="who").notes)
    (tmp_path / "t.csv").write_text("\n".join(["path,label,speaker", *rows]))
    data = read(tmp_path / "t.csv")  # the column is taken by its name
    assert len(np.unique(data.groups)) == 6
    assert not any("look as if" in note for note in data.notes)
