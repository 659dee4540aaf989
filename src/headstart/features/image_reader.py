"""Images as a graph's input, and as what the no-transfer baseline looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.features.cache import Space
from headstart.features.encoder import Encoder
from headstart.features.hog import describe_rows, names
from headstart.features.images import look, normalise
from headstart.features.reader import Seen
from headstart.sources.base import ImageInput, SourceInput

# Part of the name of the space of descriptors: raise it when `hog` would say something else.
_VERSION = 2


class ImageReader:
    """Images are all of one size, so that their thumbnails are described, and on a GPU they are run, together."""

    unit = "images"
    space = Space("no transfer", f"hog v{_VERSION}", len(names()), "float16")
    alike = True
    too_large = "scale the image down"

    def see(self, data: bytes, how: SourceInput | None, *, described: bool) -> Seen:
        assert how is None or isinstance(how, ImageInput)
        views = look(data, how, thumbnail=described)
        values = None if views.pixels is None or how is None else normalise(views.pixels, how)
        return Seen(values, views.thumbnail, 0 if values is None else values.nbytes)

    def rows(self, encoder: Encoder, values: Sequence[Any]) -> NDArray[np.float16]:
        return encoder.rows({"image": values[0][None] if len(values) == 1 else np.stack(values)})

    def describe(self, looks: Sequence[Any]) -> NDArray[np.float16]:
        return describe_rows(np.stack(looks))
