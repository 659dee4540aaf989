"""What text and sound encoders of transformers have in common: which files a folder needs, and loading them safely."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from headstart.errors import SourceError, one_line
from headstart.sources.base import TOKENIZER_FILE
from headstart.sources.files import Fields, read_object
from headstart.sources.model_folder import ModelFolder
from headstart.sources.pickled import check_pickles

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
EXTRACTOR = "preprocessor_config.json"
PROCESSOR, _PART = "processor_config.json", "feature_extractor"  # where a processor was saved, since transformers 5
# model_type of the encoders that read sounds, by what comes before them.
WAVE_TYPES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat")
WHISPER, AST = "whisper", "audio-spectrogram-transformer"
SOUND_TYPES = (*WAVE_TYPES, WHISPER, AST)
_VOCABULARIES = ("vocab.*", "*.model", "*.vocab", "merges.txt")
# Weights of heads that no feature needs, which a checkpoint may lack.
_UNNEEDED = ("pooler.", "masked_spec_embed")


def lacks(root: Path) -> str:
    """The first file that a folder from the hub lacks to be exported; empty for none."""
    path = next((path for path in (root, root / "0_Transformer") if (path / "config.json").is_file()), None)
    if path is None:
        return "config.json"
    if missing := lacks_weights(path):
        return missing
    if read_object(path / "config.json").get("model_type") in SOUND_TYPES:
        return "" if any((path / name).is_file() for name in (EXTRACTOR, PROCESSOR)) else EXTRACTOR
    # An older tokenizer's vocabulary means little without its settings.
    older = (path / "tokenizer_config.json").is_file() and has_vocabulary(path)
    return "" if older or (path / TOKENIZER_FILE).is_file() else TOKENIZER_FILE


def extractor(path: Path) -> Fields:
    """How a folder's feature extractor prepares sounds.

    Raises:
        SourceError: neither of the files is there, or it is damaged.
    """
    if not (path / EXTRACTOR).is_file() and (path / PROCESSOR).is_file():
        settings = read_object(path / PROCESSOR).get(_PART)
        if isinstance(settings, dict):
            return Fields(settings, f"{path / PROCESSOR}: {_PART}")
    if not (path / EXTRACTOR).is_file():
        raise SourceError(
            f"{path} has no {EXTRACTOR}, which says how sounds are prepared: save the model's feature extractor "
            "beside it with extractor.save_pretrained(FOLDER)"
        )
    return Fields(read_object(path / EXTRACTOR), str(path / EXTRACTOR))


def lacks_weights(path: Path) -> str:
    """The first file of the weights that is not there: the one file, or a shard that the index names."""
    for name in WEIGHTS:
        index = path / f"{name}.index.json"
        if (path / name).is_file():
            return ""
        if index.is_file():
            shards = read_object(index).get("weight_map")
            names = sorted({str(shard) for shard in shards.values()}) if isinstance(shards, dict) else []
            return next((shard for shard in names if not (path / shard).is_file()), "") if names else index.name
    return WEIGHTS[0]


def has_vocabulary(path: Path) -> bool:
    """Whether there are the files of an older tokenizer."""
    return any(found for pattern in _VOCABULARIES for found in path.glob(pattern))


def load(folder: ModelFolder) -> Any:
    """The model in fp32, every weight from the file; nothing in the file can run code."""
    import transformers

    if absent := lacks_weights(folder.path):
        raise SourceError(
            f"{folder.path} has no {absent}; expected the weights as {' or '.join(WEIGHTS)}, whole or in shards: "
            "download it again, or save the model with model.save_pretrained(FOLDER)"
        )
    tensors = any(folder.path.glob("*.safetensors"))
    if not tensors:
        check_pickles(folder.path / WEIGHTS[1])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the age of a file's layout
            model, loading = transformers.AutoModel.from_pretrained(
                folder.path,
                attn_implementation="eager",  # the form that exports everywhere
                local_files_only=True,
                output_loading_info=True,
                trust_remote_code=False,
                use_safetensors=tensors,
                weights_only=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, UnpicklingError) as error:
        reason = one_line(error)[:240]
        raise SourceError(
            f"{folder.path} cannot be loaded as an encoder from plain tensors ({reason}); where its weights are "
            "sound, save them as safetensors with model.save_pretrained(FOLDER)"
        ) from error
    missing = [name for name in loading["missing_keys"] if not name.startswith(_UNNEEDED)]
    if missing:
        raise SourceError(f"{folder.path} lacks the weights of {len(missing)} tensors, {missing[0]} among them")
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    return model.float().eval()


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no chatter of transformers, whose settings are put back afterwards."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
