"""Sounds in folders and tables are named, told from images and texts, and never opened."""

from pathlib import Path

import pytest

from headstart.data import read, read_for_model, read_inputs
from headstart.data.search import SUFFIXES, UNREAD_SUFFIXES
from headstart.errors import DataError

pd = pytest.importorskip("pandas")


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no sound at all", encoding="utf-8")
    return root


def test_a_folder_of_class_folders(tmp_path):
    names = ("dog/1.wav", "dog/2.FLAC", "dog/deep/3.ogg", "rain/1.mp3", "rain/2.opus", "rain/3.aiff", "rain/4.w64")
    data = read(touch(tmp_path, *names))
    assert data.modality == "sound"
    assert data.ids == names
    assert data.items == [tmp_path / name for name in names]
    assert data.target.classes == ("dog", "rain")
    assert data.notes[0] == "modality sound: what the files' names say"


def test_the_suffixes_are_those_that_libsndfile_reads(tmp_path):
    """libsndfile's own list: a sound written in each container is read back under a suffix that is known here."""
    soundfile = pytest.importorskip("soundfile")
    import numpy as np

    own = {
        "AIFF": "aiff", "AU": "au", "CAF": "caf", "FLAC": "flac", "MP3": "mp3", "NIST": "sph", "OGG": "ogg",
        "RF64": "rf64", "VOC": "voc", "W64": "w64", "WAV": "wav", "WAVEX": "wav",
    }  # fmt: skip
    for container, suffix in own.items():
        path = tmp_path / f"x.{suffix}"
        soundfile.write(path, np.zeros(8000), 8000, format=container)
        assert soundfile.info(path).frames > 0
        assert path.suffix in SUFFIXES["sound"]
    assert {f".{name.lower()}" for name in soundfile.available_formats()} & UNREAD_SUFFIXES["sound"] == set()


@pytest.mark.parametrize(
    ("most", "counts"), [("image", (4, 2, 2)), ("sound", (2, 4, 2)), ("text", (2, 2, 4)), ("image", (3, 3, 3)),
                         ("sound", (0, 3, 3))],
)  # fmt: skip
def test_the_most_frequent_kind_wins_and_the_others_are_counted(tmp_path, most, counts):
    kinds = dict(zip(("image", "sound", "text"), counts, strict=True))
    suffixes = {"image": "png", "sound": "wav", "text": "txt"}
    for kind, count in kinds.items():
        touch(tmp_path, *(f"{'ab'[i % 2]}/{i}.{suffixes[kind]}" for i in range(count)))
    data = read(tmp_path)
    assert (data.modality, len(data)) == (most, kinds[most])
    for kind, count in kinds.items():
        assert (f"{count} {kind} files beside the {most} files passed over" in data.notes) == (
            kind != most and count > 0
        )
    assert read(tmp_path, modality="sound").modality == "sound"


def test_sounds_that_no_reader_takes_are_named_with_what_to_do(tmp_path):
    data = read(touch(tmp_path, "a/1.wav", "a/2.m4a", "b/1.wav", "b/2.AAC", "b/3.wma", "b/4.heic"))
    assert data.ids == ("a/1.wav", "b/1.wav")
    assert "4 files of other kinds passed over: .aac (1), .heic (1), .m4a (1), .wma (1)" in data.notes
    assert (
        ".aac, .m4a, .wma sounds cannot be read here: convert them to .wav or .flac, with ffmpeg for one" in data.notes
    )
    assert ".heic images cannot be read here: convert them to .png or .jpg" in data.notes
    for name in ("a/1.wav", "b/1.wav"):
        (tmp_path / name).unlink()
    with pytest.raises(DataError, match=r"hold no images, sounds or .txt files; .*\.m4a \(1\).*ffmpeg"):
        read(tmp_path)


def test_a_modality_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"its class folders hold no \.aif, .*\.wav"):
        read(touch(tmp_path, "a/1.png", "b/1.png"), modality="sound")


@pytest.mark.parametrize("column", ["path", "File", "filename", "audio", "clip", "recording", "wav", "where"])
def test_a_table_of_paths(tmp_path, column):
    touch(tmp_path, "c/1.wav", "c/2.flac")
    (tmp_path / "t.csv").write_text(f"n,{column},label\n1,c/1.wav,a\n2,c/2.flac,b\n3,c/1.wav,a\n4,gone.wav,b\n")
    data = read(tmp_path / "t.csv")
    assert (data.modality, data.input, data.labels) == ("sound", column, ("label",))
    assert data.items == [tmp_path / "c" / name for name in ("1.wav", "2.flac", "1.wav")]
    assert f"modality sound: column {column!r} holds paths of sounds" in data.notes
    assert [(skip.id, "no such file" in skip.reason) for skip in data.skipped] == [("row 4", True)]
    assert data.groups is None


def test_the_usual_name_is_taken_of_two_columns_of_paths(tmp_path):
    touch(tmp_path, "1.wav", "2.wav", "ref.wav")
    (tmp_path / "t.csv").write_text("reference,clip,label\n" + "ref.wav,1.wav,a\nref.wav,2.wav,b\n" * 2)
    assert read(tmp_path / "t.csv").input == "clip"
    assert read(tmp_path / "t.csv", input="reference").input == "reference"


