"""A folder of class folders: the name of a folder is the class of all files below it.

Or a folder whose files' own names say the class, by a pattern.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from headstart.data.column_names import HELD_OUT_NAMES, TRAIN_NAMES, bare
from headstart.data.dataset import FILES, Dataset, Modality, Skipped
from headstart.data.folder_kind import kind_of, loose_items
from headstart.data.groups import NO_GROUPS
from headstart.data.infer import Wanted
from headstart.data.labels import normal
from headstart.data.name_fields import guess_note
from headstart.data.names import EXAMPLES, NamePart, groups_of, labels_of, name_part
from headstart.data.search import Found, entries, readable, search, why_not_a_file
from headstart.data.split_notes import refuse_uncheckable
from headstart.data.table import is_table_name
from headstart.data.texts import read_text
from headstart.data.transcript_folders import holds_transcripts
from headstart.errors import DataError, ItemError
from headstart.tasks import Target

_TRAIN_NAMES, _HELD_OUT_NAMES = (frozenset(map(bare, names)) for names in (TRAIN_NAMES, HELD_OUT_NAMES))
_BY_NAME = f"or read the classes off the files' names, for example {EXAMPLES['label']}"


def read_folder(root: Path, wanted: Wanted) -> Dataset:
    """The items below `root`, sorted by path: in class folders, or with the class in their names.

    Raises:
        DataError: it has no class folders, no items, one class only, is a folder of splits, or cannot be read; a
            column was named; a pattern finds nothing in some names; or the modality asked for is not one of files.
        OptionError: a pattern that is none.
    """
    label, group = name_part("label", wanted.label), name_part("group", wanted.group)
    _refuse_columns(root, wanted, label, group)
    classes = class_folders(root) if label is None else {"": [str(root)]}
    found = {name: _search_all(folders, str(root)) for name, folders in classes.items()}
    modality, notes = kind_of(root, found, wanted.modality)
    notes += [*_merged(classes), *_splits_below(found, modality, classes if label is None else {})]
    files = sorted((_id(path, root), path, name) for name, one in found.items() for path in one.paths[modality])
    kept, skipped = _load(files, modality)
    if not kept:
        why = f": {skipped[0].id}: {skipped[0].reason}" if skipped else ""
        raise DataError(f"{root} has {len(files)} {modality} files and none can be used{why}")
    if label is None:
        _refuse_one_class(root, {name for _, _, name in kept}, found, wanted)
    ids = [id_ for id_, _, _ in kept]
    names, source = ([name for _, _, name in kept], "class folder") if label is None else (label.of(ids), label.name)
    labels = labels_of(names, source, wanted.task, wanted.classes)
    if wanted.task is None:
        of = "class folders" if label is None else f"distinct labels, {label}"
        notes.append(f"task {labels.target.task}: {len(labels.target.classes)} {of}")
    skipped += [Skipped(kept[i][0], reason) for i, reason in labels.reasons.items()]
    kept = [kept[i] for i in labels.kept]
    skipped += [Skipped(_id(path, root), why_not_a_file(path)) for one in found.values() for path in one.dangling]
    data = Dataset(
        name=root.resolve().name or str(root),
        modality=modality,
        items=[Path(path) for _, path, _ in kept] if modality in FILES else [text for _, text, _ in kept],
        ids=tuple(id_ for id_, _, _ in kept),
        target=labels.target,
        skipped=tuple(skipped),
        notes=(*notes, *labels.notes),
    )
    return _grouped(data, labels.target, group, wanted)


def _grouped(data: Dataset, target: Target, group: NamePart | None, wanted: Wanted) -> Dataset:
    """The data with the groups in its files' names; without a pattern, with a note where there seem to be some."""
    if group is None:
        guess = wanted.group is None and not wanted.classes
        return replace(data, notes=(*data.notes, *guess_note(data.ids, target))) if guess else data
    codes, notes = groups_of(group, group.of(data.ids))
    if not wanted.classes:
        refuse_uncheckable(target, codes, str(group))
    return replace(data, groups=codes, notes=(*data.notes, *notes))


def class_folders(root: Path) -> dict[str, list[str]]:
    """Class name (NFC) -> the folders of it; two spellings of one name in Unicode are one class.

    Raises:
        DataError: no class folders, or folders that are a split (train, val, test) of class folders.
    """
    folders = sorted(entry.name for entry in entries(str(root)) if entry.is_dir() and not entry.name.startswith("."))
    splits = [name for name in folders if _is_split(name)]
    train = next((name for name in splits if bare(name) in _TRAIN_NAMES), None)
    if (
        len(splits) > 1
        and train is not None
        and (any(entry.is_dir() for entry in entries(str(root / train))) or len(splits) == len(folders))
    ):
        raise DataError(
            f"{root} holds the splits {', '.join(splits)}, not classes: pass {root / train} to learn from, "
            f"and evaluate on another"
        )
    if not folders:
        loose, spoken = loose_items(root), _spoken(root)
        if loose:
            how = f"put them into one folder a class, {_BY_NAME}{spoken}"
            raise DataError(f"{root} holds no class folders, but {loose}: {how}")
        raise DataError(
            f"{root} holds no class folders; expected one folder a class, or a table with a label column{spoken}"
        )
    classes: dict[str, list[str]] = {}
    for name in folders:
        classes.setdefault(normal(readable(name)) or name, []).append(
            os.path.join(str(root), name)
        )  # Path(".") / name would lose the "."
    return classes


