"""The frozen part of a graph, below a cut: run by the engine that is fastest here, once an item and view.

For an image the whole chain is one job of a worker: decode, vary, normalise, run. Texts run in batches of one length,
as their features do, so that no text's activations depend on its neighbours.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from headstart.adapt.activations import Activations, item_keys
from headstart.adapt.augment import augment
from headstart.adapt.base import Job, Rows
from headstart.adapt.cuts import Cut
from headstart.engines.base import Feeds, Precision, Session
from headstart.engines.choose import choose, open_graph
from headstart.engines.memory import Choice
from headstart.engines.torch_support import needed
from headstart.features.embed import PREPROCESSING_VERSION
from headstart.features.images import normalise, pixels
from headstart.features.texts import Ids, batches, feeds
from headstart.features.windowed import windowed
from headstart.sources.base import GRAPH_FILE, ImageInput, TextInput

PLAIN, MIRRORED = 0, 1
"""Views of an image; the ones from 2 on are varied by `augment`, each in its own way. A text has only the first."""
VERSION = 1  # raise it when the same view of the same item would be another
TOGETHER = 8
"""Files a worker takes at a time."""

_HALF = float(np.finfo(np.float16).max)
_SEGMENT = 256  # rows in a file
_SEGMENT_BYTES = 64 * 2**20

Varied = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]


def pixel_rows(job: Job, positions: Rows) -> Activations:
    """The decoded, resized images of `positions`, (size, size, 3) uint8, kept like activations."""
    assert isinstance(job.source.input, ImageInput)
    how = job.source.input
    store = Activations(f"pixels v{VERSION}.{PREPROCESSING_VERSION} {how!r} {job.source.fingerprint}")
    keys = item_keys(job.features.matrix, PLAIN, positions)
    absent = store.missing(keys)
    workers = choose(job.source).workers
    segments = parts(len(absent), how.size * how.size * 3)
    with job.progress.bar("decode", job.source.name, len(absent), "images") as bar:
        jobs = (partial(_decoded, job, [int(positions[absent[i]]) for i in part], how) for part in segments)
        for part, rows in zip(segments, windowed(jobs, workers), strict=True):
            store.put([keys[absent[i]] for i in part], rows)
            bar.advance(len(part))
    return store


def image_rows(job: Job, cut: Cut, wanted: Sequence[Rows]) -> Activations:
    """What the trunk says of images, float16, under their keys.

    Args:
        wanted: for each view the positions of the images that are wanted in it.
    """
    choice = engine_of(job)
    store = Activations(identity(job, cut, choice))
    if not (items := absent_views(store, job, wanted)):
        return store
    with opened(job, cut, choice) as trunk, job.progress.bar("trunk", job.source.name, len(items), "images") as bar:
        for part in parts(len(items), 2 * int(np.prod(cut.shape)) * len(wanted)):
            some = items[part.start : part.stop]
            jobs = (partial(_run_images, job, trunk, some[k : k + TOGETHER]) for k in range(0, len(some), TOGETHER))
            rows = [row for several in windowed(jobs, choice.workers) for row in several]
            store.put([key for _, views in some for _, key in views], rows)
            bar.advance(len(some))
    return store


def absent_views(store: Activations, job: Job, wanted: Sequence[Rows]) -> list[tuple[int, list[tuple[int, bytes]]]]:
    """Positions of items, ascending, each with the views of it that are wanted and not there, and their keys."""
    absent: dict[int, list[tuple[int, bytes]]] = {}
    for view, positions in enumerate(wanted):
        keys = item_keys(job.features.matrix, view, positions)
        for i in store.missing(keys):
            absent.setdefault(int(positions[i]), []).append((view, keys[i]))
    return sorted(absent.items())


def text_rows(job: Job, cut: Cut, ids: Sequence[Ids], positions: Rows) -> Activations:
    """What the trunk says of the tokens of `positions`, (t, width) float16 each; `ids` are the tokens of all items."""
    assert isinstance(job.source.input, TextInput)
    how = job.source.input
    choice = engine_of(job)
    store = Activations(identity(job, cut, choice))
    keys = item_keys(job.features.matrix, PLAIN, positions)
    absent = store.missing(keys)
    if not absent:
        return store
    lengths = np.array([len(ids[positions[i]]) for i in absent], np.int64)
    with opened(job, cut, choice) as trunk, job.progress.bar("trunk", job.source.name, len(absent), "texts") as bar:
        together = batches(lengths, how)
        jobs = (partial(_run_texts, trunk, how, [ids[positions[absent[i]]] for i in batch]) for batch in together)
        segment: list[tuple[bytes, NDArray[np.float16]]] = []
        for batch, rows in zip(together, windowed(jobs, choice.workers), strict=True):
            segment += zip([keys[absent[i]] for i in batch], rows, strict=True)
            bar.advance(len(batch))
            if len(segment) >= _SEGMENT:
                store.put([key for key, _ in segment], [row for _, row in segment])
                segment = []
        store.put([key for key, _ in segment], [row for _, row in segment])
    return store


def varied(rgb: NDArray[np.uint8], view: int, key: bytes) -> NDArray[np.uint8]:
    """An image in a view: the same for the same item, wherever it stands."""
    if view == PLAIN:
        return rgb
    if view == MIRRORED:
        return rgb[:, ::-1]
    return augment(rgb, np.random.default_rng([view, int.from_bytes(key[:8], "big")]))


def identity(job: Job, cut: Cut, choice: Choice) -> str:
    """All that decides what a trunk says of an item."""
    how = "fp32" if choice.precision == "fp32" else f"{choice.engine} {choice.precision}"
    return f"{job.source.fingerprint} at {cut.tensor} v{VERSION}.{PREPROCESSING_VERSION} {how}"


def engine_of(job: Job) -> Choice:
    """The engine chosen for the source; what was chosen in int8 runs in fp32, as its graph cut in two has no scales."""
    choice = choose(job.source)
    precision: Precision = "fp32" if choice.precision == "int8" else choice.precision
    return Choice(choice.engine, precision, choice.threads, choice.workers, choice.items_per_second)


@dataclass(frozen=True, eq=False)
class Trunk:
    """An opened trunk, and the inputs that it takes."""

    session: Session
    inputs: tuple[str, ...]

    def run(self, feeds: Feeds) -> NDArray[np.float32]:
        (output,) = self.session.run({name: feeds[name] for name in self.inputs})
        return output


@contextmanager
def opened(job: Job, cut: Cut, choice: Choice) -> Iterator[Trunk]:
    """What lies below the cut, as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="headstart-") as scratch:
        graph = Path(scratch) / GRAPH_FILE
        inputs = write_trunk(job.source.graph, cut.tensor, graph)
        session = open_graph(
            graph, [cut.tensor], engine=choice.engine, precision=choice.precision, threads=choice.threads
        )
        yield Trunk(session, inputs)


