"""Registers of a module of cells: as many on every path, or the place is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import IRError
from gate2hw.ir.cell_delays import check_cell_delays
from gate2hw.ir.lut_cells import CellFamily, staged, write_cells
from gate2hw.ir.luttext import parse_lutnetlist

TEXT = """\
lutnetlist inputs=4 k=4
5 = LUT2 0x8 1 2
6 = LUT2 0x6 5 3
7 = LUT3 0x96 6 5 4
output 7
output ~6
output 6
output 2
output 0
output ~0
"""
N_RANKS = 2


@pytest.fixture(params=["ice40", "ecp5"])
def family(request: pytest.FixtureRequest) -> CellFamily:
    name: CellFamily = request.param
    return name


@pytest.fixture
def path(family: CellFamily, tmp_path: Path) -> Path:
    path = tmp_path / "cells.v"
    with path.open("w") as file:
        net = staged(parse_lutnetlist(TEXT), N_RANKS)
        assert net.stage.tolist() == [0, 1, 2]
        write_cells(file, net, name="m", family=family, n_ranks=N_RANKS, comment=["a comment"])
    return path


def changed(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new))
    return path


def test_balanced_registers_pass(path: Path, family: CellFamily) -> None:
    check_cell_delays(path, family, N_RANKS)
    with pytest.raises(IRError, match=r"cells\.v: y\[0\] \(n7\) stands behind 2 registers, not 3"):
        check_cell_delays(path, family, N_RANKS + 1)


def test_a_register_too_few_on_one_edge_is_named(path: Path, family: CellFamily) -> None:
    pin = {"ice40": ".I1(n5_r2)", "ecp5": ".B(n5_r2)"}[family]
    changed(path, pin, pin.replace("n5_r2", "n5_r1"))
    with pytest.raises(IRError, match=r"LUT of n7 reads .*n5_r1 \(1 registers\) and n4_r2 \(2"):
        check_cell_delays(path, family, N_RANKS)


def test_a_register_too_few_before_an_output_is_named(path: Path, family: CellFamily) -> None:
    changed(path, "assign y[3] = n2_r2;", "assign y[3] = n2_r1;")
    with pytest.raises(IRError, match=r"y\[3\] \(n2_r1\) stands behind 1 registers, not 2"):
        check_cell_delays(path, family, N_RANKS)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  wire n3 = x[2];", "  wire n3 = ~x[2];", "is no cell"),
        ("  wire n3 = x[2];\n", "  wire n3;\n", "nothing drives n3"),
        ("assign y[4] = 1'b0", "assign y[4] = n9", "nothing drives n9"),
        ("endmodule", "  SB_CARRY c (.CO(n3));\nendmodule", "is no cell"),
    ],
)
def test_other_lines_are_refused(
    old: str, new: str, said: str, path: Path, family: CellFamily
) -> None:
    changed(path, old, new)
    with pytest.raises(IRError, match=said):
        check_cell_delays(path, family, N_RANKS)


def test_registers_of_another_clock_or_enable_are_refused(path: Path, family: CellFamily) -> None:
    lines = path.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(("  SB_DFFE ", "  TRELLIS_FF ")))
    for old, new in (("(clk)", "(n1)"), ("(ce)", "(n1)")):
        wrong = list(lines)
        wrong[at] = lines[at].replace(old, new)
        assert wrong[at] != lines[at]
        path.write_text("\n".join(wrong) + "\n")
        with pytest.raises(IRError, match=f"line {at + 1}: .* is no cell"):
            check_cell_delays(path, family, N_RANKS)


def test_a_loop_is_refused(path: Path, family: CellFamily) -> None:
    text = path.read_text()
    line = next(line for line in text.splitlines() if " l5 " in line)
    path.write_text(text.replace(line, line.replace("(n1)", "(n7)")))
    with pytest.raises(IRError, match="is behind itself"):
        check_cell_delays(path, family, N_RANKS)


def test_deep_chains_do_not_recurse(tmp_path: Path) -> None:
    lines = ["lutnetlist inputs=1 k=4", *(f"{n} = LUT1 0x1 {n - 1}" for n in range(2, 3002))]
    net = parse_lutnetlist("\n".join([*lines, "output 3001"]))
    with (tmp_path / "c.v").open("w") as file:
        write_cells(file, staged(net, 3), name="m", family="ice40", n_ranks=3)
    check_cell_delays(tmp_path / "c.v", "ice40", 3)
    assert np.unique(staged(net, 3).stage).size == 4
