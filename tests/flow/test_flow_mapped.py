"""A mapped netlist simulated, and its power counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.flow.asic.mapped import LANES, Simulation, load_mapped
from gate2hw.flow.asic.power import Activity, energies, power_of
from gate2hw.tools.liberty import Library, read_liberty

TINY = Path(__file__).parents[1] / "data" / "tiny.lib"
ONES = np.uint64(2**64 - 1)
PORTS = {
    "clk": {"direction": "input", "bits": [2]},
    "a": {"direction": "input", "bits": [3, 4]},
    "y": {"direction": "output", "bits": [6]},
}


def cell(kind: str, block: str, **pins: int | str) -> dict[str, Any]:
    connections = {pin: [bit] for pin, bit in pins.items()}
    return {"type": kind, "connections": connections, "attributes": {"block": block}}


CELLS = {
    "g": cell("NAND2", "gates", A=3, B=4, Y=5),
    "r": cell("DFF", "pipeline", CK=2, D=5, Q=6),
}


def write(path: Path, cells: dict[str, Any], ports: dict[str, Any] | None = None) -> Path:
    library = {"INV": {"attributes": {"blackbox": "1"}, "ports": {}, "cells": {}}}
    top = {"attributes": {"top": "1"}, "ports": ports or PORTS, "cells": cells}
    path.write_text(json.dumps({"modules": {**library, "top": top}}))
    return path


@pytest.fixture(scope="module")
def tiny() -> Library:
    return read_liberty(TINY)


def test_gates_and_a_flip_flop(tmp_path: Path, tiny: Library) -> None:
    net = load_mapped(write(tmp_path / "n.json", CELLS), tiny)
    assert (net.n_cells, net.blocks) == (2, ("gates", "pipeline"))
    sim = Simulation(net)
    rng = np.random.default_rng(0)
    before = np.zeros(1, np.uint64)
    for _ in range(5):
        a = rng.integers(0, 2**63, 2, dtype=np.uint64)
        sim.set("a", a)
        sim.settle()
        assert (sim.get("y") == before).all()
        sim.clock()
        before = ~(a[:1] & a[1:])


def test_every_gate_of_the_library(tmp_path: Path, tiny: Library) -> None:
    gates = [c for c in tiny.cells.values() if c.is_logic and c.inputs]
    ports = {
        "clk": {"direction": "input", "bits": [2]},
        "a": {"direction": "input", "bits": [3, 4, 5]},
    }
    cells, bit = {}, 6
    for number, gate in enumerate(gates):
        pins = dict(zip(gate.inputs, (3, 4, 5), strict=False))
        for pin in gate.outputs:
            pins[pin] = bit
            ports[f"{gate.name}_{pin}"] = {"direction": "output", "bits": [bit]}
            bit += 1
        cells[f"c{number}"] = cell(gate.name, "gates", **pins)
    sim = Simulation(load_mapped(write(tmp_path / "n.json", cells, ports), tiny))
    address = np.arange(8)
    words = [np.uint64((((address >> i) & 1) << address).sum()) for i in range(3)]
    sim.set("a", np.array(words))
    sim.settle()
    for gate in gates:
        for pin in gate.outputs:
            size = 1 << len(gate.inputs)
            table = int(sim.get(f"{gate.name}_{pin}")[0]) & ((1 << size) - 1)
            assert table == gate.function(pin).table(gate.inputs), gate.name


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"g": cell("MYSTERY", "gates", A=3)}, "g is a MYSTERY, no cell of"),
        ({"g": cell("NAND2", "gates", A=3, B=6, Y=6)}, "combinational loop"),
        ({"g": cell("NAND2", "gates", A=3, B=9, Y=6)}, "without driver"),
        ({"r": cell("DFF", "gates", CK=3, D=4, Q=6)}, "not clocked by the rising edge of clk"),
    ],
)
def test_what_cannot_be_simulated(
    cells: dict[str, Any], message: str, tmp_path: Path, tiny: Library
) -> None:
    with pytest.raises(InputError, match=message):
        Simulation(load_mapped(write(tmp_path / "n.json", cells), tiny))


def test_asynchronous_clear_is_refused(tmp_path: Path) -> None:
    text = TINY.read_text().replace('clocked_on : "CK";', 'clocked_on : "CK"; clear : "!D";')
    (tmp_path / "clear.lib").write_text(text)
    library = read_liberty(tmp_path / "clear.lib")
    with pytest.raises(InputError, match="asynchronous set or clear"):
        Simulation(load_mapped(write(tmp_path / "n.json", CELLS), library))


def test_a_damaged_netlist(tmp_path: Path, tiny: Library) -> None:
    path = tmp_path / "n.json"
    for text in ("", "{}", '{"modules": {}}', "[1]"):
        path.write_text(text)
        with pytest.raises(InputError, match="is not a flat mapped netlist"):
            load_mapped(path, tiny)


def toggling(tiny: Library, path: Path) -> tuple[Any, Activity]:
    """Ten cycles in which each lane's a[0] rises 3 times and falls 2 times, the gate's output
    falls 3 and rises 2 times, and the flip-flop's rises once."""
    net = load_mapped(write(path, CELLS), tiny)
    by_name = {group.cell.name: group for group in net.groups}
    n1, y = by_name["NAND2"].nets["Y"][0], by_name["DFF"].nets["Q"][0]
    rises, falls = np.zeros(net.n_nets, np.int64), np.zeros(net.n_nets, np.int64)
    a0 = net.inputs["a"][0]
    rises[[a0, n1, y]] = np.array([3, 2, 1]) * LANES
    falls[[a0, n1, y]] = np.array([2, 3, 0]) * LANES
    return net, Activity(rises, falls, n_cycles=10, n_images=5 * LANES)


