"""benchmarks/epfl.py: it refuses what is not there, and names what is not proved or larger.

With $GATE2HW_EPFL, the folder of the suite's circuits, the small ones are measured too.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gate2hw.errors import CheckFailedError
from gate2hw.ir.aiger import write_aiger
from gate2hw.ir.blif import write_blif
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.gates import TT_AND, TT_OR, TT_XOR

FOLDER = Path(__file__).parents[1] / "benchmarks"
SUITE = os.environ.get("GATE2HW_EPFL")


@pytest.fixture
def epfl(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module; benchmarks/ is no package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("epfl", "common", "quality_flows"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("epfl")
    for name in ("epfl", "common", "quality_flows"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return module


def run(epfl: ModuleType, monkeypatch: pytest.MonkeyPatch, *argv: object) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["epfl.py", *map(str, argv)])
    try:
        return int(epfl.main())
    except SystemExit as error:
        return error.code


def write_samples(folder: Path) -> None:
    """A full adder with a redundant AND, as AIGER, and as BLIF."""
    builder = NetlistBuilder(3)
    half = builder.gate(TT_XOR, 1, 2)
    total = builder.gate(TT_XOR, half, 3)
    both = builder.gate(TT_AND, 1, 2)
    carry = builder.gate(TT_OR, both, builder.gate(TT_AND, half, 3))
    same = builder.gate(TT_AND, carry, builder.gate(TT_OR, carry, both))
    net = builder.build([2 * total, 2 * same])
    write_aiger(net, folder / "full.aig")
    write_blif(net, folder / "full2.blif")


def test_a_missing_folder_is_a_reason(epfl, monkeypatch, tmp_path):
    monkeypatch.delenv("GATE2HW_EPFL", raising=False)
    assert "name the folder of circuits" in run(epfl, monkeypatch, "--quick")
    assert "no such folder" in run(epfl, monkeypatch, "--circuits", tmp_path / "none")
    assert "holds no circuit" in run(epfl, monkeypatch, "--circuits", tmp_path)


def test_two_small_circuits(epfl, monkeypatch, tmp_path, capsys):
    write_samples(tmp_path)
    out = tmp_path / "r.json"
    assert run(epfl, monkeypatch, "--circuits", tmp_path, "--quick", "--json", out) == 0
    assert "2 circuits: read as ABC reads them, proved, none larger" in capsys.readouterr().out
    result = json.loads(out.read_text())
    for row in result["rows"]:
        assert row["reading"] == row["aiger"]["proof"] == row["gates"]["proof"] == "equivalent"
        assert row["aiger"]["ands"] <= row["strash"]["ands"]
        # 5 gates are the least for a full adder
        assert row["gates"]["gates"] == 5
        assert all(peer["gates"] >= 5 for peer in row["peers_gates"].values())


def test_a_circuit_that_cannot_be_read_is_named(epfl, monkeypatch, tmp_path, capsys):
    write_samples(tmp_path)
    (tmp_path / "bad.v").write_text("module m(input a); always @(a);\n")
    out = tmp_path / "r.json"
    assert run(epfl, monkeypatch, "--circuits", tmp_path, "--quick", "--json", out) == 1
    assert "no structural combinational Verilog" in capsys.readouterr().out
    assert len(json.loads(out.read_text())["faults"]) == 1


def test_no_proof_is_a_fault(epfl, monkeypatch, tmp_path, capsys):
    write_samples(tmp_path)

    def unproved(*args, **kwargs):
        raise CheckFailedError("no proof that the optimised netlist equals its source")

    monkeypatch.setattr(epfl, "opt", unproved)
    assert run(epfl, monkeypatch, "--circuits", tmp_path, "--quick") == 1
    assert "full: mode aiger: no proof that" in capsys.readouterr().out


def test_faults(epfl):
    def row(**changes):
        good = {"ands": 9, "depth": 3, "proof": "equivalent"}
        base = {"circuit": "c", "reading": "equivalent", "strash": {"ands": 10, "depth": 3}}
        base["level"] = 3
        return {**base, "aiger": good, "gates": {**good, "gates": 9}, **changes}

    assert not list(epfl.faults(row()))
    more = {"gates": 10, "proof": "equivalent"}
    assert not list(epfl.faults(row(level=2, gates=more)))
    assert list(epfl.faults({"circuit": "c", "missing": "gone"})) == ["gone"]
    for changes, said in (
        ({"reading": "different"}, "against ABC's: different"),
        ({"aiger": {"ands": 11, "proof": "equivalent"}}, "mode aiger: 11 ands of 10 ANDs"),
        ({"gates": {**more, "gates": 11}, "level": 2}, "mode gates: 11 gates of 10 ANDs"),
        ({"gates": more}, "mode gates: 10 gates, mode aiger has 9 ANDs"),
        ({"aiger": {"ands": 9, "proof": "undecided"}}, "mode aiger: undecided"),
        ({"gates": {"missing": "no time"}}, "mode gates: no time"),
    ):
        (fault,) = epfl.faults(row(**changes))
        assert said in fault


@pytest.mark.slow
@pytest.mark.skipif(not SUITE, reason="GATE2HW_EPFL does not name the folder of EPFL circuits")
def test_the_small_circuits_of_the_suite(epfl, monkeypatch, tmp_path):
    out = tmp_path / "r.json"
    assert run(epfl, monkeypatch, "--circuits", SUITE, "--quick", "--json", out) == 0
    assert len(json.loads(out.read_text())["rows"]) >= 3
