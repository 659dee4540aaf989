"""Encoders of transformers and sentence-transformers, of texts and sounds: by hub name, or from a local folder.

    sentence-transformers/all-mpnet-base-v2    a repository of the model hub, ORG/NAME
    FOLDER                                     config.json with "model_type", a tokenizer, and safetensors
                                               (or pytorch_model.bin, read with weights_only=True)

Those of sounds are transformers_sound.py's; this file is about texts.

Every hidden state, or seven evenly spaced ones, is pooled in three ways: mean and maximum over the tokens that the mask
keeps, and the first two tokens. A plain BertModel with a tokenizer.json takes the way of bert.py, which needs no
PyTorch; all else goes through AutoModel, once, with code from the repository refused.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import SourceError
from headstart.optional import require
from headstart.sources.base import TOKENIZER_FILE, Entry, Exported, Modality, SourceInput, Tap, TextInput
from headstart.sources.bert_config import BertConfig, read_config
from headstart.sources.files import read_object, stamp
from headstart.sources.hub import fetch, versions
from headstart.sources.model_folder import ModelFolder, read_model_folder, read_tokenizer
from headstart.sources.transformers_load import SOUND_TYPES, WEIGHTS, has_vocabulary, lacks, load, quiet

if TYPE_CHECKING:
    import torch

    from headstart.sources.torch_export import Output

_DEPTHS = 7
# Counts up when the graph that bert.py builds of the same weights changes.
_BERT_RECIPE = 1
_NUMPY_HAS = {"BOOL", "U8", "I8", "I16", "I32", "I64", "F16", "F32", "F64"}  # and not bfloat16
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SENTENCES = "sentence-transformers/"
_PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt", "*.vocab"]  # of folders within too
_PICKLES = ["pytorch_model*.bin", "0_Transformer/pytorch_model*.bin"]


class Transformers:
    """The provider registered as `transformers`."""

    def entries(self) -> list[Entry]:
        """Nothing: its models are found by reference."""
        return []

    def accepts(self, reference: str) -> bool:
        """True for ORG/NAME and for a folder whose config.json has a model_type."""
        folder = Path(reference)
        if not os.path.exists(folder):
            return bool(_REPOSITORY.fullmatch(reference)) and not reference.startswith("timm/")
        configs = [folder / "config.json", folder / "0_Transformer" / "config.json"]
        return any(os.path.isfile(config) and "model_type" in read_object(config) for config in configs)

    def modality(self, reference: str) -> Modality | None:
        """What a folder's config.json says; of names of the hub, only those of sentence-transformers tell: texts."""
        if not os.path.isdir(reference):
            return "text" if reference.startswith(_SENTENCES) else None
        return "sound" if read_model_folder(Path(reference)).model_type in SOUND_TYPES else "text"

    def key(self, reference: str) -> str:
        """The name of the hub or a folder's files, wherever it is looked at from; and what exports it.

        That is PyTorch and transformers, in their versions, unless a folder is seen to take the way without them.
        """
        if not os.path.isdir(reference):
            return f"{reference}\n{versions('transformers', 'torch')}"
        folder = Path(reference)
        kinds = ("*.json", "*.safetensors", "pytorch_model*.bin")
        local = stamp(*(file for kind in kinds for file in sorted(folder.rglob(kind))))
        plain = _plain_bert(read_model_folder(folder)) is not None
        return f"{local}\n{f'bert {_BERT_RECIPE}' if plain else versions('transformers', 'torch')}"

    def export(self, reference: str, directory: Path) -> Exported:
        """Write the graph and the tokenizer of an encoder.

        Raises:
            SourceError: the hub or the folder does not have it, or it cannot be exported.
            MissingLayerError: transformers or torch is not installed, and the model is not a plain BERT.
        """
        local = os.path.isdir(reference)
        folder = read_model_folder(Path(reference) if local else fetch(reference, _PATTERNS, _PICKLES, lacks))
        sound = folder.model_type in SOUND_TYPES
        exported: tuple[int, SourceInput, tuple[Tap, ...]]
        if sound:
            from headstart.sources.transformers_sound import export_sound

            exported = export_sound(folder, directory, reference)
        else:
            exported = _export_bert(folder, directory) or _export_any(folder, directory, reference)
        parameters, description, taps = exported
        return Exported(
            name=Path(reference).resolve().name if local else reference,
            modality="sound" if sound else "text",
            origin=f"transformers {folder.model_type} model, {'local folder' if local else 'model hub'}",
            licence=folder.licence,
            parameters=parameters,
            input=description,
            taps=taps,
        )


