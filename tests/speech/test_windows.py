from __future__ import annotations

import numpy as np
import pytest

from headstart.speech.windows import Piece, Window, cut

FIRST = 1000  # the id of 0.00 s


def stamp(seconds: float) -> int:
    return FIRST + round(seconds / 0.02)


def published(ids: list[int], seconds: float) -> tuple[list[tuple[float, float, list[int]]], float]:
    """openai/whisper's transcribe.py restated: tokens of one window -> segments with text, seconds to advance."""
    tokens = np.array(ids)
    stamps = tokens >= FIRST
    single = stamps[-2:].tolist() == [False, True]
    consecutive = (np.where(stamps[:-1] & stamps[1:])[0] + 1).tolist()
    segments = []
    if consecutive:
        slices = list(consecutive)
        if single:
            slices.append(len(tokens))
        last = 0
        for current in slices:
            sliced = tokens[last:current]
            start, end = (sliced[0] - FIRST) * 0.02, (sliced[-1] - FIRST) * 0.02
            segments.append((start, end, sliced[sliced < FIRST].tolist()))
            last = current
        advance = seconds if single else (tokens[last - 1] - FIRST) * 0.02
    else:
        duration = seconds
        moments = tokens[stamps]
        if len(moments) > 0 and moments[-1] != FIRST:
            duration = (moments[-1] - FIRST) * 0.02
        segments.append((0.0, duration, tokens[tokens < FIRST].tolist()))
        advance = seconds
    return [segment for segment in segments if segment[2]], advance


def random_window(rng: np.random.Generator, seconds: float) -> list[int]:
    """Segments as the recogniser's own rules for timestamps allow them: in pairs, the last perhaps cut off."""
    times = np.sort(rng.choice(round(seconds / 0.02), 2 * int(rng.integers(1, 6)), replace=False)) * 0.02
    ids: list[int] = []
    for start, end in times.reshape(-1, 2):
        ids += [stamp(start), *rng.integers(0, FIRST, rng.integers(1, 6)).tolist(), stamp(end)]
    ending = rng.integers(3)
    if ending == 1:
        ids += [ids[-1]]
    elif ending == 2:
        ids += [ids[-1], *rng.integers(0, FIRST, 3).tolist()]
    return ids


@pytest.mark.parametrize("seed", range(300))
def test_windows_are_cut_as_whisper_cuts_them(seed) -> None:
    rng = np.random.default_rng(seed)
    seconds = float(rng.choice([30.0, 12.5]))
    ids = random_window(rng, seconds)
    pieces, advance = published(ids, seconds)
    found = cut(ids, FIRST, seconds)
    assert found.advance == pytest.approx(advance)
    assert [piece.ids for piece in found.pieces] == [tuple(text) for _, _, text in pieces]
    times = [(piece.start, piece.end) for piece in found.pieces]
    # Of a window without a pair, Whisper's own code drops the first timestamp; here the segment starts there.
    first = pieces[0][0] if len(pieces) > 1 else (ids[0] - FIRST) * 0.02
    expected = [(first, pieces[0][1]), *((start, end) for start, end, _ in pieces[1:])]
    np.testing.assert_allclose(times, expected)


def test_nothing_said() -> None:
    assert cut([], FIRST, 30.0) == Window((), 30.0)
    assert cut([stamp(0), stamp(30)], FIRST, 30.0).pieces == ()


def test_a_window_that_would_not_advance_is_left_behind() -> None:
    assert cut([stamp(0), 5, stamp(0), stamp(0), 6, 7], FIRST, 30.0).advance == 30.0


def test_times_stay_within_the_window_and_in_order() -> None:
    found = cut([stamp(4), 5, stamp(2)], FIRST, 3.0)
    assert found == Window((Piece(3.0, 3.0, (5,)),), 3.0)


def test_text_without_timestamps_is_the_whole_window() -> None:
    assert cut([5, 6], FIRST, 8.0) == Window((Piece(0.0, 8.0, (5, 6)),), 8.0)
