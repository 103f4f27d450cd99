"""Benchmarks' synthetic nets: shapes as published, mixes as measured, and a check that checks."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.layers import LogicDense
from gate2hw.ir.unroll import instantiated_gates
from gate2hw.passes.unroll_shared import unroll_shared

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def load():
    """Import a module of benchmarks/, which is no package."""
    sys.path.insert(0, str(FOLDER))
    names = []

    def import_one(name: str) -> ModuleType:
        names.append(name)
        return importlib.import_module(name)

    yield import_one
    sys.path.remove(str(FOLDER))
    for name in (*names, "common", "models", "synthetic"):
        sys.modules.pop(name, None)


# instantiated gates for k = 1, from the sizes of the maps: trees of 7 gates, pools of 3
CIFAR = 7 * (1024 + 4 * 256 + 16 * 64 + 32 * 16) + 3 * (256 + 4 * 64 + 16 * 16 + 32 * 4)
MNIST = 7 * (576 + 3 * 100 + 9 * 16) + 3 * (144 + 3 * 36 + 9 * 9)
HEAD = 1280 + 640 + 320


@pytest.mark.parametrize(
    ("name", "per_k", "published"),
    [
        ("CIFAR S", CIFAR + HEAD, 0.96e6),
        ("CIFAR M", CIFAR + HEAD, 7.68e6),
        ("CIFAR B", CIFAR + 2 * HEAD, 16.5e6),
        ("CIFAR L", CIFAR + 2 * HEAD, 33.0e6),
        ("CIFAR G", CIFAR + HEAD, 76.8e6),
        ("MNIST S", MNIST + HEAD, None),
        ("MNIST L", MNIST + HEAD, None),
    ],
)
def test_models_have_the_published_sizes(name, per_k, published, load):
    models, synthetic = load("models"), load("synthetic")
    model = models.MODELS[name]
    if published is not None:
        assert round(model.k * per_k / published, 2) == 1
    small = models.Model(model.dataset, 2, model.thresholds, model.head)
    network = synthetic.draw(models.logictreenet(small), synthetic.mix("mnist-conv"))
    assert instantiated_gates(network) == 2 * per_k
    assert network.group_sum.n_classes == 10


def test_mix_file_says_how_it_was_measured(load):
    profiles = json.loads((FOLDER / "mix.json").read_text())["profiles"]
    for name, profile in profiles.items():
        assert f"--name {name}" in profile["command"]
        assert profile["trained"]["gates"] > profile["trained"]["gates_structural"] > 0
        for layer in profile["dense"]:
            assert sum(layer["uses"].values()) == pytest.approx(1, abs=1e-3)
            for functions in layer["functions"].values():
                assert sum(functions.values()) == pytest.approx(1, abs=1e-3)


def test_drawn_nets_have_the_mix_and_the_shape(load):
    synthetic = load("synthetic")
    profile = synthetic.mix("digits")
    network = synthetic.draw(profile["shape"], profile, 1)
    again = synthetic.draw(profile["shape"], profile, 1)
    assert network.digest == again.digest != synthetic.draw(profile["shape"], profile, 2).digest
    measured = synthetic.measure(network)
    assert measured["shape"] == profile["shape"]
    assert measured["trained"]["gates"] == profile["trained"]["gates"]
    for mine, theirs in zip(measured["dense"], profile["dense"], strict=True):
        for uses, share in theirs["uses"].items():
            assert mine["uses"].get(uses, 0.0) == pytest.approx(share, abs=0.02)
        for name, share in theirs["functions"]["live"].items():
            assert mine["functions"]["live"].get(name, 0.0) == pytest.approx(share, abs=0.08)
    # the shrink is near the trained net's, which the mix without dead gates' own would miss by far
    shrink = profile["trained"]["shrink"]
    assert measured["trained"]["shrink"] == pytest.approx(shrink, rel=0.1)
    for layer in profile["dense"]:
        layer["functions"] = {"live": layer["functions"].get("dead", {"AND": 1.0})}
    blind = synthetic.gate_counts(synthetic.draw(profile["shape"], profile, 1))
    assert blind["shrink"] != pytest.approx(shrink, rel=0.1)


def test_unknown_profiles_and_layers(load):
    synthetic = load("synthetic")
    with pytest.raises(InputError, match="no profile 'cifar'"):
        synthetic.mix("cifar")
    with pytest.raises(InputError, match="without such a layer"):
        synthetic.draw(synthetic.mix("digits")["shape"], {**synthetic.mix("digits"), "conv": []})


def test_compile_checks_the_scores(load):
    compiling = load("compile")
    network = compiling.synthetic(3_000)
    net, row = compiling.compile_once(network)
    assert row["gates_shared"] >= row["gates_optimised"] == net.n_gates
    assert row["verilog_bytes"] > 20 * net.n_gates
    compiling.check(network, net)
    outputs = net.outputs.copy()
    outputs[0] ^= 1
    with pytest.raises(SystemExit, match="not those of the LogicNetwork"):
        compiling.check(network, net.with_(outputs=outputs))
    last = [layer for _, layer in network.layers() if isinstance(layer, LogicDense)][-1]
    assert unroll_shared(network).n_outputs == len(last.tables)
    assert np.isfinite(list(compiling.speeds().values())).all()
