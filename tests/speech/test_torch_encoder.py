"""The encoder that moves: against the frozen one, its gradients, its memory, and what is saved of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from headstart.progress import SILENT
from headstart.sources.base import TrainedOn
from headstart.speech.artefact import read, write
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.examples import Batch
from headstart.speech.listening import listen, log_mel
from headstart.speech.recogniser import Recogniser
from headstart.speech.spectrograms import HeardExamples

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("ctranslate2")

from headstart.adapt.checkpoint import Shelf  # noqa: E402
from headstart.adapt.device import Device  # noqa: E402
from headstart.adapt.settings import Settings  # noqa: E402
from headstart.speech.full import Full  # noqa: E402
from headstart.speech.lora import LoraAll  # noqa: E402
from headstart.speech.losses import Losses  # noqa: E402
from headstart.speech.moves import Moves  # noqa: E402
from headstart.speech.recipe import Recipe  # noqa: E402
from headstart.speech.torch_decoder import torch_name  # noqa: E402
from headstart.speech.torch_encoder import TorchRecogniser  # noqa: E402
from headstart.speech.tuned import Point  # noqa: E402
from headstart.speech.tuning import tune  # noqa: E402
from headstart.workflow.transcription_folds import moved  # noqa: E402

TEXTS = ("yes",) * 12
WAYS: dict[str, Moves] = {"lora-all": LoraAll(4), "full": Full()}


@pytest.fixture
def examples(short: Checkpoint, mels) -> HeardExamples:
    return HeardExamples(short, mels, TEXTS, "en")


def put(batch: Batch) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(x) for x in (batch.tokens, batch.states, batch.counts, batch.labels))


def test_it_says_what_the_frozen_encoder_says(small: Checkpoint, clips: list[Path]) -> None:
    """Against CTranslate2, which the frozen states are from, and transformers."""
    mel = np.stack([log_mel(listen(path), 80) for path in clips[:2]])
    theirs = pytest.importorskip("headstart.speech.conversion").to_transformers(small)
    with torch.inference_mode():
        got = TorchRecogniser(small).encoder(torch.from_numpy(mel))
        expected = theirs.model.encoder(torch.from_numpy(mel)).last_hidden_state
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    frozen = Recogniser(small)
    for one, states in zip(mel, got.numpy(), strict=True):
        np.testing.assert_allclose(states, frozen.encode(one), atol=2e-3)


def test_every_weight_has_a_name_of_its_own(short: Checkpoint) -> None:
    own = TorchRecogniser(short).state_dict()
    assert {torch_name(name) for name in short.weights} == set(own)
    for name, array in short.weights.items():
        np.testing.assert_array_equal(own[torch_name(name)].numpy(), array.astype(np.float32))


@pytest.mark.parametrize("name", ["encoder.conv1.weight", "encoder.layers.0.self_attention.linear_0.weight"])
def test_the_gradient_of_the_encoder_is_that_of_differences(
    short: Checkpoint, examples: HeardExamples, name: str
) -> None:
    model = TorchRecogniser(short).double()
    tokens, sounds, counts, labels = put(examples.batch(np.arange(3)))
    weight = model.get_parameter(name).requires_grad_(True)
    step = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def loss() -> torch.Tensor:
        hidden = model(tokens, sounds.double(), counts.double())
        return torch.nn.functional.cross_entropy(model.logits(hidden[labels >= 0]), labels[labels >= 0])

    (gradient,) = torch.autograd.grad(loss(), weight)
    with torch.no_grad():
        weight += 1e-6 * step
        above = float(loss())
        weight -= 2e-6 * step
        below = float(loss())
    slope = float((gradient * step).sum())
    assert abs(slope) > 1e-4
    assert (above - below) / 2e-6 == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_all_that_trains_has_a_gradient(short: Checkpoint, examples: HeardExamples, way: str) -> None:
    model = TorchRecogniser(short)
    WAYS[way].begin(model)
    losses = Losses(model, examples, Device(bf16=False), pytest.fail)
    losses.backward(np.arange(4), np.zeros(4, bool), 0.0, lambda: None)
    training = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert {name.startswith("encoder.") for name in training} == {True, False}
    for name, p in training.items():
        assert torch.isfinite(p.grad).all()
        assert p.grad.any() == ("lora_A" not in name)  # B begins at zero


@pytest.mark.parametrize("bf16", [False, True])
def test_the_gradient_in_parts_is_that_of_the_whole(short: Checkpoint, examples: HeardExamples, bf16: bool) -> None:
    found = []
    for most in (1, 1 << 30):
        model = TorchRecogniser(short)
        Full().begin(model)
        losses = Losses(model, examples, Device(bf16), pytest.fail)
        losses.bytes = most
        assert len(losses._parts(np.arange(6))) == (6 if most == 1 else 1)
        losses.backward(np.arange(6), np.zeros(6, bool), 0.0, lambda: None)
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad]))
    torch.testing.assert_close(*found, atol=3e-2 if bf16 else 1e-5, rtol=3e-2 if bf16 else 1e-3)


def test_the_memory_of_a_clip_is_about_what_is_said(short: Checkpoint, examples: HeardExamples) -> None:
    """By what torch keeps for the gradient, of a recogniser all of whose weights train."""
    model, kept = TorchRecogniser(short), {}
    Full().begin(model)
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    tokens, sounds, counts, _ = put(examples.batch(np.arange(1)))
    tokens = tokens[:, :1]  # what the decoder keeps of tokens is little where the encoder's sizes are real

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no other comes to lie there
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(tokens, sounds, counts).sum()
    said = model.held(model.shape.positions)
    assert 0.7 < sum(size for size, _ in kept.values()) / said < 1.4


@pytest.mark.parametrize("way", WAYS)
def test_everything_is_computed_where_the_weights_are(short: Checkpoint, examples: HeardExamples, way: str) -> None:
    """On torch's device without memory, which refuses to meet tensors of another, as a GPU does."""
    model = TorchRecogniser(short)
    WAYS[way].begin(model)
    model.to("meta")
    tokens, sounds, counts, _ = (x.to("meta") for x in put(examples.batch(np.arange(2))))
    hidden = model(tokens, sounds, counts)
    model.logits(hidden).sum().backward()
    devices = {p.grad.device.type for p in model.parameters() if p.requires_grad}
    assert devices == {hidden.device.type} == {"meta"}