def write_trunk(graph: Path, tensor: str, goal: Path) -> tuple[str, ...]:
    """Write the part of a graph that computes `tensor`, as a graph of its own; the names of its inputs."""
    model = onnx.load(str(graph))
    nodes = needed(model, [tensor])
    read = {name for node in nodes for name in node.input}
    inputs = [one for one in model.graph.input if one.name in read]
    initialisers = [one for one in model.graph.initializer if one.name in read]
    output = onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None)
    model.graph.CopyFrom(onnx.helper.make_graph(nodes, "trunk", inputs, [output], initialisers))
    goal.write_bytes(model.SerializeToString())
    return tuple(one.name for one in inputs)


def parts(count: int, row_bytes: int) -> list[range]:
    """So many items in runs of a file each."""
    size = max(1, min(_SEGMENT, _SEGMENT_BYTES // max(1, row_bytes)))
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _decoded(job: Job, positions: Sequence[int], how: ImageInput) -> list[NDArray[np.uint8]]:
    return [pixels(Path(job.items[position]), how) for position in positions]


def _run_images(
    job: Job, trunk: Trunk, items: Sequence[tuple[int, list[tuple[int, bytes]]]]
) -> list[NDArray[np.float16]]:
    """The rows of each item's views, one after another."""
    assert isinstance(job.source.input, ImageInput)
    how, found = job.source.input, []
    for position, views in items:
        rgb = pixels(Path(job.items[position]), how)
        for view, key in views:
            values = normalise(varied(rgb, view, key), how)
            found.append(half(trunk.run({"image": values[None]})[0]))
    return found


def _run_texts(trunk: Trunk, how: TextInput, ids: Sequence[Ids]) -> list[NDArray[np.float16]]:
    return [half(row[: len(own)]) for row, own in zip(trunk.run(feeds(ids, how)), ids, strict=True)]


def half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """As it is kept; what float16 cannot hold is cut to its largest."""
    return np.clip(values, -_HALF, _HALF).astype(np.float16)
