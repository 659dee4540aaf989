"""A .headstart file as named parts: JSON, safetensors, ONNX and text, with a manifest of their hashes; nothing else.

    write_archive("birds.headstart", {"report.json": b"...", "source/graph.onnx": Path("graph.onnx")})
    with open_archive("birds.headstart") as archive:
        report = archive.json("report.json")
        graph = archive.extract("source/graph.onnx", folder)

The file is inert: parts are read as data, and every byte is checked before it is used. The same parts give the same
bytes. How the parts lie in the file: `members`.
"""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import re
import secrets
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from headstart.archive.members import MAX_FILE_BYTES, MAX_MEMBERS, Member, check_name, read_members
from headstart.archive.names import goal
from headstart.errors import ArtefactError, StorageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = "headstart"
VERSION = 1
MANIFEST = "manifest.json"
MAX_JSON_BYTES = 64 * 2**20
MAX_JSON_DEPTH = 64
_CHUNK = 2**20
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_HEX64 = re.compile(r"[0-9a-f]{64}")


class Archive:
    """An opened .headstart file whose every part has been checked. A context manager; for one thread at a time.

    Attributes:
        path: the file.
        version: the format's version that the file states.
        names: the parts, the manifest not among them, sorted.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        with self._blame():
            self._members = read_members(file)
            self.version, self._hashes = self._manifest()
            self.names = tuple(sorted(self._hashes))
            for name in self.names:
                for _ in self._chunks(name):
                    pass

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; no part can be read from then on."""
        self._file.close()

    def bytes(self, name: str) -> bytes:
        """A part's bytes.

        Raises:
            ArtefactError: there is no such part, or its bytes are not those the manifest names.
        """
        with self._blame():
            return b"".join(self._chunks(name))

    def json(self, name: str) -> Any:
        """A part parsed as JSON, at most 64 MiB and 64 levels deep.

        Raises:
            ArtefactError: as for `bytes`, or it is not such JSON.
        """
        with self._blame():
            return self._json(name)

    def arrays(self, name: str) -> dict[str, NDArray[np.generic]]:
        """A safetensors part's arrays by name.

        Raises:
            ArtefactError: as for `bytes`, or it is not a safetensors file.
        """
        data = self.bytes(name)
        from safetensors.numpy import load

        with self._blame():
            try:
                arrays: dict[str, NDArray[np.generic]] = load(data)
            except MemoryError:
                raise
            except Exception as error:  # the header is untrusted, and the library raises many kinds
                raise ArtefactError(f"{name!r} in it is not a safetensors file ({error})") from None
        return arrays

    def extract(self, name: str, directory: Path) -> Path:
        """Copy a part to `directory`/`name` and return that path; the file appears whole or not at all.

        Raises:
            ArtefactError: as for `bytes`.
            StorageError: the copy cannot be written.
        """
        target = directory / name
        with self._blame(), _replacing(target) as copy:
            for chunk in self._chunks(name):
                copy.write(chunk)
        return target

    def _manifest(self) -> tuple[int, dict[str, str]]:
        """The version, and the sha256 of each part; checks that manifest and directory name the same parts."""
        if MANIFEST not in self._members:
            raise ArtefactError(f"it has no {MANIFEST}, so headstart did not write it")
        manifest = self._json(MANIFEST)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ArtefactError(f"its {MANIFEST} does not say format {FORMAT!r}")
        version, files = manifest.get("version"), manifest.get("files")
        if isinstance(version, int) and version > VERSION:
            raise _TooNewError(
                f"it has format {str(version)[:12]} and this headstart reads up to {VERSION}: "
                "pip install --upgrade headstart"
            )
        if type(version) is not int or version < 1 or not isinstance(files, dict):
            raise ArtefactError(f"its {MANIFEST} is damaged")
        if files.keys() != self._members.keys() - {MANIFEST}:
            odd = sorted(files.keys() ^ (self._members.keys() - {MANIFEST}))
            raise ArtefactError(f"its parts are not those its manifest names ({odd[0]!r})")
        return version, {name: _stated_hash(name, entry, self._members[name]) for name, entry in files.items()}

    def _json(self, name: str) -> Any:
        if name in self._members and self._members[name].size > MAX_JSON_BYTES:
            raise ArtefactError(f"{name!r} in it has more than {MAX_JSON_BYTES:,} bytes of JSON")
        data = b"".join(self._chunks(name))
        if _depth(data) > MAX_JSON_DEPTH:
            raise ArtefactError(f"{name!r} in it is nested more than {MAX_JSON_DEPTH} deep")
        try:
            return json.loads(data.decode())
        except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
            raise ArtefactError(f"{name!r} in it is not JSON") from None

    def _chunks(self, name: str) -> Iterator[builtins.bytes]:
        """A part piece by piece; raises after the last piece if they are not the bytes that were written."""
        if name not in self._members:
            raise ArtefactError(f"it has no part {name!r}")
        member = self._members[name]
        digest, crc, left = hashlib.sha256(), 0, member.size
        self._file.seek(member.offset)
        while left:
            chunk = self._file.read(min(_CHUNK, left))
            if not chunk:
                raise ArtefactError("it is cut off")
            left -= len(chunk)
            digest.update(chunk)
            crc = zlib.crc32(chunk, crc)
            yield chunk
        if crc != member.crc or (name != MANIFEST and digest.hexdigest() != self._hashes[name]):
            raise ArtefactError(f"the bytes of {name!r} in it are not those that were written")

    @contextmanager
    def _blame(self) -> Iterator[None]:
        """Say which file a refusal is about, and what to do."""
        try:
            yield
        except _TooNewError as error:
            raise ArtefactError(f"{self.path} cannot be read: {error}") from None
        except ArtefactError as error:
            raise ArtefactError(
                f"{self.path} is not an intact model: {error}; copy it again from its origin, or fit it anew"
            ) from None
        except OSError as error:
            raise ArtefactError(f"{self.path} cannot be read ({error.strerror or error})") from None


