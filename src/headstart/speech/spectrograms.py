"""What an encoder that moves is given of clips: log-mel spectrograms, kept on disk in float16 beside encoder states."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.features.bound import activations_dir
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.examples import Clips, Examples
from headstart.speech.listening import listen, log_mel
from headstart.speech.states import keep, kept

_VERSION = 1  # raise it when the same clip would be heard otherwise


class Spectrograms:
    """Of clips by position; each computed when it is first asked for.

    Attributes:
        seconds: (n,) float64, the length of each clip.
    """

    def __init__(self, paths: Sequence[Path], names: Sequence[str], seconds: NDArray[np.float64], bands: int) -> None:
        """`names`: the hash of each clip's bytes; `bands`: of the mel scale."""
        self.seconds = seconds
        self._paths, self._bands = paths, bands
        folder = activations_dir() / f"speech-mel-{_VERSION}-{bands}"
        self._files = [folder / f"{name}.safetensors" for name in names]

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        """(bands, frames) float32 of clip i: 30 s, silence after the clip among them.

        Raises:
            ItemError: the clip changed since it was read, and cannot be read any more.
        """
        mel = kept(self._files[i])
        if mel is None:
            mel = log_mel(listen(self._paths[i]), self._bands).astype(np.float16)
            keep(self._files[i], mel)
        return mel.astype(np.float32)


class HeardExamples(Examples):
    """Examples of spectrograms: `Batch.states` are those, (b, bands, frames), and nothing is thinned."""

    def __init__(self, checkpoint: Checkpoint, clips: Clips, texts: Sequence[str], language: str) -> None:
        super().__init__(checkpoint, clips, texts, language)
        self.lengths = np.full(len(self), checkpoint.dimensions.positions, np.int64)

    def heard(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Spectrograms, and a position for each state that comes of them."""
        counts = np.ones((len(rows), int(self.lengths[0])), np.float32)
        return np.stack([self._states[int(i)] for i in rows]), counts
