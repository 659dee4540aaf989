"""Lists as text, and the labels that they make."""

import ast
import json

import numpy as np
import pytest

from headstart.data import read
from headstart.data.written_lists import as_lists

pd = pytest.importorskip("pandas")
LISTS = [["a"], ["a", "b"], ["it's", 'so "said"'], ["back\\slash", "x, y"], [], ["größe 1", "蜂"]]


@pytest.mark.parametrize("write", [json.dumps, repr])
def test_as_written_by_json_and_by_python(write):
    written = [write(one) for one in LISTS]
    assert as_lists(written) == LISTS
    assert [ast.literal_eval(text) for text in written] == LISTS  # what is read is what Python itself would read


def test_as_written_by_numpy():
    assert as_lists([str(np.array(["a", "b"])), str(np.array(["c"]))]) == [["a", "b"], ["c"]]


@pytest.mark.parametrize("text", ["[a]", "a", "['a'", "['a'] b", "[['a']]", "[", "['a' b]", "{'a': 1}", "[" * 5000])
def test_what_is_no_list_of_names_stays(text):
    assert as_lists([text, "['a']"]) is None


@pytest.mark.parametrize("write", [json.dumps, repr])
def test_labels_of_a_delimited_table(tmp_path, write):
    rows = [["drink"], ["train", "late"], ["drink", "late"], ["train"]] * 5
    frame = pd.DataFrame({"text": [f"words of row {i}" for i in range(20)], "labels": [write(row) for row in rows]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = read(tmp_path / "t.csv")
    assert data.target.task == "multilabel"
    assert data.target.classes == ("drink", "late", "train")
    assert data.target.y[:2].tolist() == [[1, 0, 0], [0, 1, 1]]
    assert read(tmp_path / "t.csv", task="multiclass").target.classes[0].startswith("[")
