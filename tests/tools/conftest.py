"""Fake tools and small designs for the tests of the tools room."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gate2hw.tools.registry import override_variable

COUNTER = """\
module acc(input wire clk, input wire rst, input wire [7:0] x, output wire [3:0] y);
  reg [3:0] sum; reg [7:0] held;
  always @(posedge clk) begin
    held <= x;
    if (rst) sum <= 0; else sum <= sum + held[3:0] + held[7:4];
  end
  assign y = sum;
endmodule
"""


@pytest.fixture
def fake_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """``fake_tool(name, script)``: a shell script that stands in for tool `name`."""

    def make(name: str, script: str) -> Path:
        path = tmp_path / f"fake_{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv(override_variable(name), str(path))
        return path

    return make


@pytest.fixture
def accumulator(tmp_path: Path) -> Path:
    """Verilog of a small registered adder, module ``acc``, in a folder with a space."""
    path = tmp_path / "some rtl" / "acc.v"
    path.parent.mkdir()
    path.write_text(COUNTER)
    return path
