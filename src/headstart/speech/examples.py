"""What a recogniser learns from: encoder states beside the tokens of a transcript, in padded batches.

Whisper's decoder attends to 30 s, and most of a short clip's are silence. Where it is cut off, tiny.en makes twice the
errors, and would learn to do without it. So the silence is thinned: one position in THINNED stands for its neighbours,
which are like it, and its key counts as often: exp(q k + log count) = count exp(q k). A fifth of the memory is enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.speech.checkpoint import Checkpoint
from headstart.speech.states import STATES_A_SECOND
from headstart.speech.tokens import STEP

MARGIN = 1.0  # seconds of silence after a clip that are kept as they are
THINNED = 8  # in 16, Whisper base hears otherwise


class Clips(Protocol):
    """Encoder states by position, as `States` has them; or spectrograms, as `Spectrograms` has.

    Attributes:
        seconds: (n,) float64, the length of each clip.
    """

    seconds: NDArray[np.float64]

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        """(positions, width) float32 of clip i."""


@dataclass(frozen=True, eq=False)
class Batch:
    """b examples.

    Attributes:
        tokens: (b, t) int64, what the decoder is given: prompt, text, padding.
        labels: (b, t) int64, what follows each token; -1 where that is not learned: in the prompt, in padding.
        states: (b, p, width) float32, padded; or what an encoder that moves is given (see `spectrograms`).
        counts: (b, p) float32, how many positions each state stands for; 0 where it is padding.
    """

    tokens: NDArray[np.int64]
    labels: NDArray[np.int64]
    states: NDArray[np.float32]
    counts: NDArray[np.float32]


class Examples:
    """n clips with their transcripts; texts are learned as they were written.

    Attributes:
        reasons: position of each example that cannot be learned from -> why.
        lengths: (n,) int64, states that are learned with each.
    """

    def __init__(self, checkpoint: Checkpoint, states: Clips, texts: Sequence[str], language: str) -> None:
        tokens, most = checkpoint.tokens, checkpoint.dimensions.text_positions
        self._states, self._end = states, tokens.end
        self._prompt, self._stamped = tokens.prompt(language), tokens.prompt(language, timestamps=True)
        self._stamps = [(tokens.first_stamp, tokens.first_stamp + round(s / STEP)) for s in states.seconds]
        self._texts = [tokens.encode(text) for text in texts]
        self.reasons = {
            i: f"its transcript has {len(ids)} tokens; with the prompt at most {most} fit: cut it into sentences"
            for i, ids in enumerate(self._texts)
            if len(self._stamped) + len(ids) + 3 > most
        }
        self._kept = [thinned(s, checkpoint.dimensions.positions) for s in states.seconds]
        self.lengths = np.array([len(starts) for starts in self._kept], np.int64)
        self._positions, self._width = checkpoint.dimensions.positions, checkpoint.dimensions.width

    def __len__(self) -> int:
        return len(self._texts)

    def ids(self, i: int) -> list[int]:
        """The tokens of transcript i."""
        return self._texts[i]

    def batch(self, rows: NDArray[np.int64], stamped: NDArray[np.bool_] | None = None) -> Batch:
        """The examples at positions `rows`, padded to the longest.

        Args:
            stamped: (b,) those between the timestamps of their beginning and end; None for none.
        """
        prompts = [self._stamped if stamped is not None and stamped[k] else self._prompt for k in range(len(rows))]
        whole = [[*prompt, *self._said(i, prompt), self._end] for i, prompt in zip(rows, prompts, strict=True)]
        t = max(map(len, whole)) - 1
        tokens = np.full((len(rows), t), self._end, np.int64)
        labels = np.full((len(rows), t), -1, np.int64)
        for k, ids in enumerate(whole):
            tokens[k, : len(ids) - 1] = ids[:-1]
            labels[k, len(prompts[k]) - 1 : len(ids) - 1] = ids[len(prompts[k]) :]
        return Batch(tokens, labels, *self.heard(rows))

    def heard(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`Batch.states` and `Batch.counts` of the examples at positions `rows`."""
        p = int(self.lengths[rows].max())
        states = np.zeros((len(rows), p, self._width), np.float32)
        counts = np.zeros((len(rows), p), np.float32)
        for k, i in enumerate(rows):
            kept = self._kept[i]
            states[k, : len(kept)] = self._states[int(i)][kept]
            counts[k, : len(kept)] = np.diff(kept, append=self._positions)
        return states, counts

    def _said(self, i: int, prompt: Sequence[int]) -> list[int]:
        """What follows the prompt: the text, and timestamps around it where the prompt lets them be."""
        text, (start, end) = self._texts[i], self._stamps[i]
        return text if prompt is self._prompt else [start, *text, end]


def thinned(seconds: float, positions: int) -> NDArray[np.int64]:
    """The encoder positions that are kept of a clip, each standing for those before the next."""
    whole = min(math.ceil((seconds + MARGIN) * STATES_A_SECOND), positions)
    return np.concatenate([np.arange(whole), np.arange(whole, positions, THINNED)])
