"""Both benches pass good hardware of many shapes, and say what they measured."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gate2hw.ir.simulate import scores

FEW = {"stalls": 12, "blocked": 8, "reset": 4, "malformed": 10, "padding": 4}


BOTH = pytest.mark.parametrize(
    "simulator",
    ["icarus", pytest.param("verilator", marks=pytest.mark.slow)],
    indirect=True,
)


def check(run, *, bench, n_golden=30):
    assert run.passed, run.log
    result = run.result
    assert result["bench"] == bench
    assert result["complete"]
    assert result["passed"]
    assert result["error"] is None
    assert result["mismatches"] == 0
    assert result["n_violations"] == 0
    assert result["n_golden"] == n_golden
    kinds = ("n_golden", "n_random", "n_ties", "n_corners")
    assert result["n_vectors"] == sum(result[kind] for kind in kinds)
    assert result["n_compared"] >= result["n_vectors"]
    assert result["latency_cycles"] == result["latency_cycles_expected"] is not None
    return result


@BOTH
def test_core_with_scores(small_design, simulator):
    run = small_design.run("core", simulator, frames=FEW)
    result = check(run, bench="core")
    assert result["simulator"].lower().startswith(simulator)
    assert result["digest"] == small_design.net.digest
    assert result["n_ties"] == 16
    assert result["ties"]["total"] >= 16
    assert set(result["tests"]) == {"latency", "all_vectors", "gaps_and_stalls", "reset_in_flight"}


@BOTH
def test_top_with_scores(small_design, simulator):
    run = small_design.run("top", simulator, frames=FEW)
    result = check(run, bench="top")
    # Six bytes in, four out: the longer frame sets the pace.
    assert result["interval_cycles"] == result["interval_cycles_expected"] == 6
    assert result["tests"]["malformed_frames"]["n_malformed"] == 20
    assert result["tests"]["padding_ignored"]["skipped"]
    assert result["n_compared"] > result["n_vectors"] + 12 + 8 + 2 * 4


@pytest.mark.slow
def test_combinational_core_of_classes_alone(nets, make_design, icarus):
    design = make_design(
        nets.net(n_features=4, n_classes=5),
        output="class",
        register_gates=False,
        register_scores=False,
        register_argmax=False,
    )
    result = check(design.run("core", icarus, frames=FEW), bench="core")
    assert result["latency_cycles"] == 0
    assert result["tests"]["gaps_and_stalls"]["skipped"]


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ({"n_features": 5, "n_classes": 2}, {"output": "scores", "bus_bytes": 4}),
        ({"n_features": 3, "negative": True}, {"output": "scores", "bus_bytes": 2}),
        ({"n_features": 3, "max_value": 1000}, {"output": "class", "bus_bytes": 1}),
        ({"n_features": 3, "max_value": 1000}, {"output": "scores", "bus_bytes": 4}),
        ({"n_features": 4, "n_classes": 1}, {"output": "class", "bus_bytes": 8}),
        ({"n_features": 2, "n_classes": 7}, {"output": "scores", "bus_bytes": 1}),
    ],
)
@pytest.mark.slow
def test_top_of_many_shapes(nets, make_design, icarus, shape, options):
    design = make_design(nets.net(**shape), **options)
    result = check(design.run("top", icarus, frames=FEW), bench="top")
    n_bytes = shape["n_features"] * (1 if shape.get("max_value", 16) < 256 else 2)
    if n_bytes % options["bus_bytes"]:
        assert result["tests"]["padding_ignored"]["n_vectors"] == 12
    check(design.run("core", icarus, frames=FEW), bench="core")


@pytest.mark.slow
def test_the_first_mismatch_can_be_replayed(nets, small_design, tmp_path, icarus):
    design = small_design.copy(tmp_path)
    golden = nets.golden(design.net, 12)
    golden.scores[7, 1] += 1
    nets.save_golden(design.folder / "golden.npz", golden)
    run = design.run("core", icarus, frames=FEW)
    assert not run.passed
    first = run.result["first_mismatch"]
    assert (first["vector"], first["kind"]) == (7, "golden")
    assert run.result["mismatches"] >= 1
    x = np.array(first["x"])[None]
    assert scores(design.net, x)[0].tolist() == first["actual_scores"]
    assert first["expected_scores"] == golden.scores[7].tolist()
    assert "vector 7 (golden) expected class" in run.log


def test_a_refused_job_fails_the_bench_and_says_why(small_design, tmp_path, icarus):
    design = small_design.copy(tmp_path)
    manifest = json.loads((design.rtl / "manifest.json").read_text())
    (design.rtl / "manifest.json").write_text(json.dumps({**manifest, "model_digest": "f" * 64}))
    run = design.run("core", icarus)
    assert not run.passed
    assert "not of one model" in run.result["error"]
    assert run.result["complete"] is False
    assert run.result["mismatches"] is None
    assert "not of one model" in run.log


@pytest.mark.slow
def test_a_wrong_latency_or_interval_in_the_manifest_fails(small_design, tmp_path, icarus):
    design = small_design.copy(tmp_path)
    manifest = json.loads((design.rtl / "manifest.json").read_text())
    wrong = {"top_latency_cycles": 9, "interval_cycles": 5}
    (design.rtl / "manifest.json").write_text(json.dumps({**manifest, **wrong}))
    result = design.run("top", icarus, frames=FEW).result
    assert result["mismatches"] == 0
    assert not result["passed"]
    told = " ".join(result["violations"])
    assert f"latency_cycles measured {manifest['top_latency_cycles']}, the manifest says 9" in told
    assert "interval_cycles measured 6, the manifest says 5" in told
