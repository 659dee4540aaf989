"""Telephone prompts with what is said in them: Debian's asterisk-core-sounds, one speaker a language, 8 kHz.

`found` has them from the folder that was named, from the system where the packages are installed, or else fetches them
with `apt-get download` (no root needed) and unpacks them with `dpkg-deb`, once, into the cache: 20 MB a language.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from headstart.paths import home

VOICES = {
    "en": "en_US_f_Allison", "es": "es_MX_f_Allison", "fr": "fr_CA_f_June", "it": "it_IT_m_Carlo",
    "ru": "ru_RU_f_IvrvoiceRU",
}  # fmt: skip
HELD_OUT = 30  # of a hundred


@dataclass(frozen=True)
class Prompt:
    """A clip and what is said in it."""

    name: str
    path: Path
    text: str
    seconds: float

    @property
    def held_out(self) -> bool:
        return int(hashlib.sha256(self.name.encode()).hexdigest(), 16) % 100 < HELD_OUT


def found(language: str, named: Path | None) -> list[Prompt]:
    """The usable prompts of a language, in the order of their list; `named` is a folder that holds usr/, or None."""
    if named is not None:
        return prompts(named, language)
    root = Path("/") if _list(Path("/"), language).is_file() else _fetched(language)
    return prompts(root, language)


def prompts(root: Path, language: str) -> list[Prompt]:
    """Clips of 0.3 to 15 s below `root`; texts in brackets are tones, silence/ is silence."""
    import soundfile

    if not _list(root, language).is_file():
        sys.exit(f"{_list(root, language)} is not there: {' and '.join(_packages(language))} belong there")
    usable: dict[str, Prompt] = {}
    for line in gzip.decompress(_list(root, language).read_bytes()).decode("utf-8-sig").splitlines():
        name, colon, text = (part.strip() for part in line.partition(":"))
        path = root / "usr" / "share" / "asterisk" / "sounds" / VOICES[language] / f"{name}.wav"
        if line.startswith(";") or not colon or not text or text[0] in "[(<" or name.startswith("silence/"):
            continue
        if path.is_file() and 0.3 <= soundfile.info(path).duration <= 15:
            usable.setdefault(name, Prompt(name, path, text, soundfile.info(path).duration))
    return list(usable.values())


def _packages(language: str) -> tuple[str, str]:
    """The sounds, and the texts."""
    return f"asterisk-core-sounds-{language}-wav", f"asterisk-core-sounds-{language}"


def _list(root: Path, language: str) -> Path:
    return root / "usr" / "share" / "doc" / f"asterisk-core-sounds-{language}" / f"core-sounds-{language}.txt.gz"


def _fetched(language: str) -> Path:
    """The packages, unpacked in the cache; fetched where they are not there yet."""
    root = home() / "benchmarks" / f"asterisk-core-sounds-{language}"
    if root.is_dir():
        return root
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not there: unpack {' and '.join(_packages(language))} and name the folder, see --help")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        unpacked = Path(folder) / "unpacked"
        _run("apt-get", "download", *_packages(language), cwd=folder)
        for package in sorted(Path(folder).glob("*.deb")):
            _run("dpkg-deb", "-x", str(package), str(unpacked), cwd=folder)
        os.replace(unpacked, root)
    return root


def _run(*command: str, cwd: str) -> None:
    print(" ".join(command), file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        sys.exit(f"{' '.join(command[:2])} failed: {' '.join(reason)} (apt-get update may be due)")
