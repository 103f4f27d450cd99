"""Every pass at every level on every net of the corpus is proved; a planted bad pass is found.

The corpus: digits as trained (tests/data/digits_raw.npz, before all passes), random convolutional
and dense networks, random netlists; and `netlist_raw.npz` of every folder in the folder that
`GATE2HW_CORPUS` names.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError
from gate2hw.ir.simulate import random_words, scores, simulate, unpack
from gate2hw.ir.store import load_netlist
from gate2hw.ir.unroll import unroll
from gate2hw.passes.manager import PassManager, bisect, run_pipeline
from gate2hw.passes.pipelines import Pipeline, pipeline
from gate2hw.passes.proof.equivalence import prove_equal

DATA = Path(__file__).resolve().parents[1] / "data"
CORPUS = sorted(Path(os.environ.get("GATE2HW_CORPUS", DATA)).glob("*/netlist_raw.npz"))
NAMES = ["digits", "conv", "dense", "random", "plain", *(path.parent.name for path in CORPUS)]


def net_of(name, oracle, random_network):
    """A netlist of the corpus before all passes."""
    match name:
        case "digits":
            return load_netlist(DATA / "digits_raw.npz")
        case "conv":
            return unroll(random_network(3, thresholds=3, kernels=6, dense=(120, 60)))
        case "dense":
            return unroll(random_network(4, input_shape=(12,), thresholds=7, dense=(200, 100, 60)))
        case "random" | "plain":
            n_classes = 4 if name == "random" else 0
            return oracle.random_net(
                9, n_inputs=14, n_gates=600, n_classes=n_classes, n_outputs=80, encoder=True
            )
    return load_netlist({path.parent.name: path for path in CORPUS}[name])


@pytest.fixture
def net(request, oracle, random_network):
    """The netlist whose name is the parameter."""
    return net_of(request.param, oracle, random_network)


def prover(tmp_path, care, output):
    return partial(
        prove_equal, work_dir=tmp_path, timeout_s=600, care=care, relative=output == "class"
    )


@pytest.mark.slow
@pytest.mark.parametrize("net", NAMES, indirect=True)
@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize(
    ("care", "output"), [("thermometer", "class"), ("thermometer", "scores"), ("none", "scores")]
)
def test_every_pass_is_proved(net, tmp_path, level, care, output):
    prove = prover(tmp_path, care, output)
    result = run_pipeline(net, level, care=care, output=output, prove=prove)
    changed = [record for record in result.records if record.changed]
    assert changed
    assert {record.name: record.proof for record in changed} == {
        record.name: "equivalent" for record in changed
    }, [(record.name, record.proof_coverage, record.proof_reason) for record in changed]


def drop_rarest(net):
    """Takes the output that is 1 least often, but not never, for constant: wrong on few inputs."""
    words = random_words(net, 64, np.random.default_rng(5))
    ones = unpack(simulate(net, words), 4096).sum(axis=0)
    ones = np.where((ones == 0) | (net.head.weight == 0), ones.max() + 1, ones)
    outputs = net.outputs.copy()
    outputs[int(ones.argmin())] = 0
    return net.with_(outputs=outputs)


@pytest.mark.slow
@pytest.mark.parametrize("net", ["digits", "conv"], indirect=True)
def test_a_planted_bad_pass_is_refuted_and_bisected(net, tmp_path):
    prove = prover(tmp_path, "thermometer", "scores")
    passes = [*pipeline(2).passes]
    place = len(passes) // 2
    passes.insert(place, drop_rarest)
    with pytest.raises(CheckFailedError, match="'drop_rarest'") as caught:
        PassManager(Pipeline(tuple(passes)), prove=prove).run(net)
    # the input that is printed tells the two netlists apart
    values = re.search(r"features \[([^]]*)\]", str(caught.value))
    assert values is not None
    x = np.array([[int(v) for v in values[1].split()]]).reshape(1, *net.encoder.shape)

    def is_bad(candidate):
        return prove(net, candidate).result == "different"

    found = bisect(net, passes, is_bad)
    assert found is not None
    assert (found.name, found.index) == ("drop_rarest", place)
    assert (scores(found.before, x) == scores(net, x)).all()
    assert (scores(found.after, x) != scores(net, x)).any()
