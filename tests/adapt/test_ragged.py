"""Windows of several lengths through a graph: each as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from headstart.adapt.graph import GraphModule
from headstart.adapt.ragged import ITEMS, LENGTHS, padded, run


@pytest.fixture
def body(sound_source):
    return GraphModule.load(sound_source.graph, [tap.name for tap in sound_source.taps]).eval()


def heard(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(0, 1, (10, length)).astype(np.float32) for length in lengths]


def tensors(feeds):
    return {name: torch.from_numpy(values) for name, values in feeds.items()}


def test_what_is_padded_keeps_its_length() -> None:
    windows = heard(7, 3)
    feeds = padded("mel", windows)
    assert feeds["mel"].shape == (2, 10, 7)
    assert feeds[LENGTHS].tolist() == [7, 3]
    np.testing.assert_array_equal(feeds["mel"][1, :, :3], windows[1])
    rows = padded("cut", [window.T for window in windows], [0, 0])
    assert rows["cut"].shape == (2, 7, 10)
    np.testing.assert_array_equal(rows["cut"][1, :3], windows[1].T)
    assert rows[ITEMS].tolist() == [0, 0]
    assert padded("wave", [np.ones(4, np.float32), np.ones(2, np.float32)])["wave"].tolist()[1] == [1, 1, 0, 0]


def test_a_window_says_what_it_says_alone(body, sound_source) -> None:
    windows = heard(30, 12, 30, 71)
    together = run(body, tensors(padded("mel", windows)), sound_source.taps)
    for k, window in enumerate(windows):
        alone = body({"mel": torch.from_numpy(window[None])})
        for name, values in alone.items():
            torch.testing.assert_close(together[name][k], values[0], rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_windows_alone(body, sound_source) -> None:
    windows = heard(30, 12, 30)
    weight = next(p for name, p in body.named_parameters() if name.endswith("linear_0_weight.weight"))
    run(body, tensors(padded("mel", windows)), sound_source.taps)["layer2.mean"].square().sum().backward()
    together, weight.grad = weight.grad.clone(), None
    for window in windows:
        body({"mel": torch.from_numpy(window[None])})["layer2.mean"].square().sum().backward()
    torch.testing.assert_close(together, weight.grad, rtol=1e-4, atol=1e-5)


def test_windows_of_an_item_are_one_by_the_law_of_total_variance(body, sound_source) -> None:
    """Mean and spread of the positions of both windows together, each window of as many."""
    windows = heard(24, 24, 18)
    found = run(body, tensors(padded("mel", windows, [0, 0, 1])), sound_source.taps)
    each = [body({"mel": torch.from_numpy(window[None])}) for window in windows]
    for depth in (0, 1, 2):
        mean, std = (torch.cat([one[f"layer{depth}.{what}"] for one in each[:2]]) for what in ("mean", "std"))
        torch.testing.assert_close(found[f"layer{depth}.mean"][0], mean.mean(0))
        wanted = (std.square().mean(0) + mean.var(0, correction=0)).sqrt()
        torch.testing.assert_close(found[f"layer{depth}.std"][0], wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found[f"layer{depth}.std"][1], each[2][f"layer{depth}.std"][0])
