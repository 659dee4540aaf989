"""Images varied as photographs of one thing vary: mirrored, a little nearer, a little brighter.

The operations are torchvision's; the draws are NumPy's, a generator an image, so that they depend on nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.optional import require

SMALLEST_CROP = 0.75  # of the area
_ASPECT = 1.15
_TONE = 0.2  # brightness and contrast change by up to this share


def augment(rgb: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 -> the same shape: half of the time mirrored; cropped and scaled back; brightness, contrast.

    Raises:
        MissingLayerError: torchvision is not installed.
    """
    torch = require("torch", "torch", "augmenting images")
    functional: Any = require("torchvision.transforms.v2.functional", "torch", "augmenting images")
    height, width = rgb.shape[:2]
    area, aspect = rng.uniform(SMALLEST_CROP, 1.0), np.exp(rng.uniform(-np.log(_ASPECT), np.log(_ASPECT)))
    h = min(height, max(1, round(height * float(np.sqrt(area / aspect)))))
    w = min(width, max(1, round(width * float(np.sqrt(area * aspect)))))
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    brightness, contrast = 1.0 + rng.uniform(-_TONE, _TONE, 2)
    image = torch.from_numpy(np.array(rgb)).permute(2, 0, 1)  # (3, h, w), a copy: the array may be read-only
    image = functional.resized_crop(image, top, left, h, w, [height, width], antialias=True)
    if rng.random() < 0.5:
        image = functional.horizontal_flip(image)
    image = functional.adjust_contrast(functional.adjust_brightness(image, brightness), contrast)
    varied: NDArray[np.uint8] = image.permute(1, 2, 0).contiguous().numpy()
    return varied
