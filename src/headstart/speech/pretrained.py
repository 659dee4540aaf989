"""Recognisers in the form of transformers: a folder with config.json, safetensors and tokenizer.json, or a hub's name.

The files are read as data, without transformers or PyTorch: only what asks the hub needs the layer "torch".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from headstart.errors import SourceError, one_line
from headstart.sources.base import TOKENIZER_FILE
from headstart.sources.files import JSON_LIMIT, Fields, read_object
from headstart.sources.hub import fetch
from headstart.speech.checkpoint import Checkpoint, Settings, checked, rooted, token_ids
from headstart.speech.conversion import from_state_dict
from headstart.speech.dimensions import Dimensions

WEIGHTS = "model.safetensors"
_INDEX = f"{WEIGHTS}.index.json"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PATTERNS = ("config.json", "generation_config.json", TOKENIZER_FILE, "model*.safetensors", _INDEX, "README.md")
_SMALLEST_MULTILINGUAL = 51_865  # tokens
_MOST_SHARDS = 64


def is_repository(reference: str) -> bool:
    """True for ORG/NAME."""
    return bool(_REPOSITORY.fullmatch(reference))


def from_hub(repository: str) -> Checkpoint:
    """A recogniser by hub name, from the hub's local cache or downloaded into it.

    Raises:
        SourceError: there is none, the hub cannot be reached, or it is no Whisper model.
        MissingLayerError: huggingface_hub is not installed.
    """
    folder = fetch(repository, _PATTERNS, (), _lacks)
    return read_folder(folder, name=repository, origin="transformers whisper model, model hub")


def read_folder(folder: Path, *, name: str, origin: str) -> Checkpoint:
    """A recogniser that `save_pretrained` wrote, with its tokenizer.

    Raises:
        SourceError: a file is missing or not what it should be, or it is no Whisper model.
    """
    missing = _lacks(folder)
    config = {} if missing == "config.json" else read_object(folder / "config.json")
    if config and config.get("model_type") != "whisper":
        kind = str(config.get("model_type"))[:60]
        raise SourceError(f"{folder / 'config.json'}: 'model_type' is {kind!r}; recognisers are of type whisper")
    if missing:
        raise SourceError(
            f"{folder} has no {missing}: save the recogniser with model.save_pretrained(FOLDER) and its tokenizer with "
            "WhisperTokenizerFast(...).save_pretrained(FOLDER)"
        )
    shape = _dimensions(config, folder)
    checkpoint = Checkpoint(
        name=name,
        weights=from_state_dict(_state(folder), shape, str(folder)),
        settings=_settings(config, shape, folder),
        tokenizer=_bounded(folder / TOKENIZER_FILE),
        licence=_licence(folder),
        origin=origin,
    )
    if checkpoint.dimensions != shape:
        raise SourceError(f"{folder}: its weights have {checkpoint.dimensions}, its config.json says {shape}")
    return checked(rooted(checkpoint))


def _lacks(folder: Path) -> str:
    """The first file that is not there; empty for none."""
    for file in ("config.json", TOKENIZER_FILE):
        if not (folder / file).is_file():
            return file
    if (folder / WEIGHTS).is_file():
        return ""
    return next((shard for shard in _shards(folder) if not (folder / shard).is_file()), "")


def _shards(folder: Path) -> list[str]:
    """The files that hold the weights, by name."""
    if (folder / WEIGHTS).is_file() or not (folder / _INDEX).is_file():
        return [WEIGHTS]
    fields = Fields(read_object(folder / _INDEX), str(folder / _INDEX))
    names = sorted({str(name) for name in fields.mapping("weight_map").values()})
    fields.finish(others=True)
    if not 1 <= len(names) <= _MOST_SHARDS or not all(re.fullmatch(r"[\w.-]+\.safetensors", name) for name in names):
        raise SourceError(f"{folder / _INDEX} names {names[:3]}; expected 1 to {_MOST_SHARDS} safetensors beside it")
    return names


def _state(folder: Path) -> dict[str, NDArray[Any]]:
    from safetensors.numpy import load_file

    state: dict[str, NDArray[Any]] = {}
    for name in _shards(folder):
        try:
            found = load_file(folder / name)
            if odd := {str(array.dtype) for array in found.values()} - {"float16", "float32"}:
                raise TypeError(f"it holds {min(odd)}")  # bfloat16, where another library taught it to NumPy
        except MemoryError:
            raise
        except Exception as error:  # the library raises many kinds: of damage, and of bfloat16, which NumPy has not
            reason = one_line(error)[:160]
            raise SourceError(
                f"{folder / name} cannot be read ({reason}): save the recogniser in float16 or float32"
            ) from None
        state |= found
    return state


def _dimensions(config: dict[str, object], folder: Path) -> Dimensions:
    fields = Fields(config, str(folder / "config.json"))
    fields.text("activation_function", "gelu", choices=("gelu",))
    if config.get("scale_embedding"):
        raise SourceError(f"{folder / 'config.json'}: 'scale_embedding' is true, which this recogniser cannot do")
    sides = [
        [fields.integer(f"{side}_{size}", low=1, high=high) for side in ("encoder", "decoder")]
        for size, high in (("attention_heads", 64), ("ffn_dim", 16_384))
    ]
    shape = Dimensions(
        width=fields.integer("d_model", low=1, high=2048),
        heads=sides[0][0],
        encoder_layers=fields.integer("encoder_layers", low=1, high=64),
        decoder_layers=fields.integer("decoder_layers", low=1, high=64),
        inner=sides[1][0],
        bands=fields.integer("num_mel_bins", low=1, high=256),
        positions=fields.integer("max_source_positions", low=1, high=3000),
        text_positions=fields.integer("max_target_positions", low=1, high=4096),
        vocabulary=fields.integer("vocab_size", low=1, high=1 << 18),
    )
    fields.finish(others=True)
    if any(encoder != decoder for encoder, decoder in sides):
        raise SourceError(f"{folder / 'config.json'}: encoder and decoder differ in heads or in ffn_dim")
    return shape


def _settings(config: dict[str, object], shape: Dimensions, folder: Path) -> Settings:
    """Those of generation_config.json, else, as older versions wrote them, of config.json."""
    file = folder / "generation_config.json"
    given = {**config, **read_object(file)} if file.is_file() else config
    multilingual = given.get("is_multilingual", shape.vocabulary >= _SMALLEST_MULTILINGUAL)
    return Settings(
        heads=shape.heads,
        multilingual=multilingual is True,
        suppress=_ids(given, "suppress_tokens", folder),
        suppress_first=_ids(given, "begin_suppress_tokens", folder),
    )


def _ids(given: dict[str, object], key: str, folder: Path) -> tuple[int, ...]:
    ids = token_ids(given.get(key) or [], f"{folder}: {key!r}")
    return tuple(one for one in ids if one >= 0)  # -1 stands for a default list, which is written out elsewhere


def _bounded(file: Path) -> bytes:
    if file.stat().st_size > JSON_LIMIT:
        raise SourceError(f"{file} has more than {JSON_LIMIT:,} bytes: no tokenizer of a Whisper recogniser")
    return file.read_bytes()


def _licence(folder: Path) -> str:
    from headstart.sources.model_folder import ModelFolder

    return ModelFolder(folder, folder, {}).licence
