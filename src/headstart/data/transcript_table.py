"""Tables of recordings: which column names the files, which has the words, which the speakers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headstart.data.cells import Cell
from headstart.data.column_names import PATH_NAMES, TRANSCRIPT_NAMES, columns_named
from headstart.data.groups import NO_GROUPS, Groups, likely_groups
from headstart.data.locate import find_file, why_absent
from headstart.data.looks import is_strings, sample
from headstart.data.names import name_part
from headstart.data.search import readable
from headstart.data.table import Table
from headstart.data.transcript_rows import SOUND_SUFFIXES, Recorded, Row, is_sound
from headstart.errors import DataError

_PATH_NAMES = (*PATH_NAMES, "audio filepath", "wav filename")
ID_NAMES = ("id", "utterance_id", "utt_id", "uttid", "segment_id", "clip_id")
# Where data sets keep their clips, beside the table.
PLACES = ("", "clips", "wavs", "wav", "audio", "audios", "data")


def rows_of(table: Table, path_column: str | None, text_column: str | None, group: str | None) -> Recorded:
    """The rows of a table of recordings and transcripts.

    Args:
        path_column, text_column: the names of the columns; None to find them.
        group: the column of groups, NAME=REGEX, NO_GROUPS, or None to find a column.

    Raises:
        DataError: a named column is absent, or a column cannot be told.
    """
    paths = _path_column(table, path_column)
    texts = _text_column(table, text_column, paths)
    part = name_part("group", group, table.columns)
    groups, notes = _group_column(table, NO_GROUPS if part else group, (paths, texts))
    by = f"column {groups!r}" if groups is not None else ""
    identities = next(
        (name for name in columns_named(table.columns, ID_NAMES) if _all_there(table.columns[name])), None
    )
    rows = []
    for i in range(len(table)):
        written, text = table.columns[paths][i], table.columns[texts][i]
        path, reason = _find(written, table.folder)
        name = table.columns[identities][i] if identities else written
        rows.append(
            Row(
                id=f"row {table.numbers[i]}" if name is None else str(name),
                path=path,
                text="" if text is None else str(text),
                group="" if groups is None or table.columns[groups][i] is None else str(table.columns[groups][i]),
                reason=reason,
                file="" if written is None else readable(str(written)),
            )
        )
    said = f"{len(table)} rows: sounds in column {paths!r}, transcripts in column {texts!r}"
    return Recorded(
        name=table.name,
        folder=table.folder,
        rows=tuple(rows),
        group=by if part is None else str(part),
        part=part,
        bad=table.bad,
        notes=(*table.notes, said, *notes),
    )


def _path_column(table: Table, wanted: str | None) -> str:
    if wanted is not None:
        return _present(table, wanted, "--input")
    sounds = [name for name, cells in table.columns.items() if _sound_share(cells) >= 0.5]
    for name in (*columns_named(table.columns, _PATH_NAMES), *table.columns):
        if name in sounds:
            return name
    named = [name for name in columns_named(table.columns, _PATH_NAMES) if is_strings(table.columns[name])]
    if named:  # names without a suffix, as LJSpeech has them
        return named[0]
    raise DataError(
        f"no column of {table.name} names sound files ({' '.join(sorted(SOUND_SUFFIXES)[:6])} ...); "
        f"it has {_listed(table)}: name one with --input"
    )


def _text_column(table: Table, wanted: str | None, paths: str) -> str:
    if wanted is not None:
        return _present(table, wanted, "--label")
    for name in columns_named(table.columns, TRANSCRIPT_NAMES):
        if name != paths and any(cell is not None for cell in table.columns[name]):
            return name
    raise DataError(
        f"no column of {table.name} has a name of transcripts ({', '.join(TRANSCRIPT_NAMES[:4])}); "
        f"it has {_listed(table)}: name one with --label"
    )


def _group_column(table: Table, wanted: str | None, taken: Sequence[str]) -> tuple[str | None, list[str]]:
    """The column of groups, or None, and what is to be said."""
    named = None if wanted in (None, NO_GROUPS) else _present(table, str(wanted), "--group")
    rest = [name for name in table.columns if name not in taken and name != named]
    groups = Groups(named, likely_groups(table.columns, rest), settled=wanted is not None)
    return groups.settle(rest, (), taken[1])


def _find(written: Cell, folder: Path) -> tuple[Path | None, str]:
    """The file that a cell names, or why there is none: as written, in a folder of clips, or with a suffix."""
    if written is None:
        return None, "no path"
    name = str(written)
    for place in PLACES:
        path = find_file(name, folder / place)
        if path is not None:
            return path, ""
    if not is_sound(name):
        for place in PLACES:
            for suffix in (".wav", ".flac", ".mp3", ".ogg", ".opus"):
                path = find_file(name + suffix, folder / place)
                if path is not None:
                    return path, ""
    return None, why_absent(name, folder)


def _sound_share(cells: Sequence[Cell]) -> float:
    there = [cell for cell in sample(cells) if cell is not None]
    return sum(isinstance(cell, str) and is_sound(cell) for cell in there) / max(len(there), 1)


def _all_there(cells: Sequence[Cell]) -> bool:
    return all(cell is not None for cell in cells)


def _present(table: Table, column: str, option: str) -> str:
    if column not in table.columns:
        raise DataError(f"{option} {column!r}: {table.name} has no such column; it has {_listed(table)}")
    return column


def _listed(table: Table) -> str:
    return ", ".join(map(repr, table.columns))
