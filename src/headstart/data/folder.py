"""A folder of class folders: the name of a folder is the class of all files below it."""

from __future__ import annotations

import os
from pathlib import Path

from headstart.data.dataset import Dataset, Modality, Skipped
from headstart.data.infer import Wanted
from headstart.data.labels import Labels, labels_from_names, normal, read_labels
from headstart.data.search import SUFFIXES, Found, entries, readable, search, why_not_a_file
from headstart.data.texts import read_text
from headstart.errors import DataError, ItemError

SPLIT_NAMES = frozenset(("train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"))


def read_folder(root: Path, wanted: Wanted) -> Dataset:
    """The items below the class folders of `root`, sorted by path.

    Raises:
        DataError: it has no class folders, no items, one class only, is a folder of splits, or cannot be read; a
            column was named; or the modality asked for is not one of files.
    """
    _refuse_columns(root, wanted)
    classes = class_folders(root)
    found = {name: _search_all(folders, str(root)) for name, folders in classes.items()}
    modality, notes = _modality(root, found, wanted.modality)
    notes += _merged(classes)
    files = sorted((_id(path, root), path, name) for name, one in found.items() for path in one.paths[modality])
    kept, skipped = _load(files, modality)
    if not kept:
        why = f": {skipped[0].id}: {skipped[0].reason}" if skipped else ""
        raise DataError(f"{root} has {len(files)} {modality} files and none can be used{why}")
    _refuse_one_class(root, {name for _, _, name in kept}, found, wanted)
    labels = _labels([name for _, _, name in kept], wanted)
    if wanted.task is None:
        notes.append(f"task {labels.target.task}: {len(labels.target.classes)} class folders")
    skipped += [Skipped(kept[i][0], reason) for i, reason in labels.reasons.items()]
    kept = [kept[i] for i in labels.kept]
    items = [Path(path) for _, path, _ in kept] if modality == "image" else [text for _, text, _ in kept]
    skipped += [Skipped(_id(path, root), why_not_a_file(path)) for one in found.values() for path in one.dangling]
    return Dataset(
        name=root.resolve().name or str(root),
        modality=modality,
        items=items,
        ids=tuple(id_ for id_, _, _ in kept),
        target=labels.target,
        skipped=tuple(skipped),
        notes=(*notes, *labels.notes),
    )


def class_folders(root: Path) -> dict[str, list[str]]:
    """Class name (NFC) -> the folders of it; two spellings of one name in Unicode are one class.

    Raises:
        DataError: no class folders, or folders that are a split (train, val, test) of class folders.
    """
    folders = sorted(entry.name for entry in entries(str(root)) if entry.is_dir() and not entry.name.startswith("."))
    splits = [name for name in folders if name.lower() in SPLIT_NAMES]
    if len(splits) > 1 and any(name.lower().startswith("train") for name in splits):
        train = next(name for name in splits if name.lower().startswith("train"))
        if any(entry.is_dir() for entry in entries(str(root / train))) or len(splits) == len(folders):
            raise DataError(
                f"{root} holds the splits {', '.join(splits)}, not classes: pass {root / train} to learn from, "
                f"and evaluate on another"
            )
    if not folders:
        raise DataError(f"{root} holds no class folders; expected one folder a class, or a table with a label column")
    classes: dict[str, list[str]] = {}
    for name in folders:
        classes.setdefault(normal(readable(name)) or name, []).append(
            os.path.join(str(root), name)
        )  # Path(".") / name would lose the "."
    return classes


def _merged(classes: dict[str, list[str]]) -> list[str]:
    """A note on folders that look alike and are one class."""
    twice = [name for name, folders in classes.items() if len(folders) > 1]
    return [f"one class of folders whose names differ only as bytes: {', '.join(twice[:5])}"] if twice else []


def _search_all(folders: list[str], root: str) -> Found:
    found = Found()
    for folder in folders:
        search(folder, found, root)
    return found


def _id(path: str, root: Path) -> str:
    # By hand, since pathlib would take most of the time of reading 50,000 names.
    below = path[len(str(root)) :].lstrip(os.sep)
    return readable(below.replace(os.sep, "/"))


def _refuse_columns(root: Path, wanted: Wanted) -> None:
    named = [name for name in ("input", "label", "group", "time") if getattr(wanted, name)]
    if named:
        raise DataError(f"{root} is a folder, and {named[0]}= names a column; expected a table for that")
    if wanted.modality == "table":
        raise DataError(f"{root} is a folder, which holds images or texts; for modality table pass a table")


def _modality(root: Path, found: dict[str, Found], wanted: Modality | None) -> tuple[Modality, list[str]]:
    """What the files are, and sentences on what was met."""
    images, texts = (sum(len(one.paths[kind]) for one in found.values()) for kind in ("image", "text"))
    total = Found()
    for one in found.values():
        total.others += one.others
        total.hidden += one.hidden
        total.loops += one.loops
    notes = []
    modality: Modality = wanted or ("image" if images >= texts else "text")
    if not (images if modality == "image" else texts):
        kinds = ", ".join(sorted(SUFFIXES[modality])) if wanted else "images or .txt files"
        raise DataError(f"{root} has no items: its class folders hold no {kinds}{'; '.join(['', *total.notes()])}")
    if wanted is None:
        notes.append(f"modality {modality}: what the files' names say")
    if images and texts:
        other, count = ("text", texts) if modality == "image" else ("image", images)
        notes.append(f"{count} {other} files beside the {modality} files passed over")
    empty = [name for name, one in found.items() if not one.paths[modality]]
    if empty:
        are = "class folder is" if len(empty) == 1 else "class folders are"
        notes.append(f"{len(empty)} {are} empty and left out: {', '.join(empty[:5])}")
    loose = [entry for entry in entries(str(root)) if not entry.name.startswith(".") and not entry.is_dir()]
    if loose:
        notes.append(f"{len(loose)} file{'s' if len(loose) > 1 else ''} beside the class folders passed over")
    return modality, [*notes, *total.notes()]


def _refuse_one_class(root: Path, there: set[str], found: dict[str, Found], wanted: Wanted) -> None:
    """Raise DataError where a fit has the items of one class only, naming the class folders that gave none."""
    if len(there) > 1 or wanted.classes or wanted.task in ("regression", "multilabel"):
        return
    without = [name for name in found if name not in there]
    why = f"; nothing that can be used is in {', '.join(without[:5])}{' ...' * (len(without) > 5)}" if without else ""
    raise DataError(f"{root}: only one class, {next(iter(there))!r}, has items; at least two are needed{why}")


def _load(files: list[tuple[str, str, str]], modality: Modality) -> tuple[list[tuple[str, str, str]], list[Skipped]]:
    """(id, path or text, class) of what can be used; images are not opened."""
    if modality == "image":
        return files, []
    kept, skipped = [], []
    for id_, path, name in files:
        try:
            kept.append((id_, read_text(path), name))
        except ItemError as failed:
            skipped.append(Skipped(id_, str(failed)))
    return kept, skipped


def _labels(names: list[str], wanted: Wanted) -> Labels:
    if wanted.task in ("regression", "multilabel"):
        return read_labels(names, "class folder", wanted.task, wanted.classes)
    return labels_from_names(names, "class folder", wanted.task, wanted.classes)
