# amaranth: UnusedElaboratable=no
"""Streaming designs in simulation: the top bench judges them, and finds planted faults."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from stream_nets import conv, dense, emitted, random_network, simulated, thermometer

from gate2hw.errors import InputError, ToolMissingError
from gate2hw.ir.layers import GroupSum, OrPool
from gate2hw.ir.network import chain
from gate2hw.rtl import stream_top
from gate2hw.rtl.stream_spec import PoolSpec, WindowGeometry
from gate2hw.tools.resources import data_dir
from gate2hw.tools.simulators import lint


def padded_network(seed=3, *, tail=True):
    """Padding, a pool, two blocks; dense layers behind, or sums over the map."""
    rng = np.random.default_rng(seed)
    first = thermometer(rng, (1, 6, 6), 2)
    one = conv(rng, first.output_shape, (3, 3), padding=(1, 1), kernels=6)
    pool = OrPool(one.output_shape, (2, 2), (2, 2))
    two = conv(rng, pool.output_shape, (2, 2), padding=(1, 0), kernels=8)
    layers = [first, one, pool, two]
    if tail:
        layers.append(dense(rng, two.output_shape, 24))
    shape = layers[-1].output_shape
    layers.append(GroupSum(shape, np.linspace(0, int(np.prod(shape)), 4).astype(np.int64)))
    return chain([(f"l{number}", layer) for number, layer in enumerate(layers)])


def test_same_bytes_twice_and_lint_clean(tmp_path):
    network = padded_network()
    manifests = [emitted(network, tmp_path / part)[0] for part in ("a", "b")]
    assert manifests[0] == manifests[1]
    files = [tmp_path / "a" / name for name in manifests[0].files]
    assert manifests[0].arch == "stream"
    waivers = data_dir("rtl_templates") / "verilator.vlt"
    try:
        warnings = lint(files, top=manifests[0].modules["top"], timeout_s=60, waiver_path=waivers)
    except ToolMissingError as error:
        pytest.skip(str(error))
    assert warnings == []


def test_memory_bits_are_those_of_the_verilog(tmp_path):
    rng = np.random.default_rng(5)
    first = thermometer(rng, (3, 4, 12), 2)
    one = conv(rng, first.output_shape, (3, 3), padding=(1, 1), depth=4, kernels=20)
    pool = OrPool(one.output_shape, (2, 2), (2, 2))
    groups = GroupSum(pool.output_shape, np.array([0, 60, 240]))
    network = chain([("in", first), ("conv", one), ("pool", pool), ("sum", groups)])
    manifest, found = emitted(network, tmp_path)
    text = (tmp_path / f"{manifest.modules['top']}.v").read_text(encoding="utf-8")
    sizes = re.findall(r"^ +lgn_delay_(\d+)x(\d+) \S+ \($", text, re.MULTILINE)
    assert len(sizes) > len(set(sizes)) > 1
    assert sum(int(width) * int(length) for width, length in sizes) == found.memory_bits
    assert re.search(r"^// s_axis_tdata +8 in$", text, re.MULTILINE)
    assert "144 features of 1 bytes, values 0..255" in text
    # a waveform names the registers of the control
    assert "$signal" not in text


def test_what_is_too_wide_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(stream_top, "MAX_BITS", 3)
    with pytest.raises(InputError, match=r"conv_1 moves \d+ bits a clock"):
        emitted(padded_network(), tmp_path, lanes=2, bus_bytes=2)


def test_lanes_must_divide_rows_and_beats(tmp_path):
    with pytest.raises(InputError, match="positions a clock"):
        emitted(padded_network(), tmp_path, lanes=4, bus_bytes=4)
    with pytest.raises(InputError, match="positions a clock"):
        emitted(padded_network(), tmp_path, lanes=2, bus_bytes=1)


def judged(network, out, **options):
    manifest, _ = emitted(network, out, **options)
    return simulated(network, out, manifest)


def test_padded_network_with_dense_layers(tmp_path):
    network = padded_network()
    manifest, _ = emitted(network, tmp_path)
    result = simulated(network, tmp_path, manifest, n_random=8)
    assert result["passed"], result["violations"]
    assert result["latency_cycles"] == result["latency_cycles_expected"]
    assert result["interval_cycles"] == result["interval_cycles_expected"]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "lanes", "bus"), [(17, 1, 1), (11, 1, 4), (11, 2, 2), (8, 2, 4)])
def test_random_networks(seed, lanes, bus, tmp_path):
    network = random_network(np.random.default_rng(seed), lanes)
    result = judged(network, tmp_path, lanes=lanes, bus_bytes=bus)
    assert result["passed"], result["violations"]
    for what in ("latency_cycles", "interval_cycles"):
        assert result[what] == result[f"{what}_expected"]


def _early_window(monkeypatch):
    """Windows that stand one row too high: an off-by-one at the padding."""
    plain = WindowGeometry.of

    def early(spec, lanes):
        geometry = plain(spec, lanes)
        if spec.padding == (1, 1):
            geometry = replace(geometry, first_row=geometry.first_row - 1)
        return geometry

    monkeypatch.setattr(WindowGeometry, "of", staticmethod(early))


def _no_zeros(monkeypatch):
    """A scan that takes pixels where zeros should pad the rows."""
    monkeypatch.setattr(
        "gate2hw.rtl.window.Window._entering",
        lambda self, m, take, last: {
            (c, lane): self.in_data[lane * self.spec.n_channels + c]
            for c in range(self.spec.n_channels)
            for lane in range(self.geometry.lanes)
        },
    )


def _always_good(monkeypatch):
    """Malformed frames that are not dropped."""
    plain = stream_top.Verdicts.elaborate

    def elaborate(self, platform):
        m = plain(self, platform)
        m.d.comb += self.good.eq(1)
        return m

    monkeypatch.setattr(stream_top.Verdicts, "elaborate", elaborate)


def _pool_phase(spec):
    stages = [
        replace(stage, padding=(1, 0)) if isinstance(stage, PoolSpec) else stage
        for stage in spec.stages
    ]
    return replace(spec, stages=tuple(stages))


def _threshold(spec):
    bits = ((spec.input.bits[0][0], 254), *spec.input.bits[1:])
    return replace(spec, input=replace(spec.input, bits=bits))


@pytest.mark.slow
@pytest.mark.parametrize("fault", [_early_window, _no_zeros, _always_good])
def test_bench_sees_a_fault_in_a_part(fault, monkeypatch, tmp_path):
    fault(monkeypatch)
    assert not judged(padded_network(), tmp_path)["passed"]


@pytest.mark.slow
@pytest.mark.parametrize("change", [_pool_phase, _threshold])
def test_bench_sees_a_fault_in_the_design(change, tmp_path):
    assert not judged(padded_network(tail=False), tmp_path, change=change)["passed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "find", "replacement"),
    [
        ("delay", r"mem\[after\]", "mem[place]"),
        ("head", r"head_total_0|total_0 <=", "total_0 <= ~"),
    ],
)
def test_bench_sees_a_fault_in_the_text(module, find, replacement, tmp_path):
    network = wide_network()
    manifest, _ = emitted(network, tmp_path)
    names = [name for name in manifest.files if module in name] or [manifest.modules["top"] + ".v"]
    path = tmp_path / names[0]
    text = path.read_text(encoding="utf-8")
    changed = re.sub(find, replacement, text, count=1)
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    assert not simulated(network, tmp_path, manifest)["passed"]


def wide_network():
    """Lines long enough for a memory, sums over the map."""
    rng = np.random.default_rng(5)
    first = thermometer(rng, (1, 4, 12), 3)
    one = conv(rng, first.output_shape, (3, 3), depth=4, kernels=6)
    groups = GroupSum(one.output_shape, np.array([0, 60, one.output_shape[0] * 20]))
    return chain([("in", first), ("conv", one), ("sum", groups)])
