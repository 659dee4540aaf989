"""Mutated model files: read as written, or refused with ArtefactError; never another exception, never other content."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from headstart.archive.container import open_archive, write_archive
from headstart.errors import ArtefactError

ROUNDS = 150
PARTS: dict[str, bytes | Path] = {
    "card.json": json.dumps({"classes": ["a", "b"], "k": [1.5, None]}).encode(),
    "head.safetensors": save({"coef": np.eye(3, dtype=np.float32)}),
    "sub/graph.onnx": bytes(range(200)),
}


def flip(data: bytearray, rng: np.random.Generator) -> bytes:
    for at in rng.integers(0, len(data), rng.integers(1, 4)):
        data[at] ^= 1 << int(rng.integers(8))
    return bytes(data)


def cut(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: rng.integers(len(data))])


def splice(data: bytearray, rng: np.random.Generator) -> bytes:
    """Remove, double or move a run of bytes."""
    a, b = sorted(int(k) for k in rng.integers(0, len(data), 2))
    at = int(rng.integers(0, len(data)))
    run = bytes(data[a:b])
    if rng.random() < 0.5:
        del data[a:b]
    return bytes(data[:at]) + run + bytes(data[at:]) if rng.random() < 0.7 else bytes(data)


def rename(data: bytearray, rng: np.random.Generator) -> bytes:
    """Another name of the same length, in the headers, the directory or the manifest, or in all."""
    old, new = [(b"card.json", b"../c.json"), (b"card.json", b"card.jsoN"), (b"sub/graph.onnx", b"/ub/graph.onnx"),
                (b"card.json", b"sub/graph"), (b"manifest.json", b"Manifest.json"), (b"head", b"\0ead")][
        int(rng.integers(6))
    ]  # fmt: skip
    return bytes(data).replace(old, new, int(rng.integers(1, 5)))


def overwrite(data: bytearray, rng: np.random.Generator) -> bytes:
    """Extreme numbers where the headers keep lengths and offsets."""
    at = int(rng.integers(0, len(data) - 8))
    data[at : at + 4] = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"PK\x05\x06"][int(rng.integers(4))]
    return bytes(data)


@pytest.mark.parametrize("mutate", [flip, cut, splice, rename, overwrite])
def test_only_artefact_errors_come_out(mutate, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "m.headstart"
    write_archive(path, PARTS)
    original = path.read_bytes()
    rng = np.random.default_rng(7)
    refusals = 0
    for _ in range(ROUNDS):
        path.write_bytes(mutate(bytearray(original), rng))
        try:
            with open_archive(path) as archive:
                assert {name: archive.bytes(name) for name in archive.names} == PARTS
        except ArtefactError as refusal:
            refusals += "\n" not in str(refusal)
    assert refusals > ROUNDS * 0.7  # some mutations change nothing that matters: a time stamp, no byte at all


def test_mutated_parts_under_a_fitting_manifest_raise_only_artefact_errors(tmp_path: Path) -> None:
    """An attacker writes hashes that fit: what reads the parts must bear it."""
    path = tmp_path / "m.headstart"
    rng = np.random.default_rng(8)
    refusals = 0
    for _ in range(ROUNDS):
        changed: dict[str, bytes | Path] = {
            name: [flip, cut, splice, overwrite][int(rng.integers(4))](bytearray(part), rng)
            for name, part in PARTS.items()
            if isinstance(part, bytes)
        }
        write_archive(path, changed)
        with open_archive(path) as archive:
            for read, name in ((archive.json, "card.json"), (archive.arrays, "head.safetensors")):
                try:
                    read(name)
                except ArtefactError as refusal:
                    refusals += "\n" not in str(refusal)
    assert refusals > ROUNDS
