"""timm and torch are the reference; models are random ones saved on the spot."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from headstart.errors import MissingLayerError, SourceError
from headstart.sources.catalogue import open_source
from headstart.sources.timm import Timm

timm = pytest.importorskip("timm")
torch = pytest.importorskip("torch")


@pytest.fixture
def saved(tmp_path):
    """A function: architecture -> a folder as timm's save_for_hf writes it, and the model."""

    def save(architecture, *, pickled=False, config=None):
        import safetensors.torch

        torch.manual_seed(0)
        model = timm.create_model(architecture, pretrained=False, num_classes=10).eval()
        for parameter in model.parameters():  # some start at zero, and stages would be equal
            parameter.data += 0.02 * torch.randn(parameter.shape)
        folder = tmp_path / architecture
        folder.mkdir()
        cfg = {"input_size": [3, 160, 160], "crop_pct": 0.95, "interpolation": "bilinear", "license": "mit"}
        values = {"architecture": architecture, "num_classes": 10, "pretrained_cfg": cfg} | (config or {})
        (folder / "config.json").write_text(json.dumps(values))
        if pickled:
            torch.save(model.state_dict(), folder / "pytorch_model.bin")
        else:
            safetensors.torch.save_file(model.state_dict(), folder / "model.safetensors")
        return folder, model

    return save


@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet"])
def test_cnn(saved, run, architecture):
    folder, model = saved(architecture, pickled=architecture == "test_efficientnet")
    source = open_source(str(folder))
    assert (source.name, source.licence, source.modality) == (architecture, "mit", "image")
    assert source.input.size == 160
    assert (source.input.resize, source.input.crop_fraction, source.input.interpolation) == ("crop", 0.95, "bilinear")
    image = torch.randn(5, 3, 160, 160)
    with torch.no_grad():
        final, stages = model.forward_intermediates(image)
        pooled = model.forward_head(final, pre_logits=True)
    got = run(source, {"image": image.numpy()})
    assert list(got) == [tap.name for tap in source.taps]
    for number, stage in enumerate(stages, 1):
        np.testing.assert_allclose(got[f"stage{number}.mean"], stage.mean((2, 3)), atol=1e-4)
        np.testing.assert_allclose(got[f"stage{number}.max"], stage.amax((2, 3)), atol=1e-4)
    last = max(tap.depth for tap in source.taps)
    end = [tap for tap in source.taps if tap.depth == last and tap.pooling == "mean"]
    np.testing.assert_allclose(got[end[0].name], pooled, atol=1e-4)
    classifier = sum(p.numel() for p in model.get_classifier().parameters())
    assert source.parameters == sum(p.numel() for p in model.parameters()) - classifier


def test_a_folder_with_the_arguments_that_timm_records(saved, run):
    recorded = {"num_classes": 10, "in_chans": 3, "global_pool": "avg"}
    folder, model = saved("test_resnet", config={"model_args": recorded})
    image = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        pooled = model.forward_head(model.forward_features(image), pre_logits=True)
    got = run(open_source(str(folder)), {"image": image.numpy()})
    np.testing.assert_allclose(list(got.values())[-2], pooled, atol=1e-4)


def test_vit(saved, run):
    folder, model = saved("test_vit")
    source = open_source(str(folder))
    image = torch.randn(3, 3, 160, 160)
    with torch.no_grad():
        final, blocks = model.forward_intermediates(image, return_prefix_tokens=True)
    got = run(source, {"image": image.numpy()})
    for number, (grid, prefix) in enumerate(blocks, 1):
        np.testing.assert_allclose(got[f"stage{number}.mean"], grid.mean((2, 3)), atol=1e-4)
        np.testing.assert_allclose(got[f"stage{number}.first"], prefix[:, 0], atol=1e-4)
    np.testing.assert_allclose(got["head.mean"], final[:, 1:].mean(1), atol=1e-4)
    np.testing.assert_allclose(got["head.max"], final[:, 1:].amax(1), atol=1e-4)
    np.testing.assert_allclose(got["head.first"], final[:, 0], atol=1e-4)
    assert max(tap.depth for tap in source.taps) == len(blocks) + 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "no_such_net"}, "no such architecture"),
        ({"architecture": 3}, "'architecture' is '3'"),
        ({"model_args": {"checkpoint_path": "/etc/x"}}, "may not have checkpoint_path"),
        ({"model_args": {"no_such": 1}}, "does not take these weights"),
        ({"num_classes": 11}, "does not take these weights"),
        ({"num_classes": -1}, "'num_classes'"),
    ],
)
def test_wrong_folders(saved, config, message):
    folder, _ = saved("test_resnet", config=config)
    with pytest.raises(SourceError, match=message) as caught:
        open_source(str(folder))
    assert "\n" not in str(caught.value)


def test_no_weights(saved):
    folder, _ = saved("test_resnet")
    (folder / "model.safetensors").unlink()
    with pytest.raises(SourceError, match=r"has no weights; expected model.safetensors or pytorch_model.bin"):
        open_source(str(folder))


def test_pickled_code_is_refused(saved):
    import os
    import pickle

    class Malicious:
        def __reduce__(self):
            return os.system, ("exit 3",)

    folder, _ = saved("test_resnet", pickled=True)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(SourceError, match=r"cannot be read as plain tensors"):
        open_source(str(folder))


def test_a_pickle_is_not_read_by_a_torch_that_could_run_it(saved, monkeypatch):
    folder, _ = saved("test_resnet", pickled=True)
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    with pytest.raises(SourceError, match=r"PyTorch 2.5.1 does not read safely: pip install 'torch>=2.6'"):
        open_source(str(folder))


def test_one_folder_is_one_export_however_its_path_is_written(saved, monkeypatch):
    folder, _ = saved("test_resnet")
    first = open_source(str(folder))
    monkeypatch.chdir(folder.parent)
    (folder.parent / "link").symlink_to(folder)
    for reference in ("test_resnet", "./test_resnet", "test_resnet/", "link"):
        assert open_source(reference) == first
    assert len(list(first.directory.parent.iterdir())) == 1


def test_a_copy_by_another_name_has_the_same_fingerprint(saved, tmp_path):
    folder, _ = saved("test_resnet")
    first, copy = open_source(str(folder)), open_source(str(shutil.copytree(folder, tmp_path / "copy")))
    assert (first.name, copy.name) == ("test_resnet", "copy")
    assert first.fingerprint == copy.fingerprint


def test_both_names_of_the_hub_are_one_export():
    assert Timm().key("timm/resnet18.a1_in1k") == Timm().key("timm:resnet18.a1_in1k")
    assert Timm().key("timm/resnet18.a1_in1k") != Timm().key("timm/resnet34.a1_in1k")


@pytest.mark.parametrize("reference", ["timm/resnet18.a1_in1k", "timm:resnet18.a1_in1k"])
def test_no_hub(reference):
    with pytest.raises(SourceError, match=r"hf download timm/resnet18.a1_in1k --local-dir FOLDER") as caught:
        open_source(reference)
    assert "\n" not in str(caught.value)


def test_no_torch(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingLayerError, match=r"pip install 'headstart\[torch\]'"):
        open_source("timm/resnet18.a1_in1k")
