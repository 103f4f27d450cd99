"""A waveform shows what the model computes, under the model's names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import gate2hw
from gate2hw.cli import main
from gate2hw.errors import CheckFailedError, InputError
from gate2hw.flow.stream.stream_build import load_spec
from gate2hw.ir.evaluate import evaluate
from gate2hw.ir.simulate import encode
from gate2hw.ir.store import Golden, load_golden, load_netlist, save_golden, save_network
from gate2hw.tools.vcd import read_vcd

pytestmark = pytest.mark.slow


def at_result(path, names):
    """Values of `names` in the first cycle in which a result is offered."""
    for _, values in read_vcd(path).cycles("clk", ["rst", "m_axis_tvalid", *names]):
        if (values["rst"], values["m_axis_tvalid"]) == ("0", "1"):
            return values
    raise AssertionError("no result")


def test_class_scores_and_features_are_the_models(build, capsys):
    assert main(["wave", str(build), "--sample", "2"]) == 0
    path = build / "wave" / "sample_2.vcd"
    assert str(path) in capsys.readouterr().out
    golden, net = load_golden(build / "golden.npz"), load_netlist(build / "netlist.npz")
    vcd = read_vcd(path)
    scored = [name for name in vcd.signals if name.startswith("model.scores.")]
    assert len(scored) == golden.scores.shape[1]
    values = at_result(path, ["m_axis_tdata", *scored])
    assert int(values["m_axis_tdata"], 2) == golden.classes[2]
    given = np.array([int(values[name], 2) for name in scored])
    # an offset common to all classes may be left out
    assert len(set(golden.scores[2] - given)) == 1
    features = [name for name in vcd.signals if name.startswith("model.features.")]
    bits = encode(net.encoder, golden.x[2:3].astype(np.int64))[0]
    for name, value in at_result(path, features).items():
        found = re.fullmatch(r"model\.features\.x_([\d_]+)_above_(\d+)", name)
        if found:
            feature = np.ravel_multi_index(tuple(map(int, found[1].split("_"))), net.encoder.shape)
            here = (net.encoder.feature == feature) & (net.encoder.threshold == int(found[2]))
            assert int(value) == bits[np.flatnonzero(here)[0]]
    layers = {name.split(".")[1] for name in vcd.signals if name.startswith("model.")}
    assert layers > {"features", "scores"}
    saved = path.with_suffix(".gtkw").read_text()
    assert str(path.resolve()) in saved
    for line in saved.splitlines():
        if "." in line and line[0].isalpha():
            assert line.partition("[")[0] in vcd.signals


def test_a_streaming_design_is_named_by_its_own_netlists(random_network, tmp_path):
    network = random_network(5, dense=(40, 24))
    x = np.random.default_rng(0).integers(0, 256, (4, *network.thermometer.input_shape))
    scored = evaluate(network, x.astype(np.uint8))
    winners = scored.argmax(axis=1)
    save_network(tmp_path / "model.safetensors", network)
    golden = Golden(x.astype(np.uint8), winners, scored, winners, network.digest)
    save_golden(tmp_path / "golden.npz", golden)
    build = tmp_path / "build"
    gate2hw.compile(tmp_path / "model.safetensors", build, output="scores", arch="stream")
    vcd = read_vcd(Path(gate2hw.wave(build, sample=1)["vcd"]))
    tail = load_spec(build).tail
    # wires of the dense layers are nodes of their netlist, not of the whole network's
    layers = set()
    for gate in range(tail.n_gates):
        code, _ = vcd.signals[f"lgn_top.core.gates.n{tail.first_gate + gate}"]
        names = [n for n, (c, _) in vcd.signals.items() if c == code and n.startswith("model.")]
        site = tail.site_of(gate)
        if site is not None:
            layers.add(site.layer)
            assert f"model.{site.layer}.neuron_{site.kernel}" in {
                re.sub(r"(_gate_\d+)?(_n\d+)?$", "", name) for name in names
            }
    assert layers >= {"dense1", "dense2"}
    assert not [name for name in vcd.signals if name.startswith("model.features")]
    assert [name for name in vcd.signals if name.startswith("model.conv1.neuron_")]


def test_another_class_than_the_softwares_is_an_error(build, monkeypatch):
    monkeypatch.setattr("gate2hw.flow.signoff.waves._class_of", lambda vcd, manifest: (11, 5))
    with pytest.raises(CheckFailedError, match="m_axis gives class 11, the software"):
        gate2hw.wave(build)
    assert (build / "wave" / "sample_0.vcd").is_file()


def test_bad_input_is_told(build, monkeypatch):
    with pytest.raises(InputError, match="sample 99999 is not there"):
        gate2hw.wave(build, sample=99999)
    with pytest.raises(InputError, match=r"ends with \.vcd"):
        gate2hw.wave(build, out=build / "wave.fst")
    with monkeypatch.context() as patch:
        patch.setattr("gate2hw.flow.signoff.waves._MOST_WORK", 10)
        with pytest.raises(InputError, match="take too long to simulate"):
            gate2hw.wave(build)
    (build / "golden.npz").unlink()
    with pytest.raises(InputError, match=r"golden\.npz was there"):
        gate2hw.wave(build)
