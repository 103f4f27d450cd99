"""The gate cloud as cells of a target: same ports, same latency, and only from a true mapping."""

from __future__ import annotations

import numpy as np
import pytest
from rtl_nets import random_net

from gate2hw.errors import InputError
from gate2hw.ir.lutnetlist import from_netlist
from gate2hw.ir.netlist import Head
from gate2hw.rtl.cells import check_luts, emit_cells
from gate2hw.rtl.emit import emit_rtl
from gate2hw.rtl.manifest import Manifest
from gate2hw.rtl.options import RtlOptions


@pytest.fixture(scope="module")
def net():
    return random_net(np.random.default_rng(1))


def ports(text: str) -> list[str]:
    return text[text.index("module ") : text.index(");")].splitlines()


@pytest.mark.parametrize("levels", [(), (1, 3)])
@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_cells_have_the_ports_of_the_gates(net, levels, family, tmp_path):
    options = RtlOptions(name="eye", gate_registers=levels)
    manifest = emit_rtl(net, tmp_path, options, version="9.8.7")
    path = tmp_path / "cells.v"
    count = emit_cells(net, from_netlist(net), path, manifest, family=family, version="9.8.7")
    text = path.read_text()
    assert ports(text) == ports((tmp_path / "eye_gates.v").read_text())
    assert count.luts == net.n_gates + count.complements
    assert (count.registers > 0) == bool(levels)
    header = text[: text.index("module ")]
    for part in ("eye_gates", "gate2hw 9.8.7", net.digest, net.content_digest()):
        assert part in header
    assert f"latency {len(levels)} clock cycles" in header


@pytest.mark.parametrize("care", ["none", "thermometer"])
def test_headers_say_what_holds_for_other_codes(net, care, tmp_path):
    manifest = emit_rtl(net, tmp_path, RtlOptions(care=care), version="0")
    emit_cells(net, from_netlist(net), tmp_path / "c.v", manifest, family="ice40", version="0")
    assert Manifest.load(tmp_path / "manifest.json").care == care
    assert manifest.options().care == care
    for name in ("lgn_gates.v", "lgn_core.v", "c.v"):
        text = (tmp_path / name).read_text()
        assert ("unspecified" in text[: text.index("module ")]) == (care == "thermometer")


def test_an_unknown_care_set_is_refused():
    with pytest.raises(InputError, match="did you mean 'thermometer'"):
        RtlOptions(care="thermometre")  # type: ignore[arg-type]


def test_what_is_no_mapping_of_the_netlist_is_refused(net, tmp_path):
    luts = from_netlist(net)
    check_luts(net, luts)
    gate = int(net.outputs[-1] >> 1) - net.first_gate
    init = luts.init.copy()
    init[gate] ^= np.uint64(0xF)
    head = Head(net.head.group_ptr, net.head.weight, net.head.bias + 1)
    manifest = emit_rtl(net, tmp_path, RtlOptions(), version="0")
    for wrong in (
        luts.with_(init=init),
        luts.with_(head=head),
        luts.with_(encoder=None),
        luts.with_(outputs=luts.outputs[::-1]),
    ):
        with pytest.raises(InputError, match="not a mapping of the netlist; compile again"):
            check_luts(net, wrong)
        with pytest.raises(InputError, match="not a mapping"):
            emit_cells(net, wrong, tmp_path / "c.v", manifest, family="ice40", version="0")
    assert not (tmp_path / "c.v").exists()
