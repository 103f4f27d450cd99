"""The proof of an emitted cloud, read back by Yosys: planted faults, and the encoder's codes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError
from gate2hw.flow.signoff.gatecloud import prove_cells, prove_gates, prove_popcounts
from gate2hw.ir.lutnetlist import from_netlist
from gate2hw.ir.netlist import Encoder, Netlist
from gate2hw.ir.text import parse_netlist
from gate2hw.passes.staging import staging
from gate2hw.rtl.cells import emit_cells, emit_popcounts
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


DEEP = """\
netlist inputs=6
7 = AND 1 2
8 = XOR 7 3
9 = OR 8 7
10 = XOR 9 5
class bias=0: 9 ~10 10 8 7 9 8
class bias=0: 8 ~8 4 10 9 6 1
"""


def pipelined(folder: Path, family: Family) -> tuple[Netlist, Manifest, Path]:
    """A core with two ranks in gates and popcounts, as cells."""
    net = make(DEEP)
    options = RtlOptions(gate_registers=(1, 2), popcount="luts", popcount_registers=2)
    manifest = emit_rtl(net, folder, options, version="0")
    path = folder / "cells.v"
    luts = from_netlist(net)
    emit_cells(net, luts, path, manifest, family=family, version="0", staging=staging)
    emit_popcounts(net, folder, manifest, family=family, staging=staging)
    return net, manifest, path


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_a_pipeline_is_proved_and_a_register_too_few_is_named(
    family: Family, tmp_path: Path
) -> None:
    net, manifest, path = pipelined(tmp_path, family)
    work = tmp_path / "proof"
    assert prove_cells(net, path, manifest, family, work)["n_ranks"] == 2
    counted = prove_popcounts(net, manifest, family, work, tmp_path)
    assert (counted["result"], counted["n_ranks"]) == ("equivalent", 2)
    whole = path.read_text()
    late = re.compile(r"(?<=\()n\d+_r1(?=\), \.|\)\);\n)")
    lut_lines = [line for line in whole.splitlines(True) if re.search(r" l\d", line)]
    line = next(line for line in lut_lines if late.search(line) and len(set(pins(line))) > 1)
    path.write_text(whole.replace(line, late.sub(lambda wire: wire[0][:-3], line, count=1)))
    with pytest.raises(CheckFailedError, match=r"not balanced: cells\.v: .*registers"):
        prove_cells(net, path, manifest, family, work)
    source = next(tmp_path.glob("lgn_popcount_*_cells.v"))
    text = source.read_text()
    source.write_text(re.sub(r"(assign y\[0\] = n\d+)_r\d;", r"\1;", text))
    assert source.read_text() != text
    with pytest.raises(CheckFailedError, match=r"not balanced: lgn_popcount_\d_cells\.v: y\[0\]"):
        prove_popcounts(net, manifest, family, work, tmp_path)


def pins(line: str) -> list[str]:
    """The wires that a LUT reads."""
    return re.findall(r"\.(?:I\d|[ABCD])\((n\w+)\)", line)


@pytest.mark.parametrize(
    ("pattern", "replacement", "said"),
    [
        (r"(wire n10 = n9_r1) ", r"wire n10 = n9 ", "not balanced: lgn_gates.v"),
        (r"(assign y\[\d+\] = ~?n\d+)_r\d;", r"\1;", "not balanced: lgn_gates.v"),
    ],
    ids=["gate", "output"],
)
def test_a_register_too_few_among_gates_is_named(
    pattern: str, replacement: str, said: str, tmp_path: Path
) -> None:
    net = make(DEEP)
    manifest = emit_rtl(net, tmp_path, RtlOptions(gate_registers=(1, 3)), version="0")
    assert prove_gates(net, tmp_path, manifest, tmp_path / "proof")["result"] == "equivalent"
    path = tmp_path / "lgn_gates.v"
    text, n_changes = re.subn(pattern, replacement, path.read_text(), count=1)
    assert n_changes == 1, path.read_text()
    path.write_text(text)
    with pytest.raises(CheckFailedError, match=said):
        prove_gates(net, tmp_path, manifest, tmp_path / "proof")
