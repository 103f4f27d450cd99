"""The slowest path in the model's words, from names as nextpnr gives them."""

from __future__ import annotations

from typing import Any

import numpy as np

from gate2hw.flow.clock.critical import CORE, Words, critical, fan_out
from gate2hw.ir.lutnetlist import from_netlist
from gate2hw.ir.netlist import SiteLayer, Sites
from gate2hw.ir.text import parse_netlist
from gate2hw.tools.fanout import FanOut

TEXT = """\
netlist inputs=3
4 = AND 1 2
5 = XOR 4 3
output 5
"""


def step(to: str, delay_ns: float, kind: str = "logic") -> dict[str, Any]:
    return {"type": kind, "delay_ns": delay_ns, "from": "", "to": to, "net": None}


def luts():
    sites = Sites((SiteLayer("dense1", 1, 40), SiteLayer("dense2", 1, 40)))
    return from_netlist(parse_netlist(TEXT).with_(sites=sites, origin=np.array([17, 43])))


def words() -> Words:
    return Words({CORE: luts()})


def test_gates_are_named_by_layer_and_neuron() -> None:
    path = [
        step("receiver.bit_0_3_1_SB_DFFE_Q_LC.O", 0.5, "clk-to-q"),
        step("core.gates.l4_LC.I0", 1.5, "routing"),
        step("core.gates.l4_LC.O", 0.4),
        step("core.gates.l5_n_LC.I1", 1.5, "routing"),
        step("core.popcount_3.l51_LC.I2", 0.5, "setup"),
    ]
    found = critical(path, words())
    assert found["block"] == "gates"
    assert found["blocks"] == {"encoder": 0.5, "gates": 3.4, "popcount": 0.5}
    assert found["places"] == [
        "stored bit: feature 1 > 3",
        "dense1, kernel 17, gate 0 (LUT 4)",
        "dense2, kernel 3, gate 0 (LUT 5)",
        "popcount of class 3 (LUT 51)",
    ]
    assert critical(path, Words())["places"][1] == "core.gates.l4_LC"


def test_the_register_of_an_output_is_named_by_what_it_drives() -> None:
    first = step("core.gates_reg_TRELLIS_FF_Q_411.Q", 0.5, "clk-to-q")
    path = [first, {**step("core.popcount_0.l7.A", 1.0), "net": "core.gates_reg[0]"}]
    said = ["dense2, kernel 3, gate 0 (LUT 5)", "popcount of class 0 (LUT 7)"]
    assert critical(path, words())["places"] == said
    path[1]["net"] = "core.gates_reg[9]"
    assert critical(path, words())["places"][0] == "core.gates_reg_TRELLIS_FF_Q_411"


def test_inputs_unknown_origins_and_far_numbers() -> None:
    net = luts().with_(origin=np.array([-1, 43]))
    path = [step(f"core.gates.{cell}.D", 1.0) for cell in ("f2_r1", "l4", "l99")]
    assert critical(path, Words({CORE: net}))["places"] == [
        "input 1",
        "LUT 4 of the gates",
        "LUT 99 of the gates",
    ]


def test_blocks_by_the_instance() -> None:
    cells = {
        "core.argmax.second_1_0_SB_LUT4_O_LC": "compare",
        "core.argmax.index_1_0_SB_LUT4_O": "select",
        "core.gates_reg_TRELLIS_FF_Q_155": "pipeline",
        "receiver.count_SB_DFFESR_Q": "encoder",
        "sender.waiting_SB_DFFSR_Q": "stream",
        "frame_error_SB_DFF_Q": "top",
    }
    for cell, block in cells.items():
        assert critical([step(f"{cell}.D", 1.0)], Words())["block"] == block
        assert critical([step(f"{cell}.CEN", 1.0)], Words())["block"] == "enable"
        assert critical([step(f"{cell}.CE", 1.0)], Words())["block"] == "enable"


def test_layers_of_a_streaming_design() -> None:
    stream = Words({"conv_1": luts()})
    cells = {
        "conv_1.gates_3.l4_LC": ("conv_1", "dense1, kernel 17, gate 0 (LUT 4)"),
        "conv_1.lines.mem.0.5_RAM": ("conv_1", "conv_1.lines.mem.0.5_RAM"),
        "pool_2.left_SB_DFFE_Q_3": ("pool_2", "pool_2.left_SB_DFFE_Q_3"),
        "pixels.count_SB_DFFESR_Q": ("encoder", "pixels.count_SB_DFFESR_Q"),
        "head.whole_SB_DFF_Q": ("collector", "head.whole_SB_DFF_Q"),
        "head.popcount_7.score_7_SB_LUT4_O": ("popcount", "popcount of class 7"),
        "ranking.argmax.second_2_1_SB_LUT4_O": ("compare", "argmax, level 2, pair 1"),
        "core.gates.l4_LC": ("gates", "core.gates.l4_LC"),
        "good$46_SB_DFFESR_Q": ("top", "good$46_SB_DFFESR_Q"),
    }
    for cell, (block, place) in cells.items():
        found = critical([step(f"{cell}.I0", 1.0)], stream)
        assert (found["block"], found["places"]) == (block, [place])


def test_input_bits_are_named_by_feature() -> None:
    cells = {("0_30_12", 1): 12, ("2_30_12", 4): 50}
    for (name, lanes), feature in cells.items():
        path = [step(f"receiver.bit_{name}_SB_DFFE_Q.D", 1.0)]
        said = critical(path, Words(features_per_slot=lanes))["places"]
        assert said == [f"stored bit: feature {feature} > 30"]


def test_fan_outs_take_the_name_that_says_most() -> None:
    found = [
        FanOut(("advance", "core.ce", "core.popcount_0.ce"), 90),
        FanOut(("bits[3]", "core.bits[3]", "receiver.bit_0_9_4"), 20),
        FanOut(("core.gates.n5_r1",), 7),
        FanOut(("receiver.above_0_10_reg",), 6),
    ]
    entries = fan_out(found, words())
    assert [(entry["place"], entry["n_sinks"]) for entry in entries] == [
        ("advance", 90),
        ("stored bit: feature 4 > 9", 20),
        ("dense2, kernel 3, gate 0 (LUT 5)", 7),
        ("encoder: value > 10", 6),
    ]
    assert [entry["net"] for entry in entries][1] == "bits[3]"


def test_no_path() -> None:
    assert critical([], Words()) == {"block": "unknown", "blocks": {}, "places": []}
