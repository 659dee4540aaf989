"""A small labelled probe: known items, prepared as a source wants them, to time engines and to check their features.

No user data: images are augmented crops of the two photographs that scikit-learn ships, labelled by the tile they were
cut from; texts are 96 sentences of eight topics; sounds are 96 made ones of eight kinds. All are easy for a good source
and hard for a broken one.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.engines.base import Feeds
from headstart.engines.probe_sounds import sounds
from headstart.errors import EngineError
from headstart.fronts import prepare
from headstart.sources.base import ImageInput, SoundInput, Source, TextInput

if TYPE_CHECKING:
    from PIL import Image

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
TILES = (4, 2)  # across, down; of each photograph
CROPS = 8  # of each tile
IMAGE_BATCH = 1  # as on a CPU they are embedded; eight at once also took 0.5 GB
TEXT_BATCH = 16
_TEXTS = Path(__file__).with_name("probe_texts.json")


@dataclass(frozen=True, eq=False)
class Probe:
    """n labelled items.

    Attributes:
        feeds: the prepared items in batches; images (b, 3, size, size) float32, texts (b, t) int64, shortest first;
            sounds one by one, (1, t) or (1, bands, frames) float32.
        labels: (n,) int64, in the order of the feeds.
    """

    feeds: list[Feeds]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def head(self, n: int) -> Probe:
        """The first n items, in the same batches; the last is cut."""
        feeds: list[Feeds] = []
        left = n
        for batch in self.feeds:
            size = len(next(iter(batch.values())))
            if left > 0:
                feeds.append({name: values[:left] for name, values in batch.items()})
            left -= size
        return Probe(feeds, self.labels[:n])


def probe(source: Source, *, seed: int = 0, scale: int = 1) -> Probe:
    """The probe for `source`, in the same order whatever the batch.

    Args:
        source: says how items are prepared.
        seed: of the crops and sounds; another seed gives others (the texts are always the same).
        scale: how many times larger than usual the batches are (a GPU wants large ones); sounds have one each.

    Raises:
        EngineError: the tokenizer beside the graph, or scikit-learn's photographs, cannot be read.
    """
    if isinstance(source.input, ImageInput):
        return _images(source.input, seed, IMAGE_BATCH * scale)
    if isinstance(source.input, SoundInput):
        made, labels = sounds(source.input, seed)
        return Probe([prepare(samples, source.input) for samples in made], labels)
    return _texts(source.input, source.tokenizer, TEXT_BATCH * scale)


def _images(wanted: ImageInput, seed: int, batch: int) -> Probe:
    """TILES x PHOTOGRAPHS x CROPS crops, shuffled so that every batch has several tiles."""
    rng = np.random.default_rng(seed)
    tiles = [tile for name in PHOTOGRAPHS for tile in _tiles(name)]
    labels = rng.permutation(np.repeat(np.arange(len(tiles)), CROPS))
    pixels = np.stack([_prepared(_augmented(tiles[label], rng), wanted) for label in labels])  # (n, 3, size, size)
    return Probe([{"image": pixels[i : i + batch]} for i in range(0, len(labels), batch)], labels)


def _tiles(name: str) -> list[Image.Image]:
    from PIL import Image

    spec = importlib.util.find_spec("sklearn")  # finds the folder; imports nothing
    folders = spec.submodule_search_locations if spec is not None else None
    try:
        with Image.open(Path(folders[0] if folders else "") / "datasets" / "images" / name) as file:
            photograph = file.convert("RGB")
    except OSError as error:
        raise EngineError(
            f"scikit-learn's photograph {name} cannot be read ({error}): reinstall scikit-learn"
        ) from error
    across, down = TILES
    width, height = photograph.width // across, photograph.height // down
    corners = [(x * width, y * height) for y in range(down) for x in range(across)]
    return [photograph.crop((x, y, x + width, y + height)) for x, y in corners]


def _augmented(tile: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A random square of 45 to 85 % of the tile's short side, its light and contrast changed, half of them mirrored."""
    from PIL import Image, ImageEnhance

    side = int(min(tile.size) * rng.uniform(0.45, 0.85))
    x, y = (int(rng.integers(0, length - side + 1)) for length in tile.size)
    crop = tile.crop((x, y, x + side, y + side))
    crop = ImageEnhance.Brightness(crop).enhance(float(rng.uniform(0.5, 1.5)))
    crop = ImageEnhance.Contrast(crop).enhance(float(rng.uniform(0.5, 1.5)))
    crop = ImageEnhance.Color(crop).enhance(float(rng.uniform(0.3, 1.7)))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


def _prepared(image: Image.Image, wanted: ImageInput) -> NDArray[np.float32]:
    """(3, size, size) float32: the square crop resized and normalised; squash and crop are one for a square."""
    from PIL import Image

    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    resized = image.resize((wanted.size, wanted.size), filters[wanted.interpolation])
    pixels = np.asarray(resized, dtype=np.float32) / 255.0
    mean, std = np.array(wanted.mean, np.float32), np.array(wanted.std, np.float32)
    normalised: NDArray[np.float32] = (pixels - mean) / std  # (size, size, 3)
    return normalised.transpose(2, 0, 1)


def _texts(wanted: TextInput, tokenizer: Path, batch: int) -> Probe:
    """The sentences, shortest first, each batch padded to its longest."""
    from tokenizers import Tokenizer

    topics: dict[str, list[str]] = json.loads(_TEXTS.read_text(encoding="utf-8"))
    texts = [wanted.prefix + text for sentences in topics.values() for text in sentences]
    labels = np.repeat(np.arange(len(topics)), [len(sentences) for sentences in topics.values()])
    try:
        reader = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # tokenizers raises bare Exceptions
        raise EngineError(f"the tokenizer {tokenizer} cannot be read ({error}): export the source again") from error
    reader.no_padding()
    reader.enable_truncation(wanted.max_tokens)
    ids = [encoding.ids for encoding in reader.encode_batch(texts)]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    batches = [[ids[i] for i in order[k : k + batch]] for k in range(0, len(order), batch)]
    return Probe([_padded(rows, wanted.pad_id) for rows in batches], labels[order])


def _padded(rows: list[list[int]], pad_id: int) -> Feeds:
    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}
