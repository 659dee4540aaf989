"""Every view of a data set: each source applied once, and what needs no source; unreadable items are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from headstart.data.dataset import FILES, Dataset, Skipped
from headstart.engines.choose import Choice, choose
from headstart.errors import DataError, OptionError
from headstart.features.blocks import Features
from headstart.features.sound_facts import beside_facts
from headstart.features.sounds import reading_library
from headstart.plan.views import HogView, LogmelView, RowsView, SourceView, TfidfView, View
from headstart.progress import Progress
from headstart.sources.base import Modality, Source
from headstart.workflow.ancestry import remarks
from headstart.workflow.clock import Clock
from headstart.workflow.copies import copies
from headstart.workflow.heard import remarks_on_sounds
from headstart.workflow.options import FitOptions


@dataclass(frozen=True, eq=False)
class Gathered:
    """A data set whose every item could be read, and what can be seen of it.

    Attributes:
        sources: a view a source, of all its taps.
        plain: the view that needs no source.
        choices: source name -> the engine and precision its features were computed in.
        notes: what the user should know.
        groups: (n,) codes of what stays on one side of a split: the user's groups, or copies of one item; or None.
    """

    dataset: Dataset
    sources: tuple[SourceView, ...]
    plain: View
    choices: dict[str, Choice]
    notes: tuple[str, ...]
    groups: NDArray[np.int64] | None


def gather(dataset: Dataset, options: FitOptions, progress: Progress, clock: Clock) -> Gathered:
    """Apply the sources that were asked for, or the default ones, to every item.

    Raises:
        OptionError: a source reads another modality.
        SourceError: a source cannot be had.
        DataError: too little is left when the unreadable items are gone.
        MissingLayerError: what reads sounds is absent; said before a source is exported.
    """
    if dataset.modality == "sound":
        reading_library()
    names, notes = _names(dataset, options)
    _check_before_export(dataset, names)
    opened = _open(dataset, names, progress)
    notes = _said(notes + remarks(opened, dataset.name, len(dataset)), progress)
    clock.lap("sources")
    choices = [choose(source, progress=progress) for source in opened]
    clock.lap("engines")
    seen = _see(dataset, opened, choices, options, progress)
    clock.lap("embed")
    dataset, seen = _readable(dataset, seen)
    if dataset.modality == "sound" and seen.described is not None:
        notes += _said(remarks_on_sounds(seen.described, opened), progress)
    together, said = copies(dataset, next(iter(seen.features), None), seen.described)
    notes += _said((said,) if said else (), progress)
    views = tuple(
        SourceView(features, source, source.taps, "all") for features, source in zip(seen.features, opened, strict=True)
    )
    plain = _plain_view(dataset, seen.described)
    clock.lap("describe")
    chosen = {
        source.name: one.choice or choice for source, one, choice in zip(opened, seen.features, choices, strict=True)
    }
    return Gathered(dataset, views, plain, chosen, notes, dataset.groups if together is None else together)


def _said(notes: tuple[str, ...], progress: Progress) -> tuple[str, ...]:
    for note in notes:
        progress.say(note)
    return notes


def _names(dataset: Dataset, options: FitOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The sources to apply, and notes on why there are none."""
    from headstart.sources.catalogue import default_sources

    if dataset.modality == "table":
        if options.sources:
            raise OptionError(
                f"source {options.sources[0]!r}: a table of numbers has no pretrained source; leave it out"
            )
        return (), ("no pretrained source serves a table of numbers: the columns themselves are learned from",)
    names = options.sources or default_sources(dataset.modality)
    if names:
        return tuple(dict.fromkeys(names)), ()
    missing = f"no pretrained {dataset.modality} source is installed (pip install 'headstart[bundled]')"
    return (), (f"{missing}: learning without transfer",)


