"""bench: what it reports, and that it times nothing that computes something else."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gate2hw
from gate2hw.cli import main
from gate2hw.engine import Engine, kernel_names
from gate2hw.errors import CheckFailedError, InputError
from gate2hw.flow.benching import bench, check_engine
from gate2hw.flow.models import SHIFTED, find_netlist
from gate2hw.ir.netlist import Head
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.simulate import classes, random_features, scores
from gate2hw.ir.store import Golden, save_golden, save_netlist, save_network
from gate2hw.ir.unroll import unroll

FAST = {"seconds": 0.02, "n_images": 200}


@pytest.fixture
def folder(random_network: Callable[..., LogicNetwork], tmp_path: Path) -> Path:
    network = random_network(234, max_value=1000)
    save_network(tmp_path / "model.safetensors", network)
    save_netlist(tmp_path / "netlist.npz", unroll(network))
    return tmp_path


def test_what_it_reports(folder: Path) -> None:
    found = gate2hw.bench(folder, kernel="all", threads=2, out=folder / "bench.json", **FAST)
    assert [row["kernel"] for row in found["kernels"]] == [*reversed(kernel_names())]
    assert (found["images_from"], found["image_bytes"]) == ("random", 72)
    assert (found["checked"], found["data_mb"]) == (577, 200 * 72 / 1e6)
    for row in found["kernels"]:
        assert [run["threads"] for run in row["runs"]] == [1, 2]
        for run in row["runs"]:
            assert 0 < run["least"] <= run["images_per_s"] <= run["greatest"]
            assert run["runs"] >= 3
        assert 0 < row["latency_us"]["median"] <= row["latency_us"]["p99"]
        assert row["ready_ms"] > 0
        assert 0 < row["ops"] <= found["gates"]
        assert row["images"] == 200
    assert json.loads((folder / "bench.json").read_text()) == json.loads(json.dumps(found))


def test_golden_images_and_one_thread(folder: Path, random_network) -> None:
    network = random_network(234, max_value=1000)
    net = unroll(network)
    x = np.random.default_rng(0).integers(0, 1001, (5, 1, 6, 6)).astype(np.uint16)
    found = scores(net, x)
    golden = Golden(x, np.zeros(5, np.int64), found, classes(found), network.digest)
    save_golden(folder / "golden.npz", golden)
    result = bench(folder, threads=1, seconds=0.02)
    assert result["images_from"] == "golden"
    (row,) = result["kernels"]
    assert [run["threads"] for run in row["runs"]] == [1]
    assert row["images"] % 4096 == 0


class Off(Engine):
    """An engine with a planted fault in one sample."""

    at = 0
    in_scores = True

    def scores(self, x: Any) -> Any:
        found = super().scores(x)
        if self.in_scores and len(x) > self.at:
            found[self.at, 0] += 1
        return found

    def predict(self, x: Any) -> Any:
        found = super().predict(x)
        if not self.in_scores and len(x) > self.at:
            found[self.at] = (found[self.at] + 1) % self.n_classes
        return found


@pytest.mark.parametrize("at", [0, 64, 576])
@pytest.mark.parametrize("in_scores", [True, False])
def test_a_planted_fault_is_found(
    at: int, in_scores: bool, random_network: Callable[..., LogicNetwork]
) -> None:
    net = unroll(random_network(234))
    assert net.encoder is not None
    x = random_features(net.encoder, 577, np.random.default_rng(0)).astype(np.uint8)
    engine = Off(net, 1)
    engine.at, engine.in_scores = at, in_scores
    said = rf"reference evaluator(, classes)?: 1 of \d+ vectors differ; vector {at},"
    with pytest.raises(CheckFailedError, match=said):
        check_engine(engine, x, scores(net, x))
    assert check_engine(Engine(net, 1), x, scores(net, x)) == 577


def test_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["bench", str(folder), "--seconds", "0.02", "--images", "100", "--threads", "2"]
    assert main([*argv, "--kernel", "numpy"]) == 0
    out, err = capsys.readouterr()
    for text in ("numpy", "images/s", "1 thread", "2 threads", "577 images checked bit for bit"):
        assert text in out
    assert max(map(len, out.split("┘")[0].splitlines())) <= 80
    assert "bench: checking numpy" in err
    assert main([*argv, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["threads"] == 2
    monkeypatch.setattr("gate2hw.flow.benching.Engine", Off)
    assert main(argv) == 1
    assert "vectors differ" in capsys.readouterr().err


def test_it_names_the_processor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"/proc/cpuinfo": [("flags", "sse avx"), ("model name", "Abacus 3000")]}
    monkeypatch.setattr("gate2hw.flow.benching._lines_of", lambda path: said.get(path, []))
    assert bench(folder, threads=1, **FAST)["machine"]["processor"] == "Abacus 3000"
    said.clear()
    known = platform.processor() or platform.machine()
    assert bench(folder, threads=1, **FAST)["machine"]["processor"] == known


def test_more_images_than_memory_holds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in (10**12, 10**30):
        with pytest.raises(InputError, match=rf"n_images is {n}: at 72 bytes.*give at most \d+"):
            bench(folder, n_images=n)
    monkeypatch.setattr("gate2hw.flow.benching._MOST_BYTES", 80 * 200)
    monkeypatch.setattr(
        "gate2hw.flow.benching._lines_of", lambda path: [("MemAvailable", f"{5 * 80} kB")]
    )
    with pytest.raises(InputError, match="give at most 1280"):
        bench(folder, n_images=1281)
    assert bench(folder, n_images=1280, seconds=0.02)["kernels"][0]["images"] == 1280


def test_shifted_scores_are_no_matter_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = replace(find_netlist(folder), notes=(SHIFTED, "other"))
    monkeypatch.setattr("gate2hw.flow.benching.find_netlist", lambda *_, **__: found)
    assert bench(folder, threads=1, **FAST)["notes"] == ["other"]


def test_what_cannot_be_timed(folder: Path) -> None:
    with pytest.raises(InputError, match="no kernel 'alll'"):
        bench(folder, kernel="alll")
    with pytest.raises(InputError, match="n_images is 0"):
        bench(folder, n_images=0)
    net = gate2hw.flow.models.find_netlist(folder).net
    save_netlist(folder / "netlist.npz", net.with_(head=Head.none(net.n_outputs)))
    with pytest.raises(InputError, match="plain circuit"):
        bench(folder)