_PREDICT = """
import json, sys
sys.modules["torch"] = None
from pathlib import Path
import numpy as np
from headstart.speech.artefact import read
from headstart.speech.recogniser import Recogniser
recogniser = Recogniser(read(Path(sys.argv[1])).checkpoint)
mels = np.load(sys.argv[2])
states = [recogniser.encode(mel) for mel in mels]
np.save(sys.argv[3], np.stack(states))
print(json.dumps([heard.text for heard in recogniser.from_features(mels, "en", beam=1)]))
"""


@pytest.mark.parametrize("way", WAYS)
def test_saved_and_loaded_without_torch_it_hears_what_torch_hears(
    short: Checkpoint, examples: HeardExamples, mels, tmp_path: Path, way: str
) -> None:
    rows = np.arange(12)
    recipe = Recipe(Settings(epochs=20, batch=4, rate=2e-2, smoothing=0.0, bf16=False), WAYS[way])
    tuned = tune(short, examples, rows, rows, recipe, Shelf(tmp_path, "k"), seed=0, progress=SILENT)
    end = Point(20, 1.0)
    assert tuned.losses[end] < 0.2 * tuned.losses[Point(0, 0.0)]
    ours = moved(short, tuned.weights(end))
    card = {
        "name": "x", "strategy": way, "language": "en", "beam": 1, "seed": 0, "data": TrainedOn("x", 12, 0),
        "versions": {},
    }  # fmt: skip
    write(tmp_path / "x.headstart", ours, card, {})
    np.save(tmp_path / "mels.npy", np.stack([mels[i] for i in rows]))
    given = [str(tmp_path / name) for name in ("x.headstart", "mels.npy", "states.npy")]
    said = subprocess.run([sys.executable, "-c", _PREDICT, *given], capture_output=True, text=True, check=True).stdout

    model = TorchRecogniser(short)  # not merged, not rounded
    WAYS[way].begin(model)
    with torch.inference_mode():
        for name, value in tuned.ends[20].items():
            model.get_parameter(name).copy_(torch.from_numpy(value))
        states = model.encoder(torch.from_numpy(np.load(tmp_path / "mels.npy")))
    there = np.load(tmp_path / "states.npy")
    before = np.stack([Recogniser(short).encode(mels[i]) for i in rows])
    np.testing.assert_allclose(there, states.numpy(), atol=2e-2)
    assert np.abs(there - before).max() > 0.2
    assert json.loads(said) == [greedy(model, state[None], short) for state in states]
    assert json.loads(said) == list(TEXTS)
    assert read(tmp_path / "x.headstart").checkpoint.fingerprint == ours.fingerprint


def greedy(model: TorchRecogniser, states: torch.Tensor, short: Checkpoint) -> str:
    """The most probable token after another, as torch computes them."""
    tokens, settings = short.tokens, short.settings
    ids = list(prompt := tokens.prompt("en"))
    with torch.inference_mode():
        while ids[-1] != tokens.end and len(ids) < 40:
            mask = torch.ones(1, states.shape[1])
            hidden = super(TorchRecogniser, model).forward(torch.tensor([ids]), states, mask)
            scores = model.logits(hidden)[0, -1]
            scores[list(settings.suppress)] = -np.inf
            if len(ids) == len(prompt):
                scores[list(settings.suppress_first)] = -np.inf
            ids.append(int(scores.argmax()))
    return tokens.decode(ids[len(prompt) :]).strip()
