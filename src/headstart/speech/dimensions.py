"""The sizes of a Whisper model, and from them the name and shape of every weight.

Names are those of CTranslate2's WhisperSpec: q, k and v are one matrix in self-attention (linear_0, stacked in this
order), k and v are one in the attention to the encoder (linear_1). The projection onto the vocabulary is the
embedding, transposed. All projections have biases, that of k is zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from headstart.errors import SourceError

EMBEDDINGS = "decoder/embeddings/weight"
_LARGEST = {
    "width": 2048, "heads": 64, "encoder_layers": 64, "decoder_layers": 64, "inner": 16384, "bands": 256,
    "positions": 3000, "text_positions": 4096, "vocabulary": 1 << 18,
}  # fmt: skip


@dataclass(frozen=True)
class Dimensions:
    """Sizes.

    Attributes:
        width: of every hidden state.
        inner: of the feed-forward layers.
        bands: of the mel spectrogram.
        positions: the encoder's, each of two frames: 1,500 are 30 s.
        text_positions: the decoder's.
        vocabulary: tokens.
    """

    width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    inner: int
    bands: int
    positions: int
    text_positions: int
    vocabulary: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every weight, in the order of their names."""
        width = self.width
        shapes: dict[str, tuple[int, ...]] = {
            "encoder/conv1/weight": (width, self.bands, 3),
            "encoder/conv1/bias": (width,),
            "encoder/conv2/weight": (width, width, 3),
            "encoder/conv2/bias": (width,),
            "encoder/position_encodings/encodings": (self.positions, width),
            "decoder/position_encodings/encodings": (self.text_positions, width),
            EMBEDDINGS: (self.vocabulary, width),
        }
        for side, layers in (("encoder", self.encoder_layers), ("decoder", self.decoder_layers)):
            shapes |= dict(_norm(f"{side}/layer_norm", width))
            for k in range(layers):
                shapes |= dict(_layer(f"{side}/layer_{k}", width, self.inner, crossed=side == "decoder"))
        return dict(sorted(shapes.items()))


def _layer(name: str, width: int, inner: int, *, crossed: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _norm(f"{name}/self_attention/layer_norm", width)
    yield from _linear(f"{name}/self_attention/linear_0", 3 * width, width)
    yield from _linear(f"{name}/self_attention/linear_1", width, width)
    if crossed:
        yield from _norm(f"{name}/attention/layer_norm", width)
        yield from _linear(f"{name}/attention/linear_0", width, width)
        yield from _linear(f"{name}/attention/linear_1", 2 * width, width)
        yield from _linear(f"{name}/attention/linear_2", width, width)
    yield from _norm(f"{name}/ffn/layer_norm", width)
    yield from _linear(f"{name}/ffn/linear_0", inner, width)
    yield from _linear(f"{name}/ffn/linear_1", width, inner)


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}/gamma", (width,)
    yield f"{name}/beta", (width,)


def _linear(name: str, out: int, into: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}/weight", (out, into)
    yield f"{name}/bias", (out,)


def dimensions(weights: Mapping[str, NDArray[Any]], heads: int, where: str) -> Dimensions:
    """The sizes that weights of unknown origin have.

    Args:
        heads: the one size that no shape shows.
        where: what they are part of, for messages.

    Raises:
        SourceError: a weight is missing, is there without need, or has another shape than the others ask for; or a
            size is beyond reason.
    """
    needed = ("encoder/conv1/weight", "encoder/position_encodings/encodings", "decoder/position_encodings/encodings",
              EMBEDDINGS, "encoder/layer_0/ffn/linear_0/weight")  # fmt: skip
    ranks = (3, 2, 2, 2, 2)
    for name, rank in zip(needed, ranks, strict=True):
        if name not in weights or weights[name].ndim != rank:
            raise SourceError(f"{where}: {name} is missing or not of rank {rank}: not the weights of a Whisper model")
    found = Dimensions(
        width=weights[needed[0]].shape[0],
        heads=heads,
        encoder_layers=_layers("encoder", weights),
        decoder_layers=_layers("decoder", weights),
        inner=weights[needed[4]].shape[0],
        bands=weights[needed[0]].shape[1],
        positions=weights[needed[1]].shape[0],
        text_positions=weights[needed[2]].shape[0],
        vocabulary=weights[EMBEDDINGS].shape[0],
    )
    for size, most in _LARGEST.items():
        if not 1 <= getattr(found, size) <= most:
            raise SourceError(f"{where}: {size} is {getattr(found, size):,}; expected 1 to {most:,}")
    if found.width % heads:
        raise SourceError(f"{where}: {heads} heads do not divide a width of {found.width}")
    _check_shapes(weights, found.shapes(), where)
    return found


def _layers(side: str, weights: Mapping[str, NDArray[Any]]) -> int:
    return len({name.split("/")[1] for name in weights if name.startswith(f"{side}/layer_") and name.count("/") > 2})


def _check_shapes(weights: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raise SourceError where names or shapes are not those of `shapes`."""
    if odd := sorted(weights.keys() ^ shapes.keys()):
        state = "is missing" if odd[0] in shapes else "belongs to no Whisper model"
        raise SourceError(f"{where}: {len(odd)} weights are not those of a Whisper model: {odd[0]} {state}")
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            raise SourceError(f"{where}: {name} has shape {weights[name].shape}; the other weights ask for {shape}")
