"""Losses in parts: against torch's own on the whole, and where memory is short."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.errors import EngineError
from headstart.progress import SILENT
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.examples import Examples
from headstart.speech.recogniser import Recogniser
from headstart.speech.states import States

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("ctranslate2")

from headstart.adapt.device import Device  # noqa: E402
from headstart.speech import vocabulary_loss  # noqa: E402
from headstart.speech.lora import Lora  # noqa: E402
from headstart.speech.losses import Losses  # noqa: E402
from headstart.speech.torch_decoder import TorchDecoder  # noqa: E402

TEXTS = ("One.", "Two!", "three", "Four?", "five", "six and a half", "seven")
STAMPED = np.array([True, False, True, False, False, True, True])


@pytest.fixture(scope="module")
def examples(small: Checkpoint, clips: list[Path]) -> Examples:
    return Examples(small, States(Recogniser(small), clips[:7], SILENT), TEXTS, "en")


@pytest.fixture
def decoder(small: Checkpoint) -> TorchDecoder:
    made = TorchDecoder(small)
    Lora(4).begin(made)
    generator = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        if parameter.requires_grad:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return made


def reset(decoder: TorchDecoder):
    return lambda: [setattr(p, "grad", None) for p in decoder.parameters()]


def gradients(decoder: TorchDecoder) -> dict[str, np.ndarray]:
    return {name: p.grad.numpy().copy() for name, p in decoder.named_parameters() if p.grad is not None}


def by_torch(decoder: TorchDecoder, examples: Examples) -> tuple[float, dict[str, np.ndarray]]:
    """The loss of all clips at once, all tokens scored together, and its gradients."""
    batch = examples.batch(np.arange(7), STAMPED)
    reset(decoder)()
    hidden = decoder(*(torch.from_numpy(x) for x in (batch.tokens, batch.states, batch.counts)))
    labels = torch.from_numpy(batch.labels)
    loss = torch.nn.functional.cross_entropy(
        decoder.logits(hidden).flatten(0, 1), labels.flatten(), ignore_index=-1, label_smoothing=0.1
    )
    loss.backward()
    return float(loss.detach()), gradients(decoder)


@pytest.mark.parametrize("scores", [1, 8 * 1773, 1 << 23])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_scored_in_parts_the_loss_is_that_of_torch(monkeypatch, scores: int, smoothing: float) -> None:
    monkeypatch.setattr(vocabulary_loss, "_SCORES", scores)
    generator = torch.Generator().manual_seed(0)
    table, labels = torch.randn(1773, 8, generator=generator), torch.randint(0, 1773, (37,), generator=generator)
    found = []
    for k in range(2):
        hidden = torch.randn(37, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
        if k:
            seen: list[int] = []
            logits = lambda h: (seen.append(len(h)), h @ table.T)[1]  # noqa: E731, B023
            loss = vocabulary_loss.summed_loss(hidden, labels, logits, 1773, smoothing)
            assert max(seen) == min(37, max(1, scores // 1773))
        else:
            loss = torch.nn.functional.cross_entropy(
                hidden @ table.T, labels, label_smoothing=smoothing, reduction="sum"
            )
        (loss / 7).backward()
        found.append((loss.detach(), hidden.grad))
    torch.testing.assert_close(found[0], found[1])
    with torch.no_grad():
        torch.testing.assert_close(vocabulary_loss.summed_loss(hidden, labels, logits, 1773, smoothing), found[0][0])


@pytest.mark.parametrize("most", [1, 10**6, 1 << 28])
def test_the_gradient_in_parts_is_that_of_the_whole(decoder: TorchDecoder, examples: Examples, most: int) -> None:
    _, whole = by_torch(decoder, examples)
    losses = Losses(decoder, examples, Device(bf16=False), pytest.fail)
    losses.bytes = most
    losses.backward(np.arange(7), STAMPED, 0.1, reset(decoder))
    parts = gradients(decoder)
    assert set(parts) == set(whole)
    for name, gradient in whole.items():
        np.testing.assert_allclose(parts[name], gradient, rtol=1e-3, atol=1e-5)


def test_in_bfloat16_the_loss_and_the_gradient_are_those_of_float32_to_its_digits(
    decoder: TorchDecoder, examples: Examples
) -> None:
    found = []
    for bf16 in (False, True):
        losses = Losses(decoder, examples, Device(bf16), pytest.fail)
        losses.backward(np.arange(7), STAMPED, 0.1, reset(decoder))
        found.append((losses.mean(np.arange(7)), np.concatenate([one.ravel() for one in gradients(decoder).values()])))
    (loss, exact), (near, rounded) = found
    assert near != loss  # it is computed otherwise
    assert near == pytest.approx(loss, rel=0.02)
    assert exact @ rounded / np.linalg.norm(exact) / np.linalg.norm(rounded) > 0.98
    assert rounded.dtype == np.float32


def test_short_memory_takes_fewer_clips_at_a_time(
    decoder: TorchDecoder, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = by_torch(decoder, examples)
    forward, sizes, said = TorchDecoder.forward, [], []

    def bounded(self, tokens, states, counts):
        if len(tokens) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        sizes.append(len(tokens))
        return forward(self, tokens, states, counts)

    monkeypatch.setattr(TorchDecoder, "forward", bounded)
    losses = Losses(decoder, examples, Device(bf16=False), said.append)
    clip = 2 * 4 * decoder.shape.decoder_layers * decoder.shape.width * int(examples.lengths[:7].max())
    losses.bytes = 8 * clip  # halved: four clips at a time, then two
    losses.backward(np.arange(7), STAMPED, 0.1, reset(decoder))
    assert sizes == [2, 2, 2, 1]
    assert said[-1] == "memory is short: 2 clips at a time, 7 a step as before"
    for name, gradient in gradients(decoder).items():
        np.testing.assert_allclose(gradient, whole[name], rtol=1e-3, atol=1e-5)


def test_memory_for_nothing_ends_it_in_one_line(
    decoder: TorchDecoder, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(TorchDecoder, "forward", short)
    losses = Losses(decoder, examples, Device(bf16=False), lambda _: None)
    with pytest.raises(EngineError, match="out of memory with one clip at a time"):
        losses.backward(np.arange(7), STAMPED, 0.1, reset(decoder))


def test_other_errors_are_not_taken_for_short_memory(
    decoder: TorchDecoder, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> None:
        raise RuntimeError("shapes do not agree")

    monkeypatch.setattr(TorchDecoder, "forward", wrong)
    losses = Losses(decoder, examples, Device(bf16=False), pytest.fail)
    with pytest.raises(RuntimeError, match="shapes do not agree"):
        losses.backward(np.arange(7), STAMPED, 0.1, reset(decoder))
