"""Weights that are pickles: read only where PyTorch reads them as plain tensors and runs nothing that is in them.

`torch.load(..., weights_only=True)` resolves the names that tensors need and no other. Before PyTorch 2.6 there was a
way around that (CVE-2025-32434), so that those versions do not get to read such a file.
"""

from __future__ import annotations

from pathlib import Path

from headstart.errors import SourceError

_SAFE_SINCE = (2, 6)


def check_pickles(path: Path) -> None:
    """Refuse the pickle `path` where the installed PyTorch does not read it safely.

    Raises:
        SourceError: it does not; the message has the remedy.
    """
    import torch

    installed = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if installed < _SAFE_SINCE:
        raise SourceError(
            f"{path} is a pickle, which PyTorch {torch.__version__} does not read safely: pip install 'torch>=2.6', "
            "or save the model as safetensors on another machine: model.save_pretrained(FOLDER)"
        )
