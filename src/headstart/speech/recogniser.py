"""A checkpoint at work: sounds in, transcripts out, with CTranslate2 and without PyTorch.

Recordings of at most 30 s are heard in one window, in batches of windows of one length: nothing is padded to a
stranger's length, so that a transcript does not depend on its neighbours. Longer ones are heard window after window
(see `windows`); what was said before is not told to the next one, as it makes small models repeat themselves.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ItemError
from headstart.features.windowed import windowed
from headstart.speech import windows
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.decoder import Decoded, Decoder, confidence
from headstart.speech.listening import RATE, listen, log_mel
from headstart.speech.phrases import Stretch, cut_at_pauses, phrases
from headstart.speech.transcript import Heard, Segment, Transcript, Unreadable

Array = NDArray[np.float32]
Compute = Literal["float32", "int8_float32"]
_CHUNK = 8  # recordings that one worker takes at a time, and decodes together where they have one length
_LONGEST = int(windows.SECONDS * RATE)
_REST = RATE // 10  # samples after the last window that are too few to say anything
# Whisper's own: a window is silent where this is said of it, and what was heard nevertheless is improbable.
_SILENT, _IMPROBABLE = 0.6, -1.0
_T = TypeVar("_T")


class Recogniser:
    """A checkpoint, loaded; for several threads at once.

    Args:
        compute: what the weights are multiplied in.
        workers: threads; by default one for each processor, at most 8.

    Raises:
        SourceError: the checkpoint is not one of a recogniser.
        MissingLayerError: ctranslate2 is not installed.
        EngineError: CTranslate2 does not load it.
    """

    def __init__(self, checkpoint: Checkpoint, *, compute: Compute = "float32", workers: int | None = None) -> None:
        self.checkpoint = checkpoint
        self._workers = workers or min(os.cpu_count() or 1, 8)
        self._decoder = Decoder(checkpoint, compute=compute, workers=self._workers)

    def transcribe(
        self, paths: Iterable[Path], language: str | None = None, *, beam: int = 5, timestamps: bool = False
    ) -> Iterator[Heard]:
        """What is said in recordings, in their order; in bounded memory, and none is read long before its turn.

        Args:
            language: of all of them, "en"; None to find it out for each, or English.
            beam: hypotheses kept; 1 is greedy.
            timestamps: ask the recogniser for the segments of recordings of at most 30 s too; else they are cut at
                their pauses (see `phrases`).

        Raises:
            OptionError: the recogniser does not know the language.
            MissingLayerError: soundfile or soxr is not installed.
        """
        self.checkpoint.tokens.check_language(language)

        def hear(chunk: list[Path]) -> list[Heard]:
            return self._hear(chunk, language, beam, timestamps)

        for heard in windowed((partial(hear, chunk) for chunk in _chunks(paths, _CHUNK)), self._workers):
            yield from heard

    def from_features(
        self, mels: Iterable[Array], language: str | None = None, *, beam: int = 5
    ) -> Iterator[Transcript]:
        """What is said in windows that `features` gave, in their order: (bands, frames) float32 each."""
        return self._from_windows(mels, self._decoder.encode, language, beam)

    def from_states(
        self, states: Iterable[Array], language: str | None = None, *, beam: int = 5
    ) -> Iterator[Transcript]:
        """What is said in windows that `encode` gave, in their order: (positions, width) each."""
        return self._from_windows(states, lambda stacked: stacked, language, beam)

    def features(self, samples: Array) -> Array:
        """The encoder's input for a window: (t,) float32 at 16 kHz, at most 30 s -> (bands, frames) float32."""
        return log_mel(samples, self.checkpoint.dimensions.bands)

    def encode(self, mel: Array) -> Array:
        """The encoder's output for a window: (bands, frames) -> (positions, width) float32."""
        states: Array = self._decoder.encode(mel[None])[0]
        return states

    def _from_windows(
        self, given: Iterable[Array], encode: Callable[[Array], Array], language: str | None, beam: int
    ) -> Iterator[Transcript]:
        self.checkpoint.tokens.check_language(language)

        def hear(chunk: list[Array]) -> list[Transcript]:
            return [
                self._one(decoded, windows.SECONDS, [windows.Piece(0.0, windows.SECONDS, decoded.ids)])
                for decoded, _ in self._alike(chunk, encode, language, beam)
            ]

        for heard in windowed((partial(hear, chunk) for chunk in _chunks(given, _CHUNK)), self._workers):
            yield from heard

    def _hear(self, paths: Sequence[Path], language: str | None, beam: int, timestamps: bool) -> list[Heard]:
        """One chunk: short recordings together, long ones one by one."""
        heard: dict[int, Heard] = {}
        short: dict[int, Array] = {}
        sounding: dict[int, list[Stretch]] = {}
        seconds: dict[int, float] = {}
        for k, path in enumerate(paths):
            try:
                samples = listen(path)
            except ItemError as error:
                heard[k] = Unreadable(str(error))
                continue
            if len(samples) > _LONGEST:
                heard[k] = self._long(samples, language, beam)
            else:
                short[k], seconds[k] = self.features(samples), len(samples) / RATE
                if not timestamps:
                    sounding[k] = phrases(samples, RATE)
        found = self._alike(list(short.values()), self._decoder.encode, language, beam, timestamps=timestamps)
        for k, (decoded, states) in zip(short, found, strict=True):
            if timestamps:
                pieces = list(windows.cut(decoded.ids, self.checkpoint.tokens.first_stamp, seconds[k]).pieces)
            else:
                pieces = self._pieces(decoded, states, sounding[k], seconds[k])
            heard[k] = self._one(decoded, seconds[k], pieces)
        return [heard[k] for k in range(len(paths))]

    def _alike(
        self, given: Sequence[Array], encode: Callable[[Array], Array], language: str | None, beam: int, *,
        timestamps: bool = False,
    ) -> list[tuple[Decoded, Array]]:  # fmt: skip
        """Decode windows, those of one shape together; and what the encoder said of each."""
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for k, one in enumerate(given):
            alike[one.shape].append(k)
        found: dict[int, tuple[Decoded, Array]] = {}
        for members in alike.values():
            states = encode(np.stack([given[k] for k in members]))
            spoken = self._decoder.languages(states) if language is None else [language] * len(members)
            decoded = self._decoder.decode(states, spoken, beam=beam, timestamps=timestamps)
            found |= dict(zip(members, zip(decoded, states, strict=True), strict=True))
        return [found[k] for k in range(len(given))]

    def _long(self, samples: Array, language: str | None, beam: int) -> Transcript:
        """A recording of any length, window after window; its language is that of the first with speech in it."""
        tokens = self.checkpoint.tokens
        segments: list[Segment] = []
        kept: list[Decoded] = []
        quietest, start = 1.0, 0
        while len(samples) - start > _REST or not start:
            window = samples[start : start + _LONGEST]
            seconds = len(window) / RATE
            ((decoded, _),) = self._alike(
                [self.features(window)], self._decoder.encode, language, beam, timestamps=True
            )
            quietest = min(quietest, decoded.no_speech)
            if decoded.no_speech > _SILENT and decoded.mean < _IMPROBABLE:
                start += len(window)
                continue
            language = decoded.language
            cut = windows.cut(decoded.ids, tokens.first_stamp, seconds)
            kept.append(decoded)
            segments += self._segments(cut.pieces, start / RATE)
            start += max(round(cut.advance * RATE), 1)
        text = " ".join(segment.text for segment in segments)
        return Transcript(text, tuple(segments), confidence(kept), language or "en", quietest, len(samples) / RATE)

    def _pieces(
        self, decoded: Decoded, states: Array, sounding: Sequence[Stretch], seconds: float
    ) -> list[windows.Piece]:
        """A text without timestamps, cut where the recording pauses; one piece where its words are not found in it."""
        whole = [windows.Piece(sounding[0][0], sounding[-1][1], decoded.ids)]
        if len(sounding) < 2 or len(decoded.ids) < 2:
            return whole
        starts = self._decoder.starts(states, decoded, seconds)
        if starts is None:
            return whole
        return cut_at_pauses(decoded.ids, starts, sounding, self.checkpoint.tokens)

    def _one(self, decoded: Decoded, seconds: float, pieces: Sequence[windows.Piece]) -> Transcript:
        """The transcript of one window."""
        segments = self._segments(pieces, 0.0)
        text = self.checkpoint.tokens.decode([token for piece in pieces for token in piece.ids]).strip()
        return Transcript(text, tuple(segments), confidence([decoded]), decoded.language, decoded.no_speech, seconds)

    def _segments(self, pieces: Iterable[windows.Piece], start: float) -> list[Segment]:
        """Pieces of a window that starts at `start` seconds, as text; those of white space are left out."""
        texts = [(piece, self.checkpoint.tokens.decode(piece.ids).strip()) for piece in pieces]
        return [Segment(start + piece.start, start + piece.end, text) for piece, text in texts if text]


def _chunks(given: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(given)
    while chunk := list(islice(rest, size)):
        yield chunk
