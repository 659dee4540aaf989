"""What was heard in a recording: a text, where its parts lie, and how sure the recogniser is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Segment:
    """A part of a transcript, from `start` to `end`: seconds from the beginning of the recording."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Transcript:
    """What was heard in one recording.

    Attributes:
        text: without white space at its ends; empty where nothing was said.
        segments: in order, none empty.
        confidence: in [0, 1]: exp of the mean log-probability of its tokens, that of the end of text among them.
        language: a code as Whisper has it, "en".
        no_speech: in [0, 1]: the probability that nothing is said; of several windows the least.
        seconds: the length of the recording.
    """

    text: str
    segments: tuple[Segment, ...]
    confidence: float
    language: str
    no_speech: float
    seconds: float

    def json(self) -> dict[str, Any]:
        """text, confidence, segments, language, no_speech, seconds as plain JSON values; times to the hundredth."""
        return {
            "text": self.text,
            "confidence": self.confidence,
            "segments": [
                {**asdict(segment), "start": round(segment.start, 2), "end": round(segment.end, 2)}
                for segment in self.segments
            ],
            "language": self.language,
            "no_speech": self.no_speech,
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True)
class Unreadable:
    """A recording that could not be read, and why."""

    reason: str


Heard = Transcript | Unreadable
