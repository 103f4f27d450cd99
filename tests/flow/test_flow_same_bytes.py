"""The same model, options and tools give the same bytes: after synthesis, and after routing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import gate2hw
from gate2hw.errors import Gate2HWError
from gate2hw.ir.store import file_sha256
from gate2hw.tools import registry

pytestmark = [pytest.mark.slow, pytest.mark.full]

TARGETS = {"ice40-hx8k": "nextpnr-ice40", "ecp5-25k": "nextpnr-ecp5"}
RECORDS = ("results.json", "report.json")  # they hold times
SUFFIXES = (".v", ".json", ".asc", ".bin", ".config", ".bit")


def made_by(folder: Path, target: str) -> dict[str, str]:
    """sha256 of each mapped netlist and bitstream that synth writes for `target`."""
    gate2hw.synth(folder, target=target)
    return {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in sorted((folder / target).rglob("*"))
        if path.suffix in SUFFIXES and path.is_file() and path.name not in RECORDS
    }


@pytest.mark.parametrize("target", TARGETS)
def test_mapped_netlist_and_bitstream(compiled: Path, tmp_path: Path, target: str) -> None:
    try:
        registry.find(TARGETS[target])
    except Gate2HWError as error:
        pytest.skip(str(error))
    found = []
    # folders of different names and depth: no path may get into a file
    for name in ("first", "second/deeper"):
        folder = tmp_path / name
        shutil.copytree(compiled, folder)
        found.append(made_by(folder, target))
    names = set(found[0])
    assert any(name.endswith("_synth.v") for name in names)
    assert any(name.endswith((".bin", ".bit")) for name in names), names
    assert {name for name in names if found[0][name] != found[1].get(name)} == set()
    assert set(found[1]) == names
