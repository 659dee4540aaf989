"""Tuning a small recogniser: the decoder against transformers, batches, what is learned, resuming, and the way back.

The strategies that move the encoder too do so on a recogniser that hears 1.2 s.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import EngineError
from headstart.progress import SILENT
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.examples import Examples
from headstart.speech.listening import listen
from headstart.speech.recogniser import Recogniser
from headstart.speech.states import States

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("ctranslate2")

from headstart.adapt import checkpoint  # noqa: E402
from headstart.adapt.checkpoint import Shelf  # noqa: E402
from headstart.adapt.settings import Settings  # noqa: E402
from headstart.speech import pace, tuning  # noqa: E402
from headstart.speech.full import Full  # noqa: E402
from headstart.speech.last_stages import LastStages  # noqa: E402
from headstart.speech.lora import Lora, LoraAll  # noqa: E402
from headstart.speech.losses import Losses  # noqa: E402
from headstart.speech.moves import Moves  # noqa: E402
from headstart.speech.recipe import RECIPES, Recipe  # noqa: E402
from headstart.speech.spectrograms import HeardExamples  # noqa: E402
from headstart.speech.torch_decoder import TorchDecoder, torch_name  # noqa: E402
from headstart.speech.torch_encoder import TorchRecogniser  # noqa: E402
from headstart.speech.tuned import Point, least  # noqa: E402
from headstart.speech.tuning import tune  # noqa: E402

TEXTS = ("One.", "Two!", "three", "Four?", "five", "six", "seven", "eight", "nine", "ten", "Élan", "zwölf")


def own_weights(decoder: TorchDecoder, small: Checkpoint) -> dict[str, np.ndarray]:
    """What a decoder has, under the checkpoint's names."""
    own = decoder.state_dict()
    return {name: own[torch_name(name)].numpy() for name in small.weights if name.startswith(decoder.sides)}


