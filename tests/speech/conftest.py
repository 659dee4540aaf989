"""Fixtures of the speech tests: a small tokenizer of Whisper's form, small recognisers with random weights, clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.speech.checkpoint import Checkpoint, Settings, checked, rooted
from headstart.speech.dimensions import Dimensions

DIGITS = Path(__file__).parents[2] / "../shared/data/fsdd/recordings"
SPECIAL = ("<|endoftext|>", "<|startoftranscript|>")
LANGUAGES = ("<|en|>", "<|es|>", "<|fr|>")
TASKS = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")
STAMPS = 1501
WORDS = 256  # every byte is a token


def make_tokenizer() -> bytes:
    """Bytes as tokens, and Whisper's special tokens in their order; timestamps have no names, as in old files."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(models.BPE({letter: k for k, letter in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([*SPECIAL, *LANGUAGES, *TASKS])
    return made.to_str().encode()


VOCABULARY = WORDS + len(SPECIAL) + len(LANGUAGES) + len(TASKS) + STAMPS
SHAPE = Dimensions(
    width=32, heads=4, encoder_layers=2, decoder_layers=2, inner=64, bands=80, positions=1500, text_positions=64,
    vocabulary=VOCABULARY,
)  # fmt: skip


def make_checkpoint(
    seed: int = 0, dtype: type[np.floating] = np.float16, *, multilingual: bool = False, name: str = "small",
    size: Dimensions = SHAPE,
) -> Checkpoint:  # fmt: skip
    """A recogniser with random weights; k has no bias."""
    rng = np.random.default_rng(seed)
    weights = {}
    for key, shape in size.shapes().items():
        scale = 0.5 if len(shape) == 1 else 1.5 / np.sqrt(np.prod(shape[1:]))
        weights[key] = (scale * rng.standard_normal(shape) + key.endswith("gamma")).astype(dtype)
        if key.endswith("self_attention/linear_0/bias"):
            weights[key][size.width : 2 * size.width] = 0
        elif key.endswith("/attention/linear_1/bias"):
            weights[key][: size.width] = 0
    settings = Settings(size.heads, multilingual, suppress=(1, 2, WORDS + 1), suppress_first=(3, WORDS))
    made = Checkpoint(name, weights, settings, make_tokenizer(), "MIT", "made for a test")
    return checked(rooted(made))


@pytest.fixture(scope="session")
def small() -> Checkpoint:
    """A small English recogniser with random weights."""
    return make_checkpoint()


@pytest.fixture(scope="session")
def several() -> Checkpoint:
    """A small recogniser of three languages with random weights."""
    return make_checkpoint(multilingual=True)


@pytest.fixture(scope="session")
def short() -> Checkpoint:
    """A small recogniser that hears 1.2 s, so that moving its encoder takes no time."""
    return make_checkpoint(name="short", size=replace(SHAPE, positions=60))


class Mels:
    """12 spectrograms of noise, of 1.2 s."""

    seconds = np.linspace(0.3, 1.1, 12)

    def __getitem__(self, i: int) -> np.ndarray:
        return 0.7 * np.random.default_rng(i).standard_normal((SHAPE.bands, 120)).astype(np.float32)


@pytest.fixture(scope="session")
def mels() -> Mels:
    """What the encoder of `short` is given of clips."""
    return Mels()


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """12 clips of noise that swells, 0.3 to 2.5 s, at three rates."""
    soundfile = pytest.importorskip("soundfile")
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    paths = []
    for k in range(12):
        rate = (8000, 16000, 44100)[k % 3]
        t = int(rate * (0.3 + 0.2 * k))
        samples = 0.3 * rng.standard_normal(t) * np.sin(np.linspace(0, (k + 2) * np.pi, t))
        paths.append(folder / f"{k:02d}.wav")
        soundfile.write(paths[-1], samples, rate)
    return paths
