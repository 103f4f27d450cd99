"""A small network with known numbers, and a report of realistic size made from invented results."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from gate2hw.ir.builder import relevel
from gate2hw.ir.layers import GroupSum, LogicConv, LogicDense, OrPool, Thermometer
from gate2hw.ir.network import LogicNetwork, chain
from gate2hw.ir.simulate import classes, scores
from gate2hw.ir.store import Golden
from gate2hw.ir.unroll import unroll
from gate2hw.report import analyse


def make_network(seed: int = 0) -> LogicNetwork:
    """8x8 digits-like: 3 thresholds, 16 kernels of 3x3, OR pool, 200 dense gates, 10 classes."""
    rng = np.random.default_rng(seed)
    thermometer = Thermometer((1, 8, 8), np.array([[2, 6, 11]]), 16)
    leaves = np.stack([rng.integers(0, n, (16, 4)) for n in (3, 3, 2)], axis=2)
    tables = tuple(rng.integers(0, 16, (16, n)).astype(np.uint64) for n in (2, 1))
    conv = LogicConv((3, 8, 8), leaves, tables, (3, 3))
    pool = OrPool(conv.output_shape, (2, 2), (2, 2))
    size = int(np.prod(pool.output_shape))
    wiring = rng.integers(0, size, (200, 2))
    dense = LogicDense(pool.output_shape, wiring, rng.integers(1, 15, 200).astype(np.uint64))
    groups = GroupSum((200,), np.arange(0, 201, 20))
    layers = [("encoder", thermometer), ("conv1", conv), ("pool1", pool), ("dense1", dense)]
    names = tuple(str(digit) for digit in range(10))
    return chain([*layers, ("score", groups)], class_names=names, dataset="digits")


def make_report(history: Any = None) -> dict[str, Any]:
    """A report with every check passed, three fitting targets and one refused."""
    network = make_network()
    raw = unroll(network)
    keep = np.zeros(raw.n_nodes, bool)
    keep[raw.outputs >> 1] = True
    for start, stop in reversed(list(raw.levels())):
        gates = np.arange(start, stop)[keep[raw.first_gate + start : raw.first_gate + stop]]
        keep[raw.in0[gates]] = True
        keep[raw.in1[gates]] = True
    kept = keep[raw.first_gate :]
    new = np.cumsum(keep[raw.first_gate :]) - 1 + raw.first_gate
    node = np.concatenate([np.arange(raw.first_gate), new]).astype(np.int64)
    ptr = np.concatenate([[0], np.cumsum(kept)])[raw.level_ptr]
    net = relevel(
        raw,
        tt=raw.tt[kept],
        in0=node[raw.in0[kept]].astype(np.int32),
        in1=node[raw.in1[kept]].astype(np.int32),
        origin=raw.origin[kept],
        outputs=2 * node[raw.outputs >> 1],
        level_ptr=ptr.astype(np.int64),
    )
    rng = np.random.default_rng(1)
    x = rng.integers(0, 17, (360, 1, 8, 8))
    score = scores(raw, x)
    predicted = classes(score)
    y = np.where(rng.random(360) < 0.97, predicted, rng.integers(0, 10, 360))
    golden = Golden(x, y, score, predicted, network.digest)

    def ran(simulator: str, n_vectors: int) -> dict[str, Any]:
        vectors = {"n_vectors": n_vectors, "n_golden": 360, "n_random": (n_vectors - 360) // 2}
        return {"simulator": simulator, "mismatches": 0, **vectors}

    def used(number: int, available: int) -> dict[str, Any]:
        return {"used": number, "available": available, "fraction": round(number / available, 4)}

    def target(luts: int, available: int, fmax: float, clock: float) -> dict[str, Any]:
        return {
            "fits": True,
            "luts": luts,
            "ffs": luts // 3,
            "carries": luts // 7,
            "cells": luts + luts // 3 + luts // 7,
            "cells_by_type": {"SB_LUT4": luts, "SB_DFF": luts // 3, "SB_CARRY": luts // 7},
            "utilisation": {
                "ICESTORM_LC": used(luts + 100, available),
                "SB_IO": used(41, 206),
                "SB_GB": used(2, 8),
                "ICESTORM_RAM": used(0, 32),
            },
            "fmax_mhz": fmax,
            "clock_mhz": clock,
            "clock_met": fmax >= clock,
            "latency_cycles": 4,
            "latency_ns": 4000 / fmax,
            "interval_cycles": 64,
            "images_per_s": fmax * 1e6 / 64,
            "core_images_per_s": fmax * 1e6,
            "counts_encoder": True,
        }

    refused = "needs 6,212 logic cells, the part has 5,280 (118 %)"
    passes = []
    steps = (("fold", 0.41), ("strash", 0.66), ("dce", 1.0), ("head_constants", 1.0))
    before = raw.n_gates
    for index, (name, share) in enumerate(steps):
        after = raw.n_gates - round((raw.n_gates - net.n_gates) * share)
        row: dict[str, Any] = {"name": name, "gates_before": before, "gates_after": after}
        passes.append(row | {"depth_after": net.depth, "time_s": 0.0123 * (index + 1)})
        before = after
    return {
        "schema": 1,
        "model": {
            "name": "digits",
            "digest": network.digest,
            "dataset": network.dataset,
            "classes": list(network.class_names),
            "n_test": 360,
            "accuracy_soft": 0.975,
            "accuracy": golden.accuracy,
        },
        "gates": {
            "unique": network.n_unique_gates,
            "instantiated": raw.n_gates,
            "optimised": net.n_gates,
            "depth": net.depth,
        },
        "analysis": analyse(network, net, golden, history),
        "passes": passes,
        "checks": {
            "software": {
                "method": "reference simulator",
                "n_golden": 360,
                "n_random": 1000,
                "mismatches": 0,
            },
            "simulation": {"core": ran("verilator", 2608), "top": ran("verilator", 424)},
            "proof": {"method": "abc cec", "result": "equivalent"},
            "post_synthesis": {
                "ice40-hx8k": ran("verilator", 360),
                "ice40-up5k": None,
                "ecp5-25k": ran("verilator", 360),
                "ecp5-85k": ran("verilator", 360),
            },
            "post_synthesis_reasons": {"ice40-up5k": "does not fit"},
        },
        "targets": {
            "ice40-hx8k": target(5512, 7680, 43.21, 40.0),
            "ice40-up5k": {"fits": False, "reason": refused},
            "ecp5-25k": target(4801, 24288, 71.4, 80.0),
            "ecp5-85k": target(4801, 83640, 66.2, 60.0),
        },
        "build": {
            "gate2hw": "0.1.0",
            "commands": [
                "gate2hw train digits -o build/digits",
                "gate2hw compile build/digits -o build/digits",
                "gate2hw synth build/digits --target ice40-hx8k",
                "gate2hw verify build/digits",
            ],
            "tools": {"yosys": "0.70", "nextpnr-ice40": "0.10", "verilator": None},
            "machine": "x86_64, 2 cores, Linux",
        },
    }


@pytest.fixture(scope="session")
def _report_once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("history") / "history.csv"
    rows = ["step,time_s,loss,accuracy_validation_soft,accuracy_validation,lr"]
    for step in range(0, 2001, 50):
        soft = 0.98 - 0.88 * np.exp(-step / 200)
        hard = soft - 0.3 * np.exp(-step / 300)
        rows.append(f"{step},{step / 25},{2.3 * np.exp(-step / 500):.4f},{soft:.4f},{hard:.4f},.01")
    path.write_text("\n".join(rows) + "\n")
    return make_report(path)


@pytest.fixture
def report(_report_once: dict[str, Any]) -> dict[str, Any]:
    """A fresh copy of the realistic report: change it freely."""
    return copy.deepcopy(_report_once)
