"""Cached, held, or from one plain pass: the gradient is the same."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

import torch

from headstart.adapt.contrastive_gradient import Encoder, Gradient, SavedBytes
from headstart.adapt.contrastive_loss import contrastive_loss
from headstart.adapt.cuts import anatomy, last_tap
from headstart.adapt.device import Device
from headstart.adapt.inputs import inputs_of

ROWS = np.arange(24)


@pytest.fixture(params=["image", "text", "text above a cut"])
def case(request, make_job):
    """An encoder, feeds of some rows, and the loss."""
    job = make_job(request.param.split()[0])
    cut = anatomy(job.source).cuts[0] if "cut" in request.param else None
    encoder = Encoder(job.source, last_tap(job.source), cut.tensor if cut else None)
    inputs = inputs_of(job, cut, ROWS, ROWS[:0], 1)
    device = Device(False)
    labels = torch.from_numpy(job.target.encoded()[ROWS])

    def feeds(rows: np.ndarray) -> dict:
        return device.put(inputs.feeds(rows, None))

    return encoder, feeds, lambda z: contrastive_loss(z, labels, 0.2), device


PARTS = [np.array(part) for part in (range(0, 24, 3), range(1, 24, 3), range(2, 24, 3))]


def gradients(encoder: Encoder) -> dict[str, np.ndarray]:
    return {name: p.grad.numpy().copy() for name, p in encoder.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("held", [0, 1, 10**12], ids=["all run twice", "all but one run twice", "none run twice"])
def test_it_is_the_gradient_of_one_plain_pass(case, held: int) -> None:
    encoder, feeds, loss, device = case
    loss(encoder(feeds(ROWS))).backward()
    plain = gradients(encoder)
    encoder.zero_grad(set_to_none=True)
    calls: list[int] = []

    def fed(number: int) -> dict:
        calls.append(number)
        return feeds(ROWS[PARTS[number]])

    Gradient(encoder, device, held).add(fed, PARTS, loss)
    assert calls == [0, 1, 2, *{0: [0, 1, 2], 1: [1, 2]}.get(held, [])]
    found = gradients(encoder)
    assert set(found) == set(plain)
    largest = max(np.abs(value).max() for value in plain.values())
    assert largest > 0
    for name, value in plain.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=2e-5 * largest, err_msg=name)


def test_gradients_add_up(case) -> None:
    encoder, feeds, loss, device = case
    gradient = Gradient(encoder, device, 10**12)
    gradient.add(lambda number: feeds(ROWS[PARTS[number]]), PARTS, loss)
    once = gradients(encoder)
    gradient.add(lambda number: feeds(ROWS[PARTS[number]]), PARTS, loss)
    for name, value in gradients(encoder).items():
        np.testing.assert_allclose(value, 2 * once[name], rtol=1e-5, atol=1e-8)


def test_word_tables_stay_and_layers_train(make_job) -> None:
    job = make_job("text")
    encoder = Encoder(job.source, last_tap(job.source))
    encoder.freeze_embeddings(job.source.taps)
    trains = {name for name, p in encoder.body.named_parameters() if p.requires_grad}
    stays = {name for name, p in encoder.body.named_parameters() if not p.requires_grad}
    assert any("words" in name for name in stays)
    assert all("embeddings" in name for name in stays)
    assert trains
    assert all("encoder_layer" in name for name in trains)


def test_without_a_word_table_all_trains(make_job) -> None:
    job = make_job("image")
    encoder = Encoder(job.source, last_tap(job.source))
    encoder.freeze_embeddings(job.source.taps)
    assert all(p.requires_grad for p in encoder.parameters())


def test_saved_bytes_are_those_of_distinct_tensors() -> None:
    x, w = torch.ones(10, 8), torch.nn.Parameter(torch.ones(8, 4))
    with SavedBytes() as saved:
        y = x @ w  # keeps x, and w which is a parameter
        z = torch.tanh(y)  # keeps its result
        (z * z).sum()  # keeps it again, twice
    assert saved.total == 4 * (10 * 8 + 10 * 4)
    with torch.no_grad(), SavedBytes() as none:
        torch.tanh(x @ w)
    assert none.total == 0
