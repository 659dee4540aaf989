"""What a split cannot show is said, or refused where it can show nothing."""

import numpy as np
import pytest

from headstart.data import read, read_for_model
from headstart.data.split_notes import alone_notes, split_notes, time_notes, unchecked, unchecked_notes
from headstart.data.splits import Fold, folds
from headstart.errors import DataError
from headstart.tasks import Target

pd = pytest.importorskip("pandas")


def fold(train, test):
    return Fold(np.array(train), np.array(test))


def frame(labels, groups):
    n = len(labels)
    return pd.DataFrame({"x": np.arange(n) / 7, "z": np.arange(n) ** 1.5, "label": labels, "patient": groups})


def test_every_class_of_two_items_is_checked_without_groups():
    target = Target("multiclass", np.repeat(np.arange(4), [20, 5, 2, 1]), tuple("abcd"))
    for seed in range(20):
        assert unchecked(target, folds(target, seed=seed)) == ()


@pytest.mark.parametrize("seed", range(5))
def test_a_class_of_one_group_is_not(seed):
    y = np.repeat([0, 1, 2], [20, 20, 6])
    groups = np.r_[np.arange(40) % 8, np.full(6, 9)]
    target = Target("multiclass", y, tuple("abc"))
    split = folds(target, groups=groups, seed=seed)
    assert unchecked(target, split) == ("c",)
    assert unchecked_notes(target, split, grouped=True) == (
        "1 class is never learned where tested, since whole groups are on one side: each item of theirs that is tested "
        "counts as wrong: c",
    )


def test_labels_and_numbers():
    y = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1]], np.uint8)
    split = [fold([0, 2, 3], [1])]
    target = Target("multilabel", y, ("a", "b"))
    assert unchecked(target, split) == ("b",)
    assert unchecked_notes(target, split, grouped=False) == ("1 label is never learned where tested: b",)
    assert unchecked(Target("regression", np.arange(5.0), ("y",)), split) == ()


def test_each_class_in_a_group_of_its_own_is_refused_before_any_work():
    data = frame([c for c in "abcde" for _ in range(6)], [f"p{i // 6}" for i in range(30)])
    with pytest.raises(
        DataError, match=r"each of the 5 classes is in one group of column 'patient' only.*--group none"
    ):
        read(data)
    with pytest.raises(DataError, match="each of the 5 classes"):
        read(data, group="patient")
    assert read(data, group="none").groups is None
    model = read_for_model(data, "table", "multiclass", tuple("abcde"), columns=("x", "z"), label="label")
    assert len(np.unique(model.groups)) == 5  # nothing is learned there
    data.loc[0, "patient"] = "p1"  # class a is in two groups
    assert len(np.unique(read(data).groups)) == 5


def test_groups_tested_one_by_one_are_said():
    data = read(frame(["a", "b"] * 24, [f"p{i % 6}" for i in range(48)]))
    alone = folds(data.target, groups=data.groups, k=6)
    said = "6 folds: each of the 6 groups is tested by what was learned from the others"
    assert alone_notes(data, alone) == (said,)
    assert said in split_notes(data, data.target, alone, grouped=True)
    assert alone_notes(data, folds(data.target, groups=data.groups, k=5)) == ()
    assert alone_notes(data, alone[:1]) == ()
    assert alone_notes(read(frame(["a", "b"] * 24, ["p"] * 48), group="none"), alone) == ()


def test_a_split_in_time_is_said():
    data = read(frame(["a", "b"] * 24, [f"p{i}" for i in range(48)]).assign(when=range(48)), time="when")
    assert data.time == "when"
    split = folds(data.target, times=data.times, k=10)
    assert time_notes(data, split) == (
        "time: what is tested is later by 'when' than all that is learned from; the earliest 4 of 48 are learned from "
        "and never scored",
    )
    assert time_notes(read(frame(["a", "b"] * 24, [f"p{i}" for i in range(48)])), split) == ()


def test_what_its_groups_keep_out_of_a_split_in_time_is_counted():
    data = read(
        frame(["a", "b"] * 4, ["p0", "p1", "p2", "p2", "p3", "p1", "p4", "p5"]).assign(when=range(8)), time="when"
    )
    [note] = time_notes(data, [fold([0, 2, 3], [4, 5, 6, 7])])
    assert note.endswith(
        "the earliest 3 of 8 are learned from and never scored; 1 are neither, as their groups are tested"
    )
    [note] = time_notes(data, [fold([0, 1, 2, 5], [3, 4, 6, 7])])
    assert "; 4 of 8 are learned from" in note
