"""Transcribed speech from tables and from folders as the field lays them out; what is bad is named and left out."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headstart.data.transcript_text import clean, why_unspoken
from headstart.data.transcripts import read_transcripts
from headstart.errors import DataError


def sound(folder: Path, *names: str) -> None:
    """Files with the names of sounds; reading transcripts opens none."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"RIFF")


def reasons(data) -> dict[str, str]:
    return {one.id: one.reason for one in data.skipped}


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    sound(tmp_path, "a.wav", "b.wav", "c.wav", "d.wav")
    path = tmp_path / "clips.csv"
    path.write_text(
        "path,transcript,speaker\na.wav,Hello there.,ann\nb.wav,Hold on,bob\nc.wav,Bye,ann\nd.wav,Yes,bob\n"
    )
    return path


def test_a_table(csv: Path) -> None:
    data = read_transcripts(csv)
    assert data.texts == ("Hello there.", "Hold on", "Bye", "Yes")
    assert data.paths[0] == csv.parent / "a.wav"
    assert data.ids == ("a.wav", "b.wav", "c.wav", "d.wav")
    assert data.groups is not None
    assert data.groups.tolist() == [0, 1, 0, 1]
    assert data.group_names == ("ann", "bob")
    assert any("column 'speaker', by its name" in note for note in data.notes)
    some = data.take(np.array([2, 0]))
    assert some.texts == ("Bye", "Hello there.")
    assert some.groups is not None
    assert some.groups.tolist() == [0, 0]


def test_no_groups_where_none_are_wanted(csv: Path) -> None:
    assert read_transcripts(csv, group="none").groups is None


@pytest.mark.parametrize(
    "name", ["text", "transcript", "sentence", "transcription", "normalized_text", "words", "Text"]
)
def test_the_column_of_transcripts_by_its_name(tmp_path: Path, name: str) -> None:
    sound(tmp_path, "a.wav", "b.wav")
    (tmp_path / "x.jsonl").write_text(
        "".join(json.dumps({"audio_filepath": f"{k}.wav", name: f"word {k}", "duration": 1.5}) + "\n" for k in "ab")
    )
    assert read_transcripts(tmp_path / "x.jsonl").texts == ("word a", "word b")


def test_columns_by_option(tmp_path: Path) -> None:
    sound(tmp_path, "a.wav", "b.wav")
    (tmp_path / "x.tsv").write_text("where\tsaid\ttext\twho\na.wav\tone\tno\tp\nb.wav\ttwo\tno\tq\n")
    data = read_transcripts(tmp_path / "x.tsv", input="where", label="said", group="who")
    assert data.texts == ("one", "two")
    assert data.groups is not None
    with pytest.raises(DataError, match=r"--label 'sung': x\.tsv has no such column"):
        read_transcripts(tmp_path / "x.tsv", label="sung")


def test_a_frame_and_a_parquet_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound(tmp_path, "a.wav", "b.wav")
    frame = pd.DataFrame({"file": ["a.wav", "b.wav"], "sentence": ["one", "two"]})
    monkeypatch.chdir(tmp_path)
    assert read_transcripts(frame).texts == ("one", "two")
    pytest.importorskip("pyarrow")
    frame.to_parquet(tmp_path / "x.parquet")
    assert read_transcripts(tmp_path / "x.parquet").texts == ("one", "two")


