"""Arrays in a safetensors file that is there whole or not at all, after a kill and after a crash of the machine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from headstart.errors import StorageError, one_line


def save_whole(arrays: Mapping[str, NDArray[Any]], path: Path, metadata: Mapping[str, str]) -> None:
    """Write contiguous arrays to `path`, a *.safetensors, beside it at first, from where they lie in memory.

    What it writes under until then is `features.bound.is_half_written`.

    Raises:
        StorageError: the system does not take it; the message is its reason, with no path in it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file  # `save` would copy the arrays twice

    temporary = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode & 0o777  # as the user's mask has it: safetensors gives nobody else the file
        save_file(dict(arrays), temporary, metadata=dict(metadata))
        temporary.chmod(mode)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # else a crash could leave the name and no content
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise StorageError(refusal(error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def refusal(error: Exception) -> str:
    """Why the system does not take a file, in its words, without a path: two runs that fail alike say the same."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = one_line(error)
    told = re.search(r"([^:]+) \(os error \d+\)", text)
    return told[1].strip() if told else text.partition(" at path ")[0][:120]
