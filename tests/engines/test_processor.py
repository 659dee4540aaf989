"""Reading the processor: from cpuinfo files as two makers write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.engines import processor as module
from headstart.engines.processor import Processor, processor

X86 = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 {}\n\nprocessor\t: 1\nmodel name\t: other\n"


@pytest.mark.parametrize(
    ("flags", "bf16", "int8"),
    [("", False, False), ("avx512_vnni", False, True), ("avx512_bf16 avx_vnni", True, True), ("amx_bf16", True, False)],
)
def test_x86_flags(tmp_path: Path, flags: str, bf16: bool, int8: bool) -> None:
    (tmp_path / "cpuinfo").write_text(X86.format(flags), encoding="ascii")
    fields = module._cpuinfo(tmp_path / "cpuinfo")
    assert fields["model name"] == "Some CPU @ 2 GHz"
    found = Processor(fields["model name"], 2, frozenset(fields["flags"].split()))
    assert (found.bf16, found.int8) == (bf16, int8)


def test_arm_features_and_unknown() -> None:
    found = Processor("arm", 4, frozenset({"asimd", "asimddp", "i8mm", "bf16"}))
    assert (found.bf16, found.int8) == (True, True)
    unknown = Processor("", 4, frozenset())
    assert (unknown.bf16, unknown.int8) == (None, None)


def test_no_cpuinfo_is_no_fields(tmp_path: Path) -> None:
    assert module._cpuinfo(tmp_path / "absent") == {}


def test_this_machine() -> None:
    here = processor()
    assert here.name
    assert 1 <= here.workers <= here.cores