WAYS: dict[str, Moves] = {"lora": Lora(4), "last-stages": LastStages(), "lora-all": LoraAll(4), "full": Full()}
END = Point(3, 1.0)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Each strategy."""
    return str(request.param)


@pytest.fixture(scope="module")
def examples(small: Checkpoint, clips: list[Path]) -> Examples:
    return Examples(small, States(Recogniser(small), clips, SILENT), TEXTS, "en")


Given = tuple[Checkpoint, Examples]


@pytest.fixture
def given(way: str, small: Checkpoint, examples: Examples, short: Checkpoint, mels) -> Given:
    """What each strategy moves, and what that learns from."""
    return (short, HeardExamples(short, mels, TEXTS, "en")) if WAYS[way].encoder else (small, examples)


def test_all_strategies_are_tried_here() -> None:
    assert {name: type(one.moves) for name, one in RECIPES.items()} == {n: type(one) for n, one in WAYS.items()}


def test_the_decoder_is_that_of_transformers(small: Checkpoint) -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    from headstart.speech.conversion import to_transformers

    generator = torch.Generator().manual_seed(0)
    states = torch.randn(2, 1500, small.dimensions.width, generator=generator)
    tokens = torch.randint(0, 256, (2, 9), generator=generator)
    decoder, theirs = TorchDecoder(small), to_transformers(small)
    with torch.inference_mode():
        expected = theirs(encoder_outputs=outputs.BaseModelOutput(states), decoder_input_ids=tokens).logits
        got = decoder.logits(decoder(tokens, states, torch.ones(2, 1500)))
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_the_decoder_gives_its_weights_back(small: Checkpoint) -> None:
    for name, array in own_weights(TorchDecoder(small), small).items():
        np.testing.assert_array_equal(array, small.weights[name].astype(np.float32))


def test_padding_changes_nothing(small: Checkpoint, examples: Examples) -> None:
    decoder = TorchDecoder(small)
    both, alone = examples.batch(np.array([0, 11])), examples.batch(np.array([0]))
    with torch.inference_mode():
        a, b = (
            decoder(torch.from_numpy(x.tokens), torch.from_numpy(x.states), torch.from_numpy(x.counts))
            for x in (both, alone)
        )
    assert both.states.shape[1] > alone.states.shape[1]
    torch.testing.assert_close(a[:1, : b.shape[1]], b, atol=1e-4, rtol=1e-4)


def test_thinned_silence_counts_as_the_whole_does(small: Checkpoint) -> None:
    """Against attention to all 1,500 positions, where silence is alike in steps of eight."""

    class Clips:
        seconds = np.array([0.5, 3.01, 29.9])

        def __getitem__(self, i: int) -> np.ndarray:
            whole = 0.5 * np.random.default_rng(i).standard_normal((1500, small.dimensions.width)).astype(np.float32)
            quiet = int(np.ceil((self.seconds[i] + 1) * 50))
            for start in range(quiet, 1500, 8):
                whole[start : start + 8] = whole[start]
            return whole

    examples = Examples(small, Clips(), TEXTS[:3], "en")
    batch, decoder = examples.batch(np.arange(3)), TorchDecoder(small)
    assert batch.states.shape[1] == 1500
    assert examples.lengths[0] < 300
    np.testing.assert_array_equal(batch.counts.sum(axis=1), 1500)
    states = torch.from_numpy(np.stack([Clips()[i] for i in range(3)]))
    tokens = torch.from_numpy(batch.tokens)
    with torch.inference_mode():
        expected = decoder(tokens, states, torch.ones(3, 1500))
        got = decoder(tokens, torch.from_numpy(batch.states), torch.from_numpy(batch.counts))
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_labels_follow_the_prompt_and_end_the_text(small: Checkpoint, examples: Examples) -> None:
    batch, prompt = examples.batch(np.array([0, 10])), small.tokens.prompt("en")
    for row, text in enumerate((TEXTS[0], TEXTS[10])):
        learned = batch.labels[row][batch.labels[row] >= 0].tolist()
        assert small.tokens.decode(learned[:-1]).strip() == text
        assert learned[-1] == small.tokens.end
        assert batch.tokens[row, : len(prompt)].tolist() == prompt
        first = int(np.flatnonzero(batch.labels[row] >= 0)[0])
        assert first == len(prompt) - 1
        np.testing.assert_array_equal(batch.tokens[row, first + 1 : first + len(learned)], learned[:-1])


def test_some_clips_are_learned_between_timestamps(small: Checkpoint, examples: Examples, clips: list[Path]) -> None:
    batch = examples.batch(np.array([0, 10]), np.array([False, True]))
    plain, stamped = (row[row >= 0].tolist() for row in batch.labels)
    assert plain == [*examples.ids(0), small.tokens.end]
    first, *text, last, end = stamped
    assert (text, end) == (examples.ids(10), small.tokens.end)
    assert first == small.tokens.first_stamp
    assert 0.02 * (last - first) == pytest.approx(len(listen(clips[10])) / 16_000, abs=0.011)
    prompt = small.tokens.prompt("en", timestamps=True)
    assert batch.tokens[1, : len(prompt) + 1].tolist() == [*prompt, first]


def test_several_languages_have_their_prompt(several: Checkpoint, clips: list[Path]) -> None:
    examples = Examples(several, States(Recogniser(several), clips[:2], SILENT), TEXTS[:2], "fr")
    assert examples.batch(np.array([0])).tokens[
        0, : len(several.tokens.prompt("fr"))
    ].tolist() == several.tokens.prompt("fr")


def test_a_text_too_long_is_named(small: Checkpoint, clips: list[Path]) -> None:
    examples = Examples(small, States(Recogniser(small), clips[:2], SILENT), ["a" * 90, "b"], "en")
    assert list(examples.reasons) == [0]
    assert "cut it into sentences" in examples.reasons[0]


def trained(small: Checkpoint, examples: Examples, folder: Path, way: str = "lora", **given):
    train, held = np.arange(9), np.arange(9, 12)
    options = {"seed": 1, "progress": SILENT} | given
    recipe = Recipe(Settings(epochs=3, batch=4, rate=1e-2, bf16=False), WAYS[way])
    return tune(small, examples, train, held, recipe, Shelf(folder, "k"), **options)


def test_training_lowers_the_loss_of_what_it_learns(given: Given, tmp_path: Path, way: str) -> None:
    rows = np.arange(12)
    recipe = Recipe(Settings(epochs=15, batch=6, rate=2e-2, bf16=False), WAYS[way])
    tuned = tune(*given, rows, rows, recipe, Shelf(tmp_path, "k"), seed=0, progress=SILENT)
    assert tuned.losses[Point(15, 1.0)] < 0.7 * tuned.losses[Point(0, 0.0)]
    assert tuned.losses[Point(15, 1.0)] == min(tuned.losses.values())


def moves(way: str, name: str) -> bool:
    """Whether a strategy moves a weight: spelled out, for a recogniser of two layers a side."""
    if way in ("lora", "lora-all"):
        maps = ("self_attention/linear_0", "self_attention/linear_1", "/attention/linear_0", "/attention/linear_2")
        sides = ("decoder/layer_", "encoder/layer_")[: 1 + (way == "lora-all")]
        return name.startswith(sides) and name.endswith(
            tuple(f"{one}/weight" for one in (*maps, "ffn/linear_0", "ffn/linear_1"))
        )
    if way == "full":
        of_keys = ("self_attention/linear_0/bias", "/attention/linear_1/bias")
        return not name.endswith((*of_keys, "encodings", "embeddings/weight"))
    of_keys = ("decoder/layer_1/self_attention/linear_0/bias", "decoder/layer_1/attention/linear_1/bias")
    return name.startswith(("decoder/layer_1/", "decoder/layer_norm/")) and name not in of_keys


@pytest.mark.parametrize("point", [Point(1, 1.0), Point(3, 0.5), Point(3, 1.0)])
def test_the_weights_are_those_of_the_point(given: Given, tmp_path: Path, point: Point, way: str) -> None:
    small, examples = given
    tuned = trained(small, examples, tmp_path, way)
    weights = tuned.weights(point)
    moved = {name for name, array in weights.items() if (array != small.weights[name].astype(np.float32)).any()}
    assert moved
    assert moved == set(weights) == {name for name in small.weights if moves(way, name)}
    decoder = (TorchRecogniser if WAYS[way].encoder else TorchDecoder)(small)
    decoder.put({n: torch.from_numpy(np.array(w)) for n, w in {**own_weights(decoder, small), **weights}.items()})
    held = examples.batch(np.arange(9, 12))
    with torch.inference_mode():
        hidden = decoder(*(torch.from_numpy(x) for x in (held.tokens, held.states, held.counts)))
        labels = torch.from_numpy(held.labels)
        loss = torch.nn.functional.cross_entropy(decoder.logits(hidden[labels >= 0]), labels[labels >= 0])
    assert float(loss) == pytest.approx(tuned.losses[point], rel=1e-3)


def test_half_of_the_way_back(given: Given, tmp_path: Path, way: str) -> None:
    small, _ = given
    tuned = trained(*given, tmp_path, way, until=2)
    assert list(tuned.ends) == [2]
    whole, half = (tuned.weights(Point(2, blend)) for blend in (1.0, 0.5))
    for name in whole:
        source = small.weights[name].astype(np.float32)
        np.testing.assert_allclose(half[name] - source, 0.5 * (whole[name] - source), atol=1e-6)


def test_to_stop_at_an_epoch_is_to_have_passed_it(given: Given, tmp_path: Path, way: str) -> None:
    """What the folds choose at an epoch in the middle is what a training on everything is stopped at."""
    passed = trained(*given, tmp_path / "a", way)
    stopped = trained(*given, tmp_path / "b", way, until=2)
    name = "decoder/layer_1/ffn/linear_0/weight"
    point = Point(2, 1.0)
    np.testing.assert_array_equal(passed.weights(point)[name], stopped.weights(point)[name])


def test_the_same_seed_gives_the_same_weights(small: Checkpoint, examples: Examples, tmp_path: Path) -> None:
    one, two = (trained(small, examples, tmp_path / folder) for folder in "ab")
    other = trained(small, examples, tmp_path / "c", seed=2)
    name = "decoder/layer_0/ffn/linear_0/weight"
    np.testing.assert_array_equal(one.weights(END)[name], two.weights(END)[name])
    assert (one.weights(END)[name] != other.weights(END)[name]).any()


def test_a_killed_training_goes_on_where_it_was(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(checkpoint, "_PATIENCE", 0.0)  # however fast the machine is, the end of an epoch is kept
    undisturbed = trained(*given, tmp_path / "a", way)

    class Killed(BaseException):
        pass

    class Bar:
        clips = 0

        def advance(self, steps: int = 1, *, cached: bool = False) -> None:
            Bar.clips += steps
            if Bar.clips > 9 + 4:  # in the second epoch
                raise Killed

    class Progress(type(SILENT)):
        def bar(self, *_: object):
            from contextlib import nullcontext

            return nullcontext(Bar())

    with pytest.raises(Killed):
        trained(*given, tmp_path / "b", way, progress=Progress())
    assert list((tmp_path / "b").iterdir())
    shutil.copytree(tmp_path / "b", tmp_path / "kept")
    seen = []

    class Counting:
        def advance(self, steps: int = 1, *, cached: bool = False) -> None:
            seen.append((steps, cached))

    class Watch(type(SILENT)):
        def bar(self, *_: object):
            from contextlib import nullcontext

            return nullcontext(Counting())

    resumed = trained(*given, tmp_path / "b", way, progress=Watch())
    assert seen[0][1]
    assert sum(steps for steps, cached in seen if not cached) == 18  # two of three epochs of nine clips
    assert resumed.losses == undisturbed.losses
    for point in (Point(1, 1.0), Point(2, 1.0), END):
        for name, array in undisturbed.weights(point).items():
            np.testing.assert_array_equal(array, resumed.weights(point)[name])


@pytest.mark.parametrize("at", [0, 4])
def test_a_loss_that_is_no_number_goes_back_and_on_more_slowly(
    small: Checkpoint, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    total, calls = Losses._sum, []

    def spoiled(self, batch, smoothing):
        if torch.is_grad_enabled():
            calls.append(1)
        return total(self, batch, smoothing) * (float("nan") if len(calls) == at + 1 else 1.0)

    monkeypatch.setattr(Losses, "_sum", spoiled)
    tuned = trained(small, examples, tmp_path)
    (note,) = tuned.notes
    assert f"the loss was not a number in epoch {1 + at // 3}: went back" in note
    assert "x 0.3" in note
    assert np.isfinite(list(tuned.losses.values())).all()
    assert list(tuned.losses) == [Point(0, 0.0), *(Point(epoch, blend) for epoch in (1, 2, 3) for blend in (0.5, 1.0))]
    assert len(calls) == 9 + 1 + at % 3  # three epochs of three steps; the spoiled one, and those of its epoch, again


def test_a_loss_that_is_no_number_on_the_clips_held_out(
    small: Checkpoint, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean, calls = Losses.mean, []

    def spoiled(self, rows):
        calls.append(1)
        return mean(self, rows) if len(calls) != 5 else float("nan")

    monkeypatch.setattr(Losses, "mean", spoiled)
    tuned = trained(small, examples, tmp_path)
    assert ["epoch 2, on the clips that are only read" in note for note in tuned.notes] == [True]
    assert len(tuned.losses) == 7
    assert np.isfinite(list(tuned.losses.values())).all()


def test_a_loss_that_never_is_a_number_ends_it_in_one_line(
    small: Checkpoint, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = Losses._sum
    nan = lambda self, batch, s: total(self, batch, s) * (float("nan") if torch.is_grad_enabled() else 1.0)  # noqa: E731
    monkeypatch.setattr(Losses, "_sum", nan)
    with pytest.raises(EngineError, match="whatever the learning rate"):
        trained(small, examples, tmp_path)


def test_a_full_disk_is_said_and_the_training_goes_on(
    small: Checkpoint, examples: Examples, tmp_path: Path, limited
) -> None:
    whole = trained(small, examples, tmp_path / "a")
    with limited("RLIMIT_FSIZE", 1000):
        tuned = trained(small, examples, tmp_path / "b")
    assert tuned.notes == (f"no checkpoints ({os.strerror(errno.EFBIG)}): a training that is killed begins anew",)
    assert tuned.losses == whole.losses
    assert not list((tmp_path / "b").iterdir())


def test_a_training_that_ended_is_let_go(given: Given, tmp_path: Path, let_go: Callable[..., bool], way: str) -> None:
    """At once, with its weights and moments: not when the collector of cycles comes, which may be folds later."""
    assert let_go(tuning._Training, lambda: trained(*given, tmp_path, way))


def test_a_deadline_ends_it(small: Checkpoint, examples: Examples, tmp_path: Path) -> None:
    tuned = trained(small, examples, tmp_path, deadline=0.0)
    assert not tuned.finished
    assert (tuned.losses, tuned.ends) == ({}, {})


@pytest.mark.parametrize("deadline", [0.0, 1.0, 9.0, 25.0, 40.0, 76.0, 79.0, 81.0, 1e3])
def test_no_epoch_is_begun_that_would_not_be_read_by_the_deadline(
    small: Checkpoint, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deadline: float
) -> None:
    """A clock by which a step takes 2 s and a reading 9 s, and nothing else any time: an epoch takes 3 x 2 + 2 x 9.

    After the first epoch it is known whether the time suffices for all, and none is spent in vain.
    """
    clock, mean, backward = [0.0], Losses.mean, Losses.backward

    def timed(seconds, work):
        def run(self, *given):
            clock[0] += seconds
            return work(self, *given)

        return run

    monkeypatch.setattr(pace.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(Losses, "backward", timed(2.0, backward))
    monkeypatch.setattr(Losses, "mean", timed(9.0, mean))
    tuned = trained(small, examples, tmp_path, deadline=deadline)
    epochs = (len(tuned.losses) - 1) // 2 if tuned.losses else 0
    assert tuned.finished == (epochs == 3) == (deadline >= 9 + 3 * 24)
    assert clock[0] <= max(deadline, 9.0)  # how long the first reading takes nobody knows
    assert clock[0] == 9 + 24 * epochs  # no step for nothing
    if not tuned.finished:
        assert epochs == (deadline >= 9 + 24)
        assert tuned.missing == (9 + 3 * 24 - deadline if epochs else 0)


def test_a_deadline_within_an_epoch_keeps_what_was_learned_of_it(
    small: Checkpoint, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that become slower than those they were estimated by: one of three is done of the second epoch."""
    monkeypatch.setattr(checkpoint, "_PATIENCE", 0.0)
    whole = trained(small, examples, tmp_path / "a")
    clock, steps, backward = [0.0], [], Losses.backward

    def slower(self, *given):
        steps.append(1)
        clock[0] += 1.0 if len(steps) < 4 else 100.0
        return backward(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(pace.time, "perf_counter", lambda: clock[0])
        patch.setattr(Losses, "backward", slower)
        stopped = trained(small, examples, tmp_path / "b", deadline=50.0)
    assert not stopped.finished
    kept = Shelf(tmp_path / "b", "k").resume()
    assert kept is not None
    assert kept.fields["step"] == len(steps) == 4
    assert trained(small, examples, tmp_path / "b").losses == whole.losses


def test_the_point_that_several_trainings_agree_on() -> None:
    a, b, c = Point(0, 0.0), Point(1, 1.0), Point(2, 1.0)
    assert least([{a: 3.0, b: 1.0, c: 2.0}, {a: 3.0, b: 2.5, c: 1.2}]) == c
    assert least([{a: 3.0, b: 1.0}, {a: 3.0, b: 2.0, c: 0.1}]) == b
    assert least([{a: 1.0, b: 2.0}]) == b


def test_states_are_kept_on_disk(
    small: Checkpoint, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    recogniser = Recogniser(small)
    first = States(recogniser, clips[:3], SILENT)
    files = sorted(tmp_path.rglob("*.safetensors"))
    assert len(files) == 3
    monkeypatch.setattr(recogniser, "encode", None)  # must not be needed again
    again = States(recogniser, clips[:3], SILENT)
    for i in range(3):
        np.testing.assert_array_equal(first[i], again[i])
    monkeypatch.undo()
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    expected = again[1]
    for path in files:
        path.write_bytes(b"damaged")
    np.testing.assert_array_equal(first[1], expected)


def test_states_without_a_disk(small: Checkpoint, clips: list[Path], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", "0")
    states = States(Recogniser(small), clips[:2], SILENT)
    assert states[1].shape == (1500, 32)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_clips_that_cannot_be_learned_from(small: Checkpoint, clips: list[Path], tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    long, empty = tmp_path / "long.wav", tmp_path / "empty.wav"
    soundfile.write(long, 0.1 * np.random.default_rng(0).standard_normal(8000 * 31), 8000)
    empty.write_bytes(b"")
    states = States(Recogniser(small), [clips[0], long, empty], SILENT)
    assert set(states.reasons) == {1, 2}
    assert "at most 30 s" in states.reasons[1]
