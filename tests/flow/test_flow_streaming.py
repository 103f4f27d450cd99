"""Streaming designs: their trees at all positions are the network; build folders and commands."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gate2hw
from gate2hw.errors import CheckFailedError, InputError, ModelFileError
from gate2hw.flow.build import BuildFolder
from gate2hw.flow.signoff.checks import load_chain
from gate2hw.flow.stream.stream_build import compile_stream, load_spec, prove_stream
from gate2hw.flow.stream.stream_choice import check_arch, choose_arch
from gate2hw.flow.stream.streaming import composed, stream_spec
from gate2hw.ir.evaluate import evaluate
from gate2hw.ir.layers import GroupSum, LogicConv, OrPool
from gate2hw.ir.network import chain
from gate2hw.ir.simulate import random_features, scores
from gate2hw.ir.store import load_network
from gate2hw.ir.unroll import unroll
from gate2hw.rtl import Manifest, RtlOptions
from gate2hw.rtl.stream_spec import WindowSpec

sys.path.insert(0, str(Path(__file__).parents[1] / "rtl"))
from stream_nets import conv, dense, random_network, thermometer


def same_scores(network, found, *, relative=False, n=200):
    x = random_features(found.encoder, n, np.random.default_rng(7))
    x[0], x[1] = 0, found.encoder.max_value
    expected, got = evaluate(network, x), scores(found, x)
    if relative:
        expected, got = expected - expected[:, :1], got - got[:, :1]
    return bool((expected == got).all())


@pytest.mark.parametrize("seed", range(24))
def test_trees_at_all_positions_are_the_network(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    output = ("class", "scores")[seed % 2]
    care = ("none", "thermometer")[seed // 2 % 2]
    spec = stream_spec(network, level=1 + seed % 2, care=care, output=output).spec
    assert same_scores(network, composed(network, spec), relative=output == "class")


def test_wrong_tap_is_seen():
    network = random_network(np.random.default_rng(1))
    spec = stream_spec(network, level=1, care="none", output="scores").spec
    number = next(n for n, stage in enumerate(spec.stages) if isinstance(stage, WindowSpec))
    stage = spec.stages[number]
    taps = np.roll(stage.taps, 1, axis=0)
    stages = list(spec.stages)
    stages[number] = replace(stage, taps=taps)
    assert not same_scores(network, composed(network, replace(spec, stages=tuple(stages))))


def constant_network():
    """Channels that are 1, 0, equal and complements, read in the padding too."""
    rng = np.random.default_rng(2)
    first = thermometer(rng, (1, 5, 5), 1)
    one = conv(rng, first.output_shape, (2, 2), depth=1, kernels=5)
    tables = np.array([[15], [0], [8], [8], [7]], np.uint64)
    leaves = one.leaves.copy()
    leaves[2:] = [[0, 0, 0], [0, 1, 1]]
    one = LogicConv(one.input_shape, leaves, (tables,), one.field)
    pool = OrPool(one.output_shape, (2, 2), (2, 2), (1, 1))
    two = conv(rng, pool.output_shape, (2, 2), padding=(1, 1), depth=3, kernels=6)
    groups = GroupSum(two.output_shape, np.array([0, 30, int(np.prod(two.output_shape))]))
    layers = [first, one, pool, two, groups]
    return chain([(f"l{number}", layer) for number, layer in enumerate(layers)])


def test_constant_and_equal_channels():
    network = constant_network()
    for level in (0, 1, 3):
        spec = stream_spec(network, level=level, care="none", output="scores").spec
        assert same_scores(network, composed(network, spec))


def test_sites_name_the_neurons():
    network = constant_network()
    spec = stream_spec(network, level=1, care="none", output="scores").spec
    net = composed(network, spec)
    sites = [net.site_of(gate) for gate in range(net.n_gates)]
    assert {site.layer for site in sites if site is not None} <= {"l1", "l2", "l3"}
    assert any(site is not None and site.layer == "l3" and site.row > 0 for site in sites)


def test_without_convolution_there_is_nothing_to_stream():
    rng = np.random.default_rng(0)
    first = thermometer(rng, (1, 4, 4), 1)
    layer = dense(rng, first.output_shape, 8)
    network = chain([("in", first), ("d", layer), ("s", GroupSum((8,), np.array([0, 4, 8])))])
    with pytest.raises(InputError, match="no convolution"):
        stream_spec(network, level=1, care="none", output="scores")
    assert choose_arch("auto", network, unroll(network), "ice40-up5k")[0] == "unrolled"


def test_auto_streams_what_the_target_cannot_hold():
    rng = np.random.default_rng(0)
    first = thermometer(rng, (1, 28, 28), 1)
    layer = conv(rng, first.output_shape, (3, 3), depth=3, kernels=8)
    groups = GroupSum(layer.output_shape, np.array([0, 676 * 4, 676 * 8]))
    network = chain([("in", first), ("c", layer), ("s", groups)])
    root = unroll(network)
    assert choose_arch("auto", network, root, "ice40-up5k")[0] == "stream"
    assert choose_arch("auto", network, root, "ecp5-85k")[0] == "unrolled"
    assert choose_arch("unrolled", network, root, "ice40-up5k")[0] == "unrolled"
    for wrong, reason in [(("streams", 1, None), "arch"), (("auto", 1, "ice40"), "target")]:
        with pytest.raises(InputError, match=reason):
            check_arch(network, *wrong, lossy=False)
    with pytest.raises(InputError, match="budget"):
        check_arch(network, "stream", 1, None, lossy=True)


def three_columns():
    """A pool that steps 3 columns, which do not go with 4 a clock."""
    rng = np.random.default_rng(0)
    first = thermometer(rng, (1, 6, 12), 1)
    one = conv(rng, first.output_shape, (1, 1))
    pool = OrPool(one.output_shape, (3, 3), (3, 3))
    groups = GroupSum(pool.output_shape, np.array([0, 16, 32]))
    return chain([(f"l{number}", layer) for number, layer in enumerate([first, one, pool, groups])])


OPTIONS = {
    "opt_level": 2,
    "care": "thermometer",
    "output": "scores",
    "positions_per_clock": 1,
    "name": "lgn",
}


def test_design_is_stored_and_loaded(tmp_path):
    network = random_network(np.random.default_rng(9))
    built = compile_stream(tmp_path, network, unroll(network), OPTIONS, RtlOptions(output="scores"))
    again = composed(network, load_spec(tmp_path))
    assert again.content_digest() == built.net.content_digest()
    assert Manifest.load(tmp_path / "rtl" / "manifest.json") == built.manifest
    assert built.manifest.arch == "stream"
    (tmp_path / "stream" / "spec.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelFileError, match="compile the model again"):
        load_spec(tmp_path)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """Build folder of a padded convolution, pool and dense layer as a streaming design."""
    rng = np.random.default_rng(4)
    first = thermometer(rng, (1, 8, 8), 2)
    one = conv(rng, first.output_shape, (3, 3), padding=(1, 1), kernels=12)
    pool = OrPool(one.output_shape, (2, 2), (2, 2))
    last = dense(rng, pool.output_shape, 60)
    layers = [first, one, pool, last, GroupSum((60,), np.array([0, 20, 40, 60]))]
    network = chain([(f"l{number}", layer) for number, layer in enumerate(layers)])
    out = tmp_path_factory.mktemp("stream") / "small"
    gate2hw.compile(network, out, name="tiny", output="scores", opt_level=2, arch="stream")
    return out


def test_compile_says_what_it_will_take(streamed):
    result = BuildFolder(streamed).result("compile")
    manifest = Manifest.load(streamed / "rtl" / "manifest.json")
    assert result["arch"] == {"name": "stream", "reason": "asked for"}
    assert result["plan"]["interval_cycles"] == manifest.interval_cycles >= 64
    assert result["plan"]["latency_cycles"] == manifest.top_latency_cycles
    assert result["gates"]["optimised"] < result["gates"]["unique"]
    assert result["luts4"]["luts"] > 0
    network = load_network(streamed / "model.safetensors")
    assert same_scores(network, composed(network, load_spec(streamed)))


def test_budget_and_lanes_need_their_architecture(small_model, tmp_path):
    with pytest.raises(InputError, match="--arch stream"):
        gate2hw.compile(small_model, tmp_path / "a", positions_per_clock=2)
    with pytest.raises(InputError, match="positions-per-clock"):
        gate2hw.compile(small_model, tmp_path / "b", arch="stream", positions_per_clock=3)


def test_what_auto_cannot_do_leaves_an_earlier_build_alone(streamed, tmp_path, monkeypatch):
    network = load_network(streamed / "model.safetensors")
    out = tmp_path / "build"
    gate2hw.compile(network, out, opt_level=1)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    monkeypatch.setattr("gate2hw.flow.stream.stream_choice.AUTO_LUTS", 10)
    with pytest.raises(InputError, match="positions a clock do not go with"):
        gate2hw.compile(network, out, opt_level=1, arch="auto", positions_per_clock=3)
    with pytest.raises(InputError, match=r"layer 'l2' steps 3 columns.*positions-per-clock"):
        check_arch(three_columns(), "stream", 4, None, lossy=False, bus_bytes=4)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_proofs_of_a_streaming_design(streamed, tmp_path):
    chain_ = load_chain(BuildFolder(streamed))
    entries = prove_stream(chain_, tmp_path, lambda *_: None)
    assert {entry["result"] for entry in entries} == {"equivalent"}
    assert entries[-1]["name"] == "trees at all positions"


def test_proofs_see_another_tree(streamed, tmp_path):
    chain_ = load_chain(BuildFolder(streamed))
    path = next((streamed / "rtl").glob("tiny_conv_*_gates.v"))
    text = path.read_text(encoding="utf-8")
    changed = text.replace("assign y[0] = ", "assign y[0] = ~", 1)
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    try:
        with pytest.raises(CheckFailedError, match="differs from"):
            prove_stream(chain_, tmp_path, lambda *_: None)
    finally:
        path.write_text(text, encoding="utf-8")


def overlapping():
    """A pool whose windows overlap: gates that no pass made."""
    rng = np.random.default_rng(4)
    first = thermometer(rng, (1, 6, 6), 1)
    one = conv(rng, first.output_shape, (3, 3), kernels=4)
    pool = OrPool(one.output_shape, (2, 2), (1, 1))
    groups = GroupSum(pool.output_shape, np.array([0, 18, 36]))
    return chain([(f"l{number}", layer) for number, layer in enumerate([first, one, pool, groups])])


def test_proofs_see_another_pool(tmp_path):
    out = tmp_path / "build"
    gate2hw.compile(overlapping(), out, opt_level=1, output="scores", arch="stream")
    chain_ = load_chain(BuildFolder(out))
    path = out / "rtl" / "lgn_pool_2_gates.v"
    text = path.read_text(encoding="utf-8")
    changed = text.replace("assign y[0] = ", "assign y[0] = ~", 1)
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    with pytest.raises(CheckFailedError, match="differs from"):
        prove_stream(chain_, tmp_path / "proof", lambda *_: None)


@pytest.mark.slow
def test_verify_runs_every_link(streamed):
    result = gate2hw.verify(streamed, simulator="icarus", n_random=20)
    assert not result["failed"]
    links = {link["name"]: link["result"] for link in result["links"]}
    assert links["Verilog top simulated"] == "passed"
    assert links["every pass and the Verilog gates proved"] == "passed"
    assert links["handshakes of both streams proved"] == "passed"
    assert result["not_checked"] == []
    record = json.loads((streamed / "build.json").read_text(encoding="utf-8"))
    check = record["steps"]["verify.top"]["result"]["check"]
    assert check["interval_cycles"] == check["interval_cycles_expected"]


@pytest.mark.slow
def test_synthesis_of_a_streaming_design(streamed):
    result = gate2hw.synth(streamed, "ice40-hx8k")
    manifest = Manifest.load(streamed / "rtl" / "manifest.json")
    assert result["fits"]
    assert result["mapper"] == "gate2hw"
    assert result["interval_cycles"] == manifest.interval_cycles
    found = gate2hw.verify(
        streamed, target="ice40-hx8k", simulator="verilator", n_random=20, links="target"
    )
    assert not found["failed"]
