"""`headstart fit --task transcribe`: does a recogniser hear this speech better when it is moved on it?

The untouched recogniser is the baseline, and is saved first. Then it is tuned in folds: a fold's clips are heard by one
that learned from the others, read off where the trainings of the other folds are best. Where the paired interval of
the gain clears zero, one more training on everything ships; else nothing moves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from headstart.data.dataset import Skipped
from headstart.data.transcripts import Transcripts, read_transcripts
from headstart.errors import DataError, HeadstartError
from headstart.evidence.word_errors import Errors, count_errors
from headstart.optional import require
from headstart.plan.failure import reason_of
from headstart.progress import SILENT, Progress
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.examples import Clips, Examples
from headstart.speech.listening import RATE
from headstart.speech.opening import open_checkpoint
from headstart.speech.recogniser import Recogniser
from headstart.speech.spectrograms import Spectrograms
from headstart.speech.states import Picked, States
from headstart.workflow.clock import Clock
from headstart.workflow.heard import remarks_on_speech
from headstart.workflow.result import FitResult
from headstart.workflow.transcription_folds import Crossfitted, crossfit, fit_all, hearing_seconds, why_not
from headstart.workflow.transcription_options import TranscriptionOptions
from headstart.workflow.transcription_report import Heard, build_report
from headstart.workflow.transcription_shipping import Shipping

if TYPE_CHECKING:
    from headstart.speech.recipe import Recipe

_T = TypeVar("_T")
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


def transcribe(
    data: Any, options: TranscriptionOptions | None = None, progress: Progress = SILENT, recipe: Recipe | None = None
) -> FitResult:
    """Tune a recogniser on transcribed speech, prove what that brought, write the artefact.

    Args:
        data: as for `read_transcripts`.
        recipe: how to train; by default that of the strategy.

    Raises:
        InputError: the data, an option or the source cannot be used.
    """
    options = options or TranscriptionOptions()
    clock = Clock()
    spoken = read_transcripts(data, input=options.input, label=options.label, group=options.group)
    for note in spoken.notes:
        progress.say(note)
    clock.lap("read")
    task = _task(spoken, options, progress)
    clock.lap("encode")
    everything = np.arange(len(task.spoken))
    started = time.perf_counter()
    untouched = task.errors(everything, task.transcribed(task.checkpoint, everything))
    seconds = time.perf_counter() - started
    clock.lap("untouched")
    shipping = Shipping(task, clock)
    heard = [Heard("untouched", untouched, seconds)]
    reason = why_not(task)
    if reason:
        task.notes.append(reason)
        progress.say(reason)
    result = shipping.ship(task.checkpoint, build_report(task, heard, everything, ()))
    if reason:
        return result
    try:
        return _tuned(task, heard, shipping, clock, recipe)
    except KeyboardInterrupt:
        return shipping.interrupted(result)
    except (HeadstartError, OSError) as error:
        return shipping.unwritten(result, error)


def _tuned(task: Task, heard: list[Heard], shipping: Shipping, clock: Clock, recipe: Recipe | None) -> FitResult:
    """Tune in folds; where that pays, on everything."""
    from headstart.speech.recipe import RECIPES, USUAL

    recipe = recipe or RECIPES[task.options.strategy or USUAL]
    strategy = recipe.moves.name
    everything = np.arange(len(task.spoken))
    started = time.perf_counter()
    deadline = None if task.options.budget is None else clock.start + task.options.budget - clock.stages["save"]
    late = "no time to tune in all folds: the untouched recogniser stays; raise --budget, and it goes on"
    found = _tried(task, lambda: _in_folds(task, recipe, deadline, heard[0].seconds), late)
    clock.lap("tune")
    if found is None:
        return shipping.ship(task.checkpoint, build_report(task, heard, everything, ()))
    heard = [*heard, Heard(strategy, task.errors(everything, found.texts), time.perf_counter() - started)]
    report = build_report(task, heard, everything, found.points)
    if not report["verdict"]["transfer_helps"]:
        return shipping.ship(task.checkpoint, report)
    late = "tuning pays, but there was no time to tune on everything: raise --budget, and it goes on"
    final = _tried(task, lambda: fit_all(task, recipe, found, deadline), late)
    clock.lap("fit")
    if final is None:
        return shipping.ship(task.checkpoint, build_report(task, heard, everything, found.points, moved=False))
    return shipping.ship(final, report, strategy)


def _in_folds(task: Task, recipe: Recipe, deadline: float | None, untouched: float) -> Crossfitted | None:
    """Tune in folds, with time left to hear their clips once; `untouched`: the seconds that the source took."""
    hear = None if deadline is None else deadline - hearing_seconds(task, recipe, untouched)
    return crossfit(task, recipe, hear)


def _tried(task: Task, train: Callable[[], _T | None], late: str) -> _T | None:
    """What a training gives; None, and a note, where it failed, or the time did not suffice (`late`)."""
    from headstart.adapt.memory import short_memory_told

    try:
        with short_memory_told():
            found = train()
    except Exception as error:
        task.notes.append(f"tuning failed, so the untouched recogniser stays: {reason_of(error)}")
        return None
    if found is None:
        task.notes.append(late)
    return found


def _task(spoken: Transcripts, options: TranscriptionOptions, progress: Progress) -> Task:
    """Open the source, encode the clips, leave out what cannot be used."""
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
