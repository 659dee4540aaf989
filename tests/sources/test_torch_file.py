"""PyTorch itself is the reference: what torch.load(weights_only=True) gives."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from headstart.errors import SourceError
from headstart.sources.torch_file import decode, read_state


def saved(value, *, modern: bool) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=modern)
    return buffer.getvalue()


@pytest.mark.parametrize("modern", [False, True])
def test_equals_torch(modern):
    import torch

    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = OrderedDict(
        a=torch.randn(3, 4, 2),
        scalar=torch.tensor(7),
        transposed=base.t(),
        part=base[1:3, 2:5],
        shared=base,
        half=torch.randn(5).half(),
        double=torch.randn(2, 2).double(),
        flags=torch.tensor([True, False]),
        empty=torch.zeros(0, 3),
        bytes=torch.arange(5, dtype=torch.uint8),
    )
    data = saved(state, modern=modern)
    expected = torch.load(io.BytesIO(data), weights_only=True)
    got = decode(data, "x.pth")
    assert list(got) == list(expected)
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(got[name], tensor.numpy())


@pytest.mark.parametrize("modern", [False, True])
def test_a_part_of_a_checkpoint(modern):
    import torch

    net = torch.nn.LSTM(3, 4)
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.randn(5, 3))[0].sum().backward()
    optimiser.step()
    whole = {"step": 1, "model_state": net.state_dict(), "optimizer_state": optimiser.state_dict()}
    got = decode(saved(whole, modern=modern), "x.pt", "model_state")
    assert list(got) == list(net.state_dict())
    for name, tensor in net.state_dict().items():
        np.testing.assert_array_equal(got[name], tensor.numpy())
    for part in (None, "absent", "optimizer_state", "step"):
        with pytest.raises(SourceError, match=r"flat mapping"):
            decode(saved(whole, modern=modern), "x.pt", part)


class Malicious:
    def __reduce__(self):
        return os.system, ("exit 3",)


@pytest.mark.parametrize("modern", [False, True])
def test_refuses_other_names(modern, monkeypatch):
    def never(command):
        raise AssertionError(f"ran {command}")

    data = saved({"a": Malicious()}, modern=modern)
    monkeypatch.setattr(os, "system", never)
    with pytest.raises(SourceError, match=r"names posix.system|names nt.system"):
        decode(data, "x.pth")


@pytest.mark.parametrize(
    "value", [Malicious(), {"a": 1}, [1, 2], eval, {"a": {"b": 1}}, np.zeros(3)], ids=lambda v: type(v).__name__
)
def test_refuses_what_is_no_state_dict(value):
    with pytest.raises(SourceError, match=r"not a PyTorch state dict"):
        decode(pickle.dumps(value), "x.pth")


def test_refuses_views_past_the_storage():
    import torch

    tensor = torch.arange(4, dtype=torch.float32)
    data = saved({"a": tensor}, modern=False)
    # The shape (4,) is pickled as K\x04\x85: ask for 200 elements instead.
    assert data.count(b"K\x04\x85") == 1
    with pytest.raises(SourceError, match=r"past its storage"):
        decode(data.replace(b"K\x04\x85", b"K\xc8\x85"), "x.pth")


def test_every_truncation_is_a_source_error():
    import torch

    for modern in (False, True):
        data = saved({"a": torch.randn(3)}, modern=modern)
        for end in range(0, len(data) - 1, 7):
            with pytest.raises(SourceError):
                decode(data[:end], "x.pth")


def test_reads_nothing_with_another_hash(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(pickle.dumps(Malicious()))
    got = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(SourceError, match=f"sha256 {got}, expected {'0' * 64}: reinstall"):
        read_state(path, "0" * 64, "reinstall it")
    with pytest.raises(SourceError, match=r"cannot be read"):
        read_state(tmp_path / "absent.pth", "0" * 64, "reinstall it")
