"""Names of files as people write them into tables."""

import os
from pathlib import Path

import pytest

from headstart.data import read, read_inputs
from headstart.data.locate import find_file, is_url, readings, why_absent
from headstart.errors import DataError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there \\ is the separator anyway")


@pytest.fixture
def files(tmp_path, monkeypatch):
    for name in ("cells/sound/x y.png", "cells/z.png", "home/pics/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def table(folder, names):
    path = folder / "t.csv"
    path.write_text("file,label\n" + "".join(f"{name},{'ab'[i % 2]}\n" for i, name in enumerate(names)))
    return path


def test_every_way_to_write_a_path(files):
    names = {
        "cells/z.png": "cells/z.png",
        r"cells\sound\x y.png": "cells/sound/x y.png",
        r".\cells\z.png": "cells/z.png",
        " cells/z.png ": "cells/z.png",
        "~/pics/a.png": "home/pics/a.png",
        r"~\pics\a.png": "home/pics/a.png",
        f"file://{files}/cells/sound/x%20y.png": "cells/sound/x y.png",
        f"FILE://localhost{files}/cells/z.png": "cells/z.png",
        f"file:{files}/cells/z.png": "cells/z.png",
        f"{files}/cells/z.png": "cells/z.png",
    }
    for name, path in names.items():
        assert find_file(name, files) == files / path, name
    data = read(table(files, names))
    assert data.items == [files / path for path in names.values()]
    assert not data.skipped
    [note] = [note for note in data.notes if "not found as written" in note]
    assert note.startswith("8 paths are not found as written but read in another way: ")
    assert note.endswith(f" is {files / 'cells/sound/x y.png'}")


def test_a_name_is_first_what_is_written(files):
    odd = files / r"cells\z.png"
    odd.touch()
    assert find_file(r"cells\z.png", files) == odd
    (files / "~").mkdir()
    (files / "~" / "b.png").touch()
    assert find_file("~/b.png", files) == files / "~" / "b.png"


def test_what_is_absent_is_said_as_it_was_looked_for(files):
    assert find_file(r"cells\no.png", files) is None
    assert why_absent(r"cells\no.png", files) == f"no such file: {files}/cells/no.png"
    assert why_absent("~/no.png", files) == f"no such file: {files}/home/no.png"
    assert why_absent("file:///no/a%20b.png", files) == "no such file: /no/a b.png"
    assert find_file("null\0byte.png", files) is None
    assert readings("", files) == [files, files]


@pytest.mark.parametrize(
    "url", ["http://x.org/1.png", "HTTPS://x.org/1.png", "s3://bucket/1.png", " https://x.org/1.png"]
)
def test_urls(files, url):
    assert is_url(url)
    assert why_absent(url, files) == f"{url.strip()} is a URL: download it first"


@pytest.mark.parametrize("name", ["file:///a.png", "c:/a.png", r"C:\a.png", "a/b://c", "text: // not"])
def test_no_urls(name):
    assert not is_url(name)


@pytest.mark.parametrize("query", ["", "?w=200&v=1.2", "#top"])
def test_a_table_of_urls_is_one_of_images_that_are_not_here(files, query):
    path = table(files, [f"https://x.org/{i}.png{query}" for i in range(4)])
    with pytest.raises(
        DataError, match=r"none of the 4 rows.*row 1: https://x.org/0.png.* is a URL: download it first"
    ):
        read(path)
    with pytest.raises(DataError, match="is a URL"):
        read(table(files, [f"https://x.org/{i}.txt" for i in range(4)]), modality="text")


def test_texts_in_files(files):
    (files / "mails").mkdir()
    (files / "mails" / "1.txt").write_text("the first mail")
    data = read(table(files, [r"mails\1.txt", f"file://{files}/mails/1.txt", "gone.txt"]), modality="text")
    assert data.items == ["the first mail", "the first mail"]
    assert [skip.reason for skip in data.skipped] == ["gone.txt: no such file"]


def test_inputs_to_predict(files, monkeypatch):
    monkeypatch.chdir(files)
    data = read_inputs(["~/pics/a.png", r"cells\z.png", "https://x.org/1.png", "no.png"], "image")
    assert data.items == [files / "home/pics/a.png", Path("cells/z.png")]
    assert data.ids == ("~/pics/a.png", r"cells\z.png")
    assert [(skip.id, skip.reason) for skip in data.skipped] == [
        ("https://x.org/1.png", "is a URL: download it first"),
        ("no.png", "no such file"),
    ]
