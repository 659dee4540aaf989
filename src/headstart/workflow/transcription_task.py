"""What a recogniser is tuned on and tested by: clips that it can hear, their transcripts, and the recogniser itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from headstart.data.dataset import Skipped
from headstart.data.transcripts import Transcripts
from headstart.errors import DataError
from headstart.evidence.word_errors import Errors, count_errors
from headstart.optional import require
from headstart.progress import Progress
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.examples import Clips, Examples
from headstart.speech.listening import RATE
from headstart.speech.opening import open_checkpoint
from headstart.speech.recogniser import Recogniser
from headstart.speech.spectrograms import Spectrograms
from headstart.speech.states import Picked, States
from headstart.workflow.heard import remarks_on_speech
from headstart.workflow.transcription_options import TranscriptionOptions

ENGLISH, OTHERS = "whisper_tiny_en", "whisper_base"
BEAM = 5
_ASKED = 8  # clips whose language is found out


@dataclass(eq=False)
class Task:
    """What is learned from, and by what.

    Attributes:
        spoken: the clips that can be used.
        kept: their positions among the clips that were encoded.
        notes: what the user should know.
    """

    spoken: Transcripts
    kept: NDArray[np.int64]
    checkpoint: Checkpoint
    language: str
    states: States
    options: TranscriptionOptions
    progress: Progress
    beam: int = BEAM
    notes: list[str] = field(default_factory=list)

    def clips(self, encoder: bool) -> Clips:
        """The encoder's states of the clips of `spoken`; where the encoder moves, their spectrograms."""
        picked = Picked(self.states, self.kept)
        if not encoder:
            return picked
        return Spectrograms(self.spoken.paths, picked.names, picked.seconds, self.checkpoint.dimensions.bands)

    def transcribed(self, checkpoint: Checkpoint, rows: NDArray[np.int64], *, encoder: bool = False) -> list[str]:
        """What a recogniser hears in the clips at positions `rows` of `spoken`.

        Args:
            encoder: its encoder is another than that of the source, whose states are at hand.
        """
        recogniser, clips = Recogniser(checkpoint), self.clips(encoder)
        hear = recogniser.from_features if encoder else recogniser.from_states
        with self.progress.bar("hear", self.checkpoint.name, len(rows), "clips") as bar:
            texts = []
            for heard in hear((clips[int(i)] for i in rows), self.language, beam=self.beam):
                texts.append(heard.text)
                bar.advance()
        return texts

    def errors(self, rows: NDArray[np.int64], texts: list[str]) -> Errors:
        """Against the transcripts of the clips at positions `rows`."""
        return count_errors([self.spoken.texts[i] for i in rows], texts, self.language)


def open_task(spoken: Transcripts, options: TranscriptionOptions, progress: Progress) -> Task:
    """Open the source, encode the clips, leave out what cannot be used.

    Raises:
        InputError: the source or the language cannot be used, a package is missing, or no clip is left.
    """
    for module in ("ctranslate2", "jiwer", "whisper_normalizer"):
        require(module, "speech", "transcribing")
    reference = options.source or (ENGLISH if options.language == "en" else OTHERS)
    checkpoint = open_checkpoint(reference)
    if options.language is not None:
        checkpoint.tokens.check_language(options.language)
    recogniser = Recogniser(checkpoint)
    states = States(recogniser, spoken.paths, progress)
    usable = np.array([i for i in range(len(spoken)) if i not in states.reasons], np.int64)
    if not len(usable):
        first = min(states.reasons)
        raise DataError(f"none of the {len(spoken)} clips can be used: {spoken.ids[first]}: {states.reasons[first]}")
    language = options.language or _language(recogniser, states, usable)
    notes = list(remarks_on_speech(states.facts, checkpoint.name, RATE))
    if options.language is None and checkpoint.multilingual:
        notes.append(
            f"language {language!r}: what {checkpoint.name} heard in the first clips (--language says another)"
        )
    for note in notes:
        progress.say(note)
    examples = Examples(checkpoint, states, spoken.texts, language)
    reasons = states.reasons | examples.reasons
    kept = np.array([i for i in usable.tolist() if i not in reasons], np.int64)
    if not len(kept):
        raise DataError(f"none of the {len(spoken)} clips can be used: {reasons[min(reasons)]}")
    lost = tuple(Skipped(spoken.ids[i], reasons[i]) for i in sorted(reasons))
    left = replace(spoken.take(kept), skipped=(*spoken.skipped, *lost))
    return Task(left, kept, checkpoint, language, states, options, progress, notes=notes)


def _language(recogniser: Recogniser, states: States, usable: NDArray[np.int64]) -> str:
    """The language that most of the first clips are in."""
    if not recogniser.checkpoint.multilingual:
        return "en"
    heard = recogniser.from_states((states[int(i)] for i in usable[:_ASKED]), None, beam=1)
    found = [one.language for one in heard]
    return max(sorted(set(found)), key=found.count)
