"""Faults planted in every block, chosen by number in one build: the benches catch every one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from gate2hw.errors import CheckFailedError
from gate2hw.flow.signoff import mutations
from gate2hw.flow.signoff.mutations import BLOCKS, Plan, mutate_benches
from gate2hw.rtl import Manifest
from gate2hw.tools.mutants import list_faults
from gate2hw.tools.simulators import available


@pytest.fixture(scope="module")
def design(nets, make_design):
    """Eight beats a frame, four bytes a result; every value of a byte is a legal feature."""
    net = nets.net(n_features=8, max_value=255, n_gates=60, n_classes=5)
    return make_design(net, output="scores")


@pytest.fixture
def plan(design, tmp_path):
    reason = available("verilator")
    if reason is not None:
        pytest.skip(reason)
    return Plan(
        rtl_dir=design.rtl,
        manifest=Manifest.load(design.rtl / "manifest.json"),
        netlist_raw=design.folder / "netlist_raw.npz",
        golden=design.folder / "golden.npz",
        work_dir=tmp_path,
    )


def check(found, n_faults):
    caught = found["caught"]
    assert not found["missed"], [str(outcome.fault) for outcome in found["missed"]]
    assert len(caught) >= n_faults
    assert set(Counter(outcome.fault.block for outcome in caught)) == set(BLOCKS["unrolled"])
    for outcome in caught:
        in_core = outcome.fault.block in ("gates", "popcount", "argmax", "core")
        benches = {"top", "core"} if in_core else {"top"}
        assert benches == set(outcome.caught) | set(outcome.equivalent), str(outcome.fault)
        assert all(said["says"] for said in outcome.caught.values())


@pytest.mark.slow
def test_a_sample_of_faults_is_caught(plan):
    check(mutate_benches(plan, n_faults=12), 12)


@pytest.mark.slow
@pytest.mark.full
def test_at_least_fifty_faults_are_caught(plan):
    check(mutate_benches(plan, n_faults=64), 64)


@pytest.mark.slow
def test_a_bench_that_looks_away_is_found_out(plan, monkeypatch):
    # The simulation passes everything: the proof alone must tell faults from no faults.
    monkeypatch.setattr(mutations, "_simulate", lambda plan, kind, numbers, _: {})
    monkeypatch.setattr(mutations, "_WEIGHTS", {})
    only = {"unrolled": {"sender": BLOCKS["unrolled"]["sender"]}}
    monkeypatch.setattr(mutations, "BLOCKS", only)
    found = mutate_benches(plan, n_faults=3)
    assert found["missed"]
    for outcome in found["missed"]:
        assert "it shows in cycle" in outcome.missed["top"]
        assert Path(outcome.missed["top"].rpartition(" of ")[2]).is_file()


@pytest.mark.slow
def test_a_bench_that_fails_without_a_fault_is_no_judge(plan, design, tmp_path):
    broken = design.copy(tmp_path / "broken")
    broken.edit("gates", lambda text: text.replace("assign y[0] = ", "assign y[0] = ~", 1))
    bad = Plan(**{**vars(plan), "rtl_dir": broken.rtl})
    with pytest.raises(CheckFailedError, match="fails without a fault"):
        mutate_benches(bad, n_faults=2)


def test_candidates_are_the_same_each_time_and_lie_in_their_blocks(design, plan):
    parts = ("gates", "core", "top")
    sources = [design.rtl / f"lgn_{part}.v" for part in parts]
    blocks = {
        block: ([part.format(name="lgn") for part in selection], 4)
        for block, selection in BLOCKS["unrolled"].items()
    }
    how = {"top": "lgn_top", "blocks": blocks, "work_dir": plan.work_dir}
    faults = list_faults(sources, **how)
    assert faults == list_faults(sources, **how)
    assert [fault.number for fault in faults] == list(range(1, 1 + len(faults)))
    modules = {block: {f.module for f in faults if f.block == block} for block in blocks}
    assert modules["gates"] == {"lgn_gates"}
    assert modules["sender"] == {"lgn_top_sender"}
    assert modules["receiver"] == modules["storage"] == {"lgn_top_receiver"}
    assert all("gt." in fault.place for fault in faults if fault.block == "encoder")
    assert not any("gt." in fault.place for fault in faults if fault.block == "storage")
