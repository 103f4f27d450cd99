"""The proof of an emitted cloud, read back by Yosys: planted faults, and the encoder's codes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError
from gate2hw.flow.gatecloud import prove_cells, prove_gates
from gate2hw.ir.lutnetlist import from_netlist
from gate2hw.ir.netlist import Encoder, Netlist
from gate2hw.ir.text import parse_netlist
from gate2hw.rtl.cells import emit_cells
from gate2hw.rtl.emit import emit_rtl
from gate2hw.rtl.manifest import Manifest
from gate2hw.rtl.options import RtlOptions
from gate2hw.tools.targets import Family

TEXT = """\
netlist inputs=6
7 = AND 1 2
8 = XOR 3 6
9 = A_AND_NOT_B 7 8
10 = OR 7 5
class bias=0: 9 ~10
class bias=0: 8 ~8
"""


def make(text: str = TEXT) -> Netlist:
    """Two features with thresholds 10, 20, 30; input 4 is not read."""
    encoder = Encoder(np.repeat([0, 1], 3), np.tile([10, 20, 30], 2), (2,), 255)
    return parse_netlist(text).with_(encoder=encoder)


def emitted(
    net: Netlist,
    folder: Path,
    family: Family,
    *,
    levels: tuple[int, ...] = (),
    care: Literal["thermometer", "none"] = "none",
) -> tuple[Manifest, Path]:
    manifest = emit_rtl(net, folder, RtlOptions(gate_registers=levels, care=care), version="0")
    path = folder / "cells.v"
    emit_cells(net, from_netlist(net), path, manifest, family=family, version="0")
    return manifest, path


@pytest.mark.parametrize("levels", [(), (0, 1)])
@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_cells_are_proved_through_the_models(
    family: Family, levels: tuple[int, ...], tmp_path: Path
) -> None:
    net = make()
    manifest, path = emitted(net, tmp_path, family, levels=levels)
    found = prove_cells(net, path, manifest, family, tmp_path / "proof")
    assert found["result"] == "equivalent"


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [(r"16'h2222", "16'h2223"), (r"\.I0\((n7)\), \.I1\((\w+)\)", r".I0(\2), .I1(\1)")],
    ids=["init bit", "pins"],
)
def test_a_planted_fault_is_caught_and_replayed(
    pattern: str, replacement: str, tmp_path: Path
) -> None:
    net = make()
    manifest, path = emitted(net, tmp_path, "ice40")
    text, n_changes = re.subn(pattern, replacement, path.read_text(), count=1)
    assert n_changes == 1
    path.write_text(text)
    with pytest.raises(CheckFailedError, match=r"cells\.v differs .* replayed on both .* first y"):
        prove_cells(net, path, manifest, "ice40", tmp_path / "proof")


# AND of two bits of one feature is the rarer one, on codes that the encoder makes
READS_ALL = TEXT.replace("class bias=0: 9", "class bias=0: 9 1", 1)
REWRITTEN = READS_ALL.replace("7 = AND 1 2", "7 = AND 2 2")


@pytest.mark.parametrize("kind", ["gates", "cells"])
def test_codes_that_the_encoder_cannot_make(
    kind: Literal["gates", "cells"], tmp_path: Path
) -> None:
    net, rewritten = make(READS_ALL), make(REWRITTEN)
    for care in ("none", "thermometer"):
        folder = tmp_path / care
        manifest, path = emitted(rewritten, folder, "ice40", care=care)  # type: ignore[arg-type]

        def prove(manifest: Manifest = manifest, path: Path = path) -> dict[str, object]:
            work_dir = path.parent / "proof"
            if kind == "cells":
                return prove_cells(net, path, manifest, "ice40", work_dir)
            return prove_gates(net, path.parent, manifest, work_dir)

        if care == "none":
            with pytest.raises(CheckFailedError, match="replayed on both"):
                prove()
        else:
            assert prove()["codes"] == "legal"
            wrong = path if kind == "cells" else folder / "lgn_gates.v"
            old, new = ("16'h6666", "16'h6667") if kind == "cells" else ("n3 ^ n6", "n3 | n6")
            text = wrong.read_text()
            assert old in text
            wrong.write_text(text.replace(old, new, 1))
            with pytest.raises(CheckFailedError, match=r"replayed on both with x = [01]{5} "):
                prove()
