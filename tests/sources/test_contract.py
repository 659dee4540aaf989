"""What every registered provider must do, whoever wrote it."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest

from headstart import registry
from headstart.errors import InputError
from headstart.sources.base import GRAPH_FILE, TOKENIZER_FILE, Entry
from headstart.sources.catalogue import GROUP, open_source
from headstart.sources.pack import pack
from headstart.sources.record import verify, write_record

ENCODER = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 16}


@pytest.fixture(params=registry.names(GROUP))
def provider(request):
    return request.param, registry.get(GROUP, request.param)


@pytest.mark.parametrize("name", ["whisper_tiny_en", "ge2e_speaker"])
def test_a_bundled_sound_source_keeps_the_contract(name, run, tmp_path):
    """The same demands on sounds as on the first that a provider lists."""
    provider = "bundled", registry.get(GROUP, "bundled")
    if not {entry.name: entry.installed for entry in provider[1].entries()}[name]:
        pytest.skip(f"{name} is not installed")
    for test in (test_exports_what_it_says, test_rows_do_not_depend_on_their_batch, test_packs):
        folder = tmp_path / test.__name__
        folder.mkdir()
        test(provider, name, run, folder)


@pytest.fixture
def reference(provider, image_file, model_folder, model_file, tmp_path):
    """Something that the provider can export here; providers of others are tried with what they list."""
    name, instance = provider
    if name == "artefact":
        return str(model_file(open_source(str(image_file())), tmp_path / "model.headstart"))
    if name == "onnx":
        return str(image_file())
    if name == "transformers":
        pytest.importorskip("transformers")
        return str(model_folder("bert", **ENCODER))
    if name == "timm":
        return str(make_timm_folder(tmp_path))
    installed = [entry.name for entry in instance.entries() if entry.installed]
    if not installed:
        pytest.skip("nothing of this provider is installed")
    return installed[0]


def make_timm_folder(tmp_path):
    timm = pytest.importorskip("timm")
    import safetensors.torch

    folder = tmp_path / "net"
    folder.mkdir()
    model = timm.create_model("test_efficientnet", num_classes=2)
    safetensors.torch.save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text('{"architecture": "test_efficientnet", "num_classes": 2}')
    return folder


def test_lists_and_accepts(provider, reference):
    _, instance = provider
    entries = instance.entries()
    assert all(isinstance(entry, Entry) for entry in entries)
    assert len({entry.name for entry in entries}) == len(entries)
    for text in [reference, *(entry.name for entry in entries)]:
        assert instance.accepts(text)
        assert instance.key(text) == instance.key(text)
    for text in ("", "no such thing", "nowhere/at/all", "\0"):
        assert not instance.accepts(text)


def test_exports_what_it_says(provider, reference, run, tmp_path):
    _, instance = provider
    directories = [tmp_path / "one", tmp_path / "two"]
    for directory in directories:
        directory.mkdir()
    first, second = (instance.export(reference, directory) for directory in directories)
    assert first == second
    assert instance.modality(reference) in (None, first.modality)
    assert (directories[0] / GRAPH_FILE).read_bytes() == (directories[1] / GRAPH_FILE).read_bytes()
    source = write_record(first, directories[0])
    verify(source)

    onnx.checker.check_model(str(source.graph), full_check=True)
    assert str(tmp_path).encode() not in source.graph.read_bytes()
    assert [tap.depth for tap in source.taps] == sorted(tap.depth for tap in source.taps)
    assert len({tap.name for tap in source.taps}) == len(source.taps)
    for n in (1, 3):
        got = run(source, feed(source, n))
        assert list(got) == [tap.name for tap in source.taps]
        for tap in source.taps:
            assert got[tap.name].dtype == np.float32
            assert got[tap.name].shape == (n, tap.width)
            assert np.isfinite(got[tap.name]).all()


def test_rows_do_not_depend_on_their_batch(provider, reference, run, tmp_path):
    _, instance = provider
    directory = tmp_path / "one"
    directory.mkdir()
    source = write_record(instance.export(reference, directory), directory)
    inputs = feed(source, 3)
    together = run(source, inputs)
    for row in range(3):
        alone = run(source, {name: value[row : row + 1] for name, value in inputs.items()})
        for name, value in alone.items():
            np.testing.assert_allclose(value[0], together[name][row], atol=1e-4, rtol=1e-3)


def test_packs(provider, reference, run, tmp_path):
    _, instance = provider
    directory, packed = tmp_path / "one", tmp_path / "packed"
    directory.mkdir()
    packed.mkdir()
    source = write_record(instance.export(reference, directory), directory)
    taps = source.taps[:1]
    (packed / GRAPH_FILE).write_bytes(pack(source, taps))
    inputs = feed(source, 2)
    np.testing.assert_allclose(run(packed, inputs)[taps[0].name], run(source, inputs)[taps[0].name], atol=1e-5)


def test_failures_are_input_errors(provider, tmp_path):
    _, instance = provider
    for broken in ("nobody/nothing", "timm/nothing", str(tmp_path / "absent.onnx"), str(tmp_path / "absent.headstart")):
        if instance.accepts(broken):
            with pytest.raises(InputError) as caught:
                instance.export(broken, tmp_path)
            assert "\n" not in str(caught.value)


def feed(source, n):
    """Random inputs as the source describes them; of texts, the first is the shortest."""
    rng = np.random.default_rng(0)
    if source.modality == "image":
        size = source.input.size
        return {"image": rng.normal(size=(n, 3, size, size)).astype(np.float32)}
    if source.modality == "sound":
        how = source.input
        if how.front == "wave":
            return {"wave": rng.normal(size=(n, max(how.shortest, 900))).astype(np.float32)}
        return {"mel": rng.normal(size=(n, how.bands, how.frames or 61)).astype(np.float32)}
    assert (source.directory / TOKENIZER_FILE).is_file()
    t = min(7, source.input.max_tokens)
    ids, mask = rng.integers(5, 20, (n, t)), np.ones((n, t), np.int64)
    ids[0, 2:], mask[0, 2:] = source.input.pad_id, 0
    return {"input_ids": ids, "attention_mask": mask}


def test_results_are_frozen(provider):
    for entry in provider[1].entries():
        with pytest.raises(dataclasses.FrozenInstanceError):
            entry.name = "other"
