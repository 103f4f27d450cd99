"""Faults planted in every block of a streaming design: the bench of the top catches every one."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import gate2hw
from gate2hw.flow.signoff.mutations import BLOCKS, Plan, mutate_benches
from gate2hw.ir.layers import GroupSum, OrPool
from gate2hw.ir.network import chain
from gate2hw.rtl import Manifest, stream_spec
from gate2hw.tools.simulators import available

sys.path.insert(0, str(Path(__file__).parents[1] / "rtl"))
from stream_nets import conv, dense, thermometer


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Padded windows, lines in a memory, a pool, dense layers behind: every block there is, and
    few registers, as what the bench does not see is proved to change nothing."""
    rng = np.random.default_rng(6)
    first = thermometer(rng, (1, 4, 5), 1)
    one = conv(rng, first.output_shape, (3, 3), padding=(1, 1), depth=2, kernels=4)
    pool = OrPool(one.output_shape, (2, 2), (2, 2))
    last = dense(rng, pool.output_shape, 12)
    layers = [first, one, pool, last, GroupSum((12,), np.array([0, 4, 8, 12]))]
    network = chain([(f"l{number}", layer) for number, layer in enumerate(layers)])
    out = tmp_path_factory.mktemp("mutants") / "small"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_spec, "MEMORY_BITS", 8)
        gate2hw.compile(network, out, output="scores", opt_level=2, arch="stream")
    return out


@pytest.fixture
def plan(build, tmp_path):
    reason = available("verilator")
    if reason is not None:
        pytest.skip(reason)
    return Plan(
        rtl_dir=build / "rtl",
        manifest=Manifest.load(build / "rtl" / "manifest.json"),
        netlist_raw=build / "netlist_raw.npz",
        golden=None,
        work_dir=tmp_path,
    )


def check(found, n_faults):
    assert not found["missed"], [str(outcome.fault) for outcome in found["missed"]]
    assert len(found["caught"]) >= n_faults
    assert set(Counter(outcome.fault.block for outcome in found["caught"])) == set(BLOCKS["stream"])


@pytest.mark.slow
def test_a_sample_of_faults_is_caught(plan):
    check(mutate_benches(plan, n_faults=13), 13)


@pytest.mark.slow
@pytest.mark.full
def test_at_least_fifty_faults_are_caught_and_none_shows_unseen(plan):
    found = mutate_benches(plan, n_faults=64)
    # frames queue up behind deep designs only: what guards a full queue changes nothing here, which
    # takes longer to prove than the limit; but nothing may show that the bench does not see
    shown = [o for o in found["missed"] if "it shows in cycle" in o.missed["top"]]
    assert not shown, [str(outcome.fault) for outcome in shown]
    assert len(found["caught"]) >= 56
    assert set(Counter(outcome.fault.block for outcome in found["caught"])) == set(BLOCKS["stream"])