def _plain_bert(folder: ModelFolder) -> BertConfig | None:
    """What is needed to build a plain BertModel without PyTorch, if the folder is that; reads no weights."""
    import safetensors

    config = read_config(folder.config, str(folder.path / "config.json"))
    if config is None or not (folder.path / TOKENIZER_FILE).is_file():
        return None
    try:
        with safetensors.safe_open(str(folder.path / WEIGHTS[0]), framework="numpy") as file:
            kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError):
        return None
    return config if kinds <= _NUMPY_HAS else None


def _export_bert(folder: ModelFolder, directory: Path) -> tuple[int, TextInput, tuple[Tap, ...]] | None:
    """The way without PyTorch, or None where the folder is not a plain BertModel in one safetensors file."""
    config, tokenizer = _plain_bert(folder), read_tokenizer(folder.path)
    if config is None or tokenizer is None:
        return None
    import safetensors.numpy

    from headstart.sources import bert
    from headstart.sources.graph import write
    from headstart.sources.torch_export import spread

    state = safetensors.numpy.load_file(folder.path / WEIGHTS[0])
    description = folder.describe(tokenizer, config.vocabulary)
    model, taps, parameters = bert.build(state, config, tuple(spread(config.layers + 1, _DEPTHS)))
    (directory / TOKENIZER_FILE).write_bytes(tokenizer)
    write(model, directory)
    return parameters, description, taps


def _export_any(folder: ModelFolder, directory: Path, reference: str) -> tuple[int, TextInput, tuple[Tap, ...]]:
    """The way of AutoModel: any encoder that yields hidden states."""
    require("torch", "torch", f"exporting {reference!r}")
    require("transformers", "torch", f"exporting {reference!r}")
    with quiet():
        tokenizer = read_tokenizer(folder.path) or _convert_tokenizer(folder)
        model = load(folder)
        import tokenizers

        from headstart.sources.torch_export import export

        description = folder.describe(tokenizer, model.config.vocab_size)
        shortest = len(tokenizers.Tokenizer.from_buffer(tokenizer).encode("").ids)
        examples = _examples(model.config.vocab_size, description.pad_id)
        collect = _collect if shortest >= 2 else _collect_without_first
        taps = export(model, collect, examples, {0: "n", 1: "t"}, directory)
    (directory / TOKENIZER_FILE).write_bytes(tokenizer)
    parameters = sum(value.numel() for name, value in model.named_parameters() if not name.startswith("pooler."))
    return parameters, description, taps


def _convert_tokenizer(folder: ModelFolder) -> bytes:
    """tokenizer.json made from an older tokenizer's files."""
    import transformers

    try:
        # Without this check some versions make an empty tokenizer out of no files at all.
        if not has_vocabulary(folder.path):
            raise FileNotFoundError("no vocabulary")
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder.path, local_files_only=True, trust_remote_code=False, use_fast=True
        )
        text: str = tokenizer.backend_tokenizer.to_str()
    except Exception as error:  # a missing file, an unknown class, no fast form: many kinds
        raise SourceError(
            f"{folder.path} has no {TOKENIZER_FILE} and none can be made of what it has; "
            "save the tokenizer with AutoTokenizer(...).save_pretrained"
        ) from error
    return text.encode()


def _examples(vocabulary: int, pad_id: int) -> list[dict[str, torch.Tensor]]:
    """Token ids with and without padding, of several sizes; ids from the middle of the vocabulary are plain tokens."""
    import torch

    generator = torch.Generator().manual_seed(0)
    examples = []
    for n, t in ((2, 7), (3, 12), (1, 4)):
        ids = torch.randint(min(8, vocabulary - 1), vocabulary, (n, t), generator=generator)
        mask = torch.ones(n, t, dtype=torch.int64)
        if n > 1:
            ids[0, t // 2 :] = pad_id
            mask[0, t // 2 :] = 0
        examples.append({"input_ids": ids, "attention_mask": mask})
    return examples


def _collect(model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> list[Output]:
    """Three poolings of some hidden states (n, t, width); token types are left to the model, which takes zeros."""
    from headstart.sources.graph import MASKED
    from headstart.sources.torch_export import Output, spread

    result = model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True, return_dict=True)
    states = result.hidden_states
    mask = attention_mask[:, :, None].to(states[0].dtype)  # (n, t, 1)
    outputs = []
    for depth in spread(len(states), _DEPTHS):
        state = states[depth]
        outputs.append(Output(f"layer{depth}.mean", depth, "mean", (state * mask).sum(1) / mask.sum(1)))
        outputs.append(Output(f"layer{depth}.max", depth, "max", (state + (1 - mask) * MASKED).amax(1)))
        outputs.append(Output(f"layer{depth}.first", depth, "first", state[:, :2].flatten(1)))
    return outputs


def _collect_without_first(model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> list[Output]:
    """For tokenizers that do not put two tokens of their own around a text: it may have one token only."""
    return [output for output in _collect(model, input_ids, attention_mask) if output.pooling != "first"]