def test_images_beside_sounds_in_a_table(tmp_path):
    touch(tmp_path, "1.wav", "1.png")
    (tmp_path / "t.csv").write_text("spectrogram,take,label\n" + "1.png,1.wav,a\n1.png,1.wav,b\n" * 3)
    assert read(tmp_path / "t.csv").modality == "image"
    data = read(tmp_path / "t.csv", modality="sound")
    assert (data.modality, data.input) == ("sound", "take")
    data = read(tmp_path / "t.csv", input="take")
    assert (data.modality, data.input) == ("sound", "take")


def test_paths_without_a_suffix_are_sounds_by_name_where_that_was_asked_for(tmp_path):
    touch(tmp_path, "one", "two")
    (tmp_path / "t.csv").write_text("clip,label\n" + "one,a\ntwo,b\n" * 3)
    assert read(tmp_path / "t.csv", modality="sound").items == [tmp_path / "one", tmp_path / "two"] * 3
    with pytest.raises(DataError, match="no column of sound paths; name it with --input"):
        read(pd.DataFrame({"x": [1.5, 2.5], "label": ["a", "b"]}), modality="sound")


def test_a_frame_starts_from_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(touch(tmp_path, "1.wav", "2.wav"))
    data = read(pd.DataFrame({"audio": ["1.wav", Path("2.wav")], "label": ["a", "b"]}))
    assert data.modality == "sound"
    assert [path.name for path in data.items] == ["1.wav", "2.wav"]


def test_m4a_in_a_table_is_said(tmp_path):
    touch(tmp_path, "1.m4a", "2.m4a")
    (tmp_path / "t.csv").write_text("file,label\n1.m4a,a\n2.m4a,b\n")
    data = read(tmp_path / "t.csv")
    assert data.modality == "sound"
    assert any(".m4a sounds cannot be read here" in note for note in data.notes)


@pytest.mark.parametrize("column", ["client_id", "Speaker", "spk", "actor", "fold", "session", "recording id"])
def test_groups_of_recordings_by_the_usual_names(tmp_path, column):
    touch(tmp_path, *(f"{i}.wav" for i in range(24)))
    rows = [f"{i}.wav,v{i % 6},{'ab'[i // 6 % 2]}" for i in range(24)]
    (tmp_path / "t.csv").write_text("\n".join([f"path,{column},label", *rows]))
    data = read(tmp_path / "t.csv")
    assert len(set(data.groups.tolist())) == 6


def test_inputs_to_predict(tmp_path):
    touch(tmp_path, "a.wav", "odd.bin", "d/2.mp3", "d/e/1.flac", "d/x.png")
    (tmp_path / "t.csv").write_text("n,file\n1,a.wav\n2,gone.wav\n")
    (tmp_path / "empty").mkdir()
    given = [tmp_path / "odd.bin", str(tmp_path / "d"), tmp_path / "gone.wav", tmp_path / "t.csv", tmp_path / "empty"]
    data = read_inputs([*given, "https://x.org/a.wav"], "sound")
    assert data.items == [tmp_path / name for name in ("odd.bin", "d/2.mp3", "d/e/1.flac", "a.wav")]
    assert data.ids[-1] == "a.wav"
    assert [(skip.id, skip.before) for skip in data.skipped] == [
        (f"{tmp_path}/gone.wav", 3), ("gone.wav", 4), (f"{tmp_path}/empty", 4), ("https://x.org/a.wav", 4),
    ]  # fmt: skip
    assert ".wav" in data.skipped[2].reason
    assert data.skipped[3].reason == "is a URL: download it first"


def test_data_to_evaluate_on(tmp_path):
    touch(tmp_path, "dog/1.wav", "rain/1.wav", "owl/1.wav")
    data = read_for_model(tmp_path, "sound", "binary", ("dog", "rain"))
    assert data.ids == ("dog/1.wav", "rain/1.wav")
    (tmp_path / "t.csv").write_text("wav,what\ndog/1.wav,dog\nrain/1.wav,rain\n")
    data = read_for_model(tmp_path / "t.csv", "sound", "binary", ("dog", "rain"), label="what", usual_input="wav")
    assert data.items == [tmp_path / "dog/1.wav", tmp_path / "rain/1.wav"]


def test_transcripts_are_no_classes(tmp_path):
    """Each text stands there once: without --task transcribe nothing can be learned from that."""
    touch(tmp_path, *(f"{k}.wav" for k in range(8)))
    lines = [f"{k}.wav,say {k},{'ab'[k % 2]}" for k in range(8)]
    path = tmp_path / "calls.csv"
    path.write_text("\n".join(["path,transcription,speaker", *lines]))
    with pytest.raises(DataError, match=r"'transcription' of calls\.csv seems to hold transcripts.*--task transcribe"):
        read(path)
    path.write_text("\n".join(["path,text", *(f"{k}.wav,{('yes', 'no')[k % 2]}" for k in range(8))]))
    assert read(path).target.classes == ("no", "yes")


def test_folders_of_transcribed_speech_say_what_to_add(tmp_path):
    touch(tmp_path, "clips/a.wav", "clips/b.wav")
    (tmp_path / "transcripts.csv").write_text("path,text\nclips/a.wav,one\nclips/b.wav,two\n")
    with pytest.raises(DataError, match=r"only one class, 'clips'.*--task transcribe"):
        read(tmp_path)
    (tmp_path / "kaldi").mkdir()
    for name in ("wav.scp", "text"):
        (tmp_path / "kaldi" / name).write_text("u1 x\n")
    with pytest.raises(DataError, match=r"no class folders.*--task transcribe"):
        read(tmp_path / "kaldi")
