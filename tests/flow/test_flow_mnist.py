"""Data of the user's own: MNIST from GATE2HW_DATA, as .npz, through training and compiling."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

import gate2hw
from gate2hw.ir.simulate import scores
from gate2hw.ir.store import load_golden, load_netlist

RECIPE = """
name = "mnist-sample"
[data]
source = "mnist.npz"
[thermometer]
n_thresholds = 1
[[layers]]
type = "dense"
width = 1000
[[layers]]
type = "dense"
width = 200
[head]
tau = 4.0
[training]
steps = 60
"""


def test_mnist_sample_trains_and_equals_its_netlist(data_dir: Path, tmp_path: Path) -> None:
    with gzip.open(data_dir / "mnist" / "train-images-idx3-ubyte.gz") as file:
        x = np.frombuffer(file.read(16 + 2000 * 784), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(data_dir / "mnist" / "train-labels-idx1-ubyte.gz") as file:
        y = np.frombuffer(file.read(8 + 2000), np.uint8, offset=8)
    np.savez(tmp_path / "mnist.npz", x=x, y=y)
    (tmp_path / "mnist.toml").write_text(RECIPE)
    trained = gate2hw.train(tmp_path / "mnist.toml", tmp_path / "m", data_dir=tmp_path)
    assert trained["accuracy"] > 0.3
    gate2hw.compile(tmp_path / "m", tmp_path / "m")
    golden = load_golden(tmp_path / "m" / "golden.npz")
    np.testing.assert_array_equal(
        scores(load_netlist(tmp_path / "m" / "netlist.npz"), golden.x), golden.scores
    )
