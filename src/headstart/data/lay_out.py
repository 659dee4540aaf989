"""Put files under a folder all at once: a reader sees the whole of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from headstart.errors import StorageError

# Relative posix path -> the file to link to, or what to write.
Content = Mapping[str, Path | bytes]


def lay_out(folder: Path, content: Content, stamp: str) -> None:
    """Make `folder` hold exactly `content`, replacing what is there.

    It is built beside and renamed into place. Files elsewhere are linked to, or copied where links are not allowed.

    Args:
        stamp: what the content was made from, for `is_intact`.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            built = Path(scratch, "new")
            for name, source in content.items():
                _put(built / name, source)
            sizes = {name: (built / name).stat().st_size for name in content}
            record = Path(scratch, "record")
            record.write_text(json.dumps({"stamp": stamp, "sizes": sizes}), encoding="utf-8")
            _record(folder).unlink(missing_ok=True)
            _swap(built, folder, Path(scratch, "old"))
            os.replace(record, _record(folder))
    except OSError as failed:
        if is_intact(folder, stamp):  # another process was quicker
            return
        raise StorageError(
            f"{folder} cannot be written: {failed.strerror or failed}; HEADSTART_HOME can name another place"
        ) from None


def is_intact(folder: Path, stamp: str) -> bool:
    """True if `folder` was laid out from `stamp` and every file of it is still there, of its size."""
    try:
        record = json.loads(_record(folder).read_text(encoding="utf-8"))
        return record["stamp"] == stamp and all(
            os.stat(folder / name).st_size == size for name, size in record["sizes"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _record(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.json")


def _put(path: Path, source: Path | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, bytes):
        path.write_bytes(source)
        return
    try:
        path.symlink_to(source.resolve())
    except OSError:  # not allowed on this file system or to this user
        shutil.copyfile(source, path)


def _swap(new: Path, folder: Path, old: Path) -> None:
    if os.path.lexists(folder):
        os.rename(folder, old)  # removed with the scratch folder around it
    os.rename(new, folder)