def test_columns_that_cannot_be_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("where,said\n1,one\n")
    with pytest.raises(DataError, match=r"no column of x\.csv names sound files"):
        read_transcripts(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_text("path,said\na.wav,one\n")
    with pytest.raises(DataError, match=r"no column of y\.csv has a name of transcripts"):
        read_transcripts(tmp_path / "y.csv")


def test_transcripts_without_sound_and_sounds_without_transcript(csv: Path) -> None:
    csv.write_text("path,text\na.wav,one\nlost.wav,two\n,three\n")
    data = read_transcripts(csv)
    assert data.texts == ("one",)
    found = reasons(data)
    assert "no such file" in found["lost.wav"]
    assert found["row 3"] == "no path"
    assert [name for name, reason in found.items() if reason == "no transcript"] == ["b.wav", "c.wav", "d.wav"]


def test_sounds_beside_those_of_a_table_elsewhere_are_counted(csv: Path, tmp_path: Path) -> None:
    table = tmp_path / "tables" / "some.csv"
    table.parent.mkdir()
    table.write_text(f"path,text\n{csv.parent / 'a.wav'},one\n")
    data = read_transcripts(table)
    assert data.skipped == ()
    assert any("3 more sound files lie beside those named" in note for note in data.notes)


def test_empty_transcripts_and_notes_in_brackets(csv: Path) -> None:
    csv.write_text("path,text\na.wav,\nb.wav,[beep tone]\nc.wav,...\nd.wav,Yes\n")
    data = read_transcripts(csv)
    assert data.texts == ("Yes",)
    found = reasons(data)
    assert found["a.wav"] == "empty transcript"
    assert "note in brackets" in found["b.wav"]
    assert "no letter" in found["c.wav"]


def test_what_stands_there_twice(csv: Path) -> None:
    csv.write_text("path,text\na.wav,one\na.wav,one\nb.wav,two\nb.wav,other\nc.wav,three\n")
    data = read_transcripts(csv)
    assert data.texts == ("one", "three")
    assert [(one.id, one.reason) for one in data.skipped if "transcripts" in one.reason or "once" in one.reason] == [
        ("a.wav", "stands there more than once"),
        ("b.wav", "stands there with different transcripts"),
        ("b.wav", "stands there with different transcripts"),
    ]


def test_duplicate_ids_of_different_sounds(csv: Path) -> None:
    csv.write_text("id,path,text\n1,a.wav,one\n1,b.wav,two\n2,c.wav,three\n")
    data = read_transcripts(csv)
    assert data.ids == ("2",)
    assert len(set(data.ids)) == len(data)


def test_no_usable_row(csv: Path) -> None:
    csv.write_text("path,text\nlost.wav,one\na.wav,\n")
    with pytest.raises(DataError, match=r"none of the 2 transcripts of clips.csv can be used: lost.wav: no such file"):
        read_transcripts(csv)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (unicodedata.normalize("NFD", "Où est l’été ?"), "Où est l’été ?"),
        ("a\x00b\x07c\td", "abc d"),
        ("\u202eevil\u202c \u200fok\u200e", "evil ok"),
        ("\ufeffzero\u200bwidth soft\u00adhyphen", "zerowidth softhyphen"),
        ("“Curly” ‘quotes’ — stay…", "“Curly” ‘quotes’ — stay…"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("  two  blanks\n", "two blanks"),
        ("lone \ud800 half", "lone half"),
    ],
)
def test_odd_unicode(written: str, kept: str) -> None:
    assert clean(written) == kept
    assert why_unspoken(kept) == ""


def test_what_was_cleaned_is_said(csv: Path) -> None:
    csv.write_text("path,text\na.wav,one\u200f\nb.wav,two\n", encoding="utf-8")
    data = read_transcripts(csv)
    assert data.texts == ("one", "two")
    assert any(note.startswith("1 transcript had characters that are not seen") for note in data.notes)
    csv.write_text("path,text\na.wav,on\ufffde\nb.wav,two\n", encoding="utf-8")
    assert "wrong encoding" in reasons(read_transcripts(csv))["a.wav"]


def test_ljspeech(tmp_path: Path) -> None:
    sound(tmp_path, "wavs/LJ001-0001.wav", "wavs/LJ001-0002.wav", "wavs/LJ001-0003.wav")
    (tmp_path / "metadata.csv").write_text(
        'LJ001-0001|He said "no" in 1492,|He said "no" in fourteen ninety-two,\nLJ001-0002|"Open|"Open\n', "utf-8"
    )
    data = read_transcripts(tmp_path)
    assert data.texts == ('He said "no" in 1492,', '"Open')
    assert data.paths[0].name == "LJ001-0001.wav"
    assert reasons(data) == {"wavs/LJ001-0003.wav": "no transcript"}


def test_common_voice(tmp_path: Path) -> None:
    sound(tmp_path, "clips/x1.mp3", "clips/x2.mp3", "clips/x3.mp3")
    (tmp_path / "validated.tsv").write_text(
        "client_id\tpath\tsentence\tup_votes\naa\tx1.mp3\tBonjour.\t2\nbb\tx2.mp3\tMerci.\t2\naa\tx3.mp3\tOui.\t3\n"
    )
    data = read_transcripts(tmp_path)
    assert data.texts == ("Bonjour.", "Merci.", "Oui.")
    assert data.groups is not None
    assert data.groups.tolist() == [0, 1, 0]
    assert any("'client_id'" in note for note in data.notes)


def test_an_audio_folder_as_hugging_face_has_it(tmp_path: Path) -> None:
    sound(tmp_path, "a.wav", "sub/b.wav", "sub/c.wav")
    (tmp_path / "metadata.csv").write_text("file_name,transcription\na.wav,one\nsub/b.wav,two\n")
    data = read_transcripts(tmp_path)
    assert data.texts == ("one", "two")
    assert reasons(data) == {"sub/c.wav": "no transcript"}


@pytest.fixture
def kaldi(tmp_path: Path) -> Path:
    sound(tmp_path, "a.wav", "b.wav", "c.wav", "d.wav")
    (tmp_path / "wav.scp").write_text("u1 a.wav\nu2 b.wav\nu3 c.wav\n")
    (tmp_path / "text").write_text("u1 hello there\nu2 good bye\nu4 nothing\nu3\n")
    (tmp_path / "utt2spk").write_text("u1 s1\nu2 s2\nu3 s1\n")
    return tmp_path


def test_kaldi(kaldi: Path) -> None:
    data = read_transcripts(kaldi)
    assert data.ids == ("u1", "u2")
    assert data.texts == ("hello there", "good bye")
    assert data.groups is not None
    assert data.groups.tolist() == [0, 1]
    assert reasons(data)["u4"] == "not in wav.scp"
    assert reasons(data)["u3"] == "empty transcript"
    assert read_transcripts(kaldi, group="none").groups is None


