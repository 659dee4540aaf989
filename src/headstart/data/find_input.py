"""Which column of a table holds the items: paths of files, texts, or none, where every row is an item."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.data.cells import number_share
from headstart.data.column_names import PATH_NAMES, TEXT_NAMES, columns_named
from headstart.data.dataset import FILES, Modality
from headstart.data.looks import MOST, file_share, files_of, is_strings, sample, words
from headstart.data.table import Table
from headstart.errors import DataError


def find_input(
    table: Table, free: Sequence[str], modality: Modality | None, named: str | None, usual: str | None
) -> tuple[Modality, str | None, str]:
    """The modality, the one input column (None for a table of features), and a sentence ("" where all was given).

    Args:
        free: the columns of no other use.
        modality, named: what was asked for.
        usual: the column of a model's fit.

    Raises:
        DataError: no column holds what the modality asks for.
    """
    if modality == "table":
        return "table", named, ""
    if named:
        seen = sample(table.columns[named])
        found: Modality = files_of(seen) or ("text" if number_share(seen) < 0.95 else "table")
        return (
            modality or found,
            named,
            "" if modality else f"modality {found}: what column {named!r} holds",
        )
    if modality is not None and usual in free:
        return modality, usual, f"input: column {usual!r}, as in the model's fit"
    if modality is None or modality in FILES:
        files = _find_files(table, free, modality)
        if files is not None:
            return *files, f"modality {files[0]}: column {files[1]!r} holds paths of {files[0]}s"
        if modality is not None:
            raise DataError(f"{table.name} has no column of {modality} paths; name it with --input")
    text = _find_text(table, free, forced=modality == "text")
    if text is not None:
        return "text", text, f"modality text: column {text!r} holds texts"
    if modality == "text":
        raise DataError(f"{table.name} has no column of texts; name it with --input")
    return "table", None, "modality table: rows of numbers and categories"


def _find_files(table: Table, free: Sequence[str], modality: Modality | None) -> tuple[Modality, str] | None:
    """The modality and the column of paths: what most cells name, and of columns alike in it the usual name first.

    A modality that was asked for needs a few such cells only, or, as paths may lack a suffix, the usual name.
    """
    usual = columns_named(free, PATH_NAMES)
    order = [*usual, *(name for name in free if name not in usual)]
    asked = FILES if modality is None else (modality,)
    shares = {(one, name): file_share(sample(table.columns[name]), one) for one in asked for name in order}
    best = max(shares, key=lambda key: shares[key], default=None)
    if best is not None and shares[best] >= (MOST if modality is None else 0.01):
        return best
    strings = [name for name in usual if is_strings(table.columns[name])]
    return (modality, strings[0]) if modality is not None and strings else None


def _find_text(table: Table, free: Sequence[str], *, forced: bool) -> str | None:
    """The column of texts, if the table is about texts: by its name, else long strings with hardly a number beside."""
    named = [name for name in columns_named(free, TEXT_NAMES) if number_share(sample(table.columns[name])) < 0.95]
    if named:
        return named[0]
    strings = [name for name in free if is_strings(table.columns[name])]
    if not strings:
        return free[0] if forced and len(free) == 1 else None
    longest = max(strings, key=lambda name: words(table.columns[name]))
    numbers = sum(number_share(sample(table.columns[name])) >= 0.95 for name in free)
    cells = table.columns[longest]
    prose = words(cells) >= 3 and numbers <= 2
    alone = numbers == 0 and len({*map(str, cells)}) > max(0.5 * len(cells), 10)
    return longest if forced or prose or alone else None
