"""Recorded speech with what was said: from a table, a folder with a table, a Kaldi or a LibriSpeech folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from headstart.data.dataset import Skipped
from headstart.data.name_fields import guess_note
from headstart.data.search import is_folder, readable
from headstart.data.table import TABLE_SUFFIXES, from_frame, is_frame, is_table_name, load_table
from headstart.data.transcript_folders import is_kaldi, is_librispeech, read_kaldi, read_librispeech, table_of
from headstart.data.transcript_rows import Recorded, Row, is_sound
from headstart.data.transcript_table import rows_of
from headstart.data.transcript_text import clean, why_unspoken
from headstart.errors import DataError
from headstart.tasks import Target

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False)
class Transcripts:
    """n recordings and their transcripts.

    Attributes:
        name: what to call it in print.
        paths: n sound files.
        texts: n transcripts in NFC, with the case and the punctuation that they have.
        ids: n unique names that a person recognises.
        groups: (n,) int64 codes of what must stay on one side of a split (a speaker), or None.
        group_names: of each code; "" is that of rows without a group.
        skipped: what was left out, with reasons.
        notes: what was inferred, one sentence each, to be said aloud.
    """

    name: str
    paths: tuple[Path, ...]
    texts: tuple[str, ...]
    ids: tuple[str, ...]
    groups: NDArray[np.int64] | None = None
    group_names: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, index: NDArray[np.int64]) -> Transcripts:
        """Those at positions `index`."""
        return replace(
            self,
            paths=tuple(self.paths[i] for i in index),
            texts=tuple(self.texts[i] for i in index),
            ids=tuple(self.ids[i] for i in index),
            groups=None if self.groups is None else self.groups[index],
        )


def read_transcripts(
    data: str | os.PathLike[str] | DataFrame,
    *,
    input: str | None = None,  # noqa: A002  the command line's word
    label: str | None = None,
    group: str | None = None,
) -> Transcripts:
    """Read transcribed speech. What is not given is inferred, and said in the notes.

    Args:
        data: a table (.csv .tsv .parquet .jsonl) or DataFrame of paths and transcripts; a folder with such a table
            (transcripts.csv, metadata.csv as LJSpeech and Hugging Face write it, validated.tsv as Common Voice does);
            a Kaldi folder (wav.scp, text); or a LibriSpeech folder (SPEAKER/CHAPTER/*.trans.txt).
        input, label: the table's columns of paths and of transcripts.
        group: the table's column of what must stay on one side of a split, as a speaker; NAME=REGEX to read it off the
            files' names (see headstart.data.names); "none" for no groups.

    Raises:
        DataError: nothing to learn from there; the message says why.
    """
    recorded = _recorded(data, input, label, group)
    rows, skipped, notes = _usable(recorded)
    if not rows:
        first = f": {skipped[0].id}: {skipped[0].reason}" if skipped else ""
        raise DataError(f"none of the {len(skipped)} transcripts of {recorded.name} can be used{first}")
    if recorded.part is not None:
        parts = recorded.part.of([row.file for row in rows])
        rows = [replace(row, group=part) for row, part in zip(rows, parts, strict=True)]
    elif group is None and not recorded.group:
        length = Target("regression", np.array([len(row.text) for row in rows]), ("length",))
        notes += guess_note([row.file for row in rows], length)
    untold, beside = _untranscribed(recorded)
    groups, names, said = _groups(rows, recorded)
    return Transcripts(
        name=recorded.name,
        paths=tuple(cast("Path", row.path) for row in rows),
        texts=tuple(row.text for row in rows),
        ids=tuple(row.id for row in rows),
        groups=groups,
        group_names=names,
        skipped=(*recorded.bad, *skipped, *(Skipped(name, "no transcript") for name in untold)),
        notes=(*recorded.notes, *said, *notes, *_beside_note(beside)),
    )


def _recorded(
    data: str | os.PathLike[str] | DataFrame, path_column: str | None, text_column: str | None, group: str | None
) -> Recorded:
    if is_frame(data):
        return rows_of(from_frame(cast("DataFrame", data)), path_column, text_column, group)
    if not isinstance(data, (str, os.PathLike)) or data == "":
        raise DataError(f"data is {data!r}; expected a folder, a table file or a pandas DataFrame")
    path = Path(os.path.expanduser(data))
    if is_folder(path):
        return _folder(path, path_column, text_column, group)
    if not path.exists():
        raise DataError(f"{str(path)!r}: no such file or folder")
    if not is_table_name(path):
        raise DataError(f"{path} is no folder and no table; expected one of {' '.join(TABLE_SUFFIXES)}")
    return rows_of(load_table(path), path_column, text_column, group)


def _folder(path: Path, path_column: str | None, text_column: str | None, group: str | None) -> Recorded:
    table = table_of(path)
    if table is not None:
        return replace(rows_of(table, path_column, text_column, group), root=path)
    if path_column or text_column:
        raise DataError(f"{path} holds no table, so it has no column {path_column or text_column!r}: leave it out")
    if is_kaldi(path):
        return read_kaldi(path, group)
    if is_librispeech(path):
        return read_librispeech(path, group)
    raise DataError(
        f"{path} holds no transcripts; expected transcripts.csv or metadata.csv with columns path and text, "
        "Kaldi's wav.scp and text, or LibriSpeech's *.trans.txt"
    )


def _usable(recorded: Recorded) -> tuple[list[Row], list[Skipped], list[str]]:
    """The rows with a recording and words, each once; the others with reasons; and what was changed in texts."""
    cleaned = [replace(row, text=clean(row.text)) for row in recorded.rows]
    reasons = [_why_not(row) for row in cleaned]
    reasons = [reason or twice for reason, twice in zip(reasons, _repeated(cleaned, reasons), strict=True)]
    rows = [row for row, reason in zip(cleaned, reasons, strict=True) if not reason]
    skipped = [Skipped(row.id, reason) for row, reason in zip(cleaned, reasons, strict=True) if reason]
    changed = sum(
        " ".join(old.text.split()) != new.text
        for old, new, reason in zip(recorded.rows, cleaned, reasons, strict=True)
        if not reason
    )
    some = "1 transcript" if changed == 1 else f"{changed} transcripts"
    notes = [f"{some} had characters that are not seen, or letters in parts: taken out, joined"]
    return rows, skipped, notes if changed else []


def _why_not(row: Row) -> str:
    return row.reason or why_unspoken(row.text)


def _repeated(rows: Sequence[Row], reasons: Sequence[str]) -> list[str]:
    """Why a row is not used beside others of its name or file: said before, or said otherwise elsewhere; "" if it is.

    Where one recording has two texts nobody can tell which is right, so none is used.
    """
    usable = [i for i, reason in enumerate(reasons) if not reason]
    texts: dict[object, set[str]] = {}
    for i in usable:
        for key in (rows[i].id, rows[i].path):
            texts.setdefault(key, set()).add(rows[i].text)
    out = [""] * len(rows)
    seen: set[object] = set()
    for i in usable:
        keys = (rows[i].id, rows[i].path)
        if any(len(texts[key]) > 1 for key in keys):
            out[i] = "stands there with different transcripts"
        elif any(key in seen for key in keys):
            out[i] = "stands there more than once"
        seen.update(keys)
    return out


def _groups(
    rows: Sequence[Row], recorded: Recorded
) -> tuple[NDArray[np.int64] | None, tuple[str, ...], tuple[str, ...]]:
    """(n,) codes, their names, and what is said of them; None where there is nothing to group by.

    Rows without a group are one group more.
    """
    if not recorded.group:
        return None, (), ()
    distinct, codes = np.unique(np.array([row.group for row in rows]), return_inverse=True)
    if len(distinct) < 2:
        return None, (), (f"groups: all transcripts are of one {recorded.group}, so splits cannot keep it apart",)
    missing = sum(not row.group for row in rows)
    without = f"; {missing} without one are kept together" if missing else ""
    said = f"groups: {len(distinct)} by {recorded.group}{without}"
    return codes.reshape(-1).astype(np.int64), tuple(map(str, distinct)), (said,)


def _untranscribed(recorded: Recorded) -> tuple[list[str], int]:
    """Sound files of which no row speaks: the names of those below the data's folder, and how many lie elsewhere.

    Looked for in the folders of those that are named, and anywhere below the folder that was given.
    """
    named = {os.path.realpath(row.path) for row in recorded.rows if row.path is not None}
    found: set[str] = set()
    for folder in {os.path.dirname(path) for path in named}:
        found.update(os.path.join(folder, name) for name in os.listdir(folder) if is_sound(name))
    if recorded.root is not None:
        for folder, _, names in os.walk(os.path.realpath(recorded.root)):
            found.update(os.path.join(folder, name) for name in names if is_sound(name))
    left = sorted(path for path in found if os.path.realpath(path) not in named)
    base = os.path.realpath(recorded.root or recorded.folder)
    below = [path for path in left if Path(path).is_relative_to(base)]
    return [readable(os.path.relpath(path, base)) for path in below], len(left) - len(below)


def _beside_note(beside: int) -> tuple[str, ...]:
    """What is said of sounds outside of the data's folder, which are hardly meant."""
    if not beside:
        return ()
    lie = "file lies" if beside == 1 else "files lie"
    return (f"{beside} more sound {lie} beside those named, without a transcript",)
