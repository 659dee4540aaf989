"""Reading files that others wrote: bounded sizes, checked types, every mistake at once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from headstart.errors import SourceError

JSON_LIMIT = 16 << 20
_REQUIRED = object()
_T = TypeVar("_T")


def sha256_of(*paths: Path) -> str:
    """The sha256, in hex, of the files' bytes one after another, read in pieces."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def stamp(*paths: Path) -> str:
    """A cheap identity of files: where they are, how long, when changed. Absent files count as absent."""
    lines = []
    for path in paths:
        try:
            status = path.stat()
            lines.append(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}")
        except OSError:
            lines.append(f"{os.path.realpath(path.parent)} {path.name} absent")
        except ValueError:  # a NUL in the path
            lines.append(f"{path} absent")
    return "\n".join(lines)


def read_pinned(path: Path, sha256: str, remedy: str) -> bytes:
    """The bytes of a file whose hash is known; `remedy` says in the message what to do about another.

    Raises:
        SourceError: the file cannot be read or has another hash.
    """
    return read_joined((path,), sha256, remedy)


def read_joined(paths: Sequence[Path], sha256: str, remedy: str) -> bytes:
    """The bytes of the parts of a file, one after another, whose hash together is known. See `read_pinned`.

    Raises:
        SourceError: a file cannot be read, or the hash is another.
    """
    parts = []
    for path in paths:
        try:
            parts.append(path.read_bytes())
        except OSError as error:
            raise SourceError(f"{path} cannot be read ({error.strerror}): {remedy}") from None
    data = b"".join(parts)
    got = hashlib.sha256(data).hexdigest()
    if got != sha256:
        raise SourceError(f"{' + '.join(map(str, paths))} has sha256 {got}, expected {sha256}: {remedy}")
    return data


def read_object(path: Path) -> dict[str, object]:
    """The JSON object in `path`.

    Raises:
        SourceError: no such file, larger than 16 MiB, not JSON, or not an object.
    """
    try:
        size = path.stat().st_size
        if size > JSON_LIMIT:
            raise SourceError(f"{path} has {size:,} bytes; a description has at most {JSON_LIMIT:,}")
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); it must be a JSON file") from None
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0][:120]
        raise SourceError(f"{path} is not JSON ({reason}); write one JSON object in UTF-8") from None
    if not isinstance(value, dict):
        raise SourceError(f"{path} holds a JSON {type(value).__name__}; it must be an object")
    return value


class Fields:
    """Typed and bounded access to a JSON object.

    A getter with a wrong or missing value notes the mistake and returns a harmless stand-in; `finish` raises all of
    them as one error, so that a user corrects a file once.
    """

    def __init__(self, values: Mapping[str, object], where: str) -> None:
        self._values = values
        self._where = where
        self._known: list[str] = []
        self._mistakes: list[str] = []

    def text(self, key: str, default: object = _REQUIRED, *, choices: Sequence[str] = (), longest: int = 4096) -> str:
        """A string, one of `choices` where there are any."""
        value = self._get(key, default)
        if not isinstance(value, str) or len(value) > longest:
            return self._wrong(key, value, f"a string of at most {longest} characters", choices[0] if choices else "")
        if choices and value not in choices:
            return self._wrong(key, value, "one of " + ", ".join(choices), choices[0])
        return value

    def integer(self, key: str, default: object = _REQUIRED, *, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            return self._wrong(key, value, f"a whole number from {low} to {high}", low)
        return value

    def number(self, key: str, default: object = _REQUIRED, *, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            return self._wrong(key, value, f"a number from {low:g} to {high:g}", low)
        return float(value)

    def flag(self, key: str, default: object = _REQUIRED) -> bool:
        """True or false."""
        value = self._get(key, default)
        return value if isinstance(value, bool) else self._wrong(key, value, "true or false", False)

    def check(self, right: bool, mistake: str) -> None:
        """Note `mistake`, which is of several keys together, unless it is `right` or a key alone is wrong already."""
        if not right and not self._mistakes:
            self._mistakes.append(mistake)

    def triple(self, key: str, default: object = _REQUIRED, *, low: float, high: float) -> tuple[float, float, float]:
        """Three numbers from `low` to `high`, or one number for all three."""
        value = self._get(key, default)
        many = value if isinstance(value, list | tuple) else [value] * 3
        right = [v for v in many if isinstance(v, int | float) and not isinstance(v, bool) and low <= v <= high]
        if len(many) != 3 or len(right) != 3:
            return self._wrong(key, value, f"three numbers from {low:g} to {high:g}", (low, low, low))
        return float(right[0]), float(right[1]), float(right[2])

    def texts(self, key: str, *, most: int) -> tuple[str, ...]:
        """A list of 1 to `most` different strings."""
        value = self._get(key, _REQUIRED)
        if not isinstance(value, list) or not 1 <= len(value) <= most or not all(isinstance(v, str) for v in value):
            return self._wrong(key, value, f"a list of 1 to {most} strings", ())
        if len(set(value)) < len(value):
            return self._wrong(key, value, "a list without repetitions", ())
        return tuple(value)

    def mappings(self, key: str, *, most: int) -> list[dict[str, object]]:
        """A list of 1 to `most` JSON objects."""
        value = self._get(key, _REQUIRED)
        if not isinstance(value, list) or not 1 <= len(value) <= most or not all(isinstance(v, dict) for v in value):
            return self._wrong(key, value, f"a list of 1 to {most} objects", [])
        return value

    def mapping(self, key: str, default: object = _REQUIRED) -> dict[str, object]:
        """A JSON object."""
        value = self._get(key, default)
        return value if isinstance(value, dict) else self._wrong(key, value, "an object", {})

    def finish(self, *, others: bool) -> None:
        """Raise what was wrong; with `others` false, keys that no getter asked for are wrong too.

        Raises:
            SourceError: every mistake, in one line.
        """
        if not others:
            for key in self._values.keys() - set(self._known):
                near = get_close_matches(key, self._known, n=1)
                self._mistakes.append(f"unknown key {key!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
        if self._mistakes:
            raise SourceError(f"{self._where}: " + "; ".join(self._mistakes))

    def _get(self, key: str, default: object) -> object:
        self._known.append(key)
        return self._values.get(key, default)

    def _wrong(self, key: str, value: object, expected: str, stand_in: _T) -> _T:
        if value is _REQUIRED:
            self._mistakes.append(f"missing key {key!r}: {expected}")
        else:
            self._mistakes.append(f"{key!r} is {str(value)[:60]!r}; it must be {expected}")
        return stand_in
