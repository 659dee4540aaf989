from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from headstart.errors import SourceError
from headstart.sources.base import Ancestor, ImageInput, Source, TrainedOn
from headstart.sources.lineage import LONGEST, descent, read_lineage, read_trained_on

ROOT = Ancestor("lite0", "ab" * 32, "a package", "Apache-2.0")
CHILD = Ancestor("cells", "cd" * 32, "cells.headstart", "Apache-2.0", "last-stages", TrainedOn("cells", 723, 3))


def source(*lineage: Ancestor) -> Source:
    shape = ImageInput(16, (0.5,) * 3, (0.5,) * 3)
    return Source("s", "image", "o", "l", 1, "f", Path("nowhere"), shape, (), lineage)


def test_goes_through_json():
    written = json.loads(json.dumps([asdict(CHILD), asdict(ROOT)]))
    assert read_lineage(written, "x") == (CHILD, ROOT)
    assert read_lineage([], "x") == ()


def test_keys_of_later_versions_are_let_pass():
    assert read_lineage([{**asdict(ROOT), "mood": "good"}], "x") == (ROOT,)


def test_descent_names_each_once_first_source_first():
    other = replace(ROOT, name="lite1", sha256="ef" * 32)
    assert descent([source(CHILD, ROOT), source(other), source(ROOT)]) == (CHILD, ROOT, other)
    assert descent([]) == ()
    many = source(*(replace(ROOT, name=str(k)) for k in range(LONGEST + 9)))
    assert len(descent([many])) == LONGEST
    assert read_lineage([asdict(ancestor) for ancestor in descent([many])], "x")[0].name == "0"


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        "cells",
        [None],
        [[]],
        [{}],
        [{**asdict(ROOT), "name": 3}],
        [{**asdict(ROOT), "name": "x" * 1001}],
        [{**asdict(ROOT), "sha256": "ab" * 33}],
        [{**asdict(CHILD), "strategy": None}],
        [{**asdict(CHILD), "data": "cells"}],
        [{**asdict(CHILD), "data": {"name": "cells", "n": 1.5, "classes": 3}}],
        [asdict(ROOT)] * (LONGEST + 1),
    ],
)
def test_what_is_no_lineage_is_refused_in_one_line(value):
    with pytest.raises(SourceError, match=r"^x: ") as caught:
        read_lineage(value, "x")
    assert "\n" not in str(caught.value)


def test_all_mistakes_at_once():
    with pytest.raises(SourceError, match=r"'name'.*'n'.*'classes'"):
        read_trained_on({"name": 1, "n": -1}, "x")