def _check_before_export(dataset: Dataset, names: Sequence[str]) -> None:
    """Refuse sources that are unknown, or known to read something else, before the first of them is downloaded."""
    from headstart.sources.catalogue import modality_of

    for name in names:
        _check_modality(dataset, name, modality_of(name))


def _open(dataset: Dataset, names: Sequence[str], progress: Progress) -> list[Source]:
    from headstart.sources.catalogue import open_source

    opened: list[Source] = []
    for name in names:
        source = open_source(name, progress=progress)
        _check_modality(dataset, source.name, source.modality)
        twin = next((other for other in opened if other.name == source.name), None)
        if twin is not None and twin.fingerprint != source.fingerprint:
            raise OptionError(
                f"two sources have the name {source.name}: rename the file of one, so that reports tell them apart"
            )
        if twin is None:
            opened.append(source)
    return opened


def _check_modality(dataset: Dataset, source: str, modality: Modality | None) -> None:
    if modality not in (None, dataset.modality):
        raise OptionError(
            f"source {source} reads {modality}s, but {dataset.name} holds {dataset.modality}s: "
            f"`headstart sources` lists those for {dataset.modality}s"
        )


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the sources said, and what files are without them."""

    features: tuple[Features, ...]
    described: NDArray[np.float16] | None
    failures: dict[int, str]


def _see(
    dataset: Dataset, sources: Sequence[Source], choices: Sequence[Choice], options: FitOptions, progress: Progress
) -> _Seen:
    from headstart.features.described import describe_files
    from headstart.features.embed import embed
    from headstart.features.readers import READERS

    files = dataset.modality in FILES
    if not sources:
        described: NDArray[np.float16] | None = None
        failures: dict[int, str] = {}
        if files:
            paths, reader = cast("Sequence[Path]", dataset.items), READERS[dataset.modality]
            described, failures = describe_files(paths, reader, progress=progress)
        return _Seen((), described, failures)
    features = tuple(
        embed(
            cast("Sequence[Path] | Sequence[str]", dataset.items),
            source,
            choice=choice,
            use_cache=options.cache,
            progress=progress,
            described=files and position == 0,
        )
        for position, (source, choice) in enumerate(zip(sources, choices, strict=True))
    )
    failures = {position: reason for one in reversed(features) for position, reason in one.failures.items()}
    return _Seen(features, features[0].described, failures)


def _readable(dataset: Dataset, seen: _Seen) -> tuple[Dataset, _Seen]:
    """Both without the items that failed, which are named in `Dataset.skipped`."""
    if not seen.failures:
        return dataset, seen
    keep = np.array([position for position in range(len(dataset)) if position not in seen.failures], dtype=np.int64)
    first = min(seen.failures)
    if not len(keep):
        raise DataError(
            f"{dataset.name}: none of its {len(dataset)} items can be read; "
            f"{dataset.ids[first]}: {seen.failures[first]}"
        )
    lost = tuple(Skipped(dataset.ids[position], seen.failures[position]) for position in sorted(seen.failures))
    kept = replace(dataset.take(keep), skipped=dataset.skipped + lost)
    assert kept.target is not None
    if kept.target.exclusive and len(np.unique(kept.target.y)) < 2:
        raise DataError(
            f"{dataset.name}: without its {len(lost)} unreadable items fewer than two classes are left; "
            f"{lost[0].id}: {lost[0].reason}"
        )
    features = tuple(replace(one.take(keep), failures={}) for one in seen.features)
    described = features[0].described if features else None if seen.described is None else seen.described[keep]
    return kept, _Seen(features, described, {})


def _plain_view(dataset: Dataset, described: NDArray[np.float16] | None) -> View:
    if dataset.modality == "table":
        return RowsView(np.asarray(dataset.items), dataset.columns)
    if dataset.modality == "text":
        return TfidfView([str(text) for text in dataset.items])
    assert described is not None, "files come described"
    return LogmelView(beside_facts(described)) if dataset.modality == "sound" else HogView(described)
