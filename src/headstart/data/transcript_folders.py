"""Folders of transcribed speech, as the field lays them out: with a table, as Kaldi, as LibriSpeech.

Nothing in them is run: a line of Kaldi's wav.scp that is a command ("sox x.wav -t wav - |") is refused.
"""

from __future__ import annotations

import os
from pathlib import Path

from headstart.data.cells import Cell
from headstart.data.groups import NO_GROUPS
from headstart.data.locate import find_file, why_absent
from headstart.data.names import NamePart, name_part
from headstart.data.search import readable
from headstart.data.table import Table, load_table
from headstart.data.texts import encoding_of
from headstart.data.transcript_rows import Recorded, Row, is_sound
from headstart.errors import DataError

TABLES = tuple(
    f"{stem}{end}"
    for stem in ("transcripts", "metadata", "validated", "train")
    for end in (".csv", ".tsv", ".jsonl", ".parquet")
)
_MAX_BYTES = 1 << 30
_BAR = "|"


def table_of(folder: Path) -> Table | None:
    """The table of a folder's transcripts; None where there is none.

    Raises:
        DataError: it is there and cannot be read.
    """
    for name in TABLES:
        path = folder / name
        if path.is_file():
            return _ljspeech(path) or load_table(path)
    return None


def holds_transcripts(folder: Path) -> bool:
    """True for a folder whose files' names leave no doubt of that: a table of transcripts, or Kaldi's."""
    return is_kaldi(folder) or any((folder / name).is_file() for name in TABLES if name.startswith("transcripts"))


def is_kaldi(folder: Path) -> bool:
    """True for a folder with wav.scp and text."""
    return (folder / "wav.scp").is_file() and (folder / "text").is_file()


def is_librispeech(folder: Path) -> bool:
    """True for a folder with a *.trans.txt somewhere below."""
    return any(name.endswith(".trans.txt") for _, _, names in os.walk(folder) for name in names)


def read_kaldi(folder: Path, group: str | None) -> Recorded:
    """The utterances of a Kaldi data folder: text, wav.scp, and the speakers of utt2spk where it is there.

    Paths in wav.scp are relative to the folder, or to the current one as Kaldi has them.

    Raises:
        DataError: a line that is a command, cut recordings (`segments`), or a --group that is a column.
    """
    if (folder / "segments").is_file():
        raise DataError(f"{folder} cuts its recordings by a file 'segments', which is not read: cut them into files")
    part = _group_part(folder, group)
    sounds = _keyed(folder / "wav.scp")
    command = next((line for _, line in sounds if line.startswith(_BAR) or line.endswith(_BAR)), None)
    if command is not None:
        raise DataError(
            f"{folder / 'wav.scp'} has a command where a file was expected, and commands are not run: {command!r}; "
            "write the sounds to files and name those"
        )
    files: dict[str, str] = {}
    for key, name in sounds:
        if files.setdefault(key, name) != name:
            raise DataError(f"{folder / 'wav.scp'} has two files for {key!r}: {files[key]!r} and {name!r}")
    speakers = dict(_keyed(folder / "utt2spk")) if (folder / "utt2spk").is_file() and group is None else {}
    rows = []
    for key, text in _keyed(folder / "text"):
        path, reason = _found(files[key], folder) if key in files else (None, "not in wav.scp")
        rows.append(Row(key, path, text, speakers.get(key, ""), reason, files.get(key, "")))
    said = f"{len(rows)} utterances of a Kaldi folder"
    by = str(part or ("speaker (utt2spk)" if speakers else ""))
    return Recorded(folder.resolve().name, folder, tuple(rows), by, part, root=folder, notes=(said,))


def read_librispeech(folder: Path, group: str | None) -> Recorded:
    """The utterances of SPEAKER/CHAPTER/*.trans.txt; a line is an id and its text, the sound lies beside as ID.flac.

    Raises:
        DataError: a file that is not UTF-8, or a --group that is a column.
    """
    part = _group_part(folder, group)
    rows = []
    for here, folders, names in os.walk(folder):
        folders.sort()
        beside = {os.path.splitext(name)[0]: Path(here, name) for name in sorted(names) if is_sound(name)}
        for name in sorted(names):
            if not name.endswith(".trans.txt"):
                continue
            for key, text in _keyed(Path(here, name)):
                path = beside.get(key)
                speaker = key.partition("-")[0] if group is None else ""
                file = readable(os.path.relpath(path, folder)) if path else key
                rows.append(Row(key, path, text, speaker, "" if path else f"no {key}.flac beside {name}", file))
    by = str(part or ("speaker (the number that an id begins with)" if group is None else ""))
    said = f"{len(rows)} utterances of a LibriSpeech folder"
    return Recorded(folder.resolve().name, folder, tuple(rows), by, part, root=folder, notes=(said,))


def _ljspeech(path: Path) -> Table | None:
    """LJSpeech's metadata.csv as a table: no header, a bar between id, text and normalised text; else None."""
    lines = [line for line in _lines(path) if line.strip()] if path.name == "metadata.csv" else []
    cells: list[list[str]] = [line.split(_BAR) for line in lines]
    if not cells or len(cells[0]) not in (2, 3) or _sound_of(cells[0][0], path.parent) is None:
        return None
    columns: dict[str, list[Cell]] = {"path": [], "text": []}
    for row in cells:
        columns["path"].append(row[0])
        columns["text"].append((row[1] if len(row) > 1 else "") or None)
    note = "metadata.csv read as LJSpeech's: id, text (as written, not the normalised one)"
    return Table(path.name, path.parent, columns, tuple(range(1, len(cells) + 1)), notes=(note,))


def _sound_of(key: str, folder: Path) -> Path | None:
    names = (folder / place / f"{key}{end}" for place in ("wavs", "wav", "") for end in ("", ".wav", ".flac"))
    return next((path for path in names if path.is_file()), None)


def _found(name: str, folder: Path) -> tuple[Path | None, str]:
    path = find_file(name, folder) or find_file(name, Path())
    return path, "" if path else why_absent(name, folder)


def _keyed(path: Path) -> list[tuple[str, str]]:
    """(key, rest) of each line; the rest is "" where a key stands alone."""
    parts = (line.strip().partition(" ") for line in (line.replace("\t", " ") for line in _lines(path)))
    return [(key, rest.strip()) for key, _, rest in parts if key]


def _lines(path: Path) -> list[str]:
    """The lines of a text file.

    Raises:
        DataError: too large, unreadable, or not UTF-8.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path} has more than {_MAX_BYTES:,} bytes: split it")
        content = path.read_bytes()
        return content.decode(encoding_of(content[:4])).replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8: save it as UTF-8") from None
    except OSError as failed:
        raise DataError(f"{path} cannot be read: {failed.strerror or failed}") from None


def _group_part(folder: Path, group: str | None) -> NamePart | None:
    """What NAME=REGEX asks for; None where no groups, or the folder's own, are wanted."""
    part = name_part("group", group)
    if part is None and group not in (None, NO_GROUPS):
        raise DataError(
            f"--group {group!r}: {folder} is no table and has no columns; its speakers are taken as groups, or what "
            f"NAME=REGEX finds in its files' names"
        )
    return part
