"""One window after the encoder, decoded by CTranslate2: token ids, and how sure the recogniser is of them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import EngineError, OptionError
from headstart.optional import require
from headstart.speech.checkpoint import Checkpoint

Array = NDArray[np.float32]
# A text that does not end, and that zlib makes smaller than this (Whisper's own limit), is one thing over and over.
# That it is repetitive alone says nothing: digits are, when they are dictated.
_MOST_COMPRESSED = 2.4
_NO_REPEAT = 4  # tokens in a row that a second attempt does not produce twice
_LONGEST_LOOP = 32  # tokens
_POSITIONS = 50  # of the encoder, a second


@dataclass(frozen=True)
class Decoded:
    """What one window was decoded to.

    Attributes:
        ids: text and, if they were asked for, timestamps; no other special tokens.
        log_probability: the sum over `ids` and the end of text.
        no_speech: the probability that nothing is said.
    """

    ids: tuple[int, ...]
    log_probability: float
    no_speech: float
    language: str

    @property
    def mean(self) -> float:
        """The mean log-probability of a token, that of the end of text among them."""
        return self.log_probability / (len(self.ids) + 1)


class Decoder:
    """A checkpoint in CTranslate2, on the processor; for several threads at once.

    Args:
        compute: "float32", "int8_float32": what the weights are multiplied in.
        workers: windows that are decoded side by side, each on one thread.

    Raises:
        SourceError: the checkpoint is not one of a recogniser.
        MissingLayerError: ctranslate2 is not installed.
        EngineError: CTranslate2 does not load it.
    """

    def __init__(self, checkpoint: Checkpoint, *, compute: str, workers: int) -> None:
        self._library = require("ctranslate2", "speech", "running a recogniser")
        self._tokens = checkpoint.tokens
        self._longest = checkpoint.dimensions.text_positions
        try:
            self._model = self._library.models.Whisper(
                checkpoint.name, device="cpu", compute_type=compute, inter_threads=workers, intra_threads=1,
                files=checkpoint.files(),
            )  # fmt: skip
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"CTranslate2 does not load {checkpoint.name} in {compute} ({error})") from None

    def encode(self, mels: Array) -> Array:
        """The encoder's output: (n, bands, frames) -> (n, positions, width) float32."""
        return np.array(self._model.encode(self._view(mels), to_cpu=True), np.float32)

    def languages(self, states: Array) -> list[str]:
        """The most probable language of each window, of those the recogniser knows.

        Args:
            states: (n, positions, width) float32.
        """
        if not self._tokens.multilingual:
            return ["en"] * len(states)
        try:
            found = self._model.detect_language(self._view(states))
        except RuntimeError as error:
            raise OptionError(f"the language cannot be found out ({error}): name it, as 'en'") from None
        known = self._tokens.languages
        return [next(code for name, _ in ranked if (code := name[2:-2]) in known) for ranked in found]

    def decode(self, states: Array, languages: Sequence[str], *, beam: int, timestamps: bool) -> list[Decoded]:
        """Decode windows of one length.

        Args:
            states: (n, positions, width) float32.
            languages: of each window.
            beam: hypotheses kept; 1 is greedy.
        """
        found = self._generate(states, languages, beam, timestamps)
        for k, one in enumerate(found):
            if self._endless(one) and self._repeats(one):
                again = self._generate(states[k : k + 1], languages[k : k + 1], beam, timestamps, ngram=_NO_REPEAT)[0]
                found[k] = without_loop(one) if self._endless(again) else again
        return found

    def starts(self, states: Array, decoded: Decoded, seconds: float) -> list[float] | None:
        """When each token of a text begins, in seconds, by where the later half of the layers attend to.

        None where CTranslate2 does not align the two.

        Args:
            states: (positions, width) float32. What follows the recording is left out, which makes it a fifth of the
                work, and no worse.
            decoded: of these states, without timestamps.
            seconds: the length of the recording.
        """
        ids = list(decoded.ids)
        length = min(math.ceil(seconds * _POSITIONS), len(states))
        prompt = self._tokens.prompt(decoded.language, timestamps=True)
        given = self._view(states[None, : length + _POSITIONS // 2])
        try:
            (found,) = self._model.align(given, prompt, [ids], [2 * length])
        except RuntimeError:
            return None
        first = {token: position / _POSITIONS for token, position in reversed(found.alignments)}
        return [first.get(k, seconds) for k in range(len(ids))]

    def _generate(
        self, states: Array, languages: Sequence[str], beam: int, timestamps: bool, ngram: int = 0
    ) -> list[Decoded]:
        prompts = [self._tokens.prompt(language, timestamps=timestamps) for language in languages]
        results = self._model.generate(
            self._view(states), prompts, beam_size=beam, max_length=self._longest, return_scores=True,
            return_no_speech_prob=True, no_repeat_ngram_size=ngram,
        )  # fmt: skip
        return [self._decoded(result, language) for result, language in zip(results, languages, strict=True)]

    def _decoded(self, result: Any, language: str) -> Decoded:
        ids = tuple(result.sequences_ids[0])
        # The score is the sum of the log-probabilities over the number of ids, which does not count the end of text.
        total = float(result.scores[0]) * max(len(ids), 1)
        return Decoded(ids, min(total, 0.0), float(result.no_speech_prob), language)

    def _endless(self, decoded: Decoded) -> bool:
        """True where the end of text was not found. (CTranslate2 stops at half of the positions.)"""
        return len(decoded.ids) >= self._longest // 2

    def _repeats(self, decoded: Decoded) -> bool:
        text = self._tokens.decode(decoded.ids).encode()
        return len(text) > _MOST_COMPRESSED * len(zlib.compress(text))

    def _view(self, array: Array) -> Any:
        return self._library.StorageView.from_array(np.ascontiguousarray(array, np.float32))


def without_loop(decoded: Decoded) -> Decoded:
    """`decoded` with what it ends in, said three times or more in a row, said once; at its mean log-probability."""
    ids = decoded.ids
    for period in range(1, _LONGEST_LOOP + 1):
        length = next((k for k in range(period, len(ids)) if ids[-1 - k] != ids[-1 - k + period]), len(ids))
        if length >= 3 * period:
            kept = ids[: len(ids) - length + period]
            return replace(decoded, ids=kept, log_probability=decoded.mean * (len(kept) + 1))
    return decoded


def confidence(decoded: Sequence[Decoded]) -> float:
    """exp of the mean log-probability of the tokens of several windows, in [0, 1]."""
    tokens = sum(len(one.ids) + 1 for one in decoded)
    return math.exp(sum(one.log_probability for one in decoded) / tokens) if tokens else 0.0