@pytest.mark.parametrize("command", ["touch ran; cat a.wav |", "| touch ran"])
def test_a_command_in_wav_scp_is_refused_and_not_run(
    kaldi: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kaldi)
    (kaldi / "wav.scp").write_text(f"u1 {command}\nu2 b.wav\n")
    with pytest.raises(DataError, match="commands are not run"):
        read_transcripts(kaldi)
    assert not (kaldi / "ran").exists()


def test_kaldi_that_is_cut_or_contradicts_itself(kaldi: Path) -> None:
    (kaldi / "wav.scp").write_text("u1 a.wav\nu1 b.wav\n")
    with pytest.raises(DataError, match="two files for 'u1'"):
        read_transcripts(kaldi)
    (kaldi / "segments").write_text("u1 r1 0 1\n")
    with pytest.raises(DataError, match="segments"):
        read_transcripts(kaldi)


def test_librispeech(tmp_path: Path) -> None:
    sound(tmp_path, "84/121123/84-121123-0000.flac", "84/121123/84-121123-0001.flac", "174/5/174-5-0000.flac")
    (tmp_path / "84/121123/84-121123.trans.txt").write_text("84-121123-0000 GO DO YOU HEAR\n84-121123-0002 LOST\n")
    (tmp_path / "174/5/174-5.trans.txt").write_text("174-5-0000 YES\n")
    data = read_transcripts(tmp_path)
    assert dict(zip(data.ids, data.texts, strict=True)) == {"84-121123-0000": "GO DO YOU HEAR", "174-5-0000": "YES"}
    assert data.groups is not None
    assert len(set(data.groups.tolist())) == 2
    assert reasons(data) == {
        "84-121123-0002": "no 84-121123-0002.flac beside 84-121123.trans.txt",
        "84/121123/84-121123-0001.flac": "no transcript",
    }


def test_groups_off_the_files_names(csv: Path, kaldi: Path) -> None:
    sound(csv.parent, "ann_1.wav", "bob_1.wav", "ann_2.wav")
    csv.write_text("path,text\nann_1.wav,one\nbob_1.wav,two\nann_2.wav,three\nlost.wav,four\n")
    data = read_transcripts(csv, group=r"speaker=^([a-z]+)_")
    assert data.groups is not None
    assert (data.groups.tolist(), data.group_names) == ([0, 1, 0], ("ann", "bob"))
    assert "groups: 2 by 'speaker' in the files' names" in data.notes
    with pytest.raises(DataError, match=r"--group 'take=_\(\[2-9\]\)' finds nothing in 'ann_1\.wav' and 1 more, of 3"):
        read_transcripts(csv, group="take=_([2-9])")
    told = read_transcripts(kaldi, group=r"letter=(\w)\.wav")
    assert told.group_names == ("a", "b")
    with pytest.raises(DataError, match=r"no columns; .*NAME=REGEX"):
        read_transcripts(kaldi, group="speaker")


def test_groups_off_the_names_of_librispeech(tmp_path: Path) -> None:
    sound(tmp_path, "84/1/84-1-0000.flac", "84/2/84-2-0000.flac")
    for chapter in "12":
        (tmp_path / f"84/{chapter}/84-{chapter}.trans.txt").write_text(f"84-{chapter}-0000 YES {chapter}\n")
    data = read_transcripts(tmp_path, group="chapter=84/([0-9])/")
    assert sorted(data.group_names) == ["1", "2"]
    assert read_transcripts(tmp_path).groups is None  # one speaker


def test_names_that_look_as_if_they_held_a_group_are_pointed_out(csv: Path) -> None:
    names = [f"{k}_{who}_{k % 4}.wav" for k, who in enumerate(("ann", "bob", "cy", "dot", "eve") * 4)]
    sound(csv.parent, *names)
    csv.write_text("path,text\n" + "".join(f"{name},word {k}\n" for k, name in enumerate(names)))
    (note,) = [note for note in read_transcripts(csv).notes if "look as if" in note]
    assert "2nd part (ann, bob, cy and 2 more)" in note
    assert not any("look as if" in note for note in read_transcripts(csv, group="none").notes)


def test_folders_and_files_that_are_none_of_these(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no transcripts"):
        read_transcripts(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        read_transcripts(tmp_path / "absent.csv")
    sound(tmp_path, "a.wav")
    with pytest.raises(DataError, match="no folder and no table"):
        read_transcripts(tmp_path / "a.wav")
    (tmp_path / "wav.scp").write_bytes(b"u1 a.wav\n")
    (tmp_path / "text").write_bytes("u1 été\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_transcripts(tmp_path)


def test_one_group_is_no_group(csv: Path) -> None:
    csv.write_text("path,text,who\na.wav,one,x\nb.wav,two,x\n")
    data = read_transcripts(csv, group="who")
    assert data.groups is None
    assert any("of one column 'who'" in note for note in data.notes)