def _is_split(folder: str) -> bool:
    """True for what a part of a split is called: train, val, test."""
    return bare(folder) in _TRAIN_NAMES | _HELD_OUT_NAMES


def _merged(classes: dict[str, list[str]]) -> list[str]:
    """A note on folders that look alike and are one class."""
    twice = [name for name, folders in classes.items() if len(folders) > 1]
    return [f"one class of folders whose names differ only as bytes: {', '.join(twice[:5])}"] if twice else []


def _splits_below(found: dict[str, Found], modality: Modality, classes: dict[str, list[str]]) -> list[str]:
    """A note where the class folders hold train and val, or the like."""
    first = {
        path[len(folder) + 1 :].partition(os.sep)[0]
        for name, folders in classes.items()
        for folder in folders
        for path in found[name].paths[modality]
        if path.startswith(folder + os.sep)
    }
    there = sorted(filter(_is_split, first))
    if len(there) < 2:
        return []
    return [f"all of {', '.join(there)} in the class folders is taken, as parts of the classes and not as a split"]


def _search_all(folders: list[str], root: str) -> Found:
    found = Found()
    for folder in folders:
        search(folder, found, None if folder == root else root)
    return found


def _id(path: str, root: Path) -> str:
    # By hand, since pathlib would take most of the time of reading 50,000 names.
    below = path[len(str(root)) :].lstrip(os.sep)
    return readable(below.replace(os.sep, "/"))


def _refuse_columns(root: Path, wanted: Wanted, label: NamePart | None, group: NamePart | None) -> None:
    columns = {"input": wanted.input, "time": wanted.time}
    columns |= {} if label else {"label": wanted.label}
    columns |= {} if group or wanted.group == NO_GROUPS else {"group": wanted.group}
    named = [name for name, column in columns.items() if column]
    if named:
        name = next((option for option in EXAMPLES if option == named[0]), None)
        how = f"; to read it off the files' names write NAME=REGEX, for example {EXAMPLES[name]}" if name else ""
        raise DataError(f"{root} is a folder, and {named[0]}= names a column; expected a table for that{how}")
    if wanted.modality == "table":
        raise DataError(f"{root} is a folder, which holds images, sounds or texts; for modality table pass a table")


def _refuse_one_class(root: Path, there: set[str], found: dict[str, Found], wanted: Wanted) -> None:
    """Raise DataError where a fit has the items of one class only, naming the class folders that gave none."""
    if len(there) > 1 or wanted.classes or wanted.task in ("regression", "multilabel"):
        return
    without = [name for name in found if name not in there]
    why = f"; nothing that can be used is in {', '.join(without[:5])}{' ...' * (len(without) > 5)}" if without else ""
    raise DataError(
        f"{root}: only one class, {next(iter(there))!r}, has items; at least two are needed, {_BY_NAME}{why}"
        f"{_elsewhere(root, found)}"
    )


def _elsewhere(root: Path, found: dict[str, Found]) -> str:
    """Where else the classes may be: in a folder below the only one, or in a table beside it; "" where in neither."""
    if spoken := _spoken(root):
        return spoken
    below = root / next(iter(found))
    if len(found) == 1 and os.path.isdir(below) and sum(entry.is_dir() for entry in entries(str(below))) > 1:
        return f"; or are the classes the folders in {below}? Then pass that"
    tables = sorted(entry.name for entry in entries(str(root)) if is_table_name(entry.name))
    return f"; or do the labels stand in {tables[0]}? Then pass {root / tables[0]}" if tables else ""


def _spoken(root: Path) -> str:
    """What is to be done with transcribed speech; "" where there is none."""
    return "; to learn from its transcripts add --task transcribe" if holds_transcripts(root) else ""


def _load(files: list[tuple[str, str, str]], modality: Modality) -> tuple[list[tuple[str, str, str]], list[Skipped]]:
    """(id, path or text, class) of what can be used; images and sounds are not opened."""
    if modality in FILES:
        return files, []
    kept, skipped = [], []
    for id_, path, name in files:
        try:
            kept.append((id_, read_text(path), name))
        except ItemError as failed:
            skipped.append(Skipped(id_, str(failed)))
    return kept, skipped
