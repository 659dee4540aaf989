"""Windows of sounds through a graph, each at its own length; those of one item are pooled.

Graphs of sounds have no mask: a short sound that is padded to a long one's length would be heard with the padding. So
feeds are padded only on their way, and windows of one length go through together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.features.pooling import pool
from headstart.sources.base import Tap

if TYPE_CHECKING:
    from headstart.adapt.graph import GraphModule

LENGTHS, ITEMS = "lengths of windows", "items of windows"
"""Among the feeds: (m,) int64, how long each of m windows is; of which item it is, where an item may have several."""
_FRONTS = ("mel", "wave")  # their last axis is time; other tensors' first one after the items'


def padded(name: str, windows: Sequence[NDArray[Any]], items: Sequence[int] | None = None) -> dict[str, NDArray[Any]]:
    """The feeds of m windows.

    Args:
        name: of the tensor that is fed.
        windows: (bands, t), (t,) or (t, ...) each, of equal sizes but for t.
        items: the item of each window, ascending from 0; None where each window is an item.
    """
    axis = windows[0].ndim - 1 if name in _FRONTS else 0
    lengths = np.array([one.shape[axis] for one in windows], np.int64)
    shape = list(windows[0].shape)
    shape[axis] = int(lengths.max())
    values = np.zeros((len(windows), *shape), windows[0].dtype)
    for goal, one, length in zip(np.moveaxis(values, axis + 1, 1), windows, lengths, strict=True):
        goal[:length] = np.moveaxis(one, axis, 0)
    feeds = {name: values, LENGTHS: lengths}
    return feeds if items is None else feeds | {ITEMS: np.array(items, np.int64)}


def run(body: GraphModule, feeds: Mapping[str, Tensor], taps: Sequence[Tap]) -> dict[str, Tensor]:
    """The outputs of `body`, a row an item.

    Args:
        taps: what the outputs are; they say how windows are pooled.
    """
    if LENGTHS not in feeds:
        whole: dict[str, Tensor] = body(feeds)
        return whole
    lengths = feeds[LENGTHS]
    groups, found = [], []
    for length in torch.unique(lengths).tolist():
        rows = torch.nonzero(lengths == length).flatten()
        groups.append(rows)
        found.append(body({name: _cropped(name, feeds[name][rows], length) for name in body.inputs}))
    back = torch.argsort(torch.cat(groups))
    joined = {name: torch.cat([one[name] for one in found])[back] for name in body.outputs}
    return _pooled(joined, feeds[ITEMS], taps) if ITEMS in feeds else joined


def _cropped(name: str, values: Tensor, length: int) -> Tensor:
    return values.narrow(-1 if name in _FRONTS else 1, 0, length)


def _pooled(found: Mapping[str, Tensor], items: Tensor, taps: Sequence[Tap]) -> dict[str, Tensor]:
    """Windows of one item as one row, as frozen features are pooled. It has no gradient: training sees one window."""
    own = [tap for tap in taps if tap.name in found]
    matrix = torch.cat([found[tap.name].float() for tap in own], dim=1)
    rows, owners = matrix.detach().cpu().numpy(), items.cpu().numpy()
    joined = np.stack([pool(rows[owners == item], own) for item in range(int(owners.max()) + 1)])
    parts = torch.from_numpy(joined).to(matrix.device).split([tap.width for tap in own], dim=1)
    return {tap.name: part for tap, part in zip(own, parts, strict=True)}
