"""What the frozen encoder says of clips: computed once, kept on disk in float16, in the bound of all activations.

One file a clip, under the hash of its bytes, in a folder for the encoder. A file that another process took away is made
again; where the disk may keep nothing, memory does.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import get_ident

import numpy as np
from numpy.typing import NDArray

from headstart.engines.processor import processor
from headstart.errors import ItemError
from headstart.features.bound import activations_dir, make_room
from headstart.features.files import content_key, read_file
from headstart.features.sound_facts import NAMES, facts, facts_row
from headstart.features.windowed import windowed
from headstart.progress import Progress
from headstart.speech.listening import RATE, TOO_LARGE, decoded, listen, log_mel
from headstart.speech.recogniser import Recogniser
from headstart.speech.windows import SECONDS

Array = NDArray[np.float32]
STATES_A_SECOND = 50
_VERSION = 1  # raise it when the same clip would be heard otherwise


class States:
    """The encoder's outputs for clips.

    Attributes:
        seconds: of each clip; 0 where it cannot be used.
        reasons: position of each clip that cannot be used -> why.
        facts: of the others, in their order.
    """

    def __init__(self, recogniser: Recogniser, paths: Sequence[Path], progress: Progress) -> None:
        """Read every clip, and encode those that are not on disk yet."""
        self._recogniser: Recogniser | None = recogniser
        self._checkpoint, self._paths = recogniser.checkpoint, paths
        self._folder = activations_dir() / _space(recogniser)
        self._held: dict[int, NDArray[np.float16]] = {}
        self._files: list[Path | None] = [None] * len(paths)
        self.seconds = np.zeros(len(paths))
        self.reasons: dict[int, str] = {}
        self._rows: dict[int, Array] = {}
        with progress.bar("encode", recogniser.checkpoint.name, len(paths), "clips") as bar:
            for cached in windowed((partial(self._add, i) for i in range(len(paths))), processor().workers):
                bar.advance(cached=cached)
        rows = [self._rows[i] for i in sorted(self._rows)]
        self.facts = facts(np.array(rows, np.float16).reshape(len(rows), len(NAMES)))
        self._recogniser = None  # large, and hardly ever needed again

    def __getitem__(self, i: int) -> Array:
        """(positions, width) float32 of clip i: 30 s, silence after the clip among them.

        Raises:
            ItemError: the clip changed since it was read, and cannot be read any more.
        """
        states, file = self._held.get(i), self._files[i]
        if states is None and file is not None:
            states = kept(file)
        if states is None:
            states = self._encode(i, listen(self._paths[i]))
        return states.astype(np.float32)

    def name(self, i: int) -> str:
        """The hash of clip i's bytes; "" where it could not be read."""
        file = self._files[i]
        return "" if file is None else file.stem

    def _add(self, i: int) -> bool:
        """Measure clip i and have its states; True where they were there."""
        try:
            data = read_file(self._paths[i], TOO_LARGE)
            key, sound = content_key(data).hex(), decoded(data)
        except ItemError as failed:
            self.reasons[i] = str(failed)
            return False
        samples = sound.samples[RATE]
        seconds = len(samples) / RATE
        if seconds > SECONDS:
            self.reasons[i] = (
                f"{seconds:.0f} s; a clip to learn from has at most {SECONDS:.0f} s: cut it into sentences"
            )
            return False
        self.seconds[i], self._rows[i] = seconds, facts_row(sound)
        self._files[i] = file = self._folder / f"{key}.safetensors"
        if kept(file) is not None:
            return True
        self._encode(i, samples)
        return False

    def _encode(self, i: int, samples: Array) -> NDArray[np.float16]:
        if self._recogniser is None:
            self._recogniser = Recogniser(self._checkpoint)
        states = self._recogniser.encode(log_mel(samples, self._checkpoint.dimensions.bands)).astype(np.float16)
        file = self._files[i]
        if file is None or not keep(file, states):
            self._held[i] = states
        return states


class Picked:
    """The states of some clips.

    Attributes:
        seconds: of each of them.
        names: the hash of each one's bytes.
    """

    def __init__(self, states: States, rows: NDArray[np.int64]) -> None:
        """`rows`: their positions among all."""
        self._states, self._rows = states, rows
        self.seconds = states.seconds[rows]
        self.names = [states.name(int(i)) for i in rows]

    def __getitem__(self, i: int) -> Array:
        """(positions, width) float32 of the clip at position i among them."""
        return self._states[int(self._rows[i])]


def _space(recogniser: Recogniser) -> str:
    """A name for the encoder: of its weights, whatever the decoder's are."""
    weights = recogniser.checkpoint.weights
    digest = hashlib.sha256(f"speech {_VERSION}".encode())
    for name in sorted(name for name in weights if name.startswith("encoder/")):
        digest.update(name.encode() + np.ascontiguousarray(weights[name]).tobytes())
    return f"speech-{digest.hexdigest()[:24]}"


def keep(path: Path, states: NDArray[np.float16]) -> bool:
    """Write what stands for a clip; False where there is no room or no disk."""
    from safetensors.numpy import save

    temporary = path.with_suffix(f".{os.getpid()}-{get_ident()}.part")
    try:
        if not make_room(states.nbytes):
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(save({"states": states}))
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        return False
    return True


def kept(path: Path) -> NDArray[np.float16] | None:
    """What `keep` wrote; None where it is not there any more."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        states: NDArray[np.float16] = load(path.read_bytes())["states"]
        os.utime(path)
    except (OSError, KeyError, ValueError, SafetensorError):
        return None
    return states