def test_energies_by_hand(tmp_path: Path, tiny: Library) -> None:
    net, activity = toggling(tiny, tmp_path / "n.json")
    found = energies(net, tiny, activity)
    # V = 2: C V^2 / 2 of 2 fF is 4 fJ; y loads a port of four BUF inputs, 8 fF
    fj = {
        "ports": {"switching": 5 * 4.0, "internal": 0.0, "clock": 0.0},
        "gates": {"switching": 5 * 4.0, "internal": 2 * 4.0 + 3 * 2.0, "clock": 0.0},
        # a cycle of the clock: 1 fJ up, 3 fJ down, and C V^2 of 4 fF
        "pipeline": {"switching": 16.0, "internal": 7.0, "clock": 10 * (1 + 3 + 16.0)},
    }
    for block, kinds in fj.items():
        for kind, value in kinds.items():
            assert found[block][kind] == pytest.approx(value * 1e-3 * LANES), (block, kind)


def test_energies_of_several_supplies_add_up(tmp_path: Path, tiny: Library) -> None:
    net, activity = toggling(tiny, tmp_path / "n.json")
    (group,) = (group for group in net.groups if group.cell.name == "NAND2")
    pin = group.cell.pins["Y"]
    first, second = pin.energies
    split = replace(pin, energies=(first, replace(second, supply="VSS")))
    cell = replace(group.cell, pins={**group.cell.pins, "Y": split})
    groups = tuple(replace(g, cell=cell) if g is group else g for g in net.groups)
    found = energies(replace(net, groups=groups), tiny, activity)
    # 4 and 2 fJ for each of two inputs: no longer their mean
    assert found["gates"]["internal"] == pytest.approx(2 * (2 * 4.0 + 3 * 2.0) * 1e-3 * LANES)


def test_power_by_hand(tmp_path: Path, tiny: Library) -> None:
    net, activity = toggling(tiny, tmp_path / "n.json")
    found = power_of(net, tiny, activity, clock_mhz=100.0)
    total_fj = 20 + 20 + 14 + 16 + 7 + 200
    assert found["energy_nj_per_image"] == pytest.approx(total_fj * 1e-6 / 5)
    # fJ in ten cycles of 10 ns
    assert found["dynamic_mw"] == pytest.approx(total_fj * 1e-15 / 100e-9 * 1e3)
    assert found["leakage_mw"] == pytest.approx((20 + 80) * 1e-9)
    parts = [sum(row.values()) for row in found["blocks"].values()]
    assert sum(parts) == pytest.approx(found["dynamic_mw"] + found["leakage_mw"])
    assert found["toggles_per_net_and_cycle"] == pytest.approx(11 / (10 * net.n_nets))


def test_leakage_that_is_not_known(tmp_path: Path, tiny: Library) -> None:
    net, activity = toggling(tiny, tmp_path / "n.json")
    silent = [
        replace(group, cell=replace(group.cell, leakage_mw=None))
        if group.cell.name == "DFF"
        else group
        for group in net.groups
    ]
    found = power_of(replace(net, groups=tuple(silent)), tiny, activity, 100.0)
    assert found["leakage_mw"] is None
    assert "DFF" in found["leakage_reason"]