class _TooNewError(ArtefactError):
    """From a later headstart; the remedy is another one than for damage."""


def open_archive(path: str | os.PathLike[str]) -> Archive:
    """Open a .headstart file and check all of it: layout, manifest, the hash of every part.

    Raises:
        ArtefactError: there is no such file, or it is not one that headstart wrote, whole and unchanged.
    """
    path = Path(path)
    try:
        file = path.open("rb")
    except IsADirectoryError:
        raise ArtefactError(f"{path} is a folder, and a model is one .headstart file") from None
    except OSError as error:
        raise ArtefactError(
            f"{path} cannot be opened ({error.strerror or error}): give the .headstart file that fit saved"
        ) from None
    except ValueError:  # a null character in the path
        raise ArtefactError(f"{str(path)!r} is not a file's path") from None
    try:
        return Archive(path, file)
    except BaseException:
        file.close()
        raise


def write_archive(path: str | os.PathLike[str], parts: Mapping[str, bytes | Path]) -> None:
    """Write parts, bytes or files to copy, as one .headstart file; an old file stays whole until the new one is.

    Raises:
        StorageError: the disk is full, the folder cannot be written, or the parts exceed the format's sizes.
        ArtefactError: a part's name is not allowed.
    """
    path = Path(path)
    for name in parts:
        check_name(name)
    if MANIFEST in parts or len(parts) >= MAX_MEMBERS:
        raise ArtefactError(f"a model holds at most {MAX_MEMBERS - 1} parts besides its own {MANIFEST}")
    size = sum(part.stat().st_size if isinstance(part, Path) else len(part) for part in parts.values())
    if size > MAX_FILE_BYTES - _CHUNK:  # the headers have far less than a chunk
        raise StorageError(
            f"{goal(path)} would have {size:,} bytes, and a model has at most 2 GiB: choose a smaller source"
        )
    with _replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        files = {}
        for name in sorted(parts):
            files[name] = _add(archive, name, parts[name])
        manifest = {"format": FORMAT, "version": VERSION, "files": files}
        _add(archive, MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())


def _add(archive: zipfile.ZipFile, name: str, part: bytes | Path) -> dict[str, str | int]:
    """Append one part and return its line of the manifest. Time, mode and system are fixed: same parts, same file."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system = 3
    info.external_attr = 0o100644 << 16
    digest, size = hashlib.sha256(), 0
    with archive.open(info, "w") as out:
        for chunk in _pieces(part):
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return {"sha256": digest.hexdigest(), "bytes": size}


def _pieces(part: bytes | Path) -> Iterator[bytes]:
    if isinstance(part, Path):
        with part.open("rb") as source:
            while chunk := source.read(_CHUNK):
                yield chunk
    else:
        yield part


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once all is written and on the disk; left early, it is removed."""
    if is_odd(path):
        raise StorageError(f"{path} is neither a file nor free: name another place for it")
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{goal(path)} cannot be written ({error.strerror or error}): free space, or name another place for it"
        ) from None


def is_odd(path: Path) -> bool:
    """True for a device, a pipe or a socket, which a file would replace. (A folder is not replaced.)"""
    return path.exists() and not path.is_file() and not path.is_dir()


def _stated_hash(name: str, entry: object, member: Member) -> str:
    """The sha256 that the manifest states for a part, its size checked."""
    stated = entry if isinstance(entry, dict) else {}
    digest, size = stated.get("sha256"), stated.get("bytes")
    if not isinstance(digest, str) or not _HEX64.fullmatch(digest) or type(size) is not int:
        raise ArtefactError(f"its {MANIFEST} is damaged")
    if size != member.size:
        raise ArtefactError(f"{name!r} in it has {member.size:,} bytes, and {size:,} were written")
    return digest


def _depth(data: bytes) -> int:
    """How deep the brackets of a JSON text nest, strings aside; in linear time whatever the text."""
    marks = data.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NOT_STRUCTURE)
    depth = deepest = 0
    for mark in re.sub(rb'"[^"]*"', b"", marks):
        depth += 1 if mark in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
