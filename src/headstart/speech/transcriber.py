"""A saved recogniser in use: predict, evaluate, save."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from headstart.errors import DataError
from headstart.model.loaded import Loaded
from headstart.model.lost import errors_before
from headstart.model.origin import Origin
from headstart.optional import require
from headstart.progress import SILENT, Progress
from headstart.sources.base import Ancestor
from headstart.speech.artefact import TranscriberCard, read
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.recogniser import Recogniser
from headstart.speech.transcript import Heard, Unreadable


@dataclass(eq=False)
class Transcriber(Loaded):
    """A recogniser, as loaded from its artefact.

    Attributes:
        card: what it is: source, strategy, language, what it was fitted on.
        report: the evidence of its fit, as `headstart fit --json` gives it (without wall-clock times).
        origin: the artefact it was loaded from.
    """

    card: TranscriberCard
    report: dict[str, Any]
    origin: Origin
    checkpoint: Checkpoint
    owners: tuple[Any, ...] = ()

    @staticmethod
    def opened(path: Path) -> Transcriber:
        """The recogniser in a file; see `load`."""
        return load(path)

    @property
    def lineage(self) -> tuple[Ancestor, ...]:
        """What it was made from, nearest first."""
        return self.card.lineage

    @cached_property
    def recogniser(self) -> Recogniser:
        """The checkpoint, loaded into CTranslate2 when it is first needed.

        Raises:
            MissingLayerError: ctranslate2 is not installed.
        """
        return Recogniser(self.checkpoint)

    def transcribe(self, paths: Sequence[Path], language: str | None = None) -> Iterator[Heard]:
        """What is said in recordings, in their order, as the evidence was taken: same language, same search.

        Args:
            language: where it is not that of the fit.
        """
        return self.recogniser.transcribe(paths, language or self.card.language, beam=self.card.beam)

    def predict(self, inputs: Any, *, input: str | None = None) -> list[dict[str, Any]]:  # noqa: A002  the column's word
        """Transcribe recordings; `predict_iter` as a list."""
        return list(self.predict_iter(inputs, input=input))

    def predict_iter(
        self,
        inputs: Any,
        *,
        input: str | None = None,  # noqa: A002
        progress: Progress = SILENT,
    ) -> Iterator[dict[str, Any]]:
        """Transcribe recordings one after another, in bounded memory.

        Args:
            inputs: files, folders, or a table of paths; one of them or a sequence.
            input: the table's column of paths, where it is not the one of the fit.

        Yields:
            {input, text, confidence, segments: [{start, end, text}], language, no_speech, seconds}, or {input, error}.
        """
        from headstart.data.inputs import read_inputs

        one = isinstance(inputs, (str, os.PathLike)) or hasattr(inputs, "columns")
        given = [inputs] if one else list(inputs)
        dataset = read_inputs(given, "sound", input=input, usual_input=self.card.input)
        lost = deque(sorted(dataset.skipped, key=lambda skipped: skipped.before))
        heard = self.transcribe(cast("list[Path]", dataset.items))
        with progress.bar("transcribe", dataset.name, len(dataset), "clips") as bar:
            for row, (name, one_heard) in enumerate(zip(dataset.ids, heard, strict=True)):
                yield from errors_before(lost, row)
                if isinstance(one_heard, Unreadable):
                    yield {"input": name, "error": one_heard.reason}
                else:
                    yield {"input": name, **one_heard.json()}
                bar.advance()
        yield from errors_before(lost, len(dataset))

    def evaluate(
        self,
        data: Any,
        *,
        label: str | None = None,
        input: str | None = None,  # noqa: A002
        group: str | None = None,
        progress: Progress = SILENT,
    ) -> dict[str, Any]:
        """Score transcribed speech that took no part in the fit.

        Args:
            data: as for the fit: a table, or a folder with transcripts.
            label, input, group: the table's columns of transcripts, of paths, of what is not independent.

        Returns:
            {n, task, metrics: {word_error_rate, character_error_rate: {value, low, high}}, by_group, skipped}; 95 %
            intervals. by_group, where there are groups: [{group, n, words, metrics}], the worst first; else None.

        Raises:
            DataError: nothing that can be read.
            MissingLayerError: the layer "speech" is not installed.
        """
        from headstart.data.transcripts import read_transcripts
        from headstart.evidence.errors_by_group import rates_by_group
        from headstart.evidence.word_errors import count_errors

        for module in ("jiwer", "whisper_normalizer"):  # told before the work, not after it
            require(module, "speech", "comparing transcripts")
        spoken = read_transcripts(data, input=input or self.card.input, label=label or self.card.label, group=group)
        heard: dict[int, str] = {}
        skipped = [{"id": one.id, "reason": one.reason} for one in spoken.skipped]
        with progress.bar("evaluate", spoken.name, len(spoken), "clips") as bar:
            for row, one in enumerate(self.transcribe(spoken.paths)):
                if isinstance(one, Unreadable):
                    skipped.append({"id": spoken.ids[row], "reason": one.reason})
                else:
                    heard[row] = one.text
                bar.advance()
        if not heard:
            raise DataError(
                f"{spoken.name}: none of its {len(spoken)} recordings could be read ({skipped[-1]['reason']})"
            )
        errors = count_errors([spoken.texts[row] for row in heard], list(heard.values()), self.card.language)
        groups = None if spoken.groups is None else spoken.groups[list(heard)]
        rates = errors.rates(groups)
        return {
            "n": len(heard),
            "task": "transcribe",
            "metrics": {name: interval.json() for name, interval in rates.items()},
            "by_group": None if groups is None else rates_by_group(errors, groups, spoken.group_names),
            "skipped": skipped,
        }


def load(path: Path) -> Transcriber:
    """Load a recogniser. Nothing in the file is executed; every part is checked against its hash.

    Raises:
        ArtefactError: the file is missing, damaged, hostile, from a later version, or a model of another kind.
    """
    saved = read(path)
    return Transcriber(saved.card, saved.report, Origin(path), saved.checkpoint)
