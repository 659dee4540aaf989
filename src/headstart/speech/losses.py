"""What a decoder loses on examples, and its gradient, in as much memory as there is.

A batch is computed in parts: the keys and values that the encoder's states become, which a gradient needs again, are
bounded, with what an encoder that moves keeps; so are the scores of the vocabulary (see `vocabulary_loss`). What is
summed over parts differs by rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.adapt.device import Device
from headstart.adapt.memory import is_out_of_memory
from headstart.errors import EngineError
from headstart.speech.examples import Batch, Examples
from headstart.speech.torch_decoder import TorchDecoder
from headstart.speech.vocabulary_loss import summed_loss

Rows = NDArray[np.int64]
_READ = 16  # clips read at a time
_ON_CPU, _ELSEWHERE = 1 << 28, 1 << 32  # bytes that a gradient needs again


class Losses:
    """The losses of one decoder on some examples.

    Attributes:
        bytes: that are held at a time, as the decoder estimates them; halved where memory is short.
    """

    def __init__(self, decoder: TorchDecoder, examples: Examples, device: Device, say: Callable[[str], None]) -> None:
        self.bytes = _ON_CPU if device.on_cpu else _ELSEWHERE
        self._decoder, self._examples, self._device, self._say = decoder, examples, device, say

    def backward(self, rows: Rows, stamped: NDArray[np.bool_], smoothing: float, reset: Callable[[], None]) -> None:
        """Gradients of the mean loss of a token.

        Args:
            rows: positions of examples.
            stamped: (b,) those between timestamps.
            reset: makes the gradients none.

        Raises:
            EngineError: not even one clip fits the memory.
        """
        while True:
            reset()
            try:
                batches = [self._examples.batch(rows[part], stamped[part]) for part in self._parts(rows)]
                tokens = sum(map(_tokens, batches))
                for batch in batches:
                    (self._sum(batch, smoothing) / tokens).backward()
                return
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                reset()
                self._shrink(rows, error)

    def mean(self, rows: Rows) -> float:
        """The mean loss of a token, unsmoothed; no gradient."""
        total, tokens = 0.0, 0
        order = rows[np.argsort(self._examples.lengths[rows], kind="stable")]
        with torch.inference_mode():
            for start in range(0, len(order), _READ):
                some = order[start : start + _READ]
                for part in self._parts(some):
                    batch = self._examples.batch(some[part])
                    total += float(self._sum(batch, 0.0))
                    tokens += _tokens(batch)
        return total / tokens

    def _parts(self, rows: Rows) -> list[Rows]:
        """Positions in `rows` of the clips that are computed at a time."""
        clip = self._decoder.held(int(self._examples.lengths[rows].max()))
        most = max(1, self.bytes // clip)
        return np.array_split(np.arange(len(rows)), -(-len(rows) // most))

    def _shrink(self, rows: Rows, error: Exception) -> None:
        parts = len(self._parts(rows))
        self._device.free()
        if parts == len(rows):
            raise EngineError("out of memory with one clip at a time: close programs, or take a smaller one") from error
        while len(self._parts(rows)) == parts:
            self.bytes //= 2
        most = -(-len(rows) // len(self._parts(rows)))
        self._say(f"memory is short: {most} clips at a time, {len(rows)} a step as before")

    def _sum(self, batch: Batch, smoothing: float) -> Tensor:
        """The cross entropy of all labels, in float32; the vocabulary is scored only where there is a label."""
        put = {name: torch.from_numpy(value).to(self._device.torch) for name, value in vars(batch).items()}
        with self._device.autocast():
            hidden = self._decoder(put["tokens"], put["states"], put["counts"])
            wanted = put["labels"] >= 0
            return summed_loss(
                hidden[wanted], put["labels"][wanted], self._decoder.logits, self._decoder.shape.vocabulary, smoothing
            )


def _tokens(batch: Batch) -> int:
    """How many labels there are."""
    return int((batch.labels >= 0).sum())
