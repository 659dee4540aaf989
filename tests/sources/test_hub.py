"""A copy in the hub's cache is taken where it is whole; what an interrupted download left out is fetched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import pytest

from headstart.errors import SourceError
from headstart.sources import hub, timm, transformers, transformers_load

REPOSITORY = {
    "config.json": json.dumps({"model_type": "bert"}),
    "model.safetensors": "weights",
    "tokenizer.json": "{}",
}
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


class Hub:
    """huggingface_hub as far as it is used: a remote folder, a local one, and how often the network was asked."""

    def __init__(self, root: Path) -> None:
        self.remote, self.local = root / "remote", root / "local"
        self.local.mkdir()
        self.asked = 0
        self.reachable = True

    def write(self, where: Path, files: dict[str, str]) -> None:
        for name, text in files.items():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            (where / name).write_text(text)

    def snapshot_download(
        self, repository: str, allow_patterns: Sequence[str], local_files_only: bool = False, etag_timeout: int = 0
    ) -> str:
        if not local_files_only:
            self.asked += 1
            if not self.reachable:
                raise ConnectionError("no network")
            for path in self.remote.rglob("*"):
                name = str(path.relative_to(self.remote))
                if path.is_file() and any(fnmatch(name, pattern) for pattern in allow_patterns):
                    (self.local / name).parent.mkdir(exist_ok=True)
                    shutil.copy(path, self.local / name)
        elif not any(self.local.iterdir()):
            raise FileNotFoundError(repository)
        return str(self.local)


@pytest.fixture
def fake(tmp_path, monkeypatch) -> Hub:
    found = Hub(tmp_path)
    found.write(found.remote, REPOSITORY)
    monkeypatch.setattr(hub, "require", lambda *_: SimpleNamespace(snapshot_download=found.snapshot_download))
    return found


def texts() -> Path:
    return hub.fetch("org/name", transformers._PATTERNS, transformers._PICKLES, transformers_load.lacks)


def test_a_whole_copy_is_taken_without_the_network(fake):
    assert sorted(path.name for path in texts().iterdir()) == sorted(REPOSITORY)
    fake.reachable = False
    assert texts() == fake.local
    assert fake.asked == 1


@pytest.mark.parametrize("lost", REPOSITORY)
def test_what_an_interrupted_download_left_out_is_fetched(fake, lost):
    fake.write(fake.local, {name: text for name, text in REPOSITORY.items() if name != lost})
    assert (texts() / lost).is_file()
    assert fake.asked == 1


def test_a_shard_that_is_missing_is_fetched(fake):
    (fake.remote / "model.safetensors").unlink()
    index = {"weight_map": {"a": SHARDS[0], "b": SHARDS[1], "c": SHARDS[0]}}
    sharded = {"model.safetensors.index.json": json.dumps(index), **dict.fromkeys(SHARDS, "weights")}
    fake.write(fake.remote, sharded)
    del sharded[SHARDS[1]]
    fake.write(fake.local, sharded | {name: REPOSITORY[name] for name in ("config.json", "tokenizer.json")})
    assert (texts() / SHARDS[1]).is_file()
    texts()
    assert fake.asked == 1


def test_older_forms_are_whole_too(fake):
    older = {f"0_Transformer/{name}": text for name, text in REPOSITORY.items() if name != "tokenizer.json"}
    fake.write(fake.local, older | {"0_Transformer/vocab.txt": "a", "0_Transformer/tokenizer_config.json": "{}"})
    assert texts() == fake.local
    assert fake.asked == 0


def test_offline_the_message_has_what_is_missing(fake):
    fake.write(fake.local, {name: text for name, text in REPOSITORY.items() if name != "tokenizer.json"})
    fake.reachable = False
    with pytest.raises(SourceError, match=r"no network.; the copy in .*local lacks tokenizer.json; offline: run `hf"):
        texts()


def test_images_need_a_config_and_weights(fake):
    fake.write(fake.local, {"model.safetensors": "weights"})
    for _ in range(2):
        folder = hub.fetch("timm/name", ["config.json", "model.safetensors"], [], timm._lacks)
        assert (folder / "config.json").is_file()
    assert fake.asked == 1


@pytest.mark.parametrize("whole", [True, False])
def test_pickles_are_fetched_where_there_is_nothing_else(fake, whole):
    (fake.remote / "model.safetensors").unlink()
    index = {"weight_map": {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}}
    names = ["pytorch_model.bin"] if whole else ["pytorch_model-1.bin", "pytorch_model-2.bin"]
    fake.write(fake.remote, dict.fromkeys([*names, "training_args.bin"], "weights"))
    if not whole:
        fake.write(fake.remote, {"pytorch_model.bin.index.json": json.dumps(index)})
    folder = texts()
    assert sorted(path.name for path in folder.glob("*.bin")) == names
    fake.reachable = False
    assert texts() == folder
    assert not transformers_load.lacks(folder)


def test_pickles_are_left_where_there_are_safetensors(fake):
    fake.write(fake.remote, {"pytorch_model.bin": "weights", "0_Transformer/pytorch_model.bin": "weights"})
    assert not list(texts().rglob("*.bin"))
    assert fake.asked == 1
